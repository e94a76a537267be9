using DmRemap.Linux.Loop;
using Xunit;

namespace DmRemap.Tests.Linux;

public sealed class SpinBudgetTests
{
    [Fact]
    public void Who_finds_looks_again_and_who_does_not_sleeps_ever_more_often()
    {
        SpinBudget budget = new(isPossible: true);
        Assert.Equal(0, SleepsBeforeLooking(budget));
        budget.Note(hasFound: true);
        Assert.Equal(0, SleepsBeforeLooking(budget));
        int[] expected = [1, 3, 7, 15, 31, 63, 63, 63];
        foreach (int sleeps in expected)
        {
            budget.Note(hasFound: false);
            Assert.Equal(sleeps, SleepsBeforeLooking(budget));
        }
        budget.Note(hasFound: true);
        Assert.Equal(0, SleepsBeforeLooking(budget));
    }

    [Fact]
    public void Where_nothing_is_likely_nobody_looks_and_nothing_is_used_up()
    {
        SpinBudget budget = new(isPossible: true);
        budget.Note(hasFound: false);
        Assert.False(budget.ShouldLook(isLikely: false));
        Assert.Equal(1, SleepsBeforeLooking(budget));
    }

    [Fact]
    public void With_one_processor_nobody_ever_looks()
    {
        SpinBudget budget = new(isPossible: false);
        Assert.False(budget.ShouldLook(isLikely: true));
    }

    private static int SleepsBeforeLooking(SpinBudget budget)
    {
        int sleeps = 0;
        while (!budget.ShouldLook(isLikely: true))
        {
            sleeps++;
        }
        return sleeps;
    }
}
