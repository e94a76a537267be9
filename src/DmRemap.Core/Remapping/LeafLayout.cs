using System;
using System.Numerics;
using DmRemap.Core.Abstractions;

namespace DmRemap.Core.Remapping;

/// <summary>
/// The words of a leaf:
/// <code>
///   word 0        number of runs
///   words 1..8    occupancy: bit i is set when one of units [64 i, 64 i + 64) has an entry
/// then a run word 0: first unit 15 bits | count - 1: 15 | state - 2: 2 | spare + 1: 4 | 12 0 | errno: 16
///                 word 1: spare unit 48 bits | day: 16
///                 word 2: block states, low and high; in words 2 and 3 when a unit has more than 32 blocks
/// </code>
/// What this type reads while a leaf may be torn (see RemapTable) cannot leave the span, whatever the words
/// say.
/// </summary>
internal readonly struct LeafLayout
{
    public const int UnitsLog2 = 15;
    public const int Units = 1 << UnitsLog2;
    public const int HeaderWords = 1 + SummaryWords;

    private const int SummaryWords = 8;
    private const int UnitMask = Units - 1;
    private const ulong SpareUnitMask = (1UL << 48) - 1;

    private readonly ulong _allBlocks;

    public LeafLayout(int blocksPerUnit)
    {
        RunWords = blocksPerUnit <= 32 ? 3 : 4;
        _allBlocks = BlockStates.Mask(0, blocksPerUnit);
    }

    /// <summary>3 or 4.</summary>
    public int RunWords { get; }

    public int WordsFor(int runs) => HeaderWords + (runs * RunWords);

    /// <summary>Runs of this leaf: at most as many as fit in the span.</summary>
    public int RunCount(ReadOnlySpan<ulong> leaf) =>
        (int)Math.Min(leaf[0], (ulong)((leaf.Length - HeaderWords) / RunWords));

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
        int low = 0;
        int high = RunCount(leaf);
        while (low < high)
        {
            int middle = (low + high) >> 1;
            if (EndOf(leaf[HeaderWords + (middle * RunWords)]) <= unit)
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

    public ReadOnlySpan<ulong> WordsOf(ReadOnlySpan<ulong> leaf, int run) =>
        leaf.Slice(HeaderWords + (run * RunWords), RunWords);

    public static int FirstOf(ulong word0) => (int)(word0 & UnitMask);

    public static int EndOf(ulong word0) => FirstOf(word0) + (int)((word0 >> 15) & UnitMask) + 1;

    /// <summary>Decode one run. Only of words that are known to be whole.</summary>
    public RemapRun Read(ReadOnlySpan<ulong> words)
    {
        int first = FirstOf(words[0]);
        int sparePlusOne = (int)((words[0] >> 32) & 15);
        UnitNumber spareUnit = new((long)(words[1] & SpareUnitMask));
        return new RemapRun(
            first,
            EndOf(words[0]) - first,
            (UnitState)((int)UnitState.LostUnreadable + (int)((words[0] >> 30) & 3)),
            sparePlusOne == 0 ? SpareLocation.None : new SpareLocation(sparePlusOne - 1, spareUnit),
            (ushort)(words[0] >> 48),
            (ushort)(words[1] >> 48),
            RunWords == 3
                ? new BlockStates(words[2] & uint.MaxValue, words[2] >> 32)
                : new BlockStates(words[2], words[3]));
    }

    public void Write(Span<ulong> words, in RemapRun run)
    {
        Invariant.Check(run.End <= Units);
        Invariant.Check(run.Location.Unit.Value <= (long)SpareUnitMask);
        uint state = (uint)(run.State - UnitState.LostUnreadable);
        uint sparePlusOne = (uint)(run.Location.Spare + 1);
        words[0] = (uint)run.First | ((ulong)(uint)(run.Count - 1) << 15) | ((ulong)state << 30)
            | ((ulong)sparePlusOne << 32) | ((ulong)run.Errno << 48);
        words[1] = (ulong)run.Location.Unit.Value | ((ulong)run.Day << 48);
        if (RunWords == 3)
        {
            words[2] = run.Blocks.Low | (run.Blocks.High << 32);
        }
        else
        {
            words[2] = run.Blocks.Low;
            words[3] = run.Blocks.High;
        }
    }

    /// <summary>Every block in one state, written out for a unit of full length.</summary>
    public bool IsUniform(BlockStates blocks) =>
        (blocks.Low == 0 || blocks.Low == _allBlocks) && (blocks.High == 0 || blocks.High == _allBlocks);

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

    public void WriteHeader(Span<ulong> leaf, int runs)
    {
        leaf[0] = (ulong)runs;
        Span<ulong> summary = leaf.Slice(1, SummaryWords);
        summary.Clear();
        for (int run = 0; run < runs; run++)
        {
            ulong word0 = leaf[HeaderWords + (run * RunWords)];
            int last = (EndOf(word0) - 1) >> 6;
            for (int group = FirstOf(word0) >> 6; group <= last; group++)
            {
                summary[group >> 6] |= 1UL << (group & 63);
            }
        }
    }
}
