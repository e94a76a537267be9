using System;
using System.Collections.Generic;
using DmRemap.Core.Abstractions;

namespace DmRemap.Core.Faults.Injection.Models;

/// <summary>
/// Latent sector errors: how many a disk has (Pareto), when they come (bursts within two weeks, most less
/// than a minute apart) and where (clusters of some megabytes, most next errors within 100 sectors).
/// </summary>
internal sealed class LatentErrors(FaultModel model, DiskShape disk, SeededDraw draw)
{
    /// <summary>P(50 or more) = 0.2 and P(1000 or more) = 0.06 lie on the same Pareto distribution.</summary>
    private const double CountShape = 0.412;

    /// <summary>What has more is counted as if it had so many: a burst fits its two weeks.</summary>
    private const int CountMost = 20_000;

    private const double SecondsLeast = 1;

    /// <summary>P(next within a minute) = 0.6, the middle of 0.4 to 0.8.</summary>
    private const double GapShape = 0.224;
    private const double MinuteSeconds = 60;
    private const double BurstSeconds = 14 * 24 * 3600;
    private const double MonthSeconds = 30 * 24 * 3600;

    /// <summary>P(another within 10 MB), beyond 0.5.</summary>
    private const double NearShare = 0.6;
    private const long NearBytes = 10_000_000;

    /// <summary>Of the near ones P(within 100 sectors of 512 bytes) = 0.6, from 8 KiB on.</summary>
    private const double OffsetShape = 0.5;
    private const double OffsetBytesLeast = 16 * FaultRule.SectorBytes;

    /// <summary>Errors that are right beside the last one: below 2.5 %.</summary>
    private const double AdjoiningShare = 0.02;

    private readonly SeededDraw _times = draw.Fork();
    private readonly SeededDraw _places = draw.Fork();
    private readonly SeededDraw _kinds = draw.Fork();

    public void Draw(List<FaultArrival> arrivals)
    {
        int count = (int)Math.Min(CountMost, draw.Pareto(1, CountShape, double.MaxValue));
        double[] ages = DrawAges(count);
        HashSet<long> taken = [];
        long place = DefectDraw.Place(disk, _places);
        foreach (double age in ages)
        {
            place = taken.Count == 0 ? place : NextPlace(place);
            Defect defect = DefectDraw.Draw(model, _kinds);
            if (!taken.Add(place))
            {
                continue;
            }
            arrivals.Add(new FaultArrival
            {
                Age = new Duration((long)(age * 1e9)),
                Kind = FaultArrivalKind.Defect,
                Defect = new PlacedDefect(place, defect),
            });
        }
    }

    /// <summary>
    /// The first in any moment of the year; the others in a burst of two weeks, at once or a month or more
    /// later. How often at once follows from what is published of the month after the first error.
    /// </summary>
    private double[] DrawAges(int count)
    {
        double year = FaultPlan.Year.Nanoseconds / 1e9;
        double[] ages = new double[count];
        ages[0] = _times.Unit() * year;
        if (count == 1)
        {
            return ages;
        }
        double big = SurvivalOf(51);
        double few = SurvivalOf(2) - big;
        double atOnce = count >= 51
            ? model.FiftyMoreWithinMonth / big
            : (model.MoreWithinMonth - model.FiftyMoreWithinMonth) / few;
        double start = ages[0];
        if (!_times.Has(atOnce))
        {
            start += MonthSeconds + (_times.Unit() * (year - MonthSeconds));
        }
        double[] gaps = DrawGaps(count - 1);
        for (int i = 0; i < gaps.Length; i++)
        {
            start += gaps[i];
            ages[i + 1] = start;
        }
        return ages;
    }

    /// <summary>The long ones are shortened, to a minute at least, so that all fit the two weeks.</summary>
    private double[] DrawGaps(int count)
    {
        double[] gaps = new double[count];
        double longOnes = 0;
        double shortOnes = 0;
        int longCount = 0;
        for (int i = 0; i < count; i++)
        {
            gaps[i] = _times.Pareto(SecondsLeast, GapShape, BurstSeconds);
            bool isLong = gaps[i] > MinuteSeconds;
            longOnes += isLong ? gaps[i] - MinuteSeconds : 0;
            shortOnes += isLong ? MinuteSeconds : gaps[i];
            longCount += isLong ? 1 : 0;
        }
        double scale = Math.Clamp((BurstSeconds - shortOnes) / Math.Max(1, longOnes), 0, 1);
        for (int i = 0; i < count && longCount > 0; i++)
        {
            gaps[i] = gaps[i] > MinuteSeconds
                ? MinuteSeconds + ((gaps[i] - MinuteSeconds) * scale)
                : gaps[i];
        }
        return gaps;
    }

    private static double SurvivalOf(int count) => Math.Pow(count, -CountShape);

    private long NextPlace(long last)
    {
        if (!_places.Has(NearShare))
        {
            return DefectDraw.Place(disk, _places);
        }
        long offset = _places.Has(AdjoiningShare)
            ? 1
            : disk.PhysicalsIn((long)_places.Pareto(OffsetBytesLeast, OffsetShape, NearBytes));
        long place = _places.Has(0.5) ? last + offset : last - offset;
        return place >= 0 && place < disk.Physicals ? place : Math.Clamp(
            place < 0 ? last + offset : last - offset, 0, disk.Physicals - 1);
    }
}
