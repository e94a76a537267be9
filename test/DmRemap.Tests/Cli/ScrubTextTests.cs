using DmRemap.Cli.Output;
using DmRemap.Control.Contracts;
using Xunit;

namespace DmRemap.Tests.Cli;

/// <summary>What people read of a scrub.</summary>
public sealed class ScrubTextTests
{
    private static ScrubReport Running => new()
    {
        State = ScrubStates.Running,
        Done = 0.125,
        BytesPerSecond = 16 << 20,
        BytesPerSecondMeasured = 8 << 20,
        SecondsLeft = 112,
        BlocksFailed = 0,
    };

    [Fact]
    public void One_that_runs_has_its_rate_and_the_time_left()
    {
        Assert.Equal(
            "12.5 %, 8 MiB/s, time left 1 min 52 s (at most 16 MiB/s), no block failed",
            ScrubText.Of(Running));
        Assert.Equal(
            "12.5 %, rate not known yet, time left unknown (at most 16 MiB/s), no block failed",
            ScrubText.Of(Running with { BytesPerSecondMeasured = null, SecondsLeft = null }));
    }

    [Fact]
    public void One_that_waits_says_for_what()
    {
        ScrubReport waiting = Running with
        {
            State = ScrubStates.Waiting,
            BytesPerSecondMeasured = null,
            SecondsLeft = null,
        };
        Assert.Equal(
            "12.5 %, waits: the device is suspended; no block failed",
            ScrubText.Of(waiting with { WaitsFor = ScrubWaits.Resume }));
        Assert.Equal(
            "12.5 %, waits: the disk fails as a whole, or a storm is on; no block failed",
            ScrubText.Of(waiting with { WaitsFor = ScrubWaits.Disk }));
    }

    [Fact]
    public void One_that_has_ended_says_whether_all_was_read()
    {
        ScrubReport ended = Running with { State = ScrubStates.Ended, Done = 1 };
        Assert.Equal("the whole device, all of it read", ScrubText.Of(ended));
        Assert.Equal(
            "the whole device, 8 blocks did not read", ScrubText.Of(ended with { BlocksFailed = 8 }));
    }
}
