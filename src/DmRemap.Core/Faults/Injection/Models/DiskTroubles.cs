using System;
using System.Collections.Generic;
using DmRemap.Core.Abstractions;

namespace DmRemap.Core.Faults.Injection.Models;

/// <summary>What happens to a disk as a whole, on affected disks and on others alike.</summary>
internal static class DiskTroubles
{
    /// <summary>P(longer than an hour) = 0.4, Pareto.</summary>
    private const double SlowShape = 1;
    private const double SlowSecondsLeast = 0.4 * 3600;
    private const double SlowSecondsMost = 24 * 3600;

    /// <summary>"stalls of seconds"</summary>
    private const double StallSecondsLeast = 1;
    private const double StallSecondsMost = 10;

    private const double ResetSecondsLeast = 1;
    private const double ResetSecondsMost = 5;

    /// <summary>Of the distribution above.</summary>
    public static double SlowSecondsMean =>
        SlowSecondsLeast * Math.Log(SlowSecondsMost / SlowSecondsLeast)
            / (1 - (SlowSecondsLeast / SlowSecondsMost));

    public static void Draw(FaultModel model, SeededDraw draw, List<FaultArrival> arrivals)
    {
        SeededDraw slow = draw.Fork();
        SeededDraw stalls = draw.Fork();
        SeededDraw resets = draw.Fork();
        double year = FaultPlan.Year.Nanoseconds / 1e9;
        Duration by = Duration.FromMilliseconds(model.Slow.ByMilliseconds);
        double slowInYear = model.Slow.HoursShare * year / SlowSecondsMean;
        Scatter(slow, slowInYear, arrivals, FaultArrivalKind.Slow, by, () =>
            slow.Pareto(SlowSecondsLeast, SlowShape, SlowSecondsMost));
        Scatter(stalls, model.StallsInYear, arrivals, FaultArrivalKind.Stall, default, () =>
            stalls.LogUniform(StallSecondsLeast, StallSecondsMost));
        Scatter(resets, model.ResetsInYear, arrivals, FaultArrivalKind.Reset, default, () =>
            resets.LogUniform(ResetSecondsLeast, ResetSecondsMost));
    }

    /// <summary>So many on average, at independent moments.</summary>
    private static void Scatter(
        SeededDraw draw, double inYear, List<FaultArrival> arrivals, FaultArrivalKind kind, Duration by,
        Func<double> seconds)
    {
        double year = FaultPlan.Year.Nanoseconds / 1e9;
        if (inYear <= 0)
        {
            return;
        }
        double age = 0;
        while (true)
        {
            age += -Math.Log(1 - draw.Unit()) * year / inYear;
            if (age >= year)
            {
                return;
            }
            arrivals.Add(new FaultArrival
            {
                Age = new Duration((long)(age * 1e9)),
                Kind = kind,
                Length = new Duration((long)(seconds() * 1e9)),
                By = by,
            });
        }
    }
}
