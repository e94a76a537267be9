using DmRemap.Core.Abstractions;
using DmRemap.Core.Remapping;
using Xunit;
using static DmRemap.Tests.Core.Entries;

namespace DmRemap.Tests.Core;

public sealed class UnitGeometryTests
{
    [Fact]
    public void Partition_at_sector_63_has_a_short_first_unit_that_ends_at_a_physical_sector()
    {
        // 63 sectors of 512 bytes: the next 4096-byte boundary is one sector on (alignment_offset 512).
        UnitGeometry geometry = new(new BlockSize(512), 4096, new BlockCount(1000), 512);
        Assert.Equal(Blocks(0, 1), geometry.ExtentOf(new UnitNumber(0)));
        Assert.Equal(Blocks(1, 9), geometry.ExtentOf(new UnitNumber(1)));
        Assert.Equal(7, geometry.IndexInUnit(new BlockNumber(0)));
        Assert.Equal(0, geometry.IndexInUnit(new BlockNumber(1)));
        Assert.Equal(1UL << 7, geometry.FullMask(new UnitNumber(0)));
        Assert.Equal(126, geometry.Units);
        Assert.Equal(Blocks(993, 1000), geometry.ExtentOf(new UnitNumber(125)));
        Assert.Equal(0x7FUL, geometry.FullMask(new UnitNumber(125)));
    }

    [Fact]
    public void Alignment_offset_of_whole_units_shifts_nothing()
    {
        UnitGeometry geometry = new(new BlockSize(512), 4096, new BlockCount(1000), 8192);
        Assert.Equal(0, geometry.Shift);
    }

    [Fact]
    public void Disk_smaller_than_a_unit_is_one_short_unit_or_two()
    {
        Assert.Equal(1, new UnitGeometry(new BlockSize(512), 4096, new BlockCount(3), 0).Units);
        UnitGeometry across = new(new BlockSize(512), 4096, new BlockCount(3), 512);
        Assert.Equal(2, across.Units);
        Assert.Equal(Blocks(1, 3), across.ExtentOf(new UnitNumber(1)));
    }

    /// <summary>Every grid with up to 40 blocks: units tile the disk and start on physical sectors.</summary>
    [Fact]
    public void Units_tile_the_disk_on_physical_boundaries_in_every_small_grid()
    {
        foreach (int blocksPerUnit in new[] { 1, 2, 8, 16 })
        {
            for (int offsetBlocks = 0; offsetBlocks < 2 * blocksPerUnit; offsetBlocks++)
            {
                for (int blocks = 1; blocks <= 40; blocks++)
                {
                    CheckGrid(new UnitGeometry(
                        new BlockSize(512), 512 * blocksPerUnit, new BlockCount(blocks), 512 * offsetBlocks));
                }
            }
        }
    }

    private static void CheckGrid(UnitGeometry geometry)
    {
        long boundary = geometry.AlignmentOffsetBytes / 512;
        BlockNumber next = new(0);
        for (long unit = 0; unit < geometry.Units; unit++)
        {
            Extent extent = geometry.ExtentOf(new UnitNumber(unit));
            Assert.Equal(next, extent.Start);
            Assert.InRange(extent.Count.Value, 1, geometry.BlocksPerUnit);
            Assert.True(unit == 0 || (extent.Start.Value - boundary) % geometry.BlocksPerUnit == 0);
            ulong mask = 0;
            for (long block = extent.Start.Value; block < extent.End.Value; block++)
            {
                Assert.Equal(unit, geometry.UnitOf(new BlockNumber(block)).Value);
                int index = geometry.IndexInUnit(new BlockNumber(block));
                Assert.Equal((((block - boundary) % geometry.BlocksPerUnit) + geometry.BlocksPerUnit)
                    % geometry.BlocksPerUnit, index);
                mask |= 1UL << index;
                Assert.Equal(1UL << index, geometry.MaskIn(new UnitNumber(unit), Blocks(block, block + 1)));
            }
            Assert.Equal(mask, geometry.FullMask(new UnitNumber(unit)));
            next = extent.End;
        }
        Assert.Equal(geometry.Blocks.Value, next.Value);
    }

    [Fact]
    public void Mask_outside_the_unit_is_empty()
    {
        UnitGeometry geometry = Geometry(10);
        Assert.Equal(0UL, geometry.MaskIn(new UnitNumber(3), Blocks(0, 24)));
        Assert.Equal(0UL, geometry.MaskIn(new UnitNumber(3), Blocks(27, 27)));
        Assert.Equal(0b0001_1110UL, geometry.MaskIn(new UnitNumber(3), Blocks(25, 29)));
        Assert.Equal(0xFFUL, geometry.MaskIn(new UnitNumber(3), Blocks(0, 80)));
    }

    [Fact]
    public void Impossible_grids_are_broken_invariants()
    {
        BlockSize size = new(512);
        Assert.Throws<InvariantException>(() => new UnitGeometry(size, 256, new BlockCount(8), 0));
        Assert.Throws<InvariantException>(() => new UnitGeometry(size, 5120, new BlockCount(8), 0));
        Assert.Throws<InvariantException>(() => new UnitGeometry(size, 65_536, new BlockCount(8), 0));
        Assert.Throws<InvariantException>(() => new UnitGeometry(size, 4096, new BlockCount(0), 0));
        Assert.Throws<InvariantException>(() => new UnitGeometry(size, 4096, new BlockCount(8), 100));
        Assert.Throws<InvariantException>(() => Geometry(4).ExtentOf(new UnitNumber(4)));
    }
}
