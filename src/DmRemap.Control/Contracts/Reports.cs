using System;
using System.Collections.Generic;

namespace DmRemap.Control.Contracts;

/// <summary>
/// What `remap` did. Blocks are logical blocks of the exported device; FirstBlock to LastBlock, both
/// included.
/// </summary>
public sealed record RemapReport
{
    public required long FirstBlock { get; init; }

    public required long LastBlock { get; init; }

    /// <summary>Units that moved to a spare now.</summary>
    public long UnitsRemapped { get; init; }

    /// <summary>Units that were on a spare already.</summary>
    public long UnitsAlreadyRemapped { get; init; }

    /// <summary>Units that stay where they are; Failure says why.</summary>
    public long UnitsFailed { get; init; }

    public long BlocksCopied { get; init; }

    /// <summary>
    /// Blocks that did not read: they stay on the main device, and fail until they read or are written.
    /// </summary>
    public long BlocksUnread { get; init; }

    /// <summary>Where those are, ascending; at most DeviceStatus.LostExtentsMax.</summary>
    public IReadOnlyList<LostExtent> UnreadExtents { get; init; } = [];

    /// <summary>Why units stayed where they are, in words; null when none did.</summary>
    public string? Failure { get; init; }
}

/// <summary>How far a remap is.</summary>
public sealed record RemapProgress(long UnitsDone, long UnitsTotal);

/// <summary>What `spare add` did.</summary>
public sealed record SpareAddReport
{
    public required string Path { get; init; }

    public required string Uuid { get; init; }

    /// <summary>Its index in the set.</summary>
    public required int Index { get; init; }

    /// <summary>Units that it lends.</summary>
    public required long Units { get; init; }

    public IReadOnlyList<string> Warnings { get; init; } = [];
}

/// <summary>What `spare remove` did.</summary>
public sealed record SpareRemoveReport
{
    public required string Path { get; init; }

    /// <summary>It has left the set for ever. False: it is a spare as before; Failure says why.</summary>
    public required bool Removed { get; init; }

    public long UnitsMoved { get; init; }

    /// <summary>Units of which nothing was left to be moved.</summary>
    public long UnitsLetGo { get; init; }

    /// <summary>Units of which blocks did not read: they stay on the spare.</summary>
    public long UnitsUnread { get; init; }

    /// <summary>Blocks that were given up, as agreed to.</summary>
    public long BlocksLost { get; init; }

    /// <summary>Its superblocks are zeros now. False where it could not be written.</summary>
    public bool Erased { get; init; }

    public string? Failure { get; init; }
}

/// <summary>WasRunning: false when no spare was being removed.</summary>
public sealed record SpareStopReport(bool WasRunning);

/// <summary>How a device stopped.</summary>
public sealed record StopReport
{
    /// <summary>Nothing was left: every member flushed, the clean-stop record written.</summary>
    public required bool Clean { get; init; }

    /// <summary>The deadline came before the end. False, and not clean: a member failed.</summary>
    public bool ByDeadline { get; init; }

    /// <summary>Operations that members, or the servers behind them, had not answered.</summary>
    public long OperationsOutstanding { get; init; }

    /// <summary>The members that have them.</summary>
    public IReadOnlyList<string> OutstandingOn { get; init; } = [];

    /// <summary>Requests of clients that were cut off without an answer at the deadline.</summary>
    public long RequestsFailed { get; init; }

    /// <summary>What was left to recovery, in words; null when clean.</summary>
    public string? Left { get; init; }
}

/// <summary>How far a suspension has come when it is answered.</summary>
public sealed record SuspendReport
{
    /// <summary>
    /// Nothing is in flight. False: the deadline came first, or a resume or stop; Left says which.
    /// </summary>
    public required bool Suspended { get; init; }

    /// <summary>Every member was flushed: what was acknowledged is on the media.</summary>
    public bool Flushed { get; init; }

    /// <summary>Requests of clients that are still being carried out.</summary>
    public long RequestsInFlight { get; init; }

    /// <summary>Operations that the members have not answered.</summary>
    public long OperationsOutstanding { get; init; }

    /// <summary>The members that have them.</summary>
    public IReadOnlyList<string> OutstandingOn { get; init; } = [];

    /// <summary>Why it is not suspended, or what is not well, in words; else null.</summary>
    public string? Left { get; init; }
}

/// <summary>WasSuspended: false when there was nothing to resume.</summary>
public sealed record ResumeReport(bool WasSuspended);

/// <summary>What `attach` needs to know of a device that the kernel can use now as a file.</summary>
public sealed record AttachReport
{
    /// <summary>The file: all of the device.</summary>
    public required string Path { get; init; }

    public required long SizeBytes { get; init; }

    /// <summary>Logical.</summary>
    public required int BlockSize { get; init; }

    public required bool ReadOnly { get; init; }

    /// <summary>Of the primary, as it is registered.</summary>
    public required string MainPath { get; init; }

    /// <summary>Zeroing costs less than writing as many zeros.</summary>
    public required bool ZeroesFast { get; init; }

    /// <summary>The longest transfer that comes in one piece.</summary>
    public required int TransferBytesMax { get; init; }

    /// <summary>It was there before.</summary>
    public required bool WasAttached { get; init; }
}

public sealed record FaultList(IReadOnlyList<string> Rules);

public sealed record FaultsCleared(int Cleared);

/// <summary>WasSet: false when the condition did not hold.</summary>
public sealed record ClearReport(string Condition, bool WasSet);

/// <summary>How far the scrub of a device is.</summary>
public sealed record ScrubReport
{
    /// <summary>One of <see cref="ScrubStates"/>.</summary>
    public required string State { get; init; }

    /// <summary>One of <see cref="ScrubWaits"/> while it waits; else null.</summary>
    public string? WaitsFor { get; init; }

    /// <summary>Of this pass, in bytes of the device: 0 to 1.</summary>
    public required double Done { get; init; }

    /// <summary>The rate that was asked for; while clients are busy it is down to a tenth of it.</summary>
    public required long BytesPerSecond { get; init; }

    /// <summary>
    /// What it has read in a second since it was started, or last waited; null: it does not run, or has not
    /// run for a second.
    /// </summary>
    public long? BytesPerSecondMeasured { get; init; }

    /// <summary>Until the end of this pass, at the measured rate; null: not known.</summary>
    public long? SecondsLeft { get; init; }

    /// <summary>Logical blocks of this pass that did not read.</summary>
    public required long BlocksFailed { get; init; }

    /// <summary>When the last whole pass ended; null: never.</summary>
    public DateTimeOffset? LastEnded { get; init; }
}

/// <summary>The states of a scrub.</summary>
public static class ScrubStates
{
    /// <summary>Never started, or begun anew and not yet running.</summary>
    public const string Idle = "idle";
    public const string Running = "running";

    /// <summary>It reads nothing now, and goes on by itself; WaitsFor says for what it waits.</summary>
    public const string Waiting = "waiting";

    /// <summary>By a person, in the middle; it goes on from there.</summary>
    public const string Stopped = "stopped";
    public const string Ended = "ended";
}

/// <summary>What a scrub waits for.</summary>
public static class ScrubWaits
{
    /// <summary>The device is suspended.</summary>
    public const string Resume = "resume";

    /// <summary>The breaker is tripped, or the disk fails as a whole.</summary>
    public const string Disk = "disk";
}

public sealed record PingReport(string Name, int Pid, string Version);

/// <summary>The answer to a command that has nothing else to say.</summary>
public sealed record EmptyReport;
