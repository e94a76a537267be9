using System;
using System.Collections.Generic;
using DmRemap.Control.Contracts;

namespace DmRemap.Cli.Losses;

/// <summary>What is lost in one file system, in its own blocks, and back again.</summary>
/// <param name="lost">Ascending, in blocks of the device.</param>
/// <param name="start">Where the file system begins, in blocks of the device.</param>
/// <param name="ratio">Blocks of the device in one of the file system's.</param>
internal sealed class LostInPart(IReadOnlyList<LostExtent> lost, long start, int ratio)
{
    /// <summary>The blocks of the file system that are hit, the first ones.</summary>
    public SortedSet<long> Blocks(int most)
    {
        SortedSet<long> blocks = [];
        foreach (LostExtent extent in lost)
        {
            long last = (extent.FirstBlock + extent.Blocks - 1 - start) / ratio;
            for (long block = (extent.FirstBlock - start) / ratio;
                block <= last && blocks.Count <= most; block++)
            {
                blocks.Add(block);
            }
        }
        return blocks;
    }

    /// <summary>The lost blocks of the device that lie in these of the file system.</summary>
    public LostExtent[] ExtentsOf(SortedSet<long> blocks)
    {
        List<LostExtent> merged = [];
        int at = 0;
        foreach (long block in blocks)
        {
            long first = start + (block * ratio);
            long end = first + ratio;
            while (at > 0 && lost[at - 1].FirstBlock + lost[at - 1].Blocks > first)
            {
                at--;
            }
            for (; at < lost.Count && lost[at].FirstBlock < end; at++)
            {
                long from = Math.Max(first, lost[at].FirstBlock);
                long to = Math.Min(end, lost[at].FirstBlock + lost[at].Blocks);
                if (from >= to)
                {
                    continue;
                }
                LostExtent? before = merged.Count > 0 ? merged[^1] : null;
                if (before is not null && before.FirstBlock + before.Blocks == from)
                {
                    merged[^1] = new LostExtent(before.FirstBlock, before.Blocks + to - from);
                }
                else
                {
                    merged.Add(new LostExtent(from, to - from));
                }
            }
        }
        return [.. merged];
    }
}
