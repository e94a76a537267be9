using DmRemap.Core.Abstractions;
using DmRemap.Core.Remapping;
using DmRemap.Engine.Background;
using Xunit;

namespace DmRemap.Tests.Engine;

public sealed class ScrubberTests
{
    private const long Rate = 16L << 20;

    private static (EngineBench Bench, Scrubber Scrubber) Make(long mebibytes = 4)
    {
        EngineBench bench = new(new BenchOptions { Blocks = mebibytes * 2048 });
        return (bench, new Scrubber(bench.Device, bench.Loop));
    }

    [Fact]
    public void Whole_device_is_read_at_the_rate_and_counts_as_nobody_s_traffic()
    {
        (EngineBench bench, Scrubber scrubber) = Make();
        bench.Primary.Log = [];
        Instant begun = bench.Loop.Now;
        scrubber.Start(0, 0, Rate);
        bench.Loop.RunUntil(() => !scrubber.IsRunning);
        Assert.Equal(scrubber.Order.Steps, scrubber.Step);
        Assert.Equal(32, bench.Primary.Log.Count);
        Assert.InRange((bench.Loop.Now - begun).TotalMilliseconds, 240, 260);
        Assert.Equal(0, bench.Device.Counters.Reads);
        Assert.Equal(0, bench.Device.Counters.FailedRequests);
    }

    [Fact]
    public void Weak_unit_is_rescued_and_one_that_does_not_read_is_known_and_counted()
    {
        (EngineBench bench, Scrubber scrubber) = Make();
        int left = 2;
        Extent weak = new(new BlockNumber(803), new BlockCount(1));
        bench.Primary.Fault = (_, request) =>
            request.Operation == IoOperation.Read && request.Extent.Overlaps(weak) && left-- > 0 ? 61 : 0;
        bench.Primary.BadForReading.Add(4000);
        scrubber.Start(0, 0, Rate);
        bench.Loop.RunUntil(() => !scrubber.IsRunning);
        bench.Loop.RunFor(Duration.FromSeconds(1));
        Assert.Equal(UnitState.Remapped, bench.Log.Durable[100].State);
        Assert.True(bench.Device.Suspects.Contains(new UnitNumber(500)));
        // The physical block of 8.
        Assert.Equal(8, scrubber.BlocksFailed);
        Assert.Equal(0, bench.Device.Counters.FailedRequests);
    }

    /// <summary>It must not run through to its end, and call a disk good or bad that was not there.</summary>
    [Theory]
    [InlineData(6)]
    [InlineData(110)]
    public void Disk_that_is_away_makes_it_wait_and_go_on_from_there(int errno)
    {
        (EngineBench bench, Scrubber scrubber) = Make();
        scrubber.Start(0, 0, Rate);
        bench.Loop.RunUntil(() => scrubber.Step >= 10);
        bench.Primary.Fault = (_, _) => errno;
        bench.Loop.RunFor(Duration.FromSeconds(100));
        Assert.True(scrubber.IsRunning);
        Assert.True(scrubber.IsWaiting);
        // A step may be passed now and then: it could be one slow sector.
        Assert.InRange(scrubber.Step, 10, 12);
        bench.Loop.RunFor(Duration.FromSeconds(1_000_000));
        Assert.InRange(scrubber.Step, 10, 28);
        bench.Primary.Fault = null;
        bench.Loop.RunUntil(() => !scrubber.IsRunning);
        Assert.Equal(scrubber.Order.Steps, scrubber.Step);
        Assert.False(scrubber.IsWaiting);
    }

    /// <summary>A drive that tries a sector longer than the kernel waits names no medium error.</summary>
    [Fact]
    public void Sector_that_only_times_out_is_passed_and_counted()
    {
        (EngineBench bench, Scrubber scrubber) = Make();
        Extent slow = new(new BlockNumber(803), new BlockCount(1));
        bench.Primary.Fault = (_, request) =>
            request.Operation == IoOperation.Read && request.Extent.Overlaps(slow) ? 110 : 0;
        scrubber.Start(0, 0, Rate);
        bench.Loop.RunFor(Duration.FromSeconds(120));
        Assert.False(scrubber.IsRunning);
        Assert.Equal(scrubber.Order.Steps, scrubber.Step);
        Assert.Equal(8, scrubber.BlocksFailed);
        Assert.Equal(0, bench.Device.Suspects.Count);
    }

    [Fact]
    public void Storm_makes_it_wait_until_it_is_cleared()
    {
        (EngineBench bench, Scrubber scrubber) = Make();
        bench.Device.Breaker.OnReadsNowhere();
        long operations = bench.Primary.Operations;
        scrubber.Start(0, 0, Rate);
        bench.Loop.RunFor(Duration.FromSeconds(60));
        Assert.True(scrubber.IsWaiting);
        Assert.Equal(operations, bench.Primary.Operations);
        bench.Device.Breaker.Clear();
        bench.Loop.RunUntil(() => !scrubber.IsRunning);
    }

    [Fact]
    public void Stopped_it_goes_on_where_it_was_and_a_second_start_only_takes_the_rate()
    {
        (EngineBench bench, Scrubber scrubber) = Make();
        scrubber.Start(0, 0, Rate);
        bench.Loop.RunUntil(() => scrubber.Step == 7);
        scrubber.Stop();
        bench.Loop.RunFor(Duration.FromSeconds(5));
        Assert.Equal(7, scrubber.Step);
        Scrubber next = new(bench.Device, bench.Loop);
        next.Start(scrubber.Step, 3, Rate);
        next.Start(0, 0, Rate * 4);
        Assert.Equal(7, next.Step);
        Assert.Equal(Rate * 4, next.Rate);
        bench.Loop.RunUntil(() => !next.IsRunning);
        Assert.Equal(3, next.BlocksFailed);
    }

    /// <summary>A client is always there: a tenth of the rate, and it ends all the same.</summary>
    [Fact]
    public void Busy_device_slows_it_to_a_tenth()
    {
        (EngineBench bench, Scrubber scrubber) = Make(1);
        bench.Spares[0].Hang = _ => true;
        bench.Primary.BadForWriting.Add(100);
        BufferSlice data = AlignedMemory.Allocate(512);
        bench.Start(IoOperation.Write, 100, 1, data, IoFlags.None, null);
        bench.Loop.RunFor(Duration.FromSeconds(1));
        Assert.Equal(1, bench.Device.InFlight);
        Instant begun = bench.Loop.Now;
        // Not the held unit: it would wait for the write.
        scrubber.Start(1, 0, Rate);
        bench.Loop.RunUntil(() => !scrubber.IsRunning);
        Assert.InRange((bench.Loop.Now - begun).TotalMilliseconds, 530, 640);
    }

    [Fact]
    public void Device_that_stops_ends_it_and_no_timer_is_left()
    {
        (EngineBench bench, Scrubber scrubber) = Make();
        scrubber.Start(0, 0, Rate);
        bench.Loop.RunUntil(() => scrubber.Step == 3);
        scrubber.Stop();
        bench.Loop.RunUntilIdle();
        Assert.Equal(3, scrubber.Step);
    }
}
