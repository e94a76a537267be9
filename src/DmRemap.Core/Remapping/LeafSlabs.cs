using System;
using System.Numerics;
using DmRemap.Core.Abstractions;

namespace DmRemap.Core.Remapping;

/// <summary>
/// Memory for the table's leaves: granules of 128 bytes inside slabs of 2 MiB (the first one is smaller: most
/// tables are), in blocks of 2^order granules that are split and merged as buddies, so that a leaf that grows
/// through all sizes leaves no holes behind. What a leaf does not need of its block is cut off in blocks of
/// its own. Slabs are never given back; once they exist, allocating makes no garbage. One writer; readers on
/// other threads only call <see cref="At"/>.
/// </summary>
internal sealed class LeafSlabs
{
    public const int GranuleWords = 16;

    private const int OrderMax = 14;
    private const int FirstOrder = 10;
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

    public long Bytes { get; private set; }

    /// <summary>Granules that are handed out.</summary>
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
        int granules = GranulesFor(words);
        int order = granules == 1 ? 0 : BitOperations.Log2((uint)granules - 1) + 1;
        int granule = TakeBlock(order);
        UsedGranules += granules;
        int end = granule + (1 << order);
        for (int piece = granule + granules; piece < end; piece += 1 << OrderOfTail(piece))
        {
            Link(piece, OrderOfTail(piece));
        }
        MarkUsed(granule, granules);
        return granule;
    }

    /// <summary>Give back what Allocate gave for this many words.</summary>
    public void Free(int granule, int words)
    {
        int granules = GranulesFor(words);
        int end = granule + granules;
        UsedGranules -= granules;
        while (granule < end)
        {
            byte mark = MarkOf(granule);
            Invariant.Check((mark & UsedMark) != 0);
            int order = mark & OrderMask;
            FreeBlock(granule, order);
            granule += 1 << order;
        }
        Invariant.Check(granule == end);
    }

    private static int GranulesFor(int words) => (words + GranuleWords - 1) / GranuleWords;

    /// <summary>The largest block that begins here and ends where its buddies would.</summary>
    private static int OrderOfTail(int granule) => BitOperations.TrailingZeroCount(granule);

    /// <summary>
    /// The first granules of a block, marked as the blocks that they are made of: from the largest down, as
    /// the block is aligned to its own length.
    /// </summary>
    private void MarkUsed(int granule, int granules)
    {
        while (granules > 0)
        {
            int order = BitOperations.Log2((uint)granules);
            SetMark(granule, (byte)(UsedMark | order));
            granule += 1 << order;
            granules -= 1 << order;
        }
    }

    private int TakeBlock(int order)
    {
        int have = order;
        while (have <= OrderMax && _firstFree[have] < 0)
        {
            have++;
        }
        if (have > OrderMax)
        {
            have = AddSlab(order);
        }
        int granule = _firstFree[have];
        Unlink(granule, have);
        while (have > order)
        {
            have--;
            Link(granule + (1 << have), have);
        }
        return granule;
    }

    private void FreeBlock(int granule, int order)
    {
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

    /// <summary>0 for what lies behind the end of the small first slab.</summary>
    private byte MarkOf(int granule)
    {
        byte[] marks = _marks[granule / SlabGranules];
        int index = granule % SlabGranules;
        return index < marks.Length ? marks[index] : (byte)0;
    }

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

    /// <summary>A slab that has room for this order, as one free block; returns its order.</summary>
    private int AddSlab(int order)
    {
        if (_slabCount == _slabs.Length)
        {
            int capacity = Math.Max(16, _slabs.Length * 2);
            ulong[][] slabs = new ulong[capacity][];
            Array.Copy(_slabs, slabs, _slabCount);
            Array.Resize(ref _marks, capacity);
            System.Threading.Volatile.Write(ref _slabs, slabs);
        }
        int slabOrder = _slabCount == 0 && order <= FirstOrder ? FirstOrder : OrderMax;
        int granules = 1 << slabOrder;
        _slabs[_slabCount] = GC.AllocateUninitializedArray<ulong>(granules * GranuleWords, pinned: true);
        _marks[_slabCount] = new byte[granules];
        Bytes += (long)granules * ((GranuleWords * sizeof(ulong)) + 1);
        _slabCount++;
        Link((_slabCount - 1) * SlabGranules, slabOrder);
        return slabOrder;
    }
}
