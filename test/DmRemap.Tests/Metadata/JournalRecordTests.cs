using System;
using System.Buffers.Binary;
using System.Linq;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;
using Xunit;

namespace DmRemap.Tests.Metadata;

public sealed class JournalRecordTests
{
    private const int Cell = SpareLayout.CellBytes;
    private const int FirstCell = 2 * Cell;
    private const int CrcAt = FirstCell - 4;
    private const ulong Epoch = 0xABCDEF0123456789;

    private static JournalLink Previous { get; } = new(60, 0xDEADBEEF);

    [Fact]
    public void Random_changes_read_back_as_the_model_says()
    {
        for (int seed = 0; seed < 300; seed++)
        {
            Random random = new(seed);
            ChangeSource source = new(random, TableSample.Geometry, 2, TableSample.DataUnits);
            TableChange[] before = source.Next(random.Next(30));
            TableChange[] changes = source.Next(random.Next(200));
            RemapTable table = new(TableSample.Geometry);
            RetiredUnits retired = new();
            TableSample.Apply(before, table, retired);
            byte[] record = Write(changes, 64, out JournalLink link);
            JournalRecordHeader header = Verified(record, 0);
            Assert.Equal(CheckpointDamage.None, Replay(record, header, table, retired));
            ModelTable model = new ModelTable().With(before).With(changes);
            Assert.True(
                model.Equals(MetadataBench.EntriesOf(table), retired.All.ToArray()), $"seed={seed}");
            Assert.Equal(Epoch, header.Epoch);
            Assert.Equal(64u, header.Sequence);
            Assert.Equal(Previous, header.Previous);
            Assert.Equal(60u, header.CommitPoint);
            Assert.Equal(link, header.Link);
            Assert.Equal(record.Length, header.Slots * TableSample.Ring.SlotBytes);
        }
    }

    [Fact]
    public void Neighbours_that_changed_alike_share_a_cell()
    {
        TableChange[] changes =
        [
            .. Enumerable.Range(0, 100).Select(i => TableSample.Set1(TableSample.Remapped(50 + i, 1, 7 + i))),
            .. Enumerable.Range(0, 100).Select(i => TableSample.Set1(TableSample.Lost(500 + i))),
            .. Enumerable.Range(0, 100).Select(i => TableSample.Remove(900 + i)),
            .. Enumerable.Range(0, 100).Select(i => TableSample.Retire(0, 20 + i)),
            TableSample.Retire(1, 120),
            TableSample.Remove(1001),
            TableSample.Remove(1003),
        ];
        byte[] record = Write(changes, 64, out _);
        Assert.Equal(TableSample.Ring.SlotBytes, record.Length);
        JournalRecordHeader header = Verified(record, 0);
        Assert.Equal(7, header.Cells);
        RemapTable table = new(TableSample.Geometry);
        RetiredUnits retired = new();
        Assert.Equal(CheckpointDamage.None, Replay(record, header, table, retired));
        Assert.True(new ModelTable().With(changes).Equals(
            MetadataBench.EntriesOf(table), retired.All.ToArray()));
    }

    [Fact]
    public void A_group_of_commits_that_all_continue_one_another_is_read_back()
    {
        // Such changes take no room in the record, so a group has no bound but that of the cell.
        int count = (3 * Limits.CommitChangesMax) + 1;
        TableChange[][] kinds =
        [
            [.. Enumerable.Range(0, count).Select(i => TableSample.Set1(TableSample.Remapped(50 + i, 1, i)))],
            [.. Enumerable.Range(0, count).Select(i => TableSample.Remove(50 + i))],
            [.. Enumerable.Range(0, count).Select(i => TableSample.Retire(1, i))],
        ];
        foreach (TableChange[] changes in kinds)
        {
            byte[] record = Write(changes, 64, out _);
            RemapTable table = new(TableSample.Geometry);
            RetiredUnits retired = new();
            Assert.Equal(CheckpointDamage.None, Replay(record, Verified(record, 0), table, retired));
            Assert.True(new ModelTable().With(changes).Equals(
                MetadataBench.EntriesOf(table), retired.All.ToArray()));
        }
    }

    [Fact]
    public void As_many_changes_as_a_commit_may_have_fit_when_no_two_are_alike()
    {
        TableChange[] changes =
        [
            .. Enumerable.Range(0, Limits.CommitChangesMax).Select(
                i => TableSample.Set1(TableSample.Remapped(3 * i, i % 2, 2 * i))),
        ];
        byte[] record = Write(changes, 64, out _);
        JournalRecordHeader header = Verified(record, 0);
        Assert.Equal(Limits.CommitChangesMax, header.Cells);
        Assert.True(header.Slots <= TableSample.Ring.SlotsPerRecordMax);
    }

    [Fact]
    public void A_record_of_no_changes_is_a_record()
    {
        JournalRecordHeader header = Verified(Write([], 64, out _), 0);
        Assert.Equal(0, header.Cells);
        Assert.Equal(1, header.Slots);
    }

    [Fact]
    public void Any_flipped_bit_makes_a_record_invalid()
    {
        TableChange[] changes = [TableSample.Set1(TableSample.Remapped(3, 1, 5)), TableSample.Remove(9)];
        byte[] record = Write(changes, 64, out _);
        for (int bit = 0; bit < record.Length * 8; bit++)
        {
            record[bit / 8] ^= (byte)(1 << (bit % 8));
            Assert.False(TryVerify(record, 0, out _), $"bit {bit}");
            record[bit / 8] ^= (byte)(1 << (bit % 8));
        }
        _ = Verified(record, 0);
    }

    [Fact]
    public void A_torn_record_is_invalid_at_every_512_bytes()
    {
        TableChange[] changes =
        [
            .. Enumerable.Range(0, 150).Select(i => TableSample.Set1(TableSample.Remapped(3 * i, 0, 2 * i))),
        ];
        byte[] record = Write(changes, 64, out _);
        Assert.Equal(3 * 4096, record.Length);
        byte[] older = Write([TableSample.Remove(5)], 64, out _, epoch: 7);
        Array.Resize(ref older, record.Length);
        foreach (byte[] below in (byte[][])[new byte[record.Length], older])
        {
            for (int at = 512; at < record.Length; at += 512)
            {
                byte[] head = [.. record[..at], .. below[at..]];
                byte[] tail = [.. below[..at], .. record[at..]];
                bool isAllWritten = record.AsSpan(at).SequenceEqual(below.AsSpan(at));
                Assert.Equal(isAllWritten, TryVerify(head, 0, out _));
                Assert.False(TryVerify(tail, 0, out JournalRecordHeader found) && found.Epoch == Epoch);
            }
        }
    }

    [Fact]
    public void A_record_in_another_place_or_of_another_set_or_cut_off_is_not_taken()
    {
        byte[] record = Write([TableSample.Remove(5)], 67, out _);
        JournalRing ring = TableSample.Ring;
        Guid set = TableSample.Set.SetUuid;
        for (int slot = 0; slot < ring.Slots; slot++)
        {
            Assert.Equal(slot == 3, TryVerify(record, slot, out _));
        }
        UnverifiedJournalRecord whole = new(record);
        Assert.False(whole.TryVerify(new Guid("00112233-4455-6677-8899-aabbccddee00"), ring, 3, out _));
        Assert.False(whole.TryVerify(set, ring with { Slots = 32 }, 2, out _));
        for (int length = 0; length < record.Length; length += 64)
        {
            UnverifiedJournalRecord cut = new(record.AsSpan(0, length));
            Assert.False(cut.TryVerify(set, ring, 3, out _));
        }

        // Of several slots, at the ring's end: it would wrap.
        TableChange[] changes = [.. Enumerable.Range(0, 100).Select(i => TableSample.Remove(2 * i))];
        byte[] longer = Write(changes, 127, out _);
        Assert.False(TryVerify(longer, 63, out _));
    }

    [Theory]
    [InlineData(32, 0, 8)]
    [InlineData(32, -1, 8)]
    [InlineData(40, 64, 8)]
    [InlineData(40, -1, 8)]
    [InlineData(48, 64, 8)]
    [InlineData(48, long.MaxValue, 8)]
    [InlineData(60, 0, 4)]
    [InlineData(60, 17, 4)]
    [InlineData(60, -1, 4)]
    [InlineData(64, 63, 4)]
    [InlineData(64, -1, 4)]
    [InlineData(68, 1, 4)]
    public void A_header_that_contradicts_itself_is_not_taken_under_a_right_checksum(
        int at, long value, int bytes)
    {
        byte[] record = Write([TableSample.Remove(5)], 64, out _);
        Array.Resize(ref record, 17 * 4096);
        Span<byte> field = stackalloc byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(field, value);
        field[..bytes].CopyTo(record.AsSpan(at));
        int slots = BinaryPrimitives.ReadInt32LittleEndian(record.AsSpan(60));
        FixChecksum(record.AsSpan(0, Math.Clamp(slots, 1, 17) * 4096));
        Assert.False(TryVerify(record, 0, out _));
    }

    [Fact]
    public void Hostile_records_under_right_checksums_never_throw_and_change_only_what_a_commit_could()
    {
        Random random = new(17);
        byte[] extremes = [0, 1, 2, 3, 4, 5, 0x7F, 0x80, 0xFF];
        long changed = 0;
        for (int round = 0; round < 4_000; round++)
        {
            ChangeSource source = new(random, TableSample.Geometry, 2, TableSample.DataUnits);
            byte[] record = Write(source.Next(1 + random.Next(6)), 64, out _);
            int start = random.Next(3) == 0 ? 0 : FirstCell;
            for (int i = 0; i < 1 + (round % 5); i++)
            {
                record[random.Next(start, 8 * Cell)] = extremes[random.Next(extremes.Length)];
            }
            FixChecksum(record);
            if (!TryVerify(record, 0, out JournalRecordHeader header))
            {
                continue;
            }
            RemapTable table = new(TableSample.Geometry);
            RetiredUnits retired = new();
            CheckpointDamage damage = Replay(record, header, table, retired);
            Assert.True(table.Count + retired.Count <= header.Cells * (long)Limits.CommitChangesMax);
            changed += damage == CheckpointDamage.None ? 1 : 0;
            foreach (RemapEntry entry in MetadataBench.EntriesOf(table))
            {
                Assert.True(TableSample.Set.Allows(entry));
            }
            foreach (SpareLocation location in retired.All)
            {
                Assert.True(TableSample.Set.Holds(location));
            }
        }
        Assert.True(changed > 200, $"{changed}");
    }

    [Theory]
    [InlineData(15, 3, CheckpointDamage.EntryContradictory)]
    [InlineData(15, 1, CheckpointDamage.EntryContradictory)]
    [InlineData(15, 2, CheckpointDamage.EntryContradictory)]
    [InlineData(9, 2, CheckpointDamage.WrongCount)]
    [InlineData(8, 0, CheckpointDamage.UnitOutOfBounds)]
    [InlineData(7, 1, CheckpointDamage.UnitOutOfBounds)]
    [InlineData(32, 3, CheckpointDamage.LocationOutOfBounds)]
    [InlineData(42, 1, CheckpointDamage.LocationOutOfBounds)]
    [InlineData(38, 1, CheckpointDamage.EntryContradictory)]
    [InlineData(63, 1, CheckpointDamage.EntryContradictory)]
    public void A_cell_that_contradicts_itself_is_told(int at, byte value, CheckpointDamage expected)
    {
        byte[] record = Write([TableSample.Set1(TableSample.Remapped(3, 1, 5))], 64, out _);
        record[FirstCell + at] = value;
        FixChecksum(record);
        JournalRecordHeader header = Verified(record, 0);
        RemapTable table = new(TableSample.Geometry);
        Assert.Equal(expected, Replay(record, header, table, new RetiredUnits()));
    }

    [Fact]
    public void Second_copies_come_back_and_neighbours_share_a_cell()
    {
        RemapEntry[] twofold =
        [
            TableSample.Remapped(3, 0, 5) with { Second = new SpareLocation(1, new UnitNumber(70)) },
            TableSample.Remapped(4, 0, 6) with { Second = new SpareLocation(1, new UnitNumber(71)) },
            TableSample.Remapped(5, 0, 7) with { Second = new SpareLocation(1, new UnitNumber(99)) },
            TableSample.Remapped(6, 0, 8),
        ];
        byte[] record = Write([.. twofold.Select(TableSample.Set1)], 64, out _);
        JournalRecordHeader header = Verified(record, 0);
        Assert.Equal(3, header.Cells);
        RemapTable table = new(TableSample.Geometry);
        Assert.Equal(
            CheckpointDamage.None, Replay(record, header, table, new RetiredUnits(), TableSample.Twofold));
        Assert.Equal(twofold, MetadataBench.EntriesOf(table));
        // Who is not to keep them in step does not take them for zero.
        Assert.Equal(
            CheckpointDamage.EntryContradictory, Replay(record, header, table, new RetiredUnits()));
    }

    [Theory]
    [InlineData(33, 0, CheckpointDamage.EntryContradictory)]
    [InlineData(33, 1, CheckpointDamage.EntryContradictory)]
    [InlineData(33, 3, CheckpointDamage.LocationOutOfBounds)]
    [InlineData(50, 1, CheckpointDamage.LocationOutOfBounds)]
    [InlineData(12, 2, CheckpointDamage.EntryContradictory)]
    public void A_second_copy_that_cannot_be_is_told(int at, byte value, CheckpointDamage expected)
    {
        RemapEntry entry =
            TableSample.Remapped(3, 0, 5) with { Second = new SpareLocation(1, new UnitNumber(70)) };
        byte[] record = Write([TableSample.Set1(entry)], 64, out _);
        record[FirstCell + at] = value;
        FixChecksum(record);
        JournalRecordHeader header = Verified(record, 0);
        RemapTable table = new(TableSample.Geometry);
        Assert.Equal(expected, Replay(record, header, table, new RetiredUnits(), TableSample.Twofold));
    }

    private static byte[] Write(
        TableChange[] changes, ulong sequence, out JournalLink link, ulong epoch = Epoch)
    {
        JournalRecordWriter writer = new(TableSample.Ring);
        writer.Begin();
        foreach (TableChange change in changes)
        {
            writer.Add(change);
        }
        byte[] record = new byte[Limits.JournalRecordBytesMax];
        record.AsSpan().Fill(0xCC);
        int slots = writer.Slots;
        link = writer.Finish(record, TableSample.Set.SetUuid, epoch, sequence, Previous, Previous.Sequence);
        return record[..(slots * TableSample.Ring.SlotBytes)];
    }

    private static bool TryVerify(byte[] record, int slot, out JournalRecordHeader header) =>
        new UnverifiedJournalRecord(record).TryVerify(
            TableSample.Set.SetUuid, TableSample.Ring, slot, out header);

    private static JournalRecordHeader Verified(byte[] record, int slot)
    {
        Assert.True(TryVerify(record, slot, out JournalRecordHeader header));
        return header;
    }

    private static CheckpointDamage Replay(
        byte[] record, JournalRecordHeader header, RemapTable table, RetiredUnits retired,
        SetDescription? set = null) =>
        new JournalReplay(set ?? TableSample.Set, table, retired, SpareLayout.TableEntriesMax)
            .Apply(record.AsSpan(FirstCell, header.Cells * Cell));

    private static void FixChecksum(Span<byte> record)
    {
        record.Slice(CrcAt, 4).Clear();
        BinaryPrimitives.WriteUInt32LittleEndian(record[CrcAt..], Crc32C.Compute(record));
    }
}
