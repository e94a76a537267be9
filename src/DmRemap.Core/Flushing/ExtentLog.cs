using System;
using System.Runtime.CompilerServices;
using DmRemap.Core.Abstractions;

namespace DmRemap.Core.Flushing;

/// <summary>
/// What was written since the last flush, in memory of a fixed size: every block that was added is in it, and
/// blocks between two that were may be too. Adding costs a few nanoseconds; a full log is sorted and its
/// neighbours are merged, across growing gaps, until half of it is free.
/// </summary>
public sealed class ExtentLog
{
    /// <summary>
    /// The first gap that is taken for written, in blocks, where merging neighbours was not enough.
    /// </summary>
    private const long GapBlocksMin = 8;

    private readonly long[] _starts;
    private readonly long[] _ends;

    public ExtentLog(int capacity = Limits.UnflushedExtentsMax)
    {
        Invariant.Check(capacity >= 2);
        _starts = new long[capacity];
        _ends = new long[capacity];
    }

    public int Count { get; private set; }

    public bool IsEmpty => Count == 0;

    public Extent this[int index]
    {
        get
        {
            Invariant.Check(index < Count);
            return Extent.FromBounds(new BlockNumber(_starts[index]), new BlockNumber(_ends[index]));
        }
    }

    /// <summary>Sequential writes make one extent grow.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Add(Extent blocks)
    {
        int last = Count - 1;
        if (last >= 0 && _ends[last] == blocks.Start.Value)
        {
            _ends[last] = blocks.End.Value;
            return;
        }
        Append(blocks);
    }

    public void Clear() => Count = 0;

    private void Append(Extent blocks)
    {
        if (Count == _starts.Length)
        {
            Compact();
        }
        _starts[Count] = blocks.Start.Value;
        _ends[Count] = blocks.End.Value;
        Count++;
    }

    private void Compact()
    {
        MemoryExtensions.Sort(_starts.AsSpan(0, Count), _ends.AsSpan(0, Count));
        Merge(0);
        for (long gap = GapBlocksMin; Count > _starts.Length / 2; gap *= 4)
        {
            Merge(gap);
        }
    }

    /// <summary>Of sorted extents: those that lie no further apart than this become one.</summary>
    private void Merge(long gap)
    {
        int kept = 0;
        for (int i = 1; i < Count; i++)
        {
            // A difference: the sum would overflow at the widest gaps.
            if (_starts[i] - _ends[kept] <= gap)
            {
                _ends[kept] = Math.Max(_ends[kept], _ends[i]);
                continue;
            }
            kept++;
            _starts[kept] = _starts[i];
            _ends[kept] = _ends[i];
        }
        Count = kept + 1;
    }
}
