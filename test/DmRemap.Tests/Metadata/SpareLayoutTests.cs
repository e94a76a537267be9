using System;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;
using Xunit;

namespace DmRemap.Tests.Metadata;

public sealed class SpareLayoutTests
{
    private const long MiB = 1024 * 1024;

    private static readonly long[] s_primaryBytes = [MiB, 256 * MiB, 1L << 40, 1L << 44];

    [Fact]
    public void Data_and_metadata_never_overlap_for_any_size()
    {
        // D2: every size in steps that are no multiple of anything, then powers of two and their neighbours.
        for (long bytes = Limits.SpareBytesMin; bytes < 48 * MiB; bytes += 409_600 + 512)
        {
            CheckAllShapes(bytes);
        }
        for (int power = 24; power <= 46; power++)
        {
            CheckAllShapes(1L << power);
            CheckAllShapes((1L << power) + 512);
            CheckAllShapes((3L << power) - 512);
        }
    }

    [Fact]
    public void A_spare_below_the_minimum_or_with_an_odd_physical_block_has_no_layout()
    {
        Assert.Null(Compute(Limits.SpareBytesMin - 512, 4096, 512, 4096, MiB, 0));
        Assert.NotNull(Compute(Limits.SpareBytesMin, 4096, 512, 4096, MiB, 0));
        Assert.Null(Compute(Limits.SpareBytesMin, 3000, 512, 4096, MiB, 0));
        Assert.Null(Compute(Limits.SpareBytesMin, 128 * 1024, 512, 4096, MiB, 0));
        Assert.Null(Compute(Limits.SpareBytesMin, 512, 4096, 4096, MiB, 0));
    }

    [Fact]
    public void The_smallest_spare_lends_more_than_half_of_itself()
    {
        SpareLayout layout = Compute(Limits.SpareBytesMin, 4096, 512, 4096, 1L << 40, 0)!;
        Assert.True(layout.Data.Bytes > Limits.SpareBytesMin / 2, $"{layout.Data.Bytes}");
    }

    [Fact]
    public void Places_lie_sixteen_mebibytes_apart_when_the_spare_is_large_enough()
    {
        for (long bytes = 48 * MiB; bytes <= 1L << 42; bytes *= 3)
        {
            SpareLayout layout = Compute(bytes, 4096, 512, 4096, 1L << 40, 0)!;
            Assert.True(layout.Journal2.Start - layout.Journal1.End >= 16 * MiB);
            Assert.True(layout.AreaA2.Start - layout.AreaA1.End >= 16 * MiB);
            Assert.True(layout.AreaB2.Start - layout.AreaB1.End >= 16 * MiB);
        }
    }

    [Fact]
    public void A_checkpoint_has_room_for_every_spare_unit_and_the_budget_for_lost_ones()
    {
        for (long bytes = Limits.SpareBytesMin; bytes <= 1L << 40; bytes *= 2)
        {
            SpareLayout layout = Compute(bytes, 4096, 512, 4096, 1L << 44, 2 * bytes)!;
            long units = 3 * layout.DataUnits;
            long needed = units + SpareLayout.LostUnitsBudget(units);
            Assert.True(layout.EntriesMax >= Math.Min(needed, SpareLayout.TableEntriesMax - 3));
        }
    }

    [Fact]
    public void A_checkpoint_has_room_for_every_unit_of_a_small_primary_and_for_retired_spare_units()
    {
        for (long primary = 1L << 16; primary <= 1L << 24; primary *= 2)
        {
            SpareLayout layout = Compute(Limits.SpareBytesMin, 4096, 512, 4096, primary, 0)!;
            Assert.True(layout.EntriesMax >= (primary / 4096) + layout.DataUnits);
        }
    }

    [Fact]
    public void A_small_spare_beside_a_large_one_gives_a_quarter_to_checkpoints_at_most()
    {
        SpareLayout layout = Compute(Limits.SpareBytesMin, 4096, 512, 4096, 1L << 44, 1L << 40)!;
        Assert.True(4 * layout.AreaA1.Bytes <= Limits.SpareBytesMin / 4);
        Assert.True(layout.DataUnits > 1024);
    }

    [Fact]
    public void The_recommended_size_lends_two_percent_of_the_primary()
    {
        for (long primary = MiB; primary <= 1L << 45; primary = (primary * 3) + 512)
        {
            long spare = SpareLayout.RecommendedSpareBytes(new ByteCount(primary)).Value;
            SpareLayout layout = Compute(spare, 4096, 512, 4096, primary, 0)!;
            Assert.True(layout.Data.Bytes >= primary / 50, $"{primary}: {layout.Data.Bytes}");
        }
    }

    [Fact]
    public void The_unit_extents_tile_the_data_area()
    {
        SpareLayout layout = Compute(Limits.SpareBytesMin, 4096, 512, 8192, MiB * 256, 0)!;
        BlockNumber next = layout.DataStart;
        for (long unit = 0; unit < layout.DataUnits; unit++)
        {
            Extent extent = layout.ExtentOf(new UnitNumber(unit));
            Assert.Equal(next, extent.Start);
            Assert.Equal(16, extent.Count.Value);
            next = extent.End;
        }
        Assert.Equal(layout.Data.End, next.ToBytes(layout.BlockSize).Value);
    }

    private static SpareLayout? Compute(
        long bytes, int physical, int block, int unit, long primaryBytes, long otherBytes)
    {
        UnitGeometry geometry = new(new BlockSize(block), unit, new BlockCount(primaryBytes / block), 0);
        return SpareLayout.Compute(new ByteCount(bytes), physical, geometry, new ByteCount(otherBytes));
    }

    private static void CheckAllShapes(long bytes)
    {
        foreach (int block in (int[])[512, 4096])
        {
            for (int physical = block; physical <= SpareLayout.PhysicalBlockBytesMax; physical *= 4)
            {
                for (int unit = 4096; unit <= block * Limits.UnitBlocksMax; unit *= 4)
                {
                    foreach (long primary in s_primaryBytes)
                    {
                        Check(Compute(bytes, physical, block, unit, primary, 0)!, bytes, physical, unit);
                        Check(
                            Compute(bytes, physical, block, unit, primary, 5 * bytes)!,
                            bytes,
                            physical,
                            unit);
                    }
                }
            }
        }
    }

    private static void Check(SpareLayout layout, long bytes, int physical, int unit)
    {
        Assert.True(layout.DataUnits >= 1);
        Assert.Equal(0, layout.Data.Start % Math.Max(physical, unit));
        Assert.True(layout.Data.End <= bytes);
        Span<ByteRegion> metadata =
        [
            layout.Journal1, layout.Journal2, layout.AreaA1, layout.AreaA2, layout.AreaB1, layout.AreaB2,
            new(0, layout.SuperblockSlotBytes),
            new(512 * 1024, layout.SuperblockSlotBytes),
            new(MiB, layout.SuperblockSlotBytes),
            new(2 * MiB, layout.SuperblockSlotBytes),
            new(4 * MiB, layout.SuperblockSlotBytes),
            layout.Superblock(5),
        ];
        for (int i = 0; i < metadata.Length; i++)
        {
            Assert.True(metadata[i].Start >= 0);
            Assert.True(metadata[i].End <= bytes);
            Assert.Equal(0, metadata[i].Start % physical);
            Assert.False(metadata[i].Overlaps(layout.Data));
            for (int j = 0; j < i; j++)
            {
                Assert.False(metadata[i].Overlaps(metadata[j]));
            }
        }
        Assert.True(layout.Superblock(5).Start > bytes - (2 * SpareLayout.PhysicalBlockBytesMax) - 1);
    }
}
