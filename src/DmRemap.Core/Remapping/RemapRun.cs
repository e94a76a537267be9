using DmRemap.Core.Abstractions;

namespace DmRemap.Core.Remapping;

/// <summary>
/// Adjacent units of one leaf that moved together: same state, error, trials and spares, adjacent spare
/// units, and every block in one same state. A unit with mixed block states is a run of its own. Units count
/// from the leaf's first.
/// </summary>
internal readonly record struct RemapRun(
    int First,
    int Count,
    UnitState State,
    SpareLocation Location,
    SpareLocation Second,
    ushort Errno,
    ushort Day,
    HealTrials Trials,
    BlockStates Blocks)
{
    public int End => First + Count;

    /// <summary>The part in [first, end), which must lie inside and not be empty.</summary>
    public RemapRun Part(int first, int end)
    {
        Invariant.Check(First <= first);
        Invariant.Check(first < end);
        Invariant.Check(end <= End);
        int skipped = first - First;
        return this with
        {
            First = first,
            Count = end - first,
            Location = Location.Following(skipped),
            Second = Second.Following(skipped),
        };
    }

    /// <summary>
    /// Whether the two are one run. <paramref name="uniform"/>: this run's blocks share one state.
    /// </summary>
    public bool Joins(in RemapRun next, bool uniform) =>
        uniform
        && End == next.First
        && State == next.State
        && Blocks == next.Blocks
        && Errno == next.Errno
        && Day == next.Day
        && Trials == next.Trials
        && Location.Following(Count) == next.Location
        && Second.Following(Count) == next.Second;
}
