using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using Xunit;

namespace DmRemap.Tests.Core;

public sealed class MemberPresenceTests
{
    private static Instant At(long seconds) => new(seconds * 1_000_000_000);

    [Fact]
    public void Policy_that_is_not_given_fails_and_keeps_nothing()
    {
        Assert.Equal(OnGone.Fail, default);
        MemberPresence presence = new(OnGone.Fail);
        presence.OnGone(At(100));
        Assert.True(presence.IsGone);
        Assert.False(presence.Keeps(At(100)));
    }

    [Fact]
    public void Requests_are_kept_until_the_patience_counted_from_the_loss_is_over()
    {
        MemberPresence presence = new(OnGone.HoldFor(Duration.FromSeconds(30)));
        Assert.False(presence.Keeps(At(99)));
        presence.OnGone(At(100));
        Assert.True(presence.Keeps(At(100)));
        Assert.True(presence.Keeps(At(129)));
        Assert.Equal(Duration.FromSeconds(1), presence.Left(At(129)));
        Assert.Null(presence.Left(At(130)));
        Assert.False(presence.Keeps(At(130)));
        presence.OnBack(At(200));
        Assert.False(presence.IsGone);
        Assert.False(presence.Keeps(At(200)));
    }

    [Fact]
    public void Endless_patience_ends_only_with_the_device()
    {
        MemberPresence presence = new(OnGone.Hold);
        presence.OnGone(At(100));
        Assert.True(presence.Keeps(At(1_000_000)));
        Assert.Null(presence.Left(At(1_000_000)));
        presence.EndKeeping();
        Assert.False(presence.Keeps(At(1_000_000)));
        Assert.True(presence.IsGone);
    }

    /// <summary>Each return for a moment would renew the patience, and a request wait for ever.</summary>
    [Theory]
    [InlineData(9, 100)]
    [InlineData(10, 120)]
    public void Disk_that_goes_again_at_once_has_been_gone_since_the_first_time(long stayed, long since)
    {
        MemberPresence presence = new(OnGone.HoldFor(Duration.FromSeconds(30)));
        presence.OnGone(At(100));
        presence.OnBack(At(110));
        presence.OnGone(At(110 + stayed));
        Assert.Equal(At(since), presence.Since);
        Assert.Equal(since == 120, presence.Keeps(At(135)));
    }
}
