using System;
using System.Threading;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Accounting;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Core;

public sealed class LatencyHistogramTests
{
    [Fact]
    public void Nothing_recorded_is_all_zero() =>
        Assert.Equal(default, new LatencyHistogram().Summarize());

    [Fact]
    public void Buckets_tile_all_lengths_and_are_at_most_an_eighth_wide()
    {
        long start = 0;
        for (int bucket = 0; bucket < LatencyHistogram.Buckets; bucket++)
        {
            Assert.Equal(bucket, LatencyHistogram.BucketOf(start));
            long end = LatencyHistogram.EndOf(bucket);
            Assert.Equal(bucket, LatencyHistogram.BucketOf(end - 1));
            Assert.True(start < 1024 ? end - start == 128 : end - start <= start / 8);
            start = end;
        }
        Assert.InRange(start, 1_000_000_000_000, 1_200_000_000_000);
    }

    [Theory]
    [InlineData(-1, 0)]
    [InlineData(long.MinValue, 0)]
    [InlineData(1_030_792_151_040, LatencyHistogram.Buckets - 1)]
    [InlineData(long.MaxValue, LatencyHistogram.Buckets - 1)]
    public void Lengths_outside_count_in_the_first_and_the_last_bucket(long nanoseconds, int bucket) =>
        Assert.Equal(bucket, LatencyHistogram.BucketOf(nanoseconds));

    [Fact]
    public void Quantiles_agree_with_sorting_to_an_eighth_and_never_below()
    {
        Random random = new(20261127);
        long[] all = new long[5000];
        LatencyHistogram histogram = new();
        long total = 0;
        for (int i = 0; i < all.Length; i++)
        {
            all[i] = (long)Math.Exp(random.NextDouble() * 25);
            total += all[i];
            histogram.Record(new Duration(all[i]));
        }
        Array.Sort(all);
        LatencySummary summary = histogram.Summarize();
        Assert.Equal(all.Length, summary.Count);
        Assert.Equal(total, summary.Total.Nanoseconds);
        Assert.Equal(all[^1], summary.Longest.Nanoseconds);
        CheckQuantile(all[2499], summary.Median);
        CheckQuantile(all[4499], summary.Percent90);
        CheckQuantile(all[4949], summary.Percent99);
        CheckQuantile(all[4994], summary.Permille999);
    }

    [Fact]
    public void Few_operations_have_the_longest_as_their_rare_quantiles()
    {
        LatencyHistogram histogram = new();
        histogram.Record(Duration.FromMilliseconds(1));
        histogram.Record(Duration.FromSeconds(31));
        LatencySummary summary = histogram.Summarize();
        Assert.InRange(summary.Median.TotalMilliseconds, 1, 1.125);
        Assert.Equal(Duration.FromSeconds(31), summary.Percent99);
        Assert.Equal(Duration.FromSeconds(31), summary.Permille999);
    }

    [Fact]
    public void Recording_allocates_nothing_and_summing_up_neither()
    {
        LatencyHistogram histogram = new();
        LatencySummary summary = default;
        long recorded = 0;
        Allocations.AssertNone(() =>
        {
            for (int i = 0; i < 1000; i++)
            {
                histogram.Record(new Duration(i * 1000L));
                recorded++;
            }
            summary = histogram.Summarize();
        });
        Assert.Equal(recorded, summary.Count);
    }

    [Fact]
    public void Another_thread_reads_while_it_is_written()
    {
        LatencyHistogram histogram = new();
        long last = 0;
        Thread writer = new(() =>
        {
            for (int i = 0; i < 2_000_000; i++)
            {
                histogram.Record(new Duration(500 + (i & 0xFFFF)));
            }
        });
        writer.Start();
        while (writer.IsAlive)
        {
            LatencySummary summary = histogram.Summarize();
            Assert.True(summary.Count >= last);
            Assert.True(summary.Longest.Nanoseconds <= 500 + 0xFFFF);
            last = summary.Count;
        }
        writer.Join();
        Assert.Equal(2_000_000, histogram.Summarize().Count);
    }

    private static void CheckQuantile(long exact, Duration told) =>
        Assert.InRange(told.Nanoseconds, exact, exact + Math.Max(128, exact / 8));
}
