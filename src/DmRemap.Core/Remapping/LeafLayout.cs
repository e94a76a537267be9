using System;
using System.Numerics;
using DmRemap.Core.Abstractions;

namespace DmRemap.Core.Remapping;

/// <summary>
/// The words of a leaf:
/// <code>
///   word 0        number of runs: 32 bits | bit 63: narrow
///   words 1..8    occupancy: bit i is set when one of units [64 i, 64 i + 64) has an entry
/// then a run word 0: first unit 15 bits | count - 1: 15 | state - 2: 2 | spare + 1: 4
///                    | state of all blocks: 2 | mixed: 1 | trials: 4 | second spare + 1: 4 | 0 | errno: 16
///                 word 1: spare unit 48 bits | day: 16
///                 of a run that has a second: word 2: its spare unit
///                 of a mixed run, block states, low and high: word 3, or 3 and 4 with more than 32 blocks
/// </code>
/// Nearly all runs have all blocks in one state, and no second copy. A leaf of nothing else is narrow: two
/// words a run; in any other each run has room for all of it.
/// What this type reads while a leaf may be torn (see RemapTable) cannot leave the span, whatever the words
/// say.
/// </summary>
internal readonly struct LeafLayout
{
    public const int UnitsLog2 = 15;
    public const int Units = 1 << UnitsLog2;
    public const int HeaderWords = 1 + SummaryWords;
    public const int RunWordsMax = 5;

    private const int SummaryWords = 8;
    private const int UnitMask = Units - 1;
    private const int NarrowWords = 2;
    private const ulong Narrow = 1UL << 63;
    private const ulong Mixed = 1UL << 38;
    private const int TrialsShift = 39;
    private const int SecondShift = 43;
    private const ulong Second = 15UL << SecondShift;
    private const ulong SpareUnitMask = (1UL << 48) - 1;

    private readonly ulong _allBlocks;

    public LeafLayout(int blocksPerUnit)
    {
        WideWords = blocksPerUnit <= 32 ? 4 : RunWordsMax;
        _allBlocks = BlockStates.Mask(0, blocksPerUnit);
    }

    /// <summary>Words of a run in a leaf that is not narrow: 4 or 5.</summary>
    public int WideWords { get; }

    public int WideWordsFor(int runs) => HeaderWords + (runs * WideWords);

    /// <summary>Words that this leaf occupies.</summary>
    public int WordsIn(ReadOnlySpan<ulong> leaf) => HeaderWords + (RunCount(leaf) * StrideOf(leaf));

    /// <summary>Runs of this leaf: at most as many as fit in the span.</summary>
    public int RunCount(ReadOnlySpan<ulong> leaf) =>
        (int)Math.Min(leaf[0] & uint.MaxValue, (ulong)((leaf.Length - HeaderWords) / StrideOf(leaf)));

    /// <summary>Words from one run to the next.</summary>
    public int StrideOf(ReadOnlySpan<ulong> leaf) => (leaf[0] & Narrow) != 0 ? NarrowWords : WideWords;

    /// <summary>False when certainly none of the units [first, last] of the leaf has an entry.</summary>
    public static bool MayHave(ReadOnlySpan<ulong> leaf, int first, int last)
    {
        int firstGroup = first >> 6;
        int lastGroup = last >> 6;
        for (int word = firstGroup >> 6; word <= lastGroup >> 6; word++)
        {
            ulong mask = ulong.MaxValue;
            mask = word == firstGroup >> 6 ? mask << (firstGroup & 63) : mask;
            mask = word == lastGroup >> 6 ? mask & (ulong.MaxValue >> (63 - (lastGroup & 63))) : mask;
            if ((leaf[1 + word] & mask) != 0)
            {
                return true;
            }
        }
        return false;
    }

    /// <summary>
    /// The index of the first run that ends after this unit; the number of runs when there is none.
    /// </summary>
    public int IndexOfFirstEndingAfter(ReadOnlySpan<ulong> leaf, int unit)
    {
        int stride = StrideOf(leaf);
        int low = 0;
        int high = RunCount(leaf);
        while (low < high)
        {
            int middle = (low + high) >> 1;
            if (EndOf(leaf[HeaderWords + (middle * stride)]) <= unit)
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }
        return low;
    }

    public ReadOnlySpan<ulong> WordsOf(ReadOnlySpan<ulong> leaf, int run)
    {
        int stride = StrideOf(leaf);
        return leaf.Slice(HeaderWords + (run * stride), stride);
    }

    public static int FirstOf(ulong word0) => (int)(word0 & UnitMask);

    public static int EndOf(ulong word0) => FirstOf(word0) + (int)((word0 >> 15) & UnitMask) + 1;

    /// <summary>Decode one run. Only of words that are known to be whole.</summary>
    public RemapRun Read(ReadOnlySpan<ulong> words)
    {
        int first = FirstOf(words[0]);
        return new RemapRun(
            first,
            EndOf(words[0]) - first,
            (UnitState)((int)UnitState.LostUnreadable + (int)((words[0] >> 30) & 3)),
            LocationOf((int)((words[0] >> 32) & 15), words[1]),
            (words[0] & Second) == 0
                ? SpareLocation.None
                : LocationOf((int)((words[0] & Second) >> SecondShift), words[2]),
            (ushort)(words[0] >> 48),
            (ushort)(words[1] >> 48),
            HealTrials.FromPacked((int)(words[0] >> TrialsShift) & HealTrials.PackedMax),
            BlocksOf(words));
    }

    /// <summary>As a run of a wide leaf.</summary>
    public void Write(Span<ulong> words, in RemapRun run)
    {
        Invariant.Check(run.End <= Units);
        Invariant.Check(run.Location.Unit.Value <= (long)SpareUnitMask);
        Invariant.Check(run.Second.Unit.Value <= (long)SpareUnitMask);
        uint state = (uint)(run.State - UnitState.LostUnreadable);
        uint sparePlusOne = (uint)(run.Location.Spare + 1);
        words[0] = (uint)run.First | ((ulong)(uint)(run.Count - 1) << 15) | ((ulong)state << 30)
            | ((ulong)sparePlusOne << 32) | ((ulong)run.Trials.Packed << TrialsShift)
            | ((ulong)(uint)(run.Second.Spare + 1) << SecondShift) | ((ulong)run.Errno << 48);
        words[1] = (ulong)run.Location.Unit.Value | ((ulong)run.Day << 48);
        words[0] |= IsUniform(run.Blocks) ? (ulong)run.Blocks[0] << 36 : Mixed;
        words[2] = (ulong)run.Second.Unit.Value;
        if (WideWords == RunWordsMax)
        {
            words[3] = run.Blocks.Low;
            words[4] = run.Blocks.High;
        }
        else
        {
            words[3] = run.Blocks.Low | (run.Blocks.High << 32);
        }
    }

    /// <summary>Every block in one state, written out for a unit of full length.</summary>
    public bool IsUniform(BlockStates blocks) => blocks.IsUniform(_allBlocks);

    /// <summary>
    /// The form in which a unit's states are stored. Places that the unit lacks are dropped; where the others
    /// agree the unit is written as one of full length, so that the short first unit of a misaligned disk
    /// joins its neighbours.
    /// </summary>
    public BlockStates ToStored(BlockStates blocks, ulong places)
    {
        BlockState first = blocks[BitOperations.TrailingZeroCount(places)];
        return (blocks.MaskOf(first) & places) == places
            ? default(BlockStates).With(_allBlocks, first)
            : FromStored(blocks, places);
    }

    public static BlockStates FromStored(BlockStates blocks, ulong places) =>
        new(blocks.Low & places, blocks.High & places);

    /// <summary>
    /// Make a leaf of runs that stand behind the header, each in the wide form: narrow if it can be.
    /// </summary>
    /// <returns>Words of the leaf.</returns>
    public int Finish(Span<ulong> leaf, int runs)
    {
        Span<ulong> summary = leaf.Slice(1, SummaryWords);
        summary.Clear();
        ulong anyWide = 0;
        for (int run = 0; run < runs; run++)
        {
            ulong word0 = leaf[HeaderWords + (run * WideWords)];
            anyWide |= word0 & (Mixed | Second);
            int last = (EndOf(word0) - 1) >> 6;
            for (int group = FirstOf(word0) >> 6; group <= last; group++)
            {
                summary[group >> 6] |= 1UL << (group & 63);
            }
        }
        leaf[0] = (uint)runs | (anyWide == 0 ? Narrow : 0);
        for (int run = 0; run < runs && anyWide == 0; run++)
        {
            leaf[HeaderWords + (run * NarrowWords)] = leaf[HeaderWords + (run * WideWords)];
            leaf[HeaderWords + (run * NarrowWords) + 1] = leaf[HeaderWords + (run * WideWords) + 1];
        }
        return WordsIn(leaf);
    }

    /// <summary>
    /// Copy runs of a leaf to where a wide leaf is being put together. The words that a narrow leaf lacks
    /// stay as they are: nobody reads them of a run that is neither mixed nor has a second copy.
    /// </summary>
    public void CopyWide(ReadOnlySpan<ulong> leaf, int first, int count, Span<ulong> target)
    {
        if (StrideOf(leaf) == WideWords)
        {
            leaf.Slice(HeaderWords + (first * WideWords), count * WideWords).CopyTo(target);
            return;
        }
        for (int i = 0; i < count; i++)
        {
            ReadOnlySpan<ulong> words = WordsOf(leaf, first + i);
            words.CopyTo(target[(i * WideWords)..]);
        }
    }

    private BlockStates BlocksOf(ReadOnlySpan<ulong> words)
    {
        if ((words[0] & Mixed) == 0)
        {
            return default(BlockStates).With(_allBlocks, (BlockState)((words[0] >> 36) & 3));
        }
        return WideWords == RunWordsMax
            ? new BlockStates(words[3], words[4])
            : new BlockStates(words[3] & uint.MaxValue, words[3] >> 32);
    }

    private static SpareLocation LocationOf(int sparePlusOne, ulong unit) => sparePlusOne == 0
        ? SpareLocation.None
        : new SpareLocation(sparePlusOne - 1, new UnitNumber((long)(unit & SpareUnitMask)));
}
