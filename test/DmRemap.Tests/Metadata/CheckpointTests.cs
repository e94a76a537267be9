using System;
using System.Buffers.Binary;
using System.Collections.Generic;
using System.Linq;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;
using DmRemap.Core.Spares;
using Xunit;

namespace DmRemap.Tests.Metadata;

public sealed class CheckpointTests
{
    private const int Cell = SpareLayout.CellBytes;
    private const int FirstRun = 2 * Cell;
    private const ulong FirstSequence = 12;
    private const long Capacity = 1 << 20;

    [Fact]
    public void Random_tables_read_back_as_written_in_slices_of_any_size()
    {
        for (int seed = 0; seed < 200; seed++)
        {
            Random random = new(seed);
            Sample sample = RandomSample(random, random.Next(120));
            byte[] bytes = Write(sample, 64 * random.Next(2, 70), out CheckpointPointer pointer);
            Assert.Equal(
                CheckpointDamage.None, Read(bytes, pointer, 64 * random.Next(2, 70), out Sample read));
            Assert.True(sample.Model.Equals(read.Entries, read.Retired.All.ToArray()), $"seed={seed}");
            Assert.Equal(pointer.LengthBytes, (pointer.Runs + pointer.RetiredRuns + 3) * 64);
            Assert.Equal(sample.Table.Count, pointer.Entries);
            Assert.True(IsSound(bytes, pointer, 64 * random.Next(1, 70)), $"seed={seed}");
        }
    }

    [Fact]
    public void A_table_that_changes_while_it_is_written_is_whole_again_after_replay()
    {
        for (int seed = 0; seed < 300; seed++)
        {
            Random random = new(seed);
            ChangeSource source = new(random, TableSample.Geometry, 2, TableSample.DataUnits);
            Sample sample = new();
            sample.Change(source.Next(random.Next(60)));
            List<TableChange[]> records = [];
            CheckpointWriter writer = Begin(sample);
            List<byte> bytes = [];
            byte[] slice = new byte[64 * random.Next(2, 8)];
            while (!writer.IsDone)
            {
                bytes.AddRange(slice.AsSpan(0, writer.Fill(slice)));
                if (random.Next(3) > 0)
                {
                    records.Add(source.Next(random.Next(1, 6)));
                    sample.Change(records[^1]);
                }
            }
            byte[] padded = [.. bytes, .. new byte[4096]];
            Assert.Equal(CheckpointDamage.None, Read(padded, writer.Pointer, 4096, out Sample read));
            Replay(records, read);
            Assert.True(sample.Model.Equals(read.Entries, read.Retired.All.ToArray()), $"seed={seed}");
        }
    }

    [Fact]
    public void Adjacent_units_on_adjacent_spare_units_are_one_run()
    {
        Sample sample = new();
        for (int i = 0; i < 1000; i++)
        {
            sample.Change(TableSample.Set1(TableSample.Remapped(100 + i, 1, 7 + i)));
        }
        sample.Change(TableSample.Set1(TableSample.Remapped(1100, 1, 2000)));
        sample.Change(TableSample.Set1(TableSample.Remapped(1101, 0, 2001)));
        for (int i = 0; i < 50; i++)
        {
            sample.Change(TableSample.Retire(0, i));
        }
        sample.Change(TableSample.Retire(1, 3000));
        byte[] bytes = Write(sample, 4096, out CheckpointPointer pointer);
        Assert.Equal(3, pointer.Runs);
        Assert.Equal(1002, pointer.Entries);
        Assert.Equal(2, pointer.RetiredRuns);
        Assert.Equal(CheckpointDamage.None, Read(bytes, pointer, 4096, out Sample read));
        Assert.True(sample.Model.Equals(read.Entries, read.Retired.All.ToArray()));
    }

    [Fact]
    public void A_table_longer_than_the_area_is_called_too_long_and_one_that_fits_is_not()
    {
        Sample sample = new();
        for (int i = 0; i < 20; i++)
        {
            sample.Change(TableSample.Set1(TableSample.Remapped(2 * i, 0, i)));
        }
        for (int cells = 4; cells < 40; cells++)
        {
            CheckpointWriter writer = Begin(sample, cells * Cell);
            byte[] slice = new byte[4096];
            long written = writer.Fill(slice);
            Assert.True(written <= cells * Cell);
            Assert.NotEqual(writer.IsDone, writer.IsTooLong);
            Assert.True(cells < 24 || writer.IsDone, $"{cells} cells");
            Assert.True(cells >= 23 || writer.IsTooLong, $"{cells} cells");
        }
    }

    [Fact]
    public void A_table_of_more_units_than_a_superblock_may_name_is_called_too_long()
    {
        UnitGeometry geometry = new(new BlockSize(512), 4096, new BlockCount(8L << 30), 0);
        for (int beyond = 0; beyond < 2; beyond++)
        {
            RemapTable table = new(geometry);
            RemapTable.Loader loader = new(table, long.MaxValue);
            BlockStates all = default(BlockStates).With(0xFF, BlockState.Lost);
            RemapEntry lost = TableSample.Lost(8) with { Blocks = all };
            loader.Add(lost, (int)SpareLayout.TableEntriesMax + beyond);
            loader.End();
            CheckpointWriter writer = new();
            CheckpointPointer start = new() { Generation = 9, Epoch = 5 };
            writer.Begin(
                TableSample.Set with { Geometry = geometry }, table, new RetiredUnits(), start, FirstSequence,
                1 << 30);
            byte[] slice = new byte[1 << 20];
            while (!writer.IsDone && !writer.IsTooLong)
            {
                writer.Fill(slice);
            }
            Assert.Equal(beyond > 0, writer.IsTooLong);
        }
    }

    [Fact]
    public void A_run_of_units_with_mixed_blocks_is_a_contradiction()
    {
        // The writer makes each a run of its own; one cell must not cost the memory of millions.
        Sample sample = new();
        sample.Change(TableSample.Set1(TableSample.Lost(5)), TableSample.Set1(TableSample.Lost(9)));
        byte[] bytes = Write(sample, 4096, out CheckpointPointer pointer);
        bytes[FirstRun + 8] = 2;
        pointer = FixChecksums(bytes, pointer);
        Assert.Equal(CheckpointDamage.EntryContradictory, Read(bytes, pointer, 4096, out _));
    }

    [Theory]
    [InlineData(0, 1, CheckpointDamage.NotACheckpoint)]
    [InlineData(40, 1, CheckpointDamage.HeaderChecksum)]
    [InlineData(FirstRun + 5, 0x40, CheckpointDamage.UnitOutOfBounds)]
    [InlineData(FirstRun + 8, 1, CheckpointDamage.UnitOutOfBounds)]
    [InlineData(FirstRun + 12, 4, CheckpointDamage.EntryContradictory)]
    [InlineData(FirstRun + 12, 5, CheckpointDamage.EntryContradictory)]
    [InlineData(FirstRun + 13, 1, CheckpointDamage.EntryContradictory)]
    [InlineData(FirstRun + 14, 1, CheckpointDamage.Checksum)]
    [InlineData(FirstRun + 14, 0x10, CheckpointDamage.EntryContradictory)]
    [InlineData(FirstRun + 15, 1, CheckpointDamage.EntryContradictory)]
    [InlineData(FirstRun + 17, 1, CheckpointDamage.EntryContradictory)]
    [InlineData(FirstRun + 25, 1, CheckpointDamage.EntryContradictory)]
    [InlineData(FirstRun + 32, 4, CheckpointDamage.LocationOutOfBounds)]
    [InlineData(FirstRun + 33, 1, CheckpointDamage.EntryContradictory)]
    [InlineData(FirstRun + 38, 1, CheckpointDamage.EntryContradictory)]
    [InlineData(FirstRun + 42, 1, CheckpointDamage.LocationOutOfBounds)]
    [InlineData(FirstRun + 48, 1, CheckpointDamage.EntryContradictory)]
    [InlineData(FirstRun + 56, 1, CheckpointDamage.EntryContradictory)]
    [InlineData(FirstRun + 34, 1, CheckpointDamage.Checksum)]
    [InlineData(FirstRun + (2 * Cell), 1, CheckpointDamage.NoTrailer)]
    [InlineData(FirstRun + (2 * Cell) + 8, 1, CheckpointDamage.Checksum)]
    [InlineData(FirstRun + (2 * Cell) + 16, 1, CheckpointDamage.WrongCount)]
    [InlineData(FirstRun + (2 * Cell) + 24, 1, CheckpointDamage.WrongCount)]
    [InlineData(FirstRun + (2 * Cell) + 32, 1, CheckpointDamage.WrongCount)]
    [InlineData(FirstRun + (2 * Cell) + 40, 1, CheckpointDamage.WrongCount)]
    public void Each_damaged_field_is_told(int at, byte flip, CheckpointDamage expected)
    {
        byte[] bytes = Write(TwoRuns(), 4096, out CheckpointPointer pointer);
        bytes[at] ^= flip;
        Assert.Equal(expected, Read(bytes, pointer, 4096, out _));
    }

    [Theory]
    [InlineData(0, 20, CheckpointDamage.NotSorted)]
    [InlineData(0, 9, CheckpointDamage.NotSorted)]
    [InlineData(8, 2, CheckpointDamage.WrongCount)]
    [InlineData(15, 1, CheckpointDamage.EntryContradictory)]
    [InlineData(15, 2, CheckpointDamage.EntryContradictory)]
    public void Contradictions_between_runs_are_told_under_right_checksums(
        int at, byte value, CheckpointDamage expected)
    {
        byte[] bytes = Write(TwoRuns(), 4096, out CheckpointPointer pointer);
        bytes[FirstRun + at] = value;
        pointer = FixChecksums(bytes, pointer);
        Assert.Equal(expected, Read(bytes, pointer, 4096, out _));
    }

    [Theory]
    [InlineData(0, 9, CheckpointDamage.NotSorted)]
    [InlineData(0, 8, CheckpointDamage.NotSorted)]
    [InlineData(8, 0, CheckpointDamage.EntryContradictory)]
    [InlineData(12, 4, CheckpointDamage.EntryContradictory)]
    [InlineData(15, 0, CheckpointDamage.EntryContradictory)]
    [InlineData(32, 0, CheckpointDamage.EntryContradictory)]
    [InlineData(32, 3, CheckpointDamage.LocationOutOfBounds)]
    [InlineData(40, 1, CheckpointDamage.EntryContradictory)]
    public void Contradictions_of_retired_runs_are_told_under_right_checksums(
        int at, byte value, CheckpointDamage expected)
    {
        Sample sample = new();
        sample.Change(TableSample.Retire(0, 3), TableSample.Retire(0, 8));
        byte[] bytes = Write(sample, 4096, out CheckpointPointer pointer);
        bytes[FirstRun + at] = value;
        pointer = FixChecksums(bytes, pointer);
        Assert.Equal(expected, Read(bytes, pointer, 4096, out _));
    }

    [Fact]
    public void A_spare_unit_used_twice_or_used_and_retired_makes_no_allocator()
    {
        // A checkpoint may show both owners of a unit that moved while it was written; records put it right.
        Assert.Null(Load(
            TableSample.Set1(TableSample.Remapped(3, 0, 5)),
            TableSample.Set1(TableSample.Remapped(9, 0, 5))));
        Assert.Null(Load(TableSample.Set1(TableSample.Remapped(3, 0, 5)), TableSample.Retire(0, 5)));
        SpareAllocator allocator = Load(
            TableSample.Set1(TableSample.Remapped(3, 0, 5)),
            TableSample.Set1(TableSample.Remapped(3, 0, 6)),
            TableSample.Retire(0, 5),
            TableSample.Set1(TableSample.Remapped(9, 0, 7)),
            TableSample.Set1(TableSample.Remapped(10, 1, 5)))!;
        Assert.Equal(2, allocator.UnitsUsed(0));
        Assert.Equal(1, allocator.UnitsUsed(1));
        Assert.Equal(1, allocator.UnitsRetired(0));
        Assert.False(allocator.IsFree(new SpareLocation(0, new UnitNumber(5))));
        Assert.True(allocator.IsFree(new SpareLocation(1, new UnitNumber(6))));
    }

    [Fact]
    public void A_whole_checkpoint_of_another_generation_is_not_taken()
    {
        byte[] bytes = Write(RandomSample(new Random(5), 30), 4096, out CheckpointPointer pointer);
        Assert.Equal(
            CheckpointDamage.NotTheOneNamed, Read(bytes, pointer with { Generation = 8 }, 4096, out _));
        Assert.Equal(CheckpointDamage.NotTheOneNamed, Read(bytes, pointer with { Epoch = 8 }, 4096, out _));
        Assert.Equal(
            CheckpointDamage.NotTheOneNamed, Read(bytes, pointer, 4096, out _, FirstSequence + 1));
        Assert.Equal(
            CheckpointDamage.Checksum, Read(bytes, pointer with { Crc = ~pointer.Crc }, 4096, out _));
    }

    [Fact]
    public void Flipped_bytes_are_always_damage()
    {
        byte[] bytes = Write(RandomSample(new Random(6), 60), 4096, out CheckpointPointer pointer);
        long trailer = pointer.LengthBytes - Cell;
        for (int at = 0; at < trailer + 48; at++)
        {
            if (at >= trailer + 12 && at < trailer + 16)
            {
                // Unused, and read by nobody.
                continue;
            }
            bytes[at] ^= 0x10;
            Assert.NotEqual(CheckpointDamage.None, Read(bytes, pointer, 4096, out _));
            Assert.False(IsSound(bytes, pointer, 4096));
            bytes[at] ^= 0x10;
        }
        Assert.True(IsSound(bytes, pointer, 4096));
    }

    [Fact]
    public void Hostile_cells_under_right_checksums_never_throw_and_never_outgrow_the_count()
    {
        Random random = new(7);
        byte[] extremes = [0, 1, 2, 4, 0x7F, 0x80, 0xFF];
        for (int round = 0; round < 3000; round++)
        {
            byte[] bytes = Write(RandomSample(random, 8), 4096, out CheckpointPointer pointer);
            int end = (int)pointer.LengthBytes - Cell;
            for (int i = 0; i < 1 + (round % 6) && end > FirstRun; i++)
            {
                bytes[random.Next(FirstRun, end)] = extremes[random.Next(extremes.Length)];
            }
            pointer = FixChecksums(bytes, pointer);
            CheckpointDamage damage = Read(bytes, pointer, 4096, out Sample read);
            Assert.True(read.Table.Count <= pointer.Entries);
            Assert.True(read.Retired.Count <= TableSample.DataUnits * 2);
            foreach (RemapEntry entry in read.Entries)
            {
                Assert.True(damage != CheckpointDamage.None || TableSample.Set.Allows(entry));
            }
        }
    }

    private static SpareAllocator? Load(params TableChange[] changes)
    {
        Sample sample = new();
        sample.Change(changes);
        return AllocatorLoad.TryLoad(TableSample.Set, sample.Table, sample.Retired);
    }

    private static Sample TwoRuns()
    {
        Sample sample = new();
        sample.Change(
            TableSample.Set1(TableSample.Remapped(3, 1, 5)), TableSample.Set1(TableSample.Remapped(9, 0, 8)));
        return sample;
    }

    private static Sample RandomSample(Random random, int changes)
    {
        Sample sample = new();
        sample.Change(new ChangeSource(random, TableSample.Geometry, 2, TableSample.DataUnits).Next(changes));
        return sample;
    }

    private static CheckpointWriter Begin(Sample sample, long capacity = Capacity)
    {
        CheckpointWriter writer = new();
        CheckpointPointer start = new() { Area = CheckpointArea.B, Epoch = 3, Generation = 4 };
        writer.Begin(TableSample.Set, sample.Table, sample.Retired, start, FirstSequence, capacity);
        return writer;
    }

    private static byte[] Write(Sample sample, int sliceBytes, out CheckpointPointer pointer)
    {
        CheckpointWriter writer = Begin(sample);
        byte[] bytes = [];
        while (!writer.IsDone)
        {
            byte[] slice = new byte[sliceBytes];
            slice.AsSpan().Fill(0xCC);
            int used = writer.Fill(slice);
            Assert.True(slice.Skip(used).All(value => value == 0));
            bytes = [.. bytes, .. slice];
        }
        pointer = writer.Pointer;
        return bytes;
    }

    private static CheckpointDamage Read(
        byte[] bytes,
        CheckpointPointer pointer,
        int sliceBytes,
        out Sample sample,
        ulong firstSequence = FirstSequence)
    {
        sample = new Sample();
        CheckpointReader reader = new();
        SuperblockState state = new() { Checkpoint = pointer, FirstJournalSequence = firstSequence };
        reader.Begin(
            TableSample.Set, state, retiredMax: TableSample.DataUnits * 2, sample.Table, sample.Retired);
        for (int at = 0; !reader.IsComplete; at += sliceBytes)
        {
            byte[] slice = new byte[sliceBytes];
            bytes.AsSpan(at, Math.Min(sliceBytes, bytes.Length - at)).CopyTo(slice);
            CheckpointDamage damage = reader.Feed(slice);
            if (damage != CheckpointDamage.None)
            {
                return damage;
            }
        }
        return CheckpointDamage.None;
    }

    private static bool IsSound(byte[] bytes, CheckpointPointer pointer, int sliceBytes)
    {
        CheckpointVerifier verifier = new();
        verifier.Begin(pointer);
        for (int at = 0; at < bytes.Length; at += sliceBytes)
        {
            verifier.Feed(bytes.AsSpan(at, Math.Min(sliceBytes, bytes.Length - at)));
        }
        return verifier.IsSound;
    }

    /// <summary>As records do it: written, verified, applied.</summary>
    private static void Replay(List<TableChange[]> records, Sample sample)
    {
        JournalRecordWriter writer = new(TableSample.Ring);
        byte[] record = new byte[Limits.JournalRecordBytesMax];
        foreach (TableChange[] changes in records)
        {
            writer.Begin();
            foreach (TableChange change in changes)
            {
                writer.Add(change);
            }
            writer.Finish(record, TableSample.Set.SetUuid, 1, 64, default, 0);
            Assert.True(new UnverifiedJournalRecord(record).TryVerify(
                TableSample.Set.SetUuid, TableSample.Ring, 0, out JournalRecordHeader header));
            ReadOnlySpan<byte> cells = record.AsSpan(2 * Cell, header.Cells * Cell);
            Assert.Equal(
                CheckpointDamage.None,
                new JournalReplay(
                    TableSample.Set, sample.Table, sample.Retired, SpareLayout.TableEntriesMax).Apply(cells));
        }
    }

    private static CheckpointPointer FixChecksums(byte[] bytes, CheckpointPointer pointer)
    {
        int trailer = (int)pointer.LengthBytes - Cell;
        uint crc = Crc32C.Compute(bytes.AsSpan(0, trailer));
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(trailer + 8), crc);
        return pointer with { Crc = crc };
    }

    /// <summary>A table, and the naive model of what it must be.</summary>
    private sealed class Sample
    {
        public RemapTable Table { get; } = new(TableSample.Geometry);

        public RetiredUnits Retired { get; } = new();

        public ModelTable Model { get; private set; } = new();

        public RemapEntry[] Entries => MetadataBench.EntriesOf(Table);

        public void Change(params TableChange[] changes)
        {
            Model = Model.With(changes);
            TableSample.Apply(changes, Table, Retired);
        }
    }
}
