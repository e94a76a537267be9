using System.Numerics;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Remapping;

namespace DmRemap.Engine;

/// <summary>
/// What the table holds, counted as it changes. Written by the loop's thread only; any thread may read it.
/// </summary>
public sealed class TableTally
{
    /// <summary>Units with a spare unit.</summary>
    public long RemappedUnits { get; private set; }

    public long LostBlocks { get; private set; }

    public long ZeroBlocks { get; private set; }

    public static TableTally Of(RemapTable table)
    {
        TableTally tally = new();
        UnitNumber from = new(0);
        while (table.TryGetNext(from, out RemapEntry entry))
        {
            tally.Add(entry, table.Geometry, 1);
            from = new UnitNumber(entry.Unit.Value + 1);
        }
        return tally;
    }

    internal void Add(in RemapEntry entry, UnitGeometry units, int sign)
    {
        ulong full = units.FullMask(entry.Unit);
        RemappedUnits += entry.Location.IsNone ? 0 : sign;
        LostBlocks += sign * BitOperations.PopCount(entry.Blocks.MaskOf(BlockState.Lost) & full);
        ZeroBlocks += sign * BitOperations.PopCount(entry.Blocks.MaskOf(BlockState.Zero) & full);
    }
}
