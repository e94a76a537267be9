using System;
using DmRemap.Core.Abstractions;

namespace DmRemap.Core.Flushing;

/// <summary>
/// Blocks whose latest write was acknowledged and may be lost, because the flush that was to make it durable
/// failed or the cache that held it is gone: a bounded list, sorted, of extents that do not touch. Where it
/// is full, the two that lie closest become one, with what is between them: it may name too much, never too
/// little.
/// <code>
///   Add ──▶ uncertain ──▶ rewritten ──▶ (a flush begins) ──▶ covered ──▶ (it succeeds) ──▶ certain
///              ▲              └── durable already (FUA): certain at once        │
///              └──────────────────────────── it fails ──────────────────────────┘
/// </code>
/// What was rewritten is remembered exactly or not at all: forgotten, it has to be rewritten once more.
/// </summary>
public sealed class UncertainWrites
{
    private readonly Extent[] _extents;
    private readonly Extent[] _rewritten;
    private readonly Extent[] _covered;
    private int _rewrittenCount;
    private int _coveredCount;

    public UncertainWrites(int capacity = Limits.UncertainExtentsMax)
    {
        Invariant.Check(capacity >= 2);
        // One more, while a list that is full takes another.
        _extents = new Extent[capacity + 1];
        _rewritten = new Extent[capacity];
        _covered = new Extent[capacity];
    }

    public int Count { get; private set; }

    public bool IsEmpty => Count == 0;

    /// <summary>Ascending.</summary>
    public Extent this[int index]
    {
        get
        {
            Invariant.Check(index < Count);
            return _extents[index];
        }
    }

    /// <summary>These may be lost, also if they were rewritten before.</summary>
    public void Add(Extent blocks)
    {
        if (blocks.IsEmpty)
        {
            return;
        }
        _rewrittenCount = 0;
        _coveredCount = 0;
        int at = 0;
        while (at < Count && _extents[at].End < blocks.Start)
        {
            at++;
        }
        int end = at;
        Extent merged = blocks;
        while (end < Count && _extents[end].Start <= blocks.End)
        {
            merged = Hull(merged, _extents[end]);
            end++;
        }
        Replace(at, end, merged);
        if (Count == _extents.Length)
        {
            MergeClosest();
        }
    }

    /// <summary>
    /// A write that was submitted after these had become uncertain has completed there.
    /// </summary>
    public void OnRewritten(Extent blocks, bool isDurable)
    {
        if (isDurable)
        {
            Remove(blocks);
            return;
        }
        if (_rewrittenCount > 0 && _rewritten[_rewrittenCount - 1].End == blocks.Start)
        {
            _rewritten[_rewrittenCount - 1] = Hull(_rewritten[_rewrittenCount - 1], blocks);
        }
        else if (_rewrittenCount < _rewritten.Length && IsAnyIn(blocks))
        {
            _rewritten[_rewrittenCount] = blocks;
            _rewrittenCount++;
        }
    }

    /// <summary>A flush of everything begins: it covers what was rewritten up to now.</summary>
    public void OnFlushBegun()
    {
        _rewritten.AsSpan(0, _rewrittenCount).CopyTo(_covered);
        _coveredCount = _rewrittenCount;
        _rewrittenCount = 0;
    }

    public void OnFlushSucceeded()
    {
        int count = _coveredCount;
        _coveredCount = 0;
        for (int i = 0; i < count; i++)
        {
            Remove(_covered[i]);
        }
    }

    public void OnFlushFailed() => _coveredCount = 0;

    public void Clear()
    {
        Count = 0;
        _rewrittenCount = 0;
        _coveredCount = 0;
    }

    private bool IsAnyIn(Extent blocks)
    {
        for (int i = 0; i < Count; i++)
        {
            if (_extents[i].Overlaps(blocks))
            {
                return true;
            }
        }
        return false;
    }

    private void Remove(Extent blocks)
    {
        for (int i = 0; i < Count;)
        {
            Extent one = _extents[i];
            if (!one.Overlaps(blocks))
            {
                i++;
                continue;
            }
            bool isStartLeft = one.Start < blocks.Start;
            bool isEndLeft = blocks.End < one.End;
            if (isStartLeft && isEndLeft)
            {
                if (Count < _extents.Length - 1)
                {
                    _extents[i] = Extent.FromBounds(blocks.End, one.End);
                    Replace(i, i, Extent.FromBounds(one.Start, blocks.Start));
                }
                // Else there is no room for two: it stays whole.
                return;
            }
            if (!isStartLeft && !isEndLeft)
            {
                Drop(i, i + 1);
                continue;
            }
            _extents[i] = isStartLeft
                ? Extent.FromBounds(one.Start, blocks.Start)
                : Extent.FromBounds(blocks.End, one.End);
            i++;
        }
    }

    private void MergeClosest()
    {
        int closest = 0;
        for (int i = 1; i + 1 < Count; i++)
        {
            if (GapBehind(i) < GapBehind(closest))
            {
                closest = i;
            }
        }
        Replace(closest, closest + 2, Hull(_extents[closest], _extents[closest + 1]));
    }

    private BlockCount GapBehind(int index) => _extents[index + 1].Start - _extents[index].End;

    /// <summary>One in the place of these; of none: in front of the first.</summary>
    private void Replace(int first, int end, Extent by)
    {
        if (first == end)
        {
            Invariant.Check(Count < _extents.Length);
            Array.Copy(_extents, first, _extents, first + 1, Count - first);
            Count++;
        }
        else
        {
            Drop(first + 1, end);
        }
        _extents[first] = by;
    }

    private void Drop(int first, int end)
    {
        Array.Copy(_extents, end, _extents, first, Count - end);
        Count -= end - first;
    }

    private static Extent Hull(Extent one, Extent other) => Extent.FromBounds(
        new BlockNumber(Math.Min(one.Start.Value, other.Start.Value)),
        new BlockNumber(Math.Max(one.End.Value, other.End.Value)));
}
