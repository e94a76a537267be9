using System;

namespace DmRemap.Core.Abstractions;

/// <summary>
/// A half-open run of logical blocks, [Start, End), on one device. An empty extent is legal.
/// </summary>
public readonly record struct Extent
{
    public Extent(BlockNumber start, BlockCount count)
    {
        Invariant.Check(start.Value >= 0);
        Invariant.Check(count.Value >= 0);
        Start = start;
        Count = count;
    }

    public BlockNumber Start { get; }

    public BlockCount Count { get; }

    public BlockNumber End => Start + Count;

    public bool IsEmpty => Count.Value == 0;

    public static Extent FromBounds(BlockNumber start, BlockNumber end) => new(start, end - start);

    public bool Contains(BlockNumber block) => Start <= block && block < End;

    public bool Overlaps(Extent other) =>
        Start < other.End && other.Start < End && !IsEmpty && !other.IsEmpty;

    /// <summary>The blocks in both; empty (at the later start) where there are none.</summary>
    public Extent Intersect(Extent other)
    {
        long start = Math.Max(Start.Value, other.Start.Value);
        long end = Math.Min(End.Value, other.End.Value);
        return new Extent(new BlockNumber(start), new BlockCount(Math.Max(0, end - start)));
    }

    /// <summary>Shape: "[10, 18)".</summary>
    public override string ToString() => $"[{Start.Value}, {End.Value})";
}
