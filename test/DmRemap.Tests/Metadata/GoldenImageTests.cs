using System;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Text;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;
using DmRemap.Engine.Metadata;
using Xunit;

namespace DmRemap.Tests.Metadata;

/// <summary>
/// Images of format 1, kept for ever: "offset: bytes" in hexadecimal, 32 bytes a line, lines of zeros left
/// out. Whoever changes what is written makes a new file and keeps the old one readable.
/// DMREMAP_WRITE_GOLDEN=1 writes files that are missing. What development versions made before the format was
/// released is kept too: it stays refused, by name.
/// </summary>
public sealed class GoldenImageTests
{
    private const int LineBytes = 32;
    private const string Released = "format-1-spare";
    private const string Development = "format-1-development-spare";

    /// <summary>Enough for the ring to be half full, so that there is a checkpoint.</summary>
    private const int CommitsBefore = 40;

    [Fact]
    public void Golden_images_of_format_1_read_back()
    {
        MetadataBench bench = new([ReadGolden(Released, 0), ReadGolden(Released, 1)], seed: 1);
        bench.MustRecover(0xFFFF);
        RecoveredSet set = bench.Recovered!;
        Assert.Equal(ExpectedEntries(), bench.Entries);
        Assert.Equal([new SpareLocation(1, new UnitNumber(77))], set.Retired);
        Assert.True(set.WasCleanStop);
        Assert.Equal(0, set.CopiesRepaired);
        Assert.Equal(0, set.CheckpointPlacesBad);
        Assert.True(set.RecordsReplayed >= ExpectedEntries().Length);
        Assert.Equal(0, bench.Store.CheckpointsDone);
        FormatRequest made = MetadataBench.FormatRequestFor(2);
        Assert.Equal(made.SetUuid, set.Set.SetUuid);
        Assert.Equal(made.Primary, set.Set.Primary);
        Assert.Equal(made.MemberUuids, set.Set.Members.Select(member => member.Uuid));
        Assert.Equal(made.Geometry.Blocks, set.Set.Geometry.Blocks);
        Assert.Equal(default, set.Set.Features);
    }

    [Fact]
    public void Golden_images_hold_what_their_names_say()
    {
        // A checkpoint made by commits, and records behind it of each kind.
        MetadataBench bench = new([ReadGolden(Released, 0), ReadGolden(Released, 1)], seed: 1);
        Superblock newest = SpareSurgery.NewestOf(bench.Disks[1]);
        Assert.True(newest.State.Checkpoint.Entries > 0);
        Assert.True(newest.State.JournalHead.Sequence > newest.State.FirstJournalSequence);
        Assert.Equal(Witness, newest.State.PrimaryWitness);
        Assert.Equal(new PastEpoch(0xE0, 1), Assert.Single(newest.Set.Past));
    }

    [Fact]
    public void What_is_written_today_is_the_golden_image_to_the_byte()
    {
        MetadataBench bench = MetadataBench.Formatted(2, seed: 1);
        bench.MustRecover(0x1122334455667788);
        for (int i = 0; i < CommitsBefore; i++)
        {
            Must(bench, TableSample.Set1(TableSample.Lost(5000 + (i % 3))));
        }

        // Whether a commit falls before or behind the checkpoint must not depend on chance.
        bench.Loop.RunUntilIdle();
        Assert.Equal(1, bench.Store.CheckpointsDone);
        for (int i = 0; i < 3; i++)
        {
            Must(bench, TableSample.Remove(5000 + i));
        }

        // A record of two slots: removals of what has no entry, no two of them neighbours.
        TableChange[] twoSlots = [.. Enumerable.Range(0, 70).Select(i => TableSample.Remove(6000 + (2 * i)))];
        Assert.Equal(CommitOutcome.Done, bench.Commit(twoSlots));
        foreach (RemapEntry entry in ExpectedEntries())
        {
            Must(bench, TableSample.Set1(entry));
        }
        Must(bench, TableSample.Retire(1, 77));
        bench.Store.BeginStop(bench, Witness);
        bench.Loop.RunUntilIdle();
        Assert.True(bench.StoppedClean);
        for (int spare = 0; spare < 2; spare++)
        {
            string listing = List(bench.Disks[spare].Image);
            string path = PathOf(Released, spare);
            if (!File.Exists(path) && Environment.GetEnvironmentVariable("DMREMAP_WRITE_GOLDEN") == "1")
            {
                File.WriteAllText(path, listing);
            }
            Assert.Equal(File.ReadAllText(path), listing);
        }
    }

    [Fact]
    public void What_a_development_version_made_is_refused_by_name_and_left_as_it_is()
    {
        MetadataBench bench = new([ReadGolden(Development, 0), ReadGolden(Development, 1)], seed: 1);
        bench.Recover(0xFFFF);
        Assert.Equal(MetadataRefusalKind.DevelopmentVersion, bench.Refusal!.Kind);
        for (int spare = 0; spare < 2; spare++)
        {
            Assert.Equal(File.ReadAllText(PathOf(Development, spare)), List(bench.Disks[spare].Image));
        }
    }

    private static PrimaryWitness Witness { get; } =
        new([.. Enumerable.Range(0, PrimaryWitness.Places).Select(WitnessWord)]);

    private static uint WitnessWord(int place) => (uint)(place % 7 == 3 ? 0 : 0x01234567 + place);

    private static void Must(MetadataBench bench, TableChange change) =>
        Assert.Equal(CommitOutcome.Done, bench.Commit(change));

    /// <summary>One of everything that an entry can say.</summary>
    private static RemapEntry[] ExpectedEntries() =>
    [
        Entry(
            3, UnitState.Remapped, new SpareLocation(0, new UnitNumber(10)), new BlockStates(0x0F, 0xC0), 61),
        Entry(
            4, UnitState.Remapped, new SpareLocation(0, new UnitNumber(11)), new BlockStates(0x0F, 0xC0), 61),
        Entry(9, UnitState.LostUnreadable, SpareLocation.None, new BlockStates(0, 0x18), 5),
        Entry(10, UnitState.LostDeclared, SpareLocation.None, new BlockStates(0, 0xFF), 0),
        Entry(
            131071,
            UnitState.Probation,
            new SpareLocation(1, new UnitNumber(0)),
            new BlockStates(0xFF, 0),
            121),
    ];

    private static RemapEntry Entry(
        long unit, UnitState state, SpareLocation location, BlockStates blocks, ushort errno) => new()
        {
            Unit = new UnitNumber(unit),
            State = state,
            Location = location,
            Blocks = blocks,
            LastErrno = errno,
            LastErrorDay = errno == 0 ? (ushort)0 : (ushort)20779,
        };

    private static string PathOf(string name, int spare)
    {
        DirectoryInfo? folder = new(AppContext.BaseDirectory);
        while (folder is not null && !File.Exists(Path.Combine(folder.FullName, "DmRemap.slnx")))
        {
            folder = folder.Parent;
        }
        Assert.NotNull(folder);
        return Path.Combine(
            folder.FullName, "test/DmRemap.Tests/Metadata/golden", $"{name}-{spare}.txt");
    }

    private static string List(SparseImage image)
    {
        StringBuilder text = new();
        foreach ((long block, byte[] bytes) in image.Blocks.OrderBy(pair => pair.Key))
        {
            for (int at = 0; at < bytes.Length; at += LineBytes)
            {
                ReadOnlySpan<byte> line = bytes.AsSpan(at, LineBytes);
                if (line.ContainsAnyExcept((byte)0))
                {
                    text.Append(
                        CultureInfo.InvariantCulture,
                        $"{(block * 512) + at:x8}: {Convert.ToHexStringLower(line)}\n");
                }
            }
        }
        return text.ToString();
    }

    private static SparseImage ReadGolden(string name, int spare)
    {
        SparseImage image = new();
        byte[] block = new byte[512];
        foreach (string line in File.ReadLines(PathOf(name, spare)))
        {
            long offset = long.Parse(line.AsSpan(0, 8), NumberStyles.HexNumber, CultureInfo.InvariantCulture);
            image.Read(offset / 512, block);
            Convert.FromHexString(line[10..]).CopyTo(block, (int)(offset % 512));
            image.Write(offset / 512, block);
        }
        return image;
    }
}
