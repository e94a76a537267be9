using DmRemap.Core.Abstractions;
using DmRemap.Core.Scrubbing;
using Xunit;

namespace DmRemap.Tests.Core;

public sealed class ScrubOrderTests
{
    private static ScrubOrder OrderOf(long bytes, int block) =>
        new(new BlockCount(bytes / block), new BlockSize(block));

    [Theory]
    [InlineData(4096, 512)]
    [InlineData(16 << 20, 4096)]
    [InlineData((16 << 20) + 512, 512)]
    [InlineData((128 << 20) + (5 << 20) + 4096, 4096)]
    [InlineData(300L << 20, 512)]
    public void Every_block_is_read_once_and_no_step_is_longer_than_a_slice(long bytes, int block)
    {
        ScrubOrder order = OrderOf(bytes, block);
        bool[] isRead = new bool[bytes / block];
        long read = 0;
        for (long step = order.NextFrom(0); step < order.Steps; step = order.NextFrom(step + 1))
        {
            Extent extent = order.At(step);
            Assert.Equal(read * block, order.BytesBefore(step));
            Assert.InRange(extent.Count.Value * block, 1, ScrubOrder.StepBytes);
            for (long at = extent.Start.Value; at < extent.End.Value; at++)
            {
                Assert.False(isRead[at]);
                isRead[at] = true;
                read++;
            }
        }
        Assert.Equal(isRead.Length, read);
        Assert.Equal((bytes, bytes), (order.Bytes, order.BytesBefore(order.Steps)));
    }

    [Fact]
    public void First_the_first_mebibyte_of_each_region_then_the_second()
    {
        ScrubOrder order = OrderOf(300L << 20, 4096);
        long perSegment = ScrubOrder.SegmentBytes / ScrubOrder.StepBytes;
        Assert.Equal(0, order.At(0).Start.Value);
        Assert.Equal((128L << 20) / 4096, order.At(perSegment).Start.Value);
        Assert.Equal((256L << 20) / 4096, order.At(2 * perSegment).Start.Value);
        Assert.Equal((1L << 20) / 4096, order.At(3 * perSegment).Start.Value);
    }

    /// <summary>The last region is short: steps that read nothing are skipped.</summary>
    [Fact]
    public void Empty_steps_are_skipped_and_the_end_is_the_end()
    {
        ScrubOrder order = OrderOf((128L << 20) + 4096, 4096);
        long step = 0;
        long visited = 0;
        while ((step = order.NextFrom(step)) < order.Steps)
        {
            visited++;
            step++;
        }
        Assert.Equal(((128L << 20) / ScrubOrder.StepBytes) + 1, visited);
        Assert.Equal(order.Steps, order.NextFrom(order.Steps));
        Assert.Throws<InvariantException>(() => order.At(order.Steps));
    }

    [Fact]
    public void Pace_lets_a_busy_device_postpone_each_step_a_bounded_number_of_times()
    {
        ScrubPace pace = new(16L << 20);
        Assert.Equal(7_812_500, pace.Interval(ScrubOrder.StepBytes).Nanoseconds);
        Assert.True(pace.MayBegin(isDeviceBusy: false));
        int postponed = 0;
        while (!pace.MayBegin(isDeviceBusy: true))
        {
            postponed++;
        }
        Assert.Equal(9, postponed);
        Assert.False(pace.MayBegin(isDeviceBusy: true));
    }
}
