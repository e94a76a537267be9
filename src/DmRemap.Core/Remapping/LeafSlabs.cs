using System;
using System.Numerics;
using DmRemap.Core.Abstractions;

namespace DmRemap.Core.Remapping;

/// <summary>
/// Memory for the table's leaves: blocks of 2^order granules (128 bytes each) inside slabs of 2 MiB, split
/// and merged as buddies, so that a leaf that grows through all sizes leaves no holes behind. Slabs are never
/// given back; once they exist, allocating makes no garbage. One writer; readers on other threads only call
/// <see cref="At"/>.
/// </summary>
internal sealed class LeafSlabs
{
    public const int GranuleWords = 16;

    private const int OrderMax = 14;
    private const int SlabGranules = 1 << OrderMax;
    private const byte FreeMark = 0x80;
    private const byte UsedMark = 0x40;
    private const byte OrderMask = 0x3F;

    private readonly int[] _firstFree = new int[OrderMax + 1];
    private ulong[][] _slabs = [];
    private byte[][] _marks = [];
    private int _slabCount;

    public LeafSlabs() => Array.Fill(_firstFree, -1);

    public const int BlockWordsMax = SlabGranules * GranuleWords;

    public long Bytes => (long)_slabCount * SlabGranules * ((GranuleWords * sizeof(ulong)) + 1);

    /// <summary>Granules in blocks that are handed out.</summary>
    public long UsedGranules { get; private set; }

    /// <summary>
    /// The words from this granule to its slab's end: the caller knows how many are its own. A granule that
    /// was once handed out stays readable for ever.
    /// </summary>
    public ReadOnlySpan<ulong> At(int granule) =>
        System.Threading.Volatile.Read(ref _slabs)[granule / SlabGranules]
            .AsSpan(granule % SlabGranules * GranuleWords);

    public Span<ulong> WritableAt(int granule) =>
        _slabs[granule / SlabGranules].AsSpan(granule % SlabGranules * GranuleWords);

    /// <summary>A block of at least this many words. Its old content is garbage.</summary>
    public int Allocate(int words)
    {
        Invariant.Check(words > 0);
        Invariant.Check(words <= BlockWordsMax);
        int granules = (words + GranuleWords - 1) / GranuleWords;
        int order = granules == 1 ? 0 : BitOperations.Log2((uint)granules - 1) + 1;
        int have = order;
        while (have <= OrderMax && _firstFree[have] < 0)
        {
            have++;
        }
        if (have > OrderMax)
        {
            AddSlab();
            have = OrderMax;
        }
        int granule = _firstFree[have];
        Unlink(granule, have);
        while (have > order)
        {
            have--;
            Link(granule + (1 << have), have);
        }
        SetMark(granule, (byte)(UsedMark | order));
        UsedGranules += 1L << order;
        return granule;
    }

    public void Free(int granule)
    {
        byte mark = MarkOf(granule);
        Invariant.Check((mark & UsedMark) != 0);
        int order = mark & OrderMask;
        UsedGranules -= 1L << order;
        SetMark(granule, 0);
        while (order < OrderMax)
        {
            int buddy = granule ^ (1 << order);
            if (MarkOf(buddy) != (FreeMark | order))
            {
                break;
            }
            Unlink(buddy, order);
            granule = Math.Min(granule, buddy);
            order++;
        }
        Link(granule, order);
    }

    private byte MarkOf(int granule) => _marks[granule / SlabGranules][granule % SlabGranules];

    private void SetMark(int granule, byte mark) =>
        _marks[granule / SlabGranules][granule % SlabGranules] = mark;

    // Free blocks are linked through their own first two words: next and previous granule, plus one, 0 for
    // none.
    private void Link(int granule, int order)
    {
        int next = _firstFree[order];
        Span<ulong> words = WritableAt(granule);
        words[0] = (ulong)(next + 1);
        words[1] = 0;
        if (next >= 0)
        {
            WritableAt(next)[1] = (ulong)(granule + 1);
        }
        _firstFree[order] = granule;
        SetMark(granule, (byte)(FreeMark | order));
    }

    private void Unlink(int granule, int order)
    {
        Span<ulong> words = WritableAt(granule);
        int next = (int)words[0] - 1;
        int previous = (int)words[1] - 1;
        if (next >= 0)
        {
            WritableAt(next)[1] = words[1];
        }
        if (previous >= 0)
        {
            WritableAt(previous)[0] = words[0];
        }
        else
        {
            _firstFree[order] = next;
        }
        SetMark(granule, 0);
    }

    private void AddSlab()
    {
        if (_slabCount == _slabs.Length)
        {
            int capacity = Math.Max(16, _slabs.Length * 2);
            ulong[][] slabs = new ulong[capacity][];
            Array.Copy(_slabs, slabs, _slabCount);
            Array.Resize(ref _marks, capacity);
            System.Threading.Volatile.Write(ref _slabs, slabs);
        }
        _slabs[_slabCount] = GC.AllocateUninitializedArray<ulong>(SlabGranules * GranuleWords, pinned: true);
        _marks[_slabCount] = new byte[SlabGranules];
        _slabCount++;
        Link((_slabCount - 1) * SlabGranules, OrderMax);
    }
}
