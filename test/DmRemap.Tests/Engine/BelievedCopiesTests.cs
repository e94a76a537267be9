using DmRemap.Core.Abstractions;
using DmRemap.Core.Remapping;
using DmRemap.Engine.Copies;
using Xunit;

namespace DmRemap.Tests.Engine;

/// <summary>Second copies that no stop vouches for, and that a person believes (F-22).</summary>
public sealed class BelievedCopiesTests
{
    private static readonly RemapEntry s_rule = new()
    {
        Unit = new UnitNumber(100),
        State = UnitState.Remapped,
        Location = new SpareLocation(0, new UnitNumber(1)),
        Second = new SpareLocation(1, new UnitNumber(2)),
        Blocks = BlockStates.AllOnPrimary.With(BlockStates.Mask(0, 8), BlockState.OnSpare),
    };

    [Fact]
    public void They_count_where_the_first_is_missing_and_nowhere_else()
    {
        Assert.False(new SecondCopies(areKept: true, areInStep: false).IsInStep(s_rule));
        Assert.True(new SecondCopies(areKept: true, areInStep: false, believedFor: 1).IsInStep(s_rule));
        Assert.False(new SecondCopies(areKept: true, areInStep: false, believedFor: 2).IsInStep(s_rule));
    }

    [Fact]
    public void No_stop_vouches_for_them()
    {
        SecondCopies copies = new(areKept: true, areInStep: false, believedFor: 1);
        copies.EndDoubt(copies.Doubts, left: 0);
        Assert.False(copies.AreInStep);
    }

    /// <summary>A new spare gets its number: what is first there is another matter.</summary>
    [Fact]
    public void They_count_no_more_when_the_missing_spare_has_left_for_ever()
    {
        SecondCopies copies = new(areKept: true, areInStep: false, believedFor: 1);
        copies.Forget(spare: 0);
        Assert.False(copies.IsInStep(s_rule));
    }

    [Fact]
    public void They_count_no_more_when_their_spare_has_lost_what_it_held()
    {
        SecondCopies copies = new(areKept: true, areInStep: false, believedFor: 1);
        copies.Doubt(spare: 1);
        Assert.False(copies.IsInStep(s_rule));
    }
}
