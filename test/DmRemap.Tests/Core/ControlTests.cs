using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using Xunit;

namespace DmRemap.Tests.Core;

/// <summary>
/// F-17's controls: what tells a bad sector from a bad disk when the error number does not.
/// </summary>
public sealed class ControlTests
{
    private static UnitNumber Unit(long unit) => new(unit);

    /// <summary>The eight blocks of a unit.</summary>
    private static Extent At(long unit) => new(new BlockNumber(unit * 8), new BlockCount(8));

    private static Instant Second(long seconds) => new(seconds * 1_000_000_000);

    private static WriteControl FailedEight()
    {
        WriteControl control = new();
        control.OnWriteSucceeded(At(500));
        for (int unit = 0; unit < WriteControl.DistinctUnitsMax; unit++)
        {
            control.OnFailure(Unit(unit), At(unit));
        }
        Assert.True(control.NeedsControl);
        return control;
    }

    [Fact]
    public void Eight_distinct_units_failed_since_the_last_good_write_ask_for_a_control_at_its_place()
    {
        WriteControl control = new();
        control.OnWriteSucceeded(At(500));
        for (int unit = 0; unit < WriteControl.DistinctUnitsMax - 1; unit++)
        {
            control.OnFailure(Unit(unit), At(unit));
            // The same unit again says nothing new.
            control.OnFailure(Unit(unit), At(unit));
        }
        Assert.False(control.NeedsControl);
        control.OnFailure(Unit(100), At(100));
        Assert.True(control.NeedsControl);
        Assert.Equal(At(500), control.Place);
        Assert.False(control.WritesRejected);
    }

    [Theory]
    [InlineData(ControlWriteOutcome.Written, false)]
    [InlineData(ControlWriteOutcome.Rejected, true)]
    [InlineData(ControlWriteOutcome.NoPlace, false)]
    public void Control_write_decides_between_bad_sectors_and_a_disk_that_rejects_writes(
        ControlWriteOutcome outcome, bool isRejected)
    {
        WriteControl control = FailedEight();
        control.BeginControl();
        Assert.False(control.NeedsControl);
        control.OnControl(outcome);
        Assert.Equal(isRejected, control.WritesRejected);
        Assert.False(control.NeedsControl);
        control.OnWriteSucceeded(At(501));
        Assert.False(control.WritesRejected);
    }

    [Fact]
    public void Place_that_fails_itself_is_no_control()
    {
        WriteControl control = FailedEight();
        control.OnFailure(Unit(500), At(500));
        Assert.False(control.NeedsControl);
    }

    /// <summary>The last good write may lie in the same bad area as what fails.</summary>
    [Fact]
    public void Control_that_fails_is_made_again_at_an_earlier_place_far_away_and_only_then_believed()
    {
        WriteControl control = new();
        control.OnWriteSucceeded(At(100_000));
        control.OnWriteSucceeded(At(500));
        for (int unit = 0; unit < WriteControl.DistinctUnitsMax; unit++)
        {
            control.OnFailure(Unit(unit), At(unit));
        }
        Assert.Equal(At(500), control.Place);
        control.BeginControl();
        control.OnControl(ControlWriteOutcome.Rejected);
        Assert.False(control.WritesRejected);
        Assert.Equal(At(100_000), control.Place);
        Assert.True(control.NeedsControl);
        control.BeginControl();
        control.OnControl(ControlWriteOutcome.Rejected);
        Assert.True(control.WritesRejected);
    }

    [Fact]
    public void Without_a_place_for_the_control_a_bounded_number_of_failures_is_believed()
    {
        WriteControl control = new();
        for (int unit = 0; unit < WriteControl.UncontrolledMax - 1; unit++)
        {
            control.OnFailure(Unit(unit), At(unit));
            Assert.False(control.WritesRejected);
        }
        control.OnFailure(Unit(10_000), At(10_000));
        Assert.True(control.WritesRejected);
    }

    [Fact]
    public void Write_that_succeeds_between_failures_starts_the_count_again()
    {
        WriteControl control = new();
        for (int unit = 0; unit < 1000; unit++)
        {
            control.OnFailure(Unit(unit), At(unit));
            Assert.False(control.NeedsControl);
            if (unit % 7 == 6)
            {
                control.OnWriteSucceeded(At(5000));
            }
        }
        Assert.False(control.WritesRejected);
    }

    [Fact]
    public void Read_elsewhere_that_succeeded_after_the_failure_is_the_control()
    {
        ReadControl control = new(1000);
        Assert.Equal(ReadVerdict.NeedsControl, control.Judge(Unit(5), Second(10)));
        control.OnReadSucceeded(Unit(6), Second(9));
        Assert.Equal(ReadVerdict.NeedsControl, control.Judge(Unit(5), Second(10)));
        control.OnReadSucceeded(Unit(6), Second(10));
        Assert.Equal(ReadVerdict.Medium, control.Judge(Unit(5), Second(10)));
        Assert.Equal(ReadVerdict.NeedsControl, control.Judge(Unit(6), Second(10)));
        control.OnReadSucceeded(Unit(5), Second(11));
        Assert.Equal(ReadVerdict.Medium, control.Judge(Unit(5), Second(10)));
    }

    [Theory]
    [InlineData(60, false, true)]
    [InlineData(61, false, false)]
    [InlineData(61, true, true)]
    [InlineData(100_000, true, true)]
    public void Control_places_are_three_and_the_first_was_read_lately_or_once_where_the_medium_is_named(
        int age, bool isNamed, bool isFirst)
    {
        ReadControl control = new(1000);
        control.OnReadSucceeded(Unit(123), Second(100));
        ControlPlaces places = control.PlacesFor(Unit(5), Second(100 + age), isNamed);
        Assert.Equal(3, places.Count);
        Assert.Equal(isFirst, places[0] == Unit(123));
    }

    [Fact]
    public void Control_place_is_the_other_good_one_when_the_last_good_unit_is_the_failing_one()
    {
        ReadControl control = new(1000);
        control.OnReadSucceeded(Unit(123), Second(1));
        control.OnReadSucceeded(Unit(5), Second(2));
        control.OnReadSucceeded(Unit(5), Second(3));
        Assert.Equal(Unit(123), control.PlacesFor(Unit(5), Second(4), isNamed: false)[0]);
    }

    [Fact]
    public void Control_places_differ_and_lie_elsewhere_on_primaries_of_every_small_size()
    {
        for (int units = 1; units < 20; units++)
        {
            for (int failing = 0; failing < units; failing++)
            {
                for (int good = 0; good < units; good++)
                {
                    ReadControl control = new(units);
                    control.OnReadSucceeded(Unit(good), Second(1));
                    ControlPlaces places = control.PlacesFor(Unit(failing), Second(2), isNamed: false);
                    Assert.Equal(System.Math.Min(3, units - 1), places.Count);
                    for (int i = 0; i < places.Count; i++)
                    {
                        Assert.InRange(places[i].Value, 0, units - 1);
                        Assert.NotEqual(Unit(failing), places[i]);
                        Assert.True(i < 1 || places[i] != places[i - 1]);
                        Assert.True(i < 2 || places[i] != places[i - 2]);
                    }
                }
            }
        }
    }

    [Fact]
    public void Control_round_passes_with_one_place_that_reads_and_fails_only_when_none_does()
    {
        for (int outcomes = 0; outcomes < 8; outcomes++)
        {
            ControlRound round = new(3);
            for (int place = 0; place < 3; place++)
            {
                bool seen = (outcomes & ((1 << place) - 1)) != 0;
                Assert.Equal(seen ? ReadVerdict.Medium : ReadVerdict.NeedsControl, round.Verdict);
                round.OnControlRead((ControlOutcome)((outcomes >> place) & 1));
            }
            Assert.Equal(outcomes == 0 ? ReadVerdict.NotMedium : ReadVerdict.Medium, round.Verdict);
        }
        Assert.Equal(ReadVerdict.NotMedium, new ControlRound(0).Verdict);
    }
}
