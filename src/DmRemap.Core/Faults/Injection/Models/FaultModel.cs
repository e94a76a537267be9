using System;
using System.Collections.Generic;

namespace DmRemap.Core.Faults.Injection.Models;

/// <summary>How the errors of a model come to be.</summary>
public enum FaultPattern : byte
{
    None = 0,

    /// <summary>Latent sector errors of a magnetic disk: bursts in time, clusters in place.</summary>
    LatentErrors = 1,

    /// <summary>A scratch across the tracks of a platter.</summary>
    Scratch = 2,

    /// <summary>Pages that do not read and blocks that die, on flash.</summary>
    WornFlash = 3,
}

/// <summary>
/// A kind of disk and how it fails. docs/fault-models.md says of each number where it is published, or that
/// it is our choice.
/// </summary>
public sealed record FaultModel
{
    public static FaultModel Nearline { get; } = new()
    {
        Name = "nearline",
        Pattern = FaultPattern.LatentErrors,
        AffectedInYear = 0.0315,
        MoreWithinMonth = 0.548,
        FiftyMoreWithinMonth = 0.05,
        Slow = new SlowPeriods { HoursShare = 0.002, ByMilliseconds = 20 },
        ResetsInYear = 4,
    };

    public static FaultModel Enterprise { get; } = Nearline with
    {
        Name = "enterprise",
        AffectedInYear = 0.0146,
        MoreWithinMonth = 0.620,
        FiftyMoreWithinMonth = 0.10,
    };

    public static FaultModel Scratch { get; } = new()
    {
        Name = "scratch",
        Pattern = FaultPattern.Scratch,
        AffectedInYear = 1,
        Mix = new DefectMix { Pending = 0.55, Weak = 0.25, Dead = 0.2, Unwritable = 0 },
        DelayMillisecondsLeast = 3000,
        DelayMillisecondsMost = 60_000,
        Slow = new SlowPeriods { HoursShare = 0.002, ByMilliseconds = 20 },
        ResetsInYear = 12,
    };

    public static FaultModel WornFlash { get; } = new()
    {
        Name = "worn-flash",
        Pattern = FaultPattern.WornFlash,
        AffectedInYear = 0.415,
        Mix = new DefectMix { Pending = 0.7, Weak = 0, Dead = 0, Unwritable = 0.3 },
        DelayMillisecondsLeast = 20,
        DelayMillisecondsMost = 200,
        Slow = new SlowPeriods { HoursShare = 0.006, ByMilliseconds = 10 },
        ResetsInYear = 4,
        StallsInYear = 12,
    };

    public static IReadOnlyList<FaultModel> All { get; } = [Nearline, Enterprise, Scratch, WornFlash];

    public required string Name { get; init; }

    public required FaultPattern Pattern { get; init; }

    /// <summary>Of disks, in a year: those that have errors at all.</summary>
    public required double AffectedInYear { get; init; }

    /// <summary>Of affected disks: those with one error more within a month of the first.</summary>
    public double MoreWithinMonth { get; init; }

    public double FiftyMoreWithinMonth { get; init; }

    public DefectMix Mix { get; init; } = new();

    /// <summary>How long the drive tries before it gives an error.</summary>
    public double DelayMillisecondsLeast { get; init; } = 3000;

    public double DelayMillisecondsMost { get; init; } = 7000;

    public SlowPeriods Slow { get; init; } = new();

    /// <summary>On average: the host loses the link to the disk for a moment.</summary>
    public double ResetsInYear { get; init; }

    /// <summary>On average: the disk answers nothing for some seconds.</summary>
    public double StallsInYear { get; init; }

    public static FaultModel? Find(string name)
    {
        foreach (FaultModel model in All)
        {
            if (string.Equals(model.Name, name, StringComparison.Ordinal))
            {
                return model;
            }
        }
        return null;
    }
}

/// <summary>Which defects errors are: shares, one in sum.</summary>
public sealed record DefectMix
{
    public double Pending { get; init; } = 0.5;

    public double Weak { get; init; } = 0.3;

    public double Dead { get; init; } = 0.1;

    public double Unwritable { get; init; } = 0.1;
}

/// <summary>Times in which every request takes longer.</summary>
public sealed record SlowPeriods
{
    /// <summary>Of all hours.</summary>
    public double HoursShare { get; init; }

    public int ByMilliseconds { get; init; }
}
