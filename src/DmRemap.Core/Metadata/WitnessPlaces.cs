using System;
using DmRemap.Core.Abstractions;

namespace DmRemap.Core.Metadata;

/// <summary>
/// Which bytes of the primary each word of a <see cref="PrimaryWitness"/> covers: part of the format, because
/// the next start computes the same words anew. Where partition tables and file systems keep what changes
/// with every mount, at the device's start and at 1 MiB, where the first partition begins; the device's end
/// (the second partition table); and blocks spread over all of it.
/// </summary>
public static class WitnessPlaces
{
    public const int RangeBytesMax = 60 * 1024;

    /// <summary>Of a spread place.</summary>
    public const int RangesMax = 3;

    private const int BlockBytes = 4096;
    private const int HeadBytes = 64 * 1024;
    private const int FirstPartition = 1024 * 1024;
    private const int HeadPlaces = 3;
    private const int Heads = 2;
    private const int TailPlaces = 2;
    private const int FirstSpread = (Heads * HeadPlaces) + TailPlaces;
    private const int SpreadBlocks = (PrimaryWitness.Places - FirstSpread) * RangesMax;

    /// <summary>
    /// How many ranges a place has; its word is the CRC of all of them, one after the other.
    /// </summary>
    public static int Ranges(int place) => place < FirstSpread ? 1 : RangesMax;

    /// <summary>
    /// Empty when the primary is too small to have it. Aligned to the primary's logical block.
    /// </summary>
    /// <param name="place">0 to 29.</param>
    /// <param name="range">Below Ranges(place).</param>
    /// <param name="primaryBytes">A multiple of the logical block.</param>
    public static ByteRegion RangeOf(int place, int range, long primaryBytes)
    {
        Invariant.Check(place is >= 0 and < PrimaryWitness.Places);
        Invariant.Check(range >= 0 && range < Ranges(place));
        ByteRegion region = place switch
        {
            < Heads * HeadPlaces => InHead(place % HeadPlaces, place / HeadPlaces * (long)FirstPartition),
            FirstSpread - 2 => new ByteRegion(primaryBytes - HeadBytes, HeadBytes - BlockBytes),
            FirstSpread - 1 => new ByteRegion(primaryBytes - BlockBytes, BlockBytes),
            _ => Spread(((place - FirstSpread) * RangesMax) + range, primaryBytes),
        };
        bool isInside = region.Start >= 0 && region.Start <= primaryBytes - region.Bytes;
        return isInside ? region : default;
    }

    /// <summary>The first block, the rest of 64 KiB, and the block behind it (btrfs).</summary>
    private static ByteRegion InHead(int part, long start) => part switch
    {
        0 => new ByteRegion(start, BlockBytes),
        1 => new ByteRegion(start + BlockBytes, HeadBytes - BlockBytes),
        _ => new ByteRegion(start + HeadBytes, BlockBytes),
    };

    private static ByteRegion Spread(int index, long primaryBytes)
    {
        long blocks = primaryBytes / BlockBytes;
        long block = (long)((Int128)blocks * (index + 1) / (SpreadBlocks + 1));
        return new ByteRegion(block * BlockBytes, BlockBytes);
    }
}
