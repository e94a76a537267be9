using System;
using System.Collections.Generic;
using System.Linq;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;
using Xunit;

namespace DmRemap.Tests.Metadata;

/// <summary>
/// How much table a journal may ask for: what the spares can hold, however many units its cells name. What
/// real writers leave always fits, neighbours with the same lost block in one cell with it.
/// </summary>
public sealed class JournalRoomTests
{
    private const int CellsMax = 1000;
    private const int PerCell = Limits.CommitChangesMax;
    private const int HeaderBytes = 2 * SpareLayout.CellBytes;

    private static readonly JournalRing s_ring = new(4096, 256);

    private readonly RemapTable _table = new(TableSample.Geometry);
    private readonly RetiredUnits _retired = new();

    [Fact]
    public void Forged_ring_that_asks_for_more_than_the_spares_hold_is_refused_before_it_is_given()
    {
        MetadataBench made = MetadataBench.Formatted(1, seed: 5);
        made.MustRecover();
        Assert.Equal(CommitOutcome.Done, made.Commit(TableSample.Set1(TableSample.Lost(0))));
        MetadataBench bench = made.Copy();
        int units = (int)MetadataBench.Geometry.Units;
        Assert.True(units > 4 * made.Store.EntriesMax);
        Forge(bench.Disks[0], Neighbours(0, units));
        bench.Recover(0xE2);
        Assert.Equal(MetadataRefusalKind.CheckpointDamaged, bench.Refusal?.Kind);
        Assert.Contains("WrongCount", bench.Refusal!.Detail, StringComparison.Ordinal);
    }

    [Fact]
    public void Neighbours_that_lost_the_same_block_are_written_as_one_cell_and_read_back()
    {
        MetadataBench bench = MetadataBench.Formatted(1, seed: 5);
        bench.MustRecover();
        bench.CommitAll(Neighbours(100, 3 * PerCell));
        RemapEntry[] entries = bench.Entries;
        Assert.Equal(3 * PerCell, entries.Length);
        Assert.Equal(entries, MetadataBench.EntriesOf(bench.Reopened().Table));
    }

    [Fact]
    public void Replay_ends_at_the_cell_that_is_too_much()
    {
        JournalReplay replay = new(TableSample.Set, _table, _retired, CellsMax);
        byte[] cells = Cells(Neighbours(0, 20 * PerCell));
        Assert.Equal(20 * SpareLayout.CellBytes, cells.Length);
        Assert.Equal(CheckpointDamage.WrongCount, replay.Apply(cells));
        Assert.InRange(_table.RunCount, (2 * CellsMax) + 1, (2 * CellsMax) + (4 * 20) + (2 * PerCell));
    }

    [Fact]
    public void Cells_of_one_record_after_the_other_are_counted_together()
    {
        JournalReplay replay = new(TableSample.Set, _table, _retired, CellsMax);
        CheckpointDamage damage = CheckpointDamage.None;
        int records = 0;
        for (; damage == CheckpointDamage.None; records++)
        {
            damage = replay.Apply(Cells(Neighbours(records * PerCell, PerCell)));
        }
        Assert.Equal(CheckpointDamage.WrongCount, damage);
        Assert.InRange(records, 2 * CellsMax / PerCell, (2 * CellsMax / PerCell) + 2);
    }

    [Fact]
    public void Retired_units_beyond_what_the_spares_hold_are_too_much()
    {
        JournalReplay replay = new(TableSample.Set, _table, _retired, CellsMax);
        Assert.Equal(CheckpointDamage.None, replay.Apply(Cells(Retirements(2 * CellsMax))));
        Assert.Equal(CheckpointDamage.None, replay.Apply(Cells(Retirements(2 * CellsMax))));
        Assert.Equal(
            CheckpointDamage.WrongCount, replay.Apply(Cells(Retirements((2 * CellsMax) + 1))));
        Assert.Equal((2 * CellsMax) + 1, _retired.Count);
    }

    /// <summary>A checkpoint that was written late shows the last of them from the first record on.</summary>
    [Fact]
    public void Tables_that_each_fit_may_be_there_together_while_one_is_replayed_over_the_other()
    {
        TableChange[] last = Neighbours(100_000, CellsMax);
        TableSample.Apply(last, _table, _retired);
        JournalReplay replay = new(TableSample.Set, _table, _retired, CellsMax);
        TableChange[] first = Neighbours(0, CellsMax);
        Assert.Equal(CheckpointDamage.None, replay.Apply(Cells(first)));
        Assert.Equal(2 * CellsMax, _table.RunCount);
        TableChange[] gone = [.. Enumerable.Range(0, CellsMax).Select(unit => TableSample.Remove(unit))];
        Assert.Equal(CheckpointDamage.None, replay.Apply(Cells(gone)));
        Assert.Equal(CheckpointDamage.None, replay.Apply(Cells(last)));
        Assert.Equal(CellsMax, _table.RunCount);
    }

    /// <summary>Long runs of the checkpoint, cut by single units: no table of its time was so long.</summary>
    [Fact]
    public void Runs_that_records_cut_to_pieces_are_not_too_much()
    {
        const int Units = 4000;
        for (int unit = 0; unit < Units; unit++)
        {
            _table.Set(Whole(unit));
        }
        JournalReplay replay = new(TableSample.Set, _table, _retired, cellsMax: 10);
        for (int unit = 0; unit < Units; unit += 2)
        {
            Assert.Equal(CheckpointDamage.None, replay.Apply(Cells([TableSample.Remove(unit)])));
        }
        Assert.Equal(Units / 2, _table.RunCount);
    }

    private static RemapEntry Whole(long unit) => new()
    {
        Unit = new UnitNumber(unit),
        State = UnitState.LostDeclared,
        Blocks = new BlockStates(0, 0xFF),
    };

    /// <summary>Each with the same block lost, and no other: in memory each is a run of its own.</summary>
    private static TableChange[] Neighbours(int first, int count) =>
        [.. Enumerable.Range(first, count).Select(unit => TableSample.Set1(TableSample.Lost(unit)))];

    private static TableChange[] Retirements(int count) =>
        [.. Enumerable.Range(0, count).Select(unit => TableSample.Retire(0, unit))];

    private static byte[] Cells(TableChange[] changes)
    {
        byte[] record = Record(changes, TableSample.Set.SetUuid, 1, 64, default);
        Assert.True(new UnverifiedJournalRecord(record).TryVerify(
            TableSample.Set.SetUuid, s_ring, s_ring.SlotOf(64), out JournalRecordHeader header));
        return record[HeaderBytes..(HeaderBytes + (header.Cells * SpareLayout.CellBytes))];
    }

    private static byte[] Record(
        TableChange[] changes, Guid set, ulong epoch, ulong sequence, JournalLink previous)
    {
        JournalRecordWriter writer = new(s_ring);
        writer.Begin();
        foreach (TableChange change in changes)
        {
            writer.Add(change);
        }
        byte[] record = new byte[writer.Slots * s_ring.SlotBytes];
        writer.Finish(record, set, epoch, sequence, previous, previous.Sequence);
        return record;
    }

    /// <summary>One more record behind the last, in both places, as the real writer would link it.</summary>
    private static void Forge(SparseDisk disk, TableChange[] changes)
    {
        Superblock newest = SpareSurgery.NewestOf(disk);
        JournalRing ring = newest.Set.Journal;
        List<JournalLink> links = [];
        byte[] bytes = SpareSurgery.Read(disk, newest.Layout.Journal1.Start, (int)ring.Bytes);
        for (int slot = 0; slot < ring.Slots; slot++)
        {
            UnverifiedJournalRecord found = new(bytes.AsSpan(slot * ring.SlotBytes));
            if (found.TryVerify(newest.Set.SetUuid, ring, slot, out JournalRecordHeader header))
            {
                links.Add(header.Link);
            }
        }
        JournalLink last = links.MaxBy(link => link.Sequence);
        ulong sequence = last.Sequence + 1;
        byte[] record = Record(changes, newest.Set.SetUuid, newest.State.Epoch, sequence, last);
        Assert.True(ring.SlotOf(sequence) + (record.Length / ring.SlotBytes) <= ring.Slots);
        for (int place = 0; place < SpareLayout.Places; place++)
        {
            SpareSurgery.Write(disk, SpareSurgery.RecordStart(disk, sequence, place), record);
        }
    }
}
