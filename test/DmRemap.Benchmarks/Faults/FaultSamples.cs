using System;
using System.Collections.Generic;
using System.Linq;
using DmRemap.Core.Faults.Injection.Models;

namespace DmRemap.Benchmarks.Faults;

/// <summary>What the models give for some thousand affected disks of 1 TiB: seeds 0, 1, 2, ...</summary>
internal sealed class FaultSamples
{
    public const int Disks = 4000;
    public const int PhysicalBytes = 4096;

    private const double MonthSeconds = 30 * 86_400;
    private static readonly DiskShape s_disk = new(1L << 28, PhysicalBytes);

    private readonly FaultArrival[][] _disks;

    public FaultSamples(FaultModel model) => _disks =
    [
        .. Enumerable.Range(0, Disks).Select(seed =>
            FaultPlan.Of(model, s_disk, (ulong)seed, DiskChoice.Affected).Arrivals
                .Where(arrival => arrival.Kind == FaultArrivalKind.Defect).ToArray()),
    ];

    /// <summary>Errors of each disk.</summary>
    public double[] Counts => [.. _disks.Select(disk => (double)disk.Length)];

    /// <summary>Of disks: those with so many errors more within a month of the first.</summary>
    public double MoreWithinMonth(int more) =>
        _disks.Count(disk => disk.Length > more && Seconds(disk[more]) - Seconds(disk[0]) <= MonthSeconds)
            / (double)Disks;

    /// <summary>Seconds from an error to the next, inside bursts; as many of each disk.</summary>
    public double[] Gaps => [.. _disks.Where(disk => disk.Length >= 10)
        .SelectMany(disk => Pairs(disk).Skip(1).Take(9)
            .Select(pair => Seconds(pair.Next) - Seconds(pair.One)))];

    /// <summary>Bytes from the first error to the second.</summary>
    public double[] Distances => [.. _disks.Where(disk => disk.Length >= 2)
        .Select(disk => (double)Math.Abs(disk[1].Defect.Physical - disk[0].Defect.Physical) * PhysicalBytes)];

    /// <summary>Of first errors: those in each tenth of the disk.</summary>
    public double[] Tenths => [.. Enumerable.Range(0, 10).Select(tenth => _disks.Count(disk =>
        disk[0].Defect.Physical * 10 / s_disk.Physicals == tenth) / (double)Disks)];

    private static double Seconds(FaultArrival arrival) => arrival.Age.Nanoseconds / 1e9;

    private static IEnumerable<(FaultArrival One, FaultArrival Next)> Pairs(FaultArrival[] disk) =>
        disk.Zip(disk.Skip(1));
}
