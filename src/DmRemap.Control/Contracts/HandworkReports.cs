using System.Collections.Generic;

namespace DmRemap.Control.Contracts;

/// <summary>What `unremap` did.</summary>
public sealed record UnremapReport
{
    public required long FirstBlock { get; init; }

    public required long LastBlock { get; init; }

    /// <summary>Units that are on the main device again; their spare units are free soon after.</summary>
    public long UnitsReturned { get; init; }

    /// <summary>Units that had nothing on a spare.</summary>
    public long UnitsNotOnSpare { get; init; }

    /// <summary>Units that stay on their spare; Failure says why.</summary>
    public long UnitsFailed { get; init; }

    public long BlocksCopied { get; init; }

    /// <summary>Blocks of returned units that were lost, and stay so until they are written.</summary>
    public long BlocksLost { get; init; }

    /// <summary>Where the units that stay are, ascending; at most DeviceStatus.LostExtentsMax.</summary>
    public IReadOnlyList<LostExtent> StayedExtents { get; init; } = [];

    /// <summary>Why units stayed, or why it was ended, in words; null when all is done.</summary>
    public string? Failure { get; init; }
}

/// <summary>What `retest` found.</summary>
public sealed record RetestReport
{
    public required long FirstBlock { get; init; }

    public required long LastBlock { get; init; }

    /// <summary>Suspect units that were read again.</summary>
    public long SuspectsTried { get; init; }

    /// <summary>Of those, how many read; they are being copied to a spare.</summary>
    public long SuspectsGood { get; init; }

    /// <summary>Units with blocks given up as unreadable that were tried.</summary>
    public long LostUnitsTried { get; init; }

    /// <summary>Blocks that had been given up, read twice, and are on a spare now.</summary>
    public long BlocksBack { get; init; }

    /// <summary>Why it was ended before its last unit, in words; null when it was not.</summary>
    public string? Failure { get; init; }
}

/// <summary>What `mark-lost` did.</summary>
public sealed record MarkLostReport
{
    public required long FirstBlock { get; init; }

    public required long LastBlock { get; init; }

    /// <summary>Blocks that are lost now, and were not before.</summary>
    public long BlocksDeclared { get; init; }

    /// <summary>Blocks on a spare, or zero by the table: they read as before.</summary>
    public long BlocksOnSpare { get; init; }

    /// <summary>Why not all of it was recorded, in words; null when all was.</summary>
    public string? Failure { get; init; }
}

/// <summary>A part of what is lost, ascending.</summary>
public sealed record LostPage
{
    public const int ExtentsMax = 256;

    public required int BlockSize { get; init; }

    /// <summary>Of the whole device.</summary>
    public required long LostBlocks { get; init; }

    public required IReadOnlyList<LostRun> Extents { get; init; }

    /// <summary>The block to ask for the next part from; null: this was the last.</summary>
    public long? Next { get; init; }
}

/// <summary>Lost blocks that follow each other and of which the same is known.</summary>
public sealed record LostRun
{
    public required long FirstBlock { get; init; }

    public required long Blocks { get; init; }

    /// <summary>One of <see cref="LossReasons"/>.</summary>
    public required string Reason { get; init; }

    /// <summary>The day (UTC) of the last error in this unit, as "2026-11-27"; null: not recorded.</summary>
    public string? Day { get; init; }

    /// <summary>The last error of the main device in this unit, as "EIO"; null: none is recorded.</summary>
    public string? Error { get; init; }
}

/// <summary>Why blocks are lost.</summary>
public static class LossReasons
{
    /// <summary>The main device does not read them; they are tried again in the background.</summary>
    public const string Unreadable = "unreadable";

    /// <summary>A person said so, or they were lost when their unit went back from a spare.</summary>
    public const string Declared = "declared";

    /// <summary>Their unit is on a spare, and they could not come along or its spare unit failed.</summary>
    public const string OnSpare = "on-spare";
}
