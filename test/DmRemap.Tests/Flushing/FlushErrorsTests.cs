using DmRemap.Core.Abstractions;
using DmRemap.Core.Flushing;
using Xunit;

namespace DmRemap.Tests.Flushing;

/// <summary>Each client is told of a failed flush once, and none is passed over (F-9).</summary>
public sealed class FlushErrorsTests
{
    private readonly FlushErrors _errors = new();

    private FlushClient Come()
    {
        FlushClient client = new();
        _errors.Introduce(client);
        return client;
    }

    /// <summary>A flush that is asked for and answered now: did it fail?</summary>
    private bool Fails(FlushClient? client) => Fails(client, _errors.Failures);

    private bool Fails(FlushClient? client, long asked, bool wasAlone = true)
    {
        bool fails = _errors.MustFail(client, asked);
        if (fails)
        {
            _errors.Tell(client, asked, wasAlone);
        }
        return fails;
    }

    [Fact]
    public void Each_client_is_told_once_also_one_that_comes_later_while_it_is_in_doubt()
    {
        FlushClient one = Come();
        FlushClient other = Come();
        Assert.False(Fails(one));
        _errors.OnFailure(hasMore: false);
        FlushClient late = Come();
        foreach (FlushClient client in new[] { one, other, late })
        {
            Assert.True(Fails(client));
            Assert.False(Fails(client));
        }
    }

    [Fact]
    public void Who_was_there_is_told_although_it_was_cleared_and_who_comes_then_is_not()
    {
        FlushClient one = Come();
        _errors.OnFailure(hasMore: false);
        _errors.Clear();
        Assert.False(Fails(Come()));
        Assert.True(Fails(one));
        Assert.False(Fails(one));
    }

    [Fact]
    public void Nobody_in_particular_is_told_for_as_long_as_there_is_doubt()
    {
        Assert.False(Fails(null));
        _errors.OnFailure(hasMore: false);
        Assert.True(Fails(null));
        Assert.True(Fails(null));
        _errors.Clear();
        Assert.False(Fails(null));
        Assert.True(Fails(null, asked: 0));
    }

    /// <summary>It was asked for before: it cannot speak for what was lost meanwhile.</summary>
    [Fact]
    public void A_flush_that_was_asked_for_before_the_failure_fails_also_where_its_client_was_told()
    {
        FlushClient one = Come();
        long asked = _errors.Failures;
        _errors.OnFailure(hasMore: false);
        Assert.True(Fails(one, asked));
        Assert.True(Fails(one, asked));
        Assert.False(Fails(one));
    }

    [Fact]
    public void What_was_answered_after_the_failing_flush_was_asked_for_is_told_by_the_next()
    {
        FlushClient one = Come();
        long asked = _errors.Failures;
        _errors.OnFailure(hasMore: true);
        Assert.True(Fails(one, asked));
        Assert.True(Fails(one));
        Assert.False(Fails(one));
    }

    /// <summary>It waited for another flush, say, and something was answered before its own began.</summary>
    [Fact]
    public void What_was_in_flight_when_the_failing_flush_was_asked_for_is_told_by_the_next()
    {
        FlushClient one = Come();
        long asked = _errors.Failures;
        _errors.OnFailure(hasMore: false);
        Assert.True(Fails(one, asked, wasAlone: false));
        Assert.True(Fails(one, _errors.Failures, wasAlone: false));
        Assert.False(Fails(one));
    }

    [Fact]
    public void A_second_failure_is_told_anew()
    {
        FlushClient one = Come();
        _errors.OnFailure(hasMore: false);
        Assert.True(Fails(one));
        _errors.OnFailure(hasMore: false);
        Assert.True(Fails(one));
        Assert.False(Fails(one));
    }

    [Theory]
    [InlineData(WriteCachePolicy.Auto, false, false, true)]
    [InlineData(WriteCachePolicy.Auto, true, false, false)]
    [InlineData(WriteCachePolicy.Fua, false, true, true)]
    [InlineData(WriteCachePolicy.Fua, true, true, true)]
    [InlineData(WriteCachePolicy.Off, true, false, false)]
    [InlineData(WriteCachePolicy.Keep, false, false, false)]
    public void Writes_are_forced_as_the_policy_says(
        WriteCachePolicy policy, bool isCacheOff, bool atFirst, bool afterABadUnit)
    {
        WriteCacheRule rule = new(policy, isCacheOff);
        Assert.Equal(atFirst, rule.ForcesWrites);
        rule.OnBadUnit();
        Assert.Equal(afterABadUnit, rule.ForcesWrites);
    }

    /// <summary>It is on again, perhaps, if it was us who switched it off.</summary>
    [Theory]
    [InlineData(WriteCachePolicy.Auto, false, false)]
    [InlineData(WriteCachePolicy.Auto, true, false)]
    [InlineData(WriteCachePolicy.Off, false, true)]
    [InlineData(WriteCachePolicy.Keep, true, false)]
    public void Cache_that_was_switched_off_is_not_trusted_when_its_drive_was_away(
        WriteCachePolicy policy, bool hasBadUnit, bool isForced)
    {
        WriteCacheRule rule = new(policy, isCacheOff: true);
        if (hasBadUnit)
        {
            rule.OnBadUnit();
        }
        Assert.False(rule.ForcesWrites);
        rule.OnDriveAway();
        Assert.Equal(!isForced, rule.IsCacheOff);
        Assert.Equal(isForced, rule.ForcesWrites);
    }
}
