using DmRemap.Core.Abstractions;
using DmRemap.Core.Remapping;

namespace DmRemap.Tests.Core;

/// <summary>Short ways to say what a test needs.</summary>
internal static class Entries
{
    public static UnitGeometry Geometry(long units, int blocksPerUnit = 8, int alignmentOffsetBytes = 0) =>
        new(
            new BlockSize(512),
            512 * blocksPerUnit,
            new BlockCount(units * blocksPerUnit),
            alignmentOffsetBytes);

    public static Extent Blocks(long start, long end) =>
        Extent.FromBounds(new BlockNumber(start), new BlockNumber(end));

    public static SpareLocation At(long unit, int spare = 0) => new(spare, new UnitNumber(unit));

    public static BlockStates All(BlockState state, int blocks = 8) =>
        default(BlockStates).With(BlockStates.Mask(0, blocks), state);

    public static RemapEntry OnSpare(long unit, long spareUnit, int spare = 0, int blocksPerUnit = 8) => new()
    {
        Unit = new UnitNumber(unit),
        State = UnitState.Remapped,
        Location = At(spareUnit, spare),
        Blocks = All(BlockState.OnSpare, blocksPerUnit),
    };

    public static RemapEntry Lost(
        long unit, BlockStates blocks, UnitState state = UnitState.LostUnreadable) =>
        new() { Unit = new UnitNumber(unit), State = state, Blocks = blocks };
}
