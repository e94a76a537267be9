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
/// Images of format 1 as it was first written, kept for ever: "offset: bytes" in hexadecimal, 32 bytes a
/// line, lines of zeros left out. Whoever changes what is written makes a new file and keeps the old one
/// readable. DMREMAP_WRITE_GOLDEN=1 writes files that are missing.
/// </summary>
public sealed class GoldenImageTests
{
    private const int LineBytes = 32;

    [Fact]
    public void Golden_images_of_format_1_read_back()
    {
        MetadataBench bench = new([ReadGolden(0), ReadGolden(1)], seed: 1);
        bench.MustRecover(0xFFFF);
        RecoveredSet set = bench.Recovered!;
        Assert.Equal(ExpectedEntries(), set.Entries);
        Assert.Equal([new SpareLocation(1, new UnitNumber(77))], set.Retired);
        Assert.True(set.WasCleanStop);
        Assert.Equal(0, set.CopiesRepaired);
        FormatRequest made = MetadataBench.FormatRequestFor(2);
        Assert.Equal(made.SetUuid, set.Set.SetUuid);
        Assert.Equal(made.Primary, set.Set.Primary);
        Assert.Equal(made.MemberUuids, set.Set.Members.Select(member => member.Uuid));
        Assert.Equal(made.Geometry.Blocks, set.Set.Geometry.Blocks);
        Assert.Equal(FeatureFlags.Created, set.Set.Features);
    }

    [Fact]
    public void What_is_written_today_is_the_golden_image_to_the_byte()
    {
        MetadataBench bench = MetadataBench.Formatted(2, seed: 1);
        bench.MustRecover(0x1122334455667788);
        foreach (RemapEntry entry in ExpectedEntries())
        {
            Assert.Equal(CommitOutcome.Done, bench.Commit(new TableChange(TableChangeKind.Set, entry)));
        }
        RemapEntry retired =
            ExpectedEntries()[0] with { Location = new SpareLocation(1, new UnitNumber(77)) };
        Assert.Equal(
            CommitOutcome.Done, bench.Commit(new TableChange(TableChangeKind.RetireSpareUnit, retired)));
        bench.BeginStop();
        bench.Loop.RunUntilIdle();
        for (int spare = 0; spare < 2; spare++)
        {
            string listing = List(bench.Disks[spare].Image);
            string path = PathOf(spare);
            if (!File.Exists(path) && Environment.GetEnvironmentVariable("DMREMAP_WRITE_GOLDEN") == "1")
            {
                File.WriteAllText(path, listing);
            }
            Assert.Equal(File.ReadAllText(path), listing);
        }
    }

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

    private static string PathOf(int spare)
    {
        DirectoryInfo? folder = new(AppContext.BaseDirectory);
        while (folder is not null && !File.Exists(Path.Combine(folder.FullName, "DmRemap.slnx")))
        {
            folder = folder.Parent;
        }
        Assert.NotNull(folder);
        return Path.Combine(
            folder.FullName, "test/DmRemap.Tests/Metadata/golden", $"format-1-development-spare-{spare}.txt");
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

    private static SparseImage ReadGolden(int spare)
    {
        SparseImage image = new();
        byte[] block = new byte[512];
        foreach (string line in File.ReadLines(PathOf(spare)))
        {
            long offset = long.Parse(line.AsSpan(0, 8), NumberStyles.HexNumber, CultureInfo.InvariantCulture);
            image.Read(offset / 512, block);
            Convert.FromHexString(line[10..]).CopyTo(block, (int)(offset % 512));
            image.Write(offset / 512, block);
        }
        return image;
    }
}
