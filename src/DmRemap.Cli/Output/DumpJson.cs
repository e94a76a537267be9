using System;
using System.Buffers;
using System.IO;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using DmRemap.Cli.Composition;
using DmRemap.Control.Protocol;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;

namespace DmRemap.Cli.Output;

/// <summary>
/// `dump --json`: one document, written piece by piece, since a table may have millions of runs. Its fields
/// are explained in docs/metadata-tools.md.
/// </summary>
internal sealed class DumpJson : IDisposable
{
    private const int PieceBytes = 64 * 1024;

    private readonly TextWriter _target;
    private readonly ArrayBufferWriter<byte> _piece = new(PieceBytes);
    private readonly Utf8JsonWriter _json;

    public DumpJson(TextWriter target)
    {
        _target = target;
        _json = new Utf8JsonWriter(_piece, new JsonWriterOptions
        {
            Indented = true,
            Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        });
    }

    public void Dispose() => _json.Dispose();

    public void Write(SetReading reading, bool withRecords, ControlError? refusal)
    {
        _json.WriteStartObject();
        _json.WriteString("name", reading.Record?.Name);
        WriteRefusal(refusal);
        WriteSpares(reading);
        if (CheckReport.NewestOf(reading.Found) is Superblock newest)
        {
            WriteSet(newest.Set);
            WriteState(newest.State);
        }
        if (reading.Found.Table is RemapTable table)
        {
            WriteTable(table);
            WriteRetired(reading.Found.Retired!);
            WriteJournal(reading.Found.Chain!, withRecords);
        }
        _json.WriteEndObject();
        PassOn(atLeast: 0);
        _target.WriteLine();
    }

    private void PassOn(int atLeast)
    {
        if (_json.BytesPending + _piece.WrittenCount < atLeast)
        {
            return;
        }
        _json.Flush();
        _target.Write(Encoding.UTF8.GetString(_piece.WrittenSpan));
        _piece.ResetWrittenCount();
    }

    private void WriteRefusal(ControlError? refusal)
    {
        if (refusal is null)
        {
            _json.WriteNull("refusal");
            return;
        }
        _json.WriteStartObject("refusal");
        _json.WriteString("id", refusal.Id);
        _json.WriteString("device", refusal.Device);
        _json.WriteString("message", refusal.Message);
        _json.WriteString("action", refusal.Action);
        _json.WriteNumber("exitCode", refusal.ExitCode);
        _json.WriteEndObject();
    }

    private void WriteSpares(SetReading reading)
    {
        _json.WriteStartArray("spares");
        for (int i = 0; i < reading.Found.Copies.Length; i++)
        {
            SpareReading spare = reading.Found.Copies[i];
            _json.WriteStartObject();
            _json.WriteString("path", reading.Paths[i]);
            _json.WriteNumber("bytes", spare.Device.Bytes.Value);
            WriteCopies(spare);
            if (spare.Newest is Superblock newest)
            {
                _json.WriteNumber("member", newest.MemberIndex);
                _json.WriteString("uuid", newest.MemberUuid);
                WriteLayout(newest.Layout);
            }
            _json.WriteEndObject();
        }
        _json.WriteEndArray();
    }

    private void WriteCopies(SpareReading spare)
    {
        _json.WriteStartArray("superblocks");
        for (int copy = 0; copy < spare.Copies.Length; copy++)
        {
            CopyReading found = spare.Copies[copy];
            _json.WriteStartObject();
            _json.WriteNumber("copy", copy);
            _json.WriteNumber("start", SpareLayout.SuperblockOffset(copy, spare.Device.Bytes.Value));
            _json.WriteNumber("bytes", SpareLayout.SuperblockBytes);
            _json.WriteString("state", CheckReport.WordOf(found.Verdict));
            if (found.Superblock is Superblock superblock)
            {
                _json.WriteNumber("generation", superblock.State.Generation);
                _json.WriteString("epoch", superblock.State.Epoch.ToString("x16"));
            }
            _json.WriteEndObject();
        }
        _json.WriteEndArray();
    }

    private void WriteLayout(SpareLayout layout)
    {
        _json.WriteStartObject("layout");
        _json.WriteNumber("physicalBlock", layout.PhysicalBlockBytes);
        WriteRegions("journal", layout.Journal1, layout.Journal2);
        WriteRegions("areaA", layout.AreaA1, layout.AreaA2);
        WriteRegions("areaB", layout.AreaB1, layout.AreaB2);
        WriteRegions("data", layout.Data);
        _json.WriteNumber("dataUnits", layout.DataUnits);
        _json.WriteEndObject();
    }

    private void WriteRegions(string name, params ReadOnlySpan<ByteRegion> regions)
    {
        _json.WriteStartArray(name);
        foreach (ByteRegion region in regions)
        {
            _json.WriteStartObject();
            _json.WriteNumber("start", region.Start);
            _json.WriteNumber("bytes", region.Bytes);
            _json.WriteEndObject();
        }
        _json.WriteEndArray();
    }

    private void WriteSet(SetDescription set)
    {
        _json.WriteStartObject("set");
        _json.WriteString("uuid", set.SetUuid);
        _json.WriteNumber("blockBytes", set.Geometry.BlockSize.Bytes);
        _json.WriteNumber("unitBytes", set.Geometry.UnitBytes);
        _json.WriteNumber("blocks", set.Geometry.Blocks.Value);
        _json.WriteNumber("mainBytes", set.Primary.Bytes);
        _json.WriteString("mainIdentity", set.Primary.Text);
        _json.WriteNumber("journalSlotBytes", set.Journal.SlotBytes);
        _json.WriteNumber("journalSlots", set.Journal.Slots);
        _json.WriteStartArray("members");
        foreach (MemberDescription member in set.Members)
        {
            _json.WriteStartObject();
            _json.WriteString("uuid", member.Uuid);
            _json.WriteString("state", DumpText.WordOf(member.State));
            _json.WriteNumber("bytes", member.Bytes);
            _json.WriteNumber("dataUnits", member.DataUnits);
            _json.WriteNumber("badSuperblocks", member.BadCopies);
            _json.WriteNumber("badJournals", member.BadJournals);
            _json.WriteNumber("badCheckpoints", member.BadCheckpoints);
            _json.WriteEndObject();
        }
        _json.WriteEndArray();
        _json.WriteEndObject();
    }

    private void WriteState(in SuperblockState state)
    {
        _json.WriteStartObject("state");
        _json.WriteNumber("generation", state.Generation);
        _json.WriteNumber("settledGeneration", state.SettledGeneration);
        _json.WriteString("epoch", state.Epoch.ToString("x16"));
        _json.WriteString("parentEpoch", state.ParentEpoch.ToString("x16"));
        _json.WriteBoolean("cleanStop", state.IsCleanStop);
        _json.WriteBoolean("copiesInStep", state.AreCopiesInStep);
        _json.WriteNumber("firstJournalSequence", state.FirstJournalSequence);
        _json.WriteNumber("journalHead", state.JournalHead.Sequence);
        _json.WriteStartObject("checkpoint");
        _json.WriteString("area", state.Checkpoint.Area == CheckpointArea.A ? "A" : "B");
        _json.WriteNumber("bytes", state.Checkpoint.LengthBytes);
        _json.WriteString("crc", state.Checkpoint.Crc.ToString("x8"));
        _json.WriteNumber("generation", state.Checkpoint.Generation);
        _json.WriteNumber("entries", state.Checkpoint.Entries);
        _json.WriteNumber("runs", state.Checkpoint.Runs);
        _json.WriteNumber("retiredRuns", state.Checkpoint.RetiredRuns);
        _json.WriteEndObject();
        _json.WriteEndObject();
    }

    private void WriteTable(RemapTable table)
    {
        _json.WriteNumber("entries", table.Count);
        _json.WriteStartArray("runs");
        UnitNumber from = new(0);
        while (table.TryGetNextRun(from, out RemapEntry first, out int count))
        {
            _json.WriteStartObject();
            WriteRun(first, count);
            _json.WriteEndObject();
            PassOn(PieceBytes);
            from = new UnitNumber(first.Unit.Value + count);
        }
        _json.WriteEndArray();
    }

    private void WriteRun(in RemapEntry first, int count)
    {
        _json.WriteNumber("unit", first.Unit.Value);
        _json.WriteNumber("units", count);
        _json.WriteString("state", DumpText.WordOf(first.State));
        if (!first.Location.IsNone)
        {
            _json.WriteNumber("spare", first.Location.Spare);
            _json.WriteNumber("spareUnit", first.Location.Unit.Value);
        }
        if (!first.Second.IsNone)
        {
            _json.WriteNumber("secondSpare", first.Second.Spare);
            _json.WriteNumber("secondSpareUnit", first.Second.Unit.Value);
        }
        _json.WriteString("onSpare", Mask(first.Blocks, BlockState.OnSpare));
        _json.WriteString("lost", Mask(first.Blocks, BlockState.Lost));
        _json.WriteString("zero", Mask(first.Blocks, BlockState.Zero));
        _json.WriteNumber("errno", first.LastErrno);
        _json.WriteNumber("day", first.LastErrorDay);
        if (first.Trials != default)
        {
            _json.WriteNumber("healPassed", first.Trials.Passed);
            _json.WriteNumber("healFailed", first.Trials.Failed);
        }
    }

    private static string Mask(BlockStates blocks, BlockState state) => blocks.MaskOf(state).ToString("x16");

    private void WriteRetired(RetiredUnits retired)
    {
        _json.WriteStartArray("retired");
        SpareLocation last = SpareLocation.None;
        while (retired.TryGetRunBehind(last, out SpareLocation first, out int count))
        {
            _json.WriteStartObject();
            _json.WriteNumber("spare", first.Spare);
            _json.WriteNumber("spareUnit", first.Unit.Value);
            _json.WriteNumber("units", count);
            _json.WriteEndObject();
            PassOn(PieceBytes);
            last = new SpareLocation(first.Spare, new UnitNumber(first.Unit.Value + count - 1));
        }
        _json.WriteEndArray();
    }

    private void WriteJournal(JournalChain chain, bool withRecords)
    {
        _json.WriteStartObject("journal");
        _json.WriteNumber("records", chain.Records.Length);
        _json.WriteNumber("tail", chain.Tail.Sequence);
        _json.WriteNumber("nextSequence", chain.NextSequence);
        if (withRecords)
        {
            _json.WriteStartArray("list");
            foreach (FoundRecord record in chain.Records)
            {
                WriteRecord(record);
                PassOn(PieceBytes);
            }
            _json.WriteEndArray();
        }
        _json.WriteEndObject();
    }

    private void WriteRecord(FoundRecord record)
    {
        _json.WriteStartObject();
        _json.WriteNumber("sequence", record.Header.Sequence);
        _json.WriteString("epoch", record.Header.Epoch.ToString("x16"));
        _json.WriteNumber("previous", record.Header.Previous.Sequence);
        _json.WriteNumber("commitPoint", record.Header.CommitPoint);
        _json.WriteNumber("slots", record.Header.Slots);
        _json.WriteNumber("places", record.Places);
        _json.WriteStartArray("cells");
        for (int at = 0; at < record.Cells.Length; at += SpareLayout.CellBytes)
        {
            _json.WriteStringValue(
                Convert.ToHexStringLower(record.Cells.AsSpan(at, SpareLayout.CellBytes)));
        }
        _json.WriteEndArray();
        _json.WriteEndObject();
    }
}
