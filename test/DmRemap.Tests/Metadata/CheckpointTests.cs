using System;
using System.Buffers.Binary;
using System.Linq;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;
using Xunit;

namespace DmRemap.Tests.Metadata;

public sealed class CheckpointTests
{
    private const int Cell = SpareLayout.CellBytes;
    private const int FirstRun = 2 * Cell;
    private const long DataUnits = 5000;

    private static UnitGeometry Geometry { get; } = new(new BlockSize(512), 4096, new BlockCount(1 << 20), 0);

    private static SetDescription Set { get; } = new()
    {
        SetUuid = new Guid("00112233-4455-6677-8899-aabbccddeeff"),
        Features = FeatureFlags.Created,
        Geometry = Geometry,
        PrimaryPhysicalBlockBytes = 4096,
        Primary = new PrimaryIdentity { Bytes = 1 << 29 },
        Members = [Member(0), Member(1)],
    };

    [Fact]
    public void Random_tables_read_back_as_written_in_slices_of_any_size()
    {
        for (int seed = 0; seed < 200; seed++)
        {
            Random random = new(seed);
            TableImage image = RandomImage(random, random.Next(120));
            int slice = 64 * random.Next(2, 70);
            byte[] bytes = Write(image, slice, out CheckpointPointer pointer);
            Assert.Equal(
                CheckpointDamage.None, Read(bytes, pointer, 64 * random.Next(2, 70), out TableImage read));
            Assert.True(image.Entries.SequenceEqual(read.Entries), $"seed={seed}");
            Assert.True(image.Retired.SequenceEqual(read.Retired), $"seed={seed}");
            Assert.Equal(pointer.LengthBytes, (pointer.Runs + pointer.RetiredRuns + 3) * 64);
        }
    }

    [Fact]
    public void Adjacent_units_on_adjacent_spare_units_are_one_run()
    {
        TableImage image = new();
        for (int i = 0; i < 1000; i++)
        {
            image.Append(Remapped(100 + i, 1, 7 + i));
        }
        image.Append(Remapped(1100, 1, 2000));
        image.Append(Remapped(1101, 0, 2001));
        for (int i = 0; i < 50; i++)
        {
            image.AppendRetired(new SpareLocation(0, new UnitNumber(i)));
        }
        image.AppendRetired(new SpareLocation(1, new UnitNumber(3000)));
        byte[] bytes = Write(image, 4096, out CheckpointPointer pointer);
        Assert.Equal(3, pointer.Runs);
        Assert.Equal(1002, pointer.Entries);
        Assert.Equal(2, pointer.RetiredRuns);
        Assert.Equal(CheckpointDamage.None, Read(bytes, pointer, 4096, out TableImage read));
        Assert.True(image.Entries.SequenceEqual(read.Entries));
    }

    [Theory]
    [InlineData(0, 1, CheckpointDamage.NotACheckpoint)]
    [InlineData(40, 1, CheckpointDamage.HeaderChecksum)]
    [InlineData(FirstRun + 5, 0x40, CheckpointDamage.UnitOutOfBounds)]
    [InlineData(FirstRun + 8, 1, CheckpointDamage.UnitOutOfBounds)]
    [InlineData(FirstRun + 12, 4, CheckpointDamage.EntryContradictory)]
    [InlineData(FirstRun + 12, 5, CheckpointDamage.EntryContradictory)]
    [InlineData(FirstRun + 13, 1, CheckpointDamage.EntryContradictory)]
    [InlineData(FirstRun + 14, 1, CheckpointDamage.EntryContradictory)]
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
    public void Each_damaged_field_is_told(int at, byte flip, CheckpointDamage expected)
    {
        TableImage image = new();
        image.Append(Remapped(3, 1, 5));
        image.Append(Remapped(9, 0, 8));
        byte[] bytes = Write(image, 4096, out CheckpointPointer pointer);
        bytes[at] ^= flip;
        Assert.Equal(expected, Read(bytes, pointer, 4096, out _));
    }

    [Theory]
    [InlineData(0, 20, CheckpointDamage.NotSorted)]
    [InlineData(0, 9, CheckpointDamage.NotSorted)]
    [InlineData(8, 2, CheckpointDamage.WrongCount)]
    [InlineData(40, 8, CheckpointDamage.SpareUnitTwice)]
    public void Contradictions_between_runs_are_told_under_right_checksums(
        int at, byte value, CheckpointDamage expected)
    {
        TableImage image = new();
        image.Append(Remapped(3, 0, 5));
        image.Append(Remapped(9, 0, 8));
        byte[] bytes = Write(image, 4096, out CheckpointPointer pointer);
        bytes[FirstRun + at] = value;
        pointer = FixChecksums(bytes, pointer);
        Assert.Equal(expected, Read(bytes, pointer, 4096, out _));
    }

    [Fact]
    public void A_spare_unit_both_used_and_retired_is_damage()
    {
        TableImage image = new();
        image.Append(Remapped(3, 0, 5));
        image.AppendRetired(new SpareLocation(0, new UnitNumber(5)));
        byte[] bytes = Write(image, 4096, out CheckpointPointer pointer);
        Assert.Equal(CheckpointDamage.SpareUnitTwice, Read(bytes, pointer, 4096, out _));
    }

    [Fact]
    public void A_whole_checkpoint_of_another_generation_is_not_taken()
    {
        byte[] bytes = Write(RandomImage(new Random(5), 30), 4096, out CheckpointPointer pointer);
        Assert.Equal(
            CheckpointDamage.NotTheOneNamed, Read(bytes, pointer with { Generation = 8 }, 4096, out _));
        Assert.Equal(CheckpointDamage.NotTheOneNamed, Read(bytes, pointer with { Epoch = 8 }, 4096, out _));
        Assert.Equal(
            CheckpointDamage.Checksum, Read(bytes, pointer with { Crc = ~pointer.Crc }, 4096, out _));
    }

    [Fact]
    public void Flipped_bytes_are_always_damage()
    {
        byte[] bytes = Write(RandomImage(new Random(6), 60), 4096, out CheckpointPointer pointer);
        long covered = pointer.LengthBytes - Cell + 12;
        for (int at = 0; at < covered; at++)
        {
            bytes[at] ^= 0x10;
            Assert.NotEqual(CheckpointDamage.None, Read(bytes, pointer, 4096, out _));
            bytes[at] ^= 0x10;
        }
    }

    [Fact]
    public void Hostile_cells_under_right_checksums_never_throw_and_never_outgrow_the_count()
    {
        Random random = new(7);
        byte[] extremes = [0, 1, 2, 4, 0x7F, 0x80, 0xFF];
        for (int round = 0; round < 3000; round++)
        {
            byte[] bytes = Write(RandomImage(random, 8), 4096, out CheckpointPointer pointer);
            int end = (int)pointer.LengthBytes - Cell;
            for (int i = 0; i < 1 + (round % 6) && end > FirstRun; i++)
            {
                bytes[random.Next(FirstRun, end)] = extremes[random.Next(extremes.Length)];
            }
            pointer = FixChecksums(bytes, pointer);
            CheckpointDamage damage = Read(bytes, pointer, 4096, out TableImage read);
            Assert.True(read.Count <= pointer.Entries);
            Assert.True(read.RetiredCount <= DataUnits * 2);
            foreach (RemapEntry entry in read.Entries)
            {
                Assert.True(damage != CheckpointDamage.None || Set.Allows(entry));
            }
        }
    }

    [Fact]
    public void Merging_a_batch_gives_the_table_of_the_naive_model()
    {
        for (int seed = 0; seed < 300; seed++)
        {
            Random random = new(seed);
            ChangeSource source = new(random, Geometry, 2, DataUnits);
            ModelTable model = new();
            TableImage image = new();
            TableImage next = new();
            ChangeBatch batch = new();
            SpareUnitClaims claims = new();
            for (int round = 0; round < 5; round++)
            {
                TableChange[] changes = source.Next(random.Next(12));
                model = model.With(changes);
                batch.Clear();
                batch.Add(changes);
                next.BecomeMerge(image, batch);
                claims.Check(next, batch);
                (image, next) = (next, image);
                Assert.True(model.Equals(image.Entries.ToArray(), image.Retired.ToArray()), $"seed={seed}");
            }
        }
    }

    [Fact]
    public void A_batch_that_uses_a_spare_unit_twice_is_caught_before_it_is_written()
    {
        Assert.Throws<InvariantException>(() => MergeAndCheck(Set1(1, 5), Set1(2, 5)));
        Assert.Throws<InvariantException>(() => MergeAndCheck(Set1(1, 5), Retire(5)));
        MergeAndCheck(Set1(1, 5), Set1(1, 6), Retire(5), Set1(2, 7));
        MergeAndCheck(Set1(1, 5), Set1(1, 6), Set1(2, 5));
    }

    private static TableChange Set1(long unit, long spareUnit) =>
        new(TableChangeKind.Set, Remapped(unit, 0, spareUnit));

    private static TableChange Retire(long spareUnit) =>
        new(TableChangeKind.RetireSpareUnit, Remapped(0, 0, spareUnit));

    private static void MergeAndCheck(params TableChange[] changes)
    {
        TableImage older = new();
        TableImage image = new();
        ChangeBatch batch = new();
        batch.Add(changes.AsSpan(0, 1));
        older.BecomeMerge(image, batch);
        batch.Clear();
        batch.Add(changes.AsSpan(1));
        image.BecomeMerge(older, batch);
        new SpareUnitClaims().Check(image, batch);
    }

    private static MemberDescription Member(int index) => new()
    {
        Uuid = MetadataBench.MemberUuid(index),
        State = MemberState.Active,
        Bytes = 1 << 25,
        DataUnits = DataUnits,
    };

    private static RemapEntry Remapped(long unit, int spare, long spareUnit) => new()
    {
        Unit = new UnitNumber(unit),
        State = UnitState.Remapped,
        Location = new SpareLocation(spare, new UnitNumber(spareUnit)),
        Blocks = new BlockStates(0xFF, 0),
        LastErrno = 61,
        LastErrorDay = 20000,
    };

    private static TableImage RandomImage(Random random, int changes)
    {
        ChangeBatch batch = new();
        batch.Add(new ChangeSource(random, Geometry, 2, DataUnits).Next(changes));
        TableImage image = new();
        image.BecomeMerge(new TableImage(), batch);
        return image;
    }

    private static byte[] Write(TableImage image, int sliceBytes, out CheckpointPointer pointer)
    {
        CheckpointWriter writer = new();
        writer.Begin(Set, image, CheckpointArea.B, epoch: 3, generation: 4);
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
        byte[] bytes, CheckpointPointer pointer, int sliceBytes, out TableImage image)
    {
        image = new TableImage();
        CheckpointReader reader = new();
        reader.Begin(Set, pointer, retiredMax: DataUnits * 2, image);
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

    private static CheckpointPointer FixChecksums(byte[] bytes, CheckpointPointer pointer)
    {
        int trailer = (int)pointer.LengthBytes - Cell;
        uint crc = Crc32C.Compute(bytes.AsSpan(0, trailer));
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(trailer + 8), crc);
        return pointer with { Crc = crc };
    }
}
