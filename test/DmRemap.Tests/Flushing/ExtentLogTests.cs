using System;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Flushing;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Flushing;

/// <summary>What was written since a flush: too much may be named, too little never.</summary>
public sealed class ExtentLogTests
{
    [Fact]
    public void Sequential_writes_are_one_extent()
    {
        ExtentLog log = new(4);
        for (int i = 0; i < 100; i++)
        {
            log.Add(Of(i * 8, 8));
        }
        Assert.Equal(1, log.Count);
        Assert.Equal(Of(0, 800), log[0]);
    }

    /// <summary>Against a set of blocks; sizes that fill the log many times over.</summary>
    [Theory]
    [InlineData(2, 60)]
    [InlineData(8, 200)]
    [InlineData(64, 5_000)]
    public void Every_block_that_was_added_is_named_and_only_gaps_are_named_besides(int capacity, int writes)
    {
        for (int seed = 1; seed <= 50; seed++)
        {
            Random draw = new(seed);
            ExtentLog log = new(capacity);
            bool[] written = new bool[4096];
            int first = written.Length;
            int end = 0;
            for (int i = 0; i < writes; i++)
            {
                int start = draw.Next(written.Length - 32);
                int count = draw.Next(1, 32);
                log.Add(Of(start, count));
                written.AsSpan(start, count).Fill(true);
                first = Math.Min(first, start);
                end = Math.Max(end, start + count);
                Assert.InRange(log.Count, 1, capacity);
            }
            bool[] named = new bool[written.Length];
            for (int i = 0; i < log.Count; i++)
            {
                named.AsSpan((int)log[i].Start.Value, (int)log[i].Count.Value).Fill(true);
            }
            for (int block = 0; block < written.Length; block++)
            {
                Assert.True(named[block] || !written[block], $"seed={seed}: block {block} is forgotten");
                bool isInside = block >= first && block < end;
                Assert.True(isInside || !named[block], $"seed={seed}: block {block} was never written");
            }
        }
    }

    [Fact]
    public void Few_writes_far_apart_are_named_exactly_also_at_the_end_of_the_largest_disk()
    {
        ExtentLog log = new(16);
        long last = Limits.UnitsMax * 128;
        for (int i = 0; i < 40; i++)
        {
            log.Add(Of(i % 4 * (last / 4), 8));
        }
        log.Add(Of(last - 8, 8));
        Assert.InRange(log.Count, 5, 16);
        for (int i = 0; i < log.Count; i++)
        {
            Assert.Equal(8, log[i].Count.Value);
        }
    }

    [Fact]
    public void Adding_allocates_nothing()
    {
        ExtentLog log = new(64);
        Random draw = new(1);
        log.Add(Of(0, 1));
        Fill(log, draw, 200);
        Allocations.AssertNone(() => Fill(log, draw, 10_000));
    }

    private static void Fill(ExtentLog log, Random draw, int writes)
    {
        for (int i = 0; i < writes; i++)
        {
            log.Add(Of(draw.Next(1_000_000), 8));
        }
    }

    private static Extent Of(long start, long count) => new(new BlockNumber(start), new BlockCount(count));
}
