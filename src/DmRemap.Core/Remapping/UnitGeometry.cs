using System;
using DmRemap.Core.Abstractions;

namespace DmRemap.Core.Remapping;

/// <summary>
/// The unit grid over the primary. Units are aligned to the disk's own physical sectors (F-28), so on a
/// misaligned partition the first unit is short:
/// <code>
///   blocks   0  1 | 2  3  4  5  6  7  8  9 | 10 ...        8 blocks a unit, first boundary at block 2
/// unit 0 | 1 | 2 shift = 6: block b is at index (b + 6) mod 8 of unit (b + 6) / 8
/// </code>
/// The last unit may be short too. In a spare every unit has its full length.
/// </summary>
public sealed class UnitGeometry
{
    public UnitGeometry(BlockSize blockSize, int unitBytes, BlockCount blocks, int alignmentOffsetBytes)
    {
        Invariant.Check(unitBytes >= blockSize.Bytes);
        Invariant.Check((unitBytes & (unitBytes - 1)) == 0);
        Invariant.Check(unitBytes / blockSize.Bytes <= Limits.UnitBlocksMax);
        Invariant.Check(blocks.Value > 0);
        Invariant.Check(alignmentOffsetBytes >= 0);
        Invariant.Check(blockSize.IsAligned(alignmentOffsetBytes));
        BlockSize = blockSize;
        UnitBytes = unitBytes;
        BlocksPerUnit = unitBytes / blockSize.Bytes;
        Blocks = blocks;
        AlignmentOffsetBytes = alignmentOffsetBytes;
        int firstBoundary = alignmentOffsetBytes / blockSize.Bytes % BlocksPerUnit;
        Shift = firstBoundary == 0 ? 0 : BlocksPerUnit - firstBoundary;
        Units = ((blocks.Value - 1 + Shift) / BlocksPerUnit) + 1;
    }

    public BlockSize BlockSize { get; }

    public int UnitBytes { get; }

    public int BlocksPerUnit { get; }

    public BlockCount Blocks { get; }

    public int AlignmentOffsetBytes { get; }

    /// <summary>Units of the primary; the first and the last may be short.</summary>
    public long Units { get; }

    /// <summary>Blocks that the first unit lacks at its front.</summary>
    public int Shift { get; }

    public UnitNumber UnitOf(BlockNumber block) => new((block.Value + Shift) / BlocksPerUnit);

    /// <summary>The block's place in its unit, 0 to BlocksPerUnit - 1.</summary>
    public int IndexInUnit(BlockNumber block) => (int)((block.Value + Shift) % BlocksPerUnit);

    /// <summary>
    /// The primary's blocks at places [index, index + count) of this unit, which has all of them.
    /// </summary>
    public Extent ExtentAt(UnitNumber unit, int index, int count)
    {
        Extent whole = ExtentOf(unit);
        return new Extent(
            whole.Start + new BlockCount(index - IndexInUnit(whole.Start)), new BlockCount(count));
    }

    /// <summary>The primary's blocks of this unit.</summary>
    public Extent ExtentOf(UnitNumber unit)
    {
        Invariant.Check(unit.Value >= 0);
        Invariant.Check(unit.Value < Units);
        long start = Math.Max(0, (unit.Value * BlocksPerUnit) - Shift);
        long end = Math.Min(Blocks.Value, ((unit.Value + 1) * BlocksPerUnit) - Shift);
        return Extent.FromBounds(new BlockNumber(start), new BlockNumber(end));
    }

    /// <summary>The blocks of an extent that lie in this unit, as a mask of places in the unit.</summary>
    public ulong MaskIn(UnitNumber unit, Extent extent)
    {
        Extent part = ExtentOf(unit).Intersect(extent);
        return part.IsEmpty ? 0 : BlockStates.Mask(IndexInUnit(part.Start), (int)part.Count.Value);
    }

    /// <summary>The places of this unit that exist on the primary.</summary>
    public ulong FullMask(UnitNumber unit) => MaskIn(unit, ExtentOf(unit));
}
