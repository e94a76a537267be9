using System;
using System.Collections.Generic;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Core;

public sealed class SuspectListTests
{
    private static readonly UnitNumber s_unit = new(42);

    private static Instant Ms(long milliseconds) => new(milliseconds * 1_000_000);

    [Fact]
    public void Suspect_fails_fast_until_its_retry_time_and_then_admits_one_retry()
    {
        SuspectList list = new(8);
        Assert.Equal(SuspectVerdict.RetryLater, list.OnFailure(s_unit, 0b0110, Ms(0)));
        Assert.Equal(SuspectAdmission.FailFast, list.Admit(s_unit, 0b0100, Ms(999)));
        Assert.Equal(SuspectAdmission.NotSuspect, list.Admit(s_unit, 0b1001, Ms(999)));
        Assert.Equal(SuspectAdmission.NotSuspect, list.Admit(new UnitNumber(43), 0b0100, Ms(999)));
        Assert.Equal(SuspectAdmission.Retry, list.Admit(s_unit, 0b1111, Ms(1000)));
        Assert.Equal(SuspectAdmission.FailFast, list.Admit(s_unit, 0b1111, Ms(1000)));
    }

    [Fact]
    public void Third_failure_asks_for_lost_and_the_waits_double()
    {
        SuspectList list = new(8);
        Assert.Equal(SuspectVerdict.RetryLater, list.OnFailure(s_unit, 1, Ms(0)));
        Assert.Equal(SuspectAdmission.Retry, list.Admit(s_unit, 1, Ms(1000)));
        Assert.Equal(SuspectVerdict.RetryLater, list.OnFailure(s_unit, 1, Ms(1500)));
        Assert.Equal(SuspectAdmission.FailFast, list.Admit(s_unit, 1, Ms(3499)));
        Assert.Equal(SuspectAdmission.Retry, list.Admit(s_unit, 1, Ms(3500)));
        Assert.Equal(SuspectVerdict.DeclareLost, list.OnFailure(s_unit, 1, Ms(4000)));
        // The record may not come to be durable: the unit stays suspect meanwhile.
        Assert.Equal(SuspectAdmission.FailFast, list.Admit(s_unit, 1, Ms(7999)));
        Assert.Equal(SuspectAdmission.Retry, list.Admit(s_unit, 1, Ms(8000)));
        Assert.Equal(SuspectVerdict.DeclareLost, list.OnFailure(s_unit, 1, Ms(8000)));
        Assert.True(list.Remove(s_unit));
        Assert.False(list.Contains(s_unit));
    }

    [Fact]
    public void Waits_never_exceed_a_minute()
    {
        SuspectList list = new(8);
        Instant now = Ms(0);
        for (int failure = 0; failure < 1000; failure++)
        {
            list.OnFailure(s_unit, 1, now);
            Assert.True(list.TryGet(s_unit, out Suspect suspect));
            Assert.True(suspect.NextRetry - now <= SuspectList.BackOffMax);
            now = suspect.NextRetry;
        }
    }

    [Fact]
    public void Reads_that_were_under_way_together_count_as_one_failure()
    {
        SuspectList list = new(8);
        for (int i = 0; i < 10; i++)
        {
            Assert.Equal(SuspectVerdict.RetryLater, list.OnFailure(s_unit, 1UL << i, Ms(i)));
        }
        Assert.True(list.TryGet(s_unit, out Suspect suspect));
        Assert.Equal(new Suspect(s_unit, 0x3FF, 1, Ms(1000), false), suspect);
    }

    [Fact]
    public void Retry_without_an_answer_about_the_medium_does_not_count()
    {
        SuspectList list = new(8);
        list.OnFailure(s_unit, 1, Ms(0));
        Assert.Equal(SuspectAdmission.Retry, list.Admit(s_unit, 1, Ms(1000)));
        list.OnUndecided(s_unit, Ms(5000));
        Assert.Equal(SuspectAdmission.FailFast, list.Admit(s_unit, 1, Ms(5999)));
        Assert.Equal(SuspectAdmission.Retry, list.Admit(s_unit, 1, Ms(6000)));
        Assert.True(list.TryGet(s_unit, out Suspect suspect));
        Assert.Equal(1, suspect.Failures);
    }

    [Fact]
    public void Full_list_remembers_no_more_until_one_leaves()
    {
        SuspectList list = new(2);
        list.OnFailure(new UnitNumber(1), 1, Ms(0));
        list.OnFailure(new UnitNumber(2), 1, Ms(0));
        Assert.Equal(SuspectVerdict.ListIsFull, list.OnFailure(new UnitNumber(3), 1, Ms(0)));
        Assert.Equal(SuspectVerdict.RetryLater, list.OnFailure(new UnitNumber(2), 2, Ms(0)));
        Assert.True(list.Remove(new UnitNumber(1)));
        Assert.False(list.Remove(new UnitNumber(1)));
        Assert.Equal(SuspectVerdict.RetryLater, list.OnFailure(new UnitNumber(3), 1, Ms(0)));
        Assert.Equal(2, list.Count);
    }

    [Fact]
    public void Due_suspects_are_found_and_those_being_retried_are_not()
    {
        SuspectList list = new(8);
        Assert.False(list.TryGetDue(Ms(5000), out _));
        list.OnFailure(s_unit, 1, Ms(0));
        Assert.False(list.TryGetDue(Ms(999), out _));
        Assert.True(list.TryGetDue(Ms(1000), out Suspect due));
        Assert.Equal(s_unit, due.Unit);
        list.Admit(due.Unit, due.BadBlocks, Ms(1000));
        Assert.False(list.TryGetDue(Ms(1000), out _));
    }

    [Theory]
    [InlineData(31)]
    [InlineData(32)]
    public void Random_use_matches_a_dictionary_and_allocates_nothing(int seed)
    {
        Random random = new(seed);
        SuspectList list = new(50);
        Dictionary<long, ulong> model = [];
        for (int step = 0; step < 20_000; step++)
        {
            UnitNumber unit = new(random.Next(90) * 1_000_003L);
            if (random.Next(2) == 0)
            {
                Assert.Equal(model.Remove(unit.Value), list.Remove(unit));
            }
            else
            {
                ulong blocks = 1UL << random.Next(64);
                SuspectVerdict verdict = list.OnFailure(unit, blocks, Ms(step));
                bool isKnown = model.TryGetValue(unit.Value, out ulong old);
                Assert.Equal(!isKnown && model.Count == 50, verdict == SuspectVerdict.ListIsFull);
                if (verdict != SuspectVerdict.ListIsFull)
                {
                    model[unit.Value] = old | blocks;
                }
            }
            Assert.Equal(model.Count, list.Count);
        }
        foreach ((long unit, ulong blocks) in model)
        {
            Assert.True(list.TryGet(new UnitNumber(unit), out Suspect suspect));
            Assert.Equal(blocks, suspect.BadBlocks);
        }
        Allocations.AssertNone(() =>
        {
            for (int i = 0; i < 10_000; i++)
            {
                UnitNumber unit = new(i % 60);
                list.OnFailure(unit, 1, Ms(i));
                list.Admit(unit, 1, Ms(i));
                list.Remove(new UnitNumber((i + 7) % 60));
            }
        });
    }
}
