using DmRemap.Core.Abstractions;
using DmRemap.Core.Flushing;
using DmRemap.Engine.Flushing;
using Xunit;

namespace DmRemap.Tests.Engine;

/// <summary>
/// A flush that nobody asked for has failed, behind a forced write (F-9): its disk says so once, and what it
/// may have lost is told by the next flush that somebody asks for.
/// </summary>
public sealed class LossBehindForcedWriteTests
{
    [Fact]
    public void Flush_that_succeeds_after_it_fails_all_the_same_and_lists_what_was_acknowledged()
    {
        EngineBench bench = new();
        Assert.Equal(IoStatus.Ok, bench.Flush().Status);
        Assert.Equal(IoStatus.Ok, bench.Write(80, EngineBench.Pattern(8, 512, 1)).Status);
        bench.Primary.Hang = request => request.Operation == IoOperation.Flush;
        IoStatus flushed = IoStatus.Pending;
        bench.Start(IoOperation.Flush, 0, 0, default, IoFlags.None, request => flushed = request.Status);
        bench.Loop.RunFor(Duration.FromMilliseconds(1));
        Lose(bench);
        bench.Primary.Hang = null;
        bench.Primary.ReleaseHanging();
        bench.Loop.RunUntilIdle();
        Assert.Equal(IoStatus.DeviceError, flushed);
        AssertListed(bench);
    }

    [Fact]
    public void Flush_that_is_asked_for_later_fails_once_and_status_knows_before()
    {
        EngineBench bench = new();
        Assert.Equal(IoStatus.Ok, bench.Flush().Status);
        Assert.Equal(IoStatus.Ok, bench.Write(80, EngineBench.Pattern(8, 512, 1)).Status);
        Lose(bench);
        bench.Device.TakeWhatIsNotNoted();
        AssertListed(bench);
        Assert.True(bench.Device.Primary.HasFailedFlush);
        FlushClient client = new();
        Assert.True(bench.Device.WriteCache.ForcesWrites);
        Assert.Equal(IoStatus.DeviceError, bench.Flush().Status);
        Assert.True(bench.Device.ClearUncertain(UncertainCause.FlushFailed));
        bench.Device.Introduce(client);
        Assert.Equal(IoStatus.Ok, bench.Flush().Status);
    }

    /// <summary>
    /// It was out when another failed, and now fails itself: with what was written since, which the drive
    /// says no second time.
    /// </summary>
    [Fact]
    public void Flush_that_fails_after_another_loss_was_noted_takes_note_of_what_was_written_between()
    {
        EngineBench bench = new(new BenchOptions { WriteCache = WriteCachePolicy.Keep });
        Assert.Equal(IoStatus.Ok, bench.Flush().Status);
        Assert.Equal(IoStatus.Ok, bench.Write(400, EngineBench.Pattern(8, 512, 1)).Status);
        bench.Primary.Hang = request => request.Operation == IoOperation.Flush;
        IoStatus flushed = IoStatus.Pending;
        bench.Start(IoOperation.Flush, 0, 0, default, IoFlags.None, request => flushed = request.Status);
        bench.Loop.RunFor(Duration.FromMilliseconds(1));
        Lose(bench);
        bench.Device.TakeWhatIsNotNoted();
        Assert.True(bench.Device.ClearUncertain(UncertainCause.FlushFailed));
        Assert.Equal(IoStatus.Ok, bench.Write(80, EngineBench.Pattern(8, 512, 1)).Status);
        bench.Primary.Fault = (_, request) => request.Operation == IoOperation.Flush ? 5 : 0;
        bench.Primary.Hang = null;
        bench.Primary.ReleaseHanging();
        bench.Loop.RunUntilIdle();
        bench.Primary.Fault = null;
        Assert.Equal(IoStatus.DeviceError, flushed);
        AssertListed(bench);
    }

    private static void Lose(EngineBench bench)
    {
        bench.Primary.CacheLosses++;
        bench.Primary.IsLossOfFlush = true;
    }

    private static void AssertListed(EngineBench bench)
    {
        Assert.Equal(1, bench.Device.Uncertain.Count);
        Assert.Equal(new Extent(new BlockNumber(80), new BlockCount(8)), bench.Device.Uncertain[0]);
    }
}
