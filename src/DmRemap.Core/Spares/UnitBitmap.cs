using System.Numerics;
using DmRemap.Core.Abstractions;

namespace DmRemap.Core.Spares;

/// <summary>
/// A bit per item with "the first clear bit at or after i" in a few steps however full it is: above the bits,
/// a summary bit for each full word, and so on up to one word.
/// </summary>
internal sealed class UnitBitmap
{
    private const int WordBits = 64;

    /// <summary>
    /// Level 0 holds the items; a bit of level n + 1 is set when that word of level n is full.
    /// </summary>
    private readonly ulong[][] _levels;

    public UnitBitmap(long items)
    {
        Invariant.Check(items > 0);
        Length = items;
        int depth = 1;
        for (long words = WordsFor(items); words > 1; words = WordsFor(words))
        {
            depth++;
        }
        _levels = new ulong[depth][];
        long length = items;
        for (int level = 0; level < depth; level++)
        {
            long words = WordsFor(length);
            _levels[level] = new ulong[words];
            // Bits behind the end count as set, so that nobody finds them.
            int used = (int)(length - ((words - 1) * WordBits));
            _levels[level][words - 1] = used == WordBits ? 0 : ulong.MaxValue << used;
            length = words;
        }
    }

    public long Length { get; }

    public bool this[long item] => (_levels[0][item / WordBits] & (1UL << (int)(item % WordBits))) != 0;

    public void Set(long item)
    {
        Invariant.Check(item < Length);
        for (int level = 0; level < _levels.Length; level++)
        {
            ref ulong word = ref _levels[level][item / WordBits];
            word |= 1UL << (int)(item % WordBits);
            if (word != ulong.MaxValue)
            {
                return;
            }
            item /= WordBits;
        }
    }

    public void Clear(long item)
    {
        Invariant.Check(item < Length);
        for (int level = 0; level < _levels.Length; level++)
        {
            ref ulong word = ref _levels[level][item / WordBits];
            bool wasFull = word == ulong.MaxValue;
            word &= ~(1UL << (int)(item % WordBits));
            if (!wasFull)
            {
                return;
            }
            item /= WordBits;
        }
    }

    /// <summary>
    /// The first clear item at or after this one, else the first clear one of all; -1 when all are set.
    /// </summary>
    public long FindClear(long from)
    {
        long found = FindClearAtOrAfter(from);
        return found >= 0 || from == 0 ? found : FindClearAtOrAfter(0);
    }

    private static long WordsFor(long items) => ((items - 1) / WordBits) + 1;

    private long FindClearAtOrAfter(long from)
    {
        long position = from;
        for (int level = 0; level < _levels.Length; level++)
        {
            long word = position / WordBits;
            if (word >= _levels[level].Length)
            {
                return -1;
            }
            ulong clear = ~_levels[level][word] & (ulong.MaxValue << (int)(position % WordBits));
            if (clear != 0)
            {
                return Descend(level, (word * WordBits) + BitOperations.TrailingZeroCount(clear));
            }
            position = word + 1;
        }
        return -1;
    }

    private long Descend(int level, long position)
    {
        while (level > 0)
        {
            level--;
            ulong clear = ~_levels[level][position];
            Invariant.Check(clear != 0);
            position = (position * WordBits) + BitOperations.TrailingZeroCount(clear);
        }
        return position;
    }
}
