using System;
using System.Numerics;
using System.Runtime.CompilerServices;
using System.Threading;
using DmRemap.Core.Abstractions;

namespace DmRemap.Core.Accounting;

/// <summary>
/// How long operations took, in buckets that grow with what they count: eight for each doubling, so that a
/// bucket's bounds lie at most an eighth apart. Fixed memory, whatever is counted; one thread records, any
/// thread reads, and neither waits.
/// <code>
///   bucket   0     …   7       8       …  15      16   …      247
///   from     0 ns      896 ns  1,024 ns   1,920   2,048       1,030 s (and everything above)
/// </code>
/// </summary>
public sealed class LatencyHistogram
{
    /// <summary>Of each histogram.</summary>
    public const int Buckets = (DoublingsMax + 1) * BucketsPerDoubling;

    private const int BucketsPerDoublingLog2 = 3;
    private const int BucketsPerDoubling = 1 << BucketsPerDoublingLog2;

    /// <summary>Below this many nanoseconds (as a power of two) buckets have one width.</summary>
    private const int LinearLog2 = 10;

    private const int DoublingsMax = 30;

    private readonly long[] _counts = new long[Buckets];
    private long _longest;
    private long _total;

    /// <summary>One operation more. The recording thread only.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Record(Duration elapsed)
    {
        long nanoseconds = elapsed.Nanoseconds;
        _counts[BucketOf(nanoseconds)]++;
        _total += nanoseconds;
        if (nanoseconds > _longest)
        {
            _longest = nanoseconds;
        }
    }

    /// <summary>
    /// What was counted up to now. From another thread than the recording one it may lack the operations of
    /// this very moment.
    /// </summary>
    public LatencySummary Summarize()
    {
        Span<long> counts = stackalloc long[Buckets];
        long count = 0;
        for (int i = 0; i < Buckets; i++)
        {
            counts[i] = Volatile.Read(ref _counts[i]);
            count += counts[i];
        }
        if (count == 0)
        {
            return default;
        }
        Duration longest = new(Volatile.Read(ref _longest));
        return new LatencySummary(
            count,
            new Duration(Volatile.Read(ref _total)),
            AtMost(counts, count, 500, longest),
            AtMost(counts, count, 900, longest),
            AtMost(counts, count, 990, longest),
            AtMost(counts, count, 999, longest),
            longest);
    }

    /// <summary>All lengths together. The recording thread only.</summary>
    internal Duration Total => new(_total);

    /// <summary>
    /// What was recorded since the counts of before, which become those of now. The recording thread only.
    /// </summary>
    internal long Subtract(Span<long> before, Span<long> since)
    {
        long count = 0;
        for (int i = 0; i < Buckets; i++)
        {
            since[i] = _counts[i] - before[i];
            before[i] = _counts[i];
            count += since[i];
        }
        return count;
    }

    /// <summary>A length that so many of a thousand did not exceed; zero where there is none.</summary>
    internal static Duration Quantile(ReadOnlySpan<long> counts, long count, int permille) =>
        count == 0 ? Duration.Zero : AtMost(counts, count, permille, new Duration(EndOf(Buckets - 1)));

    /// <summary>The bucket that counts operations of this length. Below zero counts as zero.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static int BucketOf(long nanoseconds)
    {
        if (nanoseconds < 1L << LinearLog2)
        {
            return (int)(Math.Max(nanoseconds, 0) >> (LinearLog2 - BucketsPerDoublingLog2));
        }
        int log2 = BitOperations.Log2((ulong)nanoseconds);
        int within = (int)(nanoseconds >> (log2 - BucketsPerDoublingLog2)) & (BucketsPerDoubling - 1);
        int bucket = ((log2 - LinearLog2 + 1) << BucketsPerDoublingLog2) + within;
        return Math.Min(bucket, Buckets - 1);
    }

    /// <summary>The shortest length that the next bucket counts.</summary>
    internal static long EndOf(int bucket)
    {
        int next = bucket + 1;
        if (next <= BucketsPerDoubling)
        {
            return (long)next << (LinearLog2 - BucketsPerDoublingLog2);
        }
        int log2 = (next >> BucketsPerDoublingLog2) - 1 + LinearLog2;
        long within = (next & (BucketsPerDoubling - 1)) + BucketsPerDoubling;
        return within << (log2 - BucketsPerDoublingLog2);
    }

    /// <summary>
    /// A length that so many of a thousand did not exceed: the upper bound of their bucket, or the longest of
    /// all.
    /// </summary>
    private static Duration AtMost(ReadOnlySpan<long> counts, long count, int permille, Duration longest)
    {
        // Rounded up: of few operations 999 of a thousand are all, not all but the longest.
        Int128 rank = (((Int128)count * permille) + 999) / 1000;
        Int128 seen = 0;
        for (int i = 0; i < counts.Length - 1; i++)
        {
            seen += counts[i];
            if (seen >= rank)
            {
                return new Duration(Math.Min(EndOf(i) - 1, longest.Nanoseconds));
            }
        }
        return longest;
    }
}

/// <summary>
/// What a histogram tells: so many operations, and lengths that so much of them did not exceed. All zero
/// where there was none.
/// </summary>
public readonly record struct LatencySummary(
    long Count,
    Duration Total,
    Duration Median,
    Duration Percent90,
    Duration Percent99,
    Duration Permille999,
    Duration Longest);
