using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using Xunit;

namespace DmRemap.Tests.Core;

public sealed class StormBreakerTests
{
    private static Instant At(long milliseconds) => new(milliseconds * 1_000_000);

    private static int MovesUntilTripped(StormBreaker breaker, long unitsFree, int nearPercent, long everyMs)
    {
        for (int move = 1; move <= 100_000; move++)
        {
            if (breaker.OnWriteMoved(move % 100 < nearPercent, unitsFree - move, At(move * everyMs)))
            {
                return move;
            }
        }
        return 0;
    }

    [Theory]
    [InlineData(2000, StormBreaker.MovesMax)]
    [InlineData(100_000, 5000)]
    public void Too_many_moves_in_a_minute_far_from_each_other_trip_it(long unitsFree, int most)
    {
        StormBreaker breaker = new();
        Assert.InRange(MovesUntilTripped(breaker, unitsFree, nearPercent: 40, everyMs: 1), most, most + 101);
        Assert.Equal(StormCause.MovesTooFast, breaker.Cause);
    }

    [Theory]
    [InlineData(60, 1)]
    [InlineData(0, 61)]
    public void Clusters_of_bad_units_and_slow_decay_do_not(int nearPercent, long everyMs)
    {
        StormBreaker breaker = new();
        Assert.Equal(0, MovesUntilTripped(breaker, 2000, nearPercent, everyMs));
        Assert.False(breaker.IsTripped);
    }

    [Fact]
    public void It_stays_tripped_until_cleared_and_then_counts_anew()
    {
        StormBreaker breaker = new();
        Assert.True(breaker.OnReadsNowhere());
        Assert.False(breaker.OnReadsNowhere());
        Assert.Equal(StormCause.ReadsNowhere, breaker.Cause);
        Assert.True(breaker.Clear());
        Assert.False(breaker.Clear());
        MovesUntilTripped(breaker, 2000, 0, 1);
        Assert.True(breaker.Clear());
        int moves = MovesUntilTripped(breaker, 2000, 0, 1);
        Assert.InRange(moves, StormBreaker.MovesMax, StormBreaker.MovesMax + 2);
    }

    /// <summary>A minute without a move, or an hour: the window is empty then.</summary>
    [Fact]
    public void Old_moves_are_forgotten()
    {
        StormBreaker breaker = new();
        for (int move = 0; move < StormBreaker.MovesMax; move++)
        {
            Assert.False(breaker.OnWriteMoved(false, 2000, At(move)));
        }
        Assert.False(breaker.OnWriteMoved(false, 2000, At(62_000)));
        for (int move = 1; move < StormBreaker.MovesMax; move++)
        {
            Assert.False(breaker.OnWriteMoved(false, 2000, At(62_000 + move)));
        }
        Assert.True(breaker.OnWriteMoved(false, 2000, At(64_000)));
    }
}
