using System.Collections.Generic;

namespace DmRemap.Control.Contracts;

/// <summary>512-byte sectors, both ends included.</summary>
public sealed record LabRange(long First, long Last);

/// <summary>What befalls a disk of the lab as a whole.</summary>
public static class LabTroubles
{
    /// <summary>It answers nothing for a time, and then everything.</summary>
    public const string Stall = "stall";

    /// <summary>The link is lost: what is asked in this time waits, and fails.</summary>
    public const string Reset = "reset";

    /// <summary>Each request takes longer, for a time.</summary>
    public const string Slow = "slow";

    /// <summary>It is not there: clients are disconnected, and nobody is let in.</summary>
    public const string Vanish = "vanish";

    /// <summary>It is back, with what it had.</summary>
    public const string Return = "return";
}

/// <summary>A disk of the lab.</summary>
public sealed record LabStatus
{
    public required string Name { get; init; }

    public required int Pid { get; init; }

    public required string Version { get; init; }

    public required IReadOnlyList<string> Exports { get; init; }

    /// <summary>The file that holds its content.</summary>
    public required string Backing { get; init; }

    /// <summary>The file goes with the process.</summary>
    public required bool IsTemporary { get; init; }

    public required long SizeBytes { get; init; }

    public required int BlockSize { get; init; }

    public required int PhysicalBlockSize { get; init; }

    /// <summary>Null: none, only what was given by hand.</summary>
    public string? Model { get; init; }

    public required long Seed { get; init; }

    /// <summary>Of the model: how old the disk is by its own clock.</summary>
    public double? AgeDays { get; init; }

    /// <summary>How much faster than ours that clock runs; 0: it stands.</summary>
    public required double Clock { get; init; }

    /// <summary>What the model has still in store.</summary>
    public required int ArrivalsLeft { get; init; }

    /// <summary>"ok", or the trouble with the disk as a whole: a word of LabTroubles.</summary>
    public required string State { get; init; }

    /// <summary>Physical sectors that are bad, by kind.</summary>
    public required IReadOnlyDictionary<string, long> Defects { get; init; }

    /// <summary>Rules as of `faults`.</summary>
    public required int Rules { get; init; }

    public required LabCounters Counters { get; init; }

    /// <summary>What went wrong with the lab itself; empty: nothing.</summary>
    public required string Note { get; init; }
}

/// <summary>Requests by what the faults did to them.</summary>
public sealed record LabCounters
{
    public required long ReadsFailed { get; init; }

    public required long WritesFailed { get; init; }

    public required long FlushesFailed { get; init; }

    public required long ReadsCorrupted { get; init; }

    public required long FailedByRules { get; init; }

    public required long FailedInReset { get; init; }

    public required long FailedAsGone { get; init; }

    /// <summary>Held up by a stall.</summary>
    public required long Stalled { get; init; }

    /// <summary>Physical sectors that a write has made good.</summary>
    public required long HealedByWrites { get; init; }
}

/// <summary>Physical sectors that have changed, and that are bad now.</summary>
public sealed record LabChange(long Changed, long Bad);

/// <summary>Runs as text, as they can be given again.</summary>
/// <param name="Runs">`FIRST-LAST KIND ...` each.</param>
/// <param name="Next">The sector to go on from; null: these are all.</param>
public sealed record LabDefects(IReadOnlyList<string> Runs, long? Next);
