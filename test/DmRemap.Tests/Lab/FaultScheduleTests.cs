using System;
using System.Linq;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults.Injection;
using DmRemap.Core.Faults.Injection.Models;
using DmRemap.Devices;
using DmRemap.Tests.Devices;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Lab;

/// <summary>A disk ages as its clock says.</summary>
public sealed class FaultScheduleTests
{
    private static readonly DiskShape s_disk = new(1 << 20, 4096);

    private readonly SimulatedLoop _loop = new();

    [Fact]
    public void Year_on_a_fast_clock_brings_what_the_plan_says_when_it_is_due()
    {
        FaultPlan plan = Plan();
        int defects = plan.Arrivals.Count(arrival => arrival.Kind == FaultArrivalKind.Defect);
        using MemoryDevice memory = new(_loop, MemoryDeviceTests.MakeGeometry(64, 4096));
        FaultInjecting device = new(_loop, memory);
        const double Factor = 365 * 86_400 / 300.0;
        Instant start = _loop.Now;
        FaultSchedule schedule = new(plan, device.Faults, new AgingPace(default, Factor, 1), start);
        FaultAging aging = new(_loop, schedule, () => Assert.Fail("refused"));
        aging.Begin();
        Assert.Equal(0, device.Faults.Defects.Count);
        for (int seconds = 1; seconds <= 330; seconds++)
        {
            _loop.RunFor(Duration.FromSeconds(1));
            double age = (_loop.Now - start).Nanoseconds * Factor;
            int due = plan.Arrivals.Count(arrival =>
                arrival.Kind == FaultArrivalKind.Defect && arrival.Age.Nanoseconds <= age);
            // What is due in this very hundredth of a second comes with the next.
            Assert.InRange(device.Faults.Defects.Count, due - 200, due);
        }
        Assert.Equal(0, aging.ArrivalsLeft);
        Assert.Equal(defects, device.Faults.Defects.Count);
    }

    [Fact]
    public void Old_disk_has_the_defects_of_its_life_and_none_of_its_passing_troubles()
    {
        FaultPlan plan = Plan();
        DiskFaults faults = new(4096);
        AgingPace pace = new(Duration.FromSeconds(400L * 86_400), 0, 1);
        FaultSchedule schedule = new(plan, faults, pace, _loop.Now);
        Assert.Equal(
            plan.Arrivals.Count(arrival => arrival.Kind == FaultArrivalKind.Defect), faults.Defects.Count);
        Assert.False(faults.Trouble.IsAny(_loop.Now));
        Assert.Equal(0, schedule.ArrivalsLeft);
        Assert.Null(schedule.NextAt);
    }

    [Fact]
    public void Clock_that_stands_brings_nothing()
    {
        FaultSchedule schedule = new(Plan(), new DiskFaults(4096), new AgingPace(default, 0, 1), _loop.Now);
        Assert.True(schedule.ArrivalsLeft > 0);
        Assert.Null(schedule.NextAt);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(0.5)]
    public void Delays_are_as_long_as_asked_for(double delays)
    {
        FaultPlan plan = Plan();
        DiskFaults faults = new(4096);
        _ = new FaultSchedule(plan, faults, new AgingPace(FaultPlan.Year, 0, delays), _loop.Now);
        FaultArrival first = plan.Arrivals.First(arrival => arrival.Kind == FaultArrivalKind.Defect);
        Assert.True(first.Defect.Defect.DelayMilliseconds > 0);
        int index = faults.Defects.IndexFrom(first.Defect.Physical);
        Assert.Equal(
            (int)(first.Defect.Defect.DelayMilliseconds * delays), faults.Defects[index].DelayMilliseconds);
    }

    [Fact]
    public void Troubles_of_the_plan_befall_the_disk_for_their_time()
    {
        FaultPlan plan = Plan();
        FaultArrival reset = plan.Arrivals.First(arrival => arrival.Kind == FaultArrivalKind.Reset);
        DiskFaults faults = new(4096);
        FaultSchedule schedule = new(plan, faults, new AgingPace(default, 1000, 0.25), _loop.Now);
        while (!(faults.Trouble.ResettingUntil > _loop.Now))
        {
            Instant next = schedule.NextAt!.Value;
            _loop.RunFor(next - _loop.Now);
            Assert.True(schedule.Advance(next));
        }
        Assert.Equal(reset.Length.Nanoseconds / 4, (faults.Trouble.ResettingUntil - _loop.Now).Nanoseconds);
        double age = schedule.AgeAt(_loop.Now).Nanoseconds;
        Assert.InRange(age - reset.Age.Nanoseconds, 0, 2000);
    }

    /// <summary>A seed with more than a handful of defects, all of them in the year, and a reset.</summary>
    private static FaultPlan Plan()
    {
        for (ulong seed = 0; seed < 1000; seed++)
        {
            FaultPlan plan = FaultPlan.Of(FaultModel.Nearline, s_disk, seed, DiskChoice.Affected);
            int defects = plan.Arrivals.Count(arrival => arrival.Kind == FaultArrivalKind.Defect);
            bool isWhole = plan.Arrivals[^1].Age < FaultPlan.Year;
            bool hasReset = plan.Arrivals.Any(arrival => arrival.Kind == FaultArrivalKind.Reset);
            if (defects is > 100 and < 400 && isWhole && hasReset)
            {
                return plan;
            }
        }
        throw new InvalidOperationException("no such seed");
    }
}
