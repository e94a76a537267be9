using System;
using System.Collections.Generic;
using System.Linq;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults.Injection;
using DmRemap.Core.Faults.Injection.Models;

namespace DmRemap.Benchmarks.Year;

/// <summary>
/// What happens to one disk in its year, and what is asked of it: the same for every configuration. A weak
/// sector of the model reads for ever; here it may die, after a time that is exponential with a mean which is
/// ours to choose, since none is published.
/// </summary>
internal sealed class YearPlan
{
    public const long DiskBytes = 1L << 40;
    public const int RequestBytes = 64 * 1024;

    /// <summary>Of requests: reads.</summary>
    public const double Reads = 0.7;

    /// <summary>Seconds between two requests.</summary>
    public const double RequestSeconds = 1;

    /// <summary>Four of five requests go to every fifth GiB; the others anywhere.</summary>
    private const double HotRequests = 0.8;
    private const int HotRegionOneOf = 5;
    private const long PlacesOfRegion = (1L << 30) / RequestBytes;

    private const long SectorsOfRequest = RequestBytes / YearDisk.PhysicalBytes;

    /// <summary>
    /// Of the requests that meet no sector of the plan so many are sent: they change nothing, but the device
    /// must have read and written elsewhere to judge errors.
    /// </summary>
    private const int OthersOneOf = 8192;

    private readonly int _seed;

    private YearPlan(FaultPlan faults, IReadOnlyList<FaultArrival> errors, int seed)
    {
        Faults = faults;
        Errors = errors;
        _seed = seed;
        Requests = DrawRequests();
    }

    public FaultPlan Faults { get; }

    /// <summary>Sectors that go bad within the year, by age.</summary>
    public IReadOnlyList<FaultArrival> Errors { get; }

    public IReadOnlyList<YearRequest> Requests { get; }

    public static DiskShape Shape { get; } = new(DiskBytes / YearDisk.PhysicalBytes, YearDisk.PhysicalBytes);

    /// <param name="model">The kind of disk.</param>
    /// <param name="seed">Which one; affected disks only.</param>
    public static YearPlan Of(FaultModel model, int seed) =>
        new(FaultsOf(model, seed), ErrorsOf(model, seed), seed);

    public static FaultArrival[] ErrorsOf(FaultModel model, int seed) =>
    [
        .. FaultsOf(model, seed).Arrivals.Where(arrival =>
            arrival.Kind == FaultArrivalKind.Defect && arrival.Age < FaultPlan.Year),
    ];

    /// <summary>When each weak sector dies, by age; only those that do within the year.</summary>
    /// <param name="meanDays">From weak to dead; 0: never.</param>
    public List<(Duration Age, long Sector)> DrawDeaths(double meanDays)
    {
        SeededDraw draw = new((ulong)_seed ^ 0xDEA7);
        List<(Duration Age, long Sector)> deaths = [];
        foreach (FaultArrival weak in Errors.Where(one => one.Defect.Defect.Kind == DefectKind.Weak))
        {
            // The same share of the mean for every mean: means are compared on the same disks.
            double days = -Math.Log(1 - draw.Unit()) * meanDays;
            Duration age = new(weak.Age.Nanoseconds + (long)(days * 86_400e9));
            if (meanDays > 0 && age < FaultPlan.Year)
            {
                deaths.Add((age, weak.Defect.Physical));
            }
        }
        deaths.Sort((left, right) => left.Age.CompareTo(right.Age));
        return deaths;
    }

    private static FaultPlan FaultsOf(FaultModel model, int seed) =>
        FaultPlan.Of(model, Shape, (ulong)seed, DiskChoice.Affected);

    private List<YearRequest> DrawRequests()
    {
        HashSet<long> hit = [.. Errors.Select(one => one.Defect.Physical / SectorsOfRequest)];
        Random random = new(_seed);
        List<YearRequest> requests = [];
        const long Regions = DiskBytes / RequestBytes / PlacesOfRegion;
        double year = FaultPlan.Year.Nanoseconds / 1e9;
        for (double at = RequestSeconds; at < year; at += RequestSeconds)
        {
            bool isHot = random.NextDouble() < HotRequests;
            long region = isHot
                ? random.NextInt64(Regions / HotRegionOneOf) * HotRegionOneOf
                : random.NextInt64(Regions);
            long place = (region * PlacesOfRegion) + random.NextInt64(PlacesOfRegion);
            bool isRead = random.NextDouble() < Reads;
            if (hit.Contains(place) || random.Next(OthersOneOf) == 0)
            {
                requests.Add(new YearRequest(new Duration((long)(at * 1e9)), place * RequestBytes, isRead));
            }
        }
        return requests;
    }
}

internal readonly record struct YearRequest(Duration Age, long Start, bool IsRead);
