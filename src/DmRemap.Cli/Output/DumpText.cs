using System;
using System.IO;
using System.Numerics;
using DmRemap.Cli.Composition;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;
using DmRemap.Linux.Native;

namespace DmRemap.Cli.Output;

/// <summary>`dump` for people: a line for each thing.</summary>
internal sealed class DumpText(TextWriter writer)
{
    public static string WordOf(UnitState state) => state switch
    {
        UnitState.LostUnreadable => "lost-unreadable",
        UnitState.LostDeclared => "lost-declared",
        UnitState.Remapped => "remapped",
        UnitState.Probation => "probation",
        _ => "none",
    };

    public static string WordOf(MemberState state) => state switch
    {
        MemberState.Active => "active",
        MemberState.Inactive => "inactive",
        MemberState.Retired => "retired",
        _ => "none",
    };

    public void Write(SetReading reading, bool withRecords)
    {
        for (int i = 0; i < reading.Found.Copies.Length; i++)
        {
            WriteSpare(reading.Paths[i], reading.Found.Copies[i]);
        }
        if (CheckReport.NewestOf(reading.Found) is Superblock newest)
        {
            WriteSet(newest);
        }
        if (reading.Found.Table is not RemapTable table)
        {
            return;
        }
        JournalChain chain = reading.Found.Chain!;
        writer.WriteLine($"journal: {Amounts.Plural(chain.Records.Length, "record")}, tail "
            + $"{chain.Tail.Sequence}, next {chain.NextSequence}");
        foreach (FoundRecord record in withRecords ? chain.Records : [])
        {
            WriteRecord(record);
        }
        WriteTable(table, reading.Found.Retired!);
    }

    private void WriteSpare(string path, SpareReading spare)
    {
        writer.WriteLine($"{path}: {spare.Device.Bytes.Value} bytes");
        for (int copy = 0; copy < spare.Copies.Length; copy++)
        {
            CopyReading found = spare.Copies[copy];
            string generation = found.Superblock is Superblock superblock
                ? $", generation {superblock.State.Generation}, epoch {superblock.State.Epoch:x16}"
                : "";
            writer.WriteLine(
                $"  superblock {copy} at {SpareLayout.SuperblockOffset(copy, spare.Device.Bytes.Value)}: "
                    + $"{CheckReport.WordOf(found.Verdict)}{generation}");
        }
        if (spare.Newest is not Superblock newest)
        {
            return;
        }
        SpareLayout layout = newest.Layout;
        writer.WriteLine($"  member {newest.MemberIndex}, {newest.MemberUuid}");
        writer.WriteLine($"  journal at {layout.Journal1.Start} and {layout.Journal2.Start}, "
            + $"{layout.Journal1.Bytes} bytes each");
        writer.WriteLine($"  area A at {layout.AreaA1.Start} and {layout.AreaA2.Start}, "
            + $"B at {layout.AreaB1.Start} and {layout.AreaB2.Start}, {layout.AreaA1.Bytes} bytes each");
        writer.WriteLine($"  data at {layout.Data.Start}, {Amounts.Plural(layout.DataUnits, "unit")}");
    }

    private void WriteSet(Superblock newest)
    {
        SetDescription set = newest.Set;
        SuperblockState state = newest.State;
        writer.WriteLine($"set {set.SetUuid}: {set.Geometry.Blocks.Value} blocks of "
            + $"{set.Geometry.BlockSize.Bytes} bytes, units of {set.Geometry.UnitBytes}");
        writer.WriteLine($"  main {set.Primary.Bytes} bytes, identity \"{set.Primary.Text}\"");
        for (int i = 0; i < set.Members.Length; i++)
        {
            MemberDescription member = set.Members[i];
            writer.WriteLine($"  member {i} {member.Uuid} {WordOf(member.State)}, {member.Bytes} bytes, "
                + $"{Amounts.Plural(member.DataUnits, "unit")}");
        }
        writer.WriteLine($"generation {state.Generation}, epoch {state.Epoch:x16} after "
            + $"{state.ParentEpoch:x16}, clean stop {(state.IsCleanStop ? "yes" : "no")}");
        CheckpointPointer checkpoint = state.Checkpoint;
        writer.WriteLine($"checkpoint: area {checkpoint.Area}, generation {checkpoint.Generation}, "
            + $"{checkpoint.LengthBytes} bytes, crc {checkpoint.Crc:x8}, "
            + $"{Amounts.Plural(checkpoint.Entries, "entry", "entries")} in "
            + Amounts.Plural(checkpoint.Runs, "run"));
        writer.WriteLine($"journal from {state.FirstJournalSequence}, head {state.JournalHead.Sequence}, "
            + $"{set.Journal.Slots} slots of {set.Journal.SlotBytes} bytes");
    }

    private void WriteRecord(FoundRecord record)
    {
        writer.WriteLine($"  record {record.Header.Sequence} after {record.Header.Previous.Sequence}, epoch "
            + $"{record.Header.Epoch:x16}, places {record.Places:x}, "
            + Amounts.Plural(record.Header.Cells, "cell"));
        for (int at = 0; at < record.Cells.Length; at += SpareLayout.CellBytes)
        {
            writer.WriteLine(
                $"    {Convert.ToHexStringLower(record.Cells.AsSpan(at, SpareLayout.CellBytes))}");
        }
    }

    private void WriteTable(RemapTable table, RetiredUnits retired)
    {
        writer.WriteLine($"table: {Amounts.Plural(table.Count, "entry", "entries")}");
        UnitNumber from = new(0);
        while (table.TryGetNextRun(from, out RemapEntry first, out int count))
        {
            string place = first.Location.IsNone
                ? ""
                : $" on spare {first.Location.Spare} unit {first.Location.Unit.Value}";
            place += first.Second.IsNone
                ? ""
                : $" and spare {first.Second.Spare} unit {first.Second.Unit.Value}";
            writer.WriteLine($"  unit {first.Unit.Value} +{count}: {WordOf(first.State)}{place}; of each "
                + $"{Count(first, BlockState.OnSpare)} blocks on the spare, "
                + $"{Count(first, BlockState.Lost)} lost, {Count(first, BlockState.Zero)} zero"
                + (first.LastErrno == 0 ? "" : $"; {Errno.Name(first.LastErrno)} ({first.LastErrno})"));
            from = new UnitNumber(first.Unit.Value + count);
        }
        foreach (SpareLocation unit in retired.All)
        {
            writer.WriteLine($"  retired: spare {unit.Spare} unit {unit.Unit.Value}");
        }
    }

    private static int Count(in RemapEntry entry, BlockState state) =>
        BitOperations.PopCount(entry.Blocks.MaskOf(state));
}
