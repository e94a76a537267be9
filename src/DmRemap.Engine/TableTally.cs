using System.Numerics;
using DmRemap.Core.Remapping;

namespace DmRemap.Engine;

/// <summary>
/// What the table holds, counted as it changes. Written by the loop's thread only; any thread may read it.
/// </summary>
public sealed class TableTally
{
    /// <summary>Units with a spare unit.</summary>
    public long RemappedUnits { get; private set; }

    /// <summary>Of them, units whose place on the primary was rewritten and is watched.</summary>
    public long ProbationUnits { get; private set; }

    /// <summary>Of them, units that a second spare holds, too.</summary>
    public long UnitsWithSecond { get; private set; }

    public long LostBlocks { get; private set; }

    public long ZeroBlocks { get; private set; }

    public static TableTally Of(RemapTable table)
    {
        TableTally tally = new();
        RemapTable.RunWalk walk = table.WalkRuns();
        while (walk.TryNext(out RemapEntry first, out int count))
        {
            tally.Add(first, table.Geometry, count);
        }
        return tally;
    }

    /// <param name="entry">Of one unit.</param>
    /// <param name="units">Of the table.</param>
    /// <param name="count">How many units like it appear; negative: disappear.</param>
    internal void Add(in RemapEntry entry, UnitGeometry units, long count)
    {
        ulong full = units.FullMask(entry.Unit);
        RemappedUnits += entry.Location.IsNone ? 0 : count;
        UnitsWithSecond += entry.Second.IsNone ? 0 : count;
        ProbationUnits += entry.State == UnitState.Probation ? count : 0;
        LostBlocks += count * BitOperations.PopCount(entry.Blocks.MaskOf(BlockState.Lost) & full);
        ZeroBlocks += count * BitOperations.PopCount(entry.Blocks.MaskOf(BlockState.Zero) & full);
    }
}
