using System;
using DmRemap.Core.Abstractions;

namespace DmRemap.Core.Scrubbing;

/// <summary>
/// The order in which a scrub reads a device: staggered. The device is taken as regions of 128 MiB; first the
/// first MiB of each region is read, then the second of each, and so on. Bad sectors lie in clusters, so a
/// region that has some shows it long before a scrub from end to end would have come there (A. Oprea and
/// A. Juels, "A Clean-Slate Look at Disk Scrubbing", 2010). A step is one read of at most 128 KiB.
/// </summary>
public sealed class ScrubOrder
{
    public const long RegionBytes = 128L << 20;
    public const long SegmentBytes = 1L << 20;
    public const int StepBytes = Limits.SliceBytes;

    private const long StepsOfSegment = SegmentBytes / StepBytes;
    private const long SegmentsOfRegion = RegionBytes / SegmentBytes;

    private readonly long _bytes;
    private readonly long _regions;
    private readonly BlockSize _blockSize;

    public ScrubOrder(BlockCount blocks, BlockSize blockSize)
    {
        _blockSize = blockSize;
        _bytes = blocks.ToBytes(blockSize).Value;
        _regions = Math.Max(1, ((_bytes - 1) / RegionBytes) + 1);
    }

    /// <summary>Of one pass; some of them are empty where the last region is short.</summary>
    public long Steps => _regions * SegmentsOfRegion * StepsOfSegment;

    /// <summary>Of the whole device.</summary>
    public long Bytes => _bytes;

    /// <summary>What the steps before this one read.</summary>
    /// <param name="step">0 to Steps.</param>
    public long BytesBefore(long step)
    {
        Invariant.Check(step >= 0 && step <= Steps);
        (long segmentStep, long inSegment) = Math.DivRem(step, StepsOfSegment);
        (long segment, long region) = Math.DivRem(segmentStep, _regions);
        // Only the last region may be short, and it comes last in each round.
        long last = _bytes - ((_regions - 1) * RegionBytes);
        long ofLast = Math.Min(last, segment * SegmentBytes);
        long inThis = inSegment * StepBytes;
        return ((_regions - 1) * segment * SegmentBytes) + ofLast + (region * SegmentBytes)
            + (region == _regions - 1 ? Math.Min(inThis, last - ofLast) : inThis);
    }

    /// <summary>What a step reads: empty behind the device's end.</summary>
    /// <param name="step">0 to Steps - 1.</param>
    public Extent At(long step)
    {
        Invariant.Check(step >= 0 && step < Steps);
        (long segmentStep, long inSegment) = Math.DivRem(step, StepsOfSegment);
        (long segment, long region) = Math.DivRem(segmentStep, _regions);
        long start = (region * RegionBytes) + (segment * SegmentBytes) + (inSegment * StepBytes);
        long end = Math.Min(start + StepBytes, _bytes);
        return start >= _bytes
            ? default
            : Extent.FromBounds(
                new BlockNumber(start / _blockSize.Bytes), new BlockNumber(end / _blockSize.Bytes));
    }

    /// <summary>The first step at or after this one that reads something; Steps: none.</summary>
    public long NextFrom(long step)
    {
        while (step < Steps && At(step).IsEmpty)
        {
            // The rest of an empty segment is empty too.
            step = ((step / StepsOfSegment) + 1) * StepsOfSegment;
        }
        return step;
    }
}
