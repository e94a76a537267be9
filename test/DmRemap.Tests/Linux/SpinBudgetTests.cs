using DmRemap.Linux.Loop;
using Xunit;

namespace DmRemap.Tests.Linux;

public sealed class SpinBudgetTests
{
    [Fact]
    public void Who_finds_looks_again_and_who_does_not_lets_ever_more_occasions_pass()
    {
        SpinBudget budget = new(isPossible: true);
        Assert.Equal(0, PassedBeforeLooking(budget));
        budget.Note(hasFound: true);
        Assert.Equal(0, PassedBeforeLooking(budget));
        int[] expected = [1, 3, 7, 15, 31, 63, 63, 63];
        foreach (int passed in expected)
        {
            budget.Note(hasFound: false);
            Assert.Equal(passed, PassedBeforeLooking(budget));
        }
        budget.Note(hasFound: true);
        Assert.Equal(0, PassedBeforeLooking(budget));
    }

    [Fact]
    public void With_one_processor_nobody_ever_looks()
    {
        SpinBudget budget = new(isPossible: false);
        Assert.False(budget.ShouldLook());
    }

    private static int PassedBeforeLooking(SpinBudget budget)
    {
        int passed = 0;
        while (!budget.ShouldLook())
        {
            passed++;
        }
        return passed;
    }
}
