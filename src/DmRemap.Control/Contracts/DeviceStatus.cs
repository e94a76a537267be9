using System.Collections.Generic;
using System.Text.Json.Serialization;

namespace DmRemap.Control.Contracts;

/// <summary>
/// What `status` says about one device. Numbers that only a running device knows are null while it is
/// stopped: unknown is not zero. Names in JSON are the property names in camelCase; fields are only ever
/// added.
/// </summary>
public sealed record DeviceStatus
{
    /// <summary>
    /// At most this many lost extents travel in one status; LostExtentsComplete says whether these are all.
    /// </summary>
    public const int LostExtentsMax = 256;

    public required string Name { get; init; }

    /// <summary>Of the set (primary and its spares together).</summary>
    public required string Uuid { get; init; }

    /// <summary>One of <see cref="DeviceStates"/>.</summary>
    public required string State { get; init; }

    /// <summary>One of <see cref="DevicePhases"/>, where the state has phases; else null.</summary>
    public string? Phase { get; init; }

    /// <summary>
    /// Names from <see cref="ConditionCatalog"/>, most urgent first; empty when all is well.
    /// </summary>
    public required IReadOnlyList<string> Conditions { get; init; }

    /// <summary>How I/O reaches the kernel: "io_uring" or "epoll"; "none" while stopped.</summary>
    public required string Backend { get; init; }

    /// <summary>
    /// The server's memory is locked: no page of it, nor of its program, is ever thrown out. Null while
    /// nobody serves it.
    /// </summary>
    public bool? MemoryLocked { get; init; }

    /// <summary>
    /// The server is known to the kernel as one that dirty pages are written through (PR_SET_IO_FLUSHER).
    /// </summary>
    public bool? IoFlusher { get; init; }

    public required PrimaryStatus Primary { get; init; }

    public required IReadOnlyList<SpareStatus> Spares { get; init; }

    /// <summary>Units that have a unit on a spare.</summary>
    public long? Remaps { get; init; }

    /// <summary>Logical blocks whose content is gone: reads fail until they are written.</summary>
    public long? LostBlocks { get; init; }

    /// <summary>
    /// Units whose blocks are on a spare that is missing: not lost, and out of reach until it is back.
    /// </summary>
    public long? UnavailableUnits { get; init; }

    /// <summary>Units that failed and are not given up yet.</summary>
    public long? SuspectUnits { get; init; }

    /// <summary>When the spares will be used up; null while it is not served.</summary>
    public SpareForecast? Forecast { get; init; }

    /// <summary>From which spare a unit comes: `first-fit`, `most-free`, `health-aware`.</summary>
    public string? Placement { get; init; }

    /// <summary>Null where a device is not served.</summary>
    public HealingStatus? Healing { get; init; }

    /// <summary>Null where a device is not served.</summary>
    public CopiesStatus? Copies { get; init; }

    /// <summary>Null while it is not served.</summary>
    public ScrubReport? Scrub { get; init; }

    /// <summary>Logical blocks kept as zeros in the table, without a unit on a spare.</summary>
    public long? ZeroBlocks { get; init; }

    /// <summary>The first lost extents, ascending.</summary>
    public IReadOnlyList<LostExtent> LostExtents { get; init; } = [];

    /// <summary>False when there are more lost extents than LostExtentsMax.</summary>
    public bool LostExtentsComplete { get; init; } = true;

    /// <summary>
    /// Blocks whose latest write was acknowledged and may be lost, since a flush failed or a cache was lost.
    /// </summary>
    public long? UncertainBlocks { get; init; }

    /// <summary>Where, ascending; where they are many, with what lies between close ones.</summary>
    public IReadOnlyList<LostExtent> UncertainExtents { get; init; } = [];

    public IoCounters? Counters { get; init; }

    /// <summary>How long clients waited for answers; null while nobody serves it.</summary>
    public Latencies? Latencies { get; init; }

    /// <summary>How long changes of the table took to be durable; null where there was none.</summary>
    public Latency? CommitTime { get; init; }

    public MetadataStatus? Metadata { get; init; }

    /// <summary>Client connections now.</summary>
    public int? Clients { get; init; }

    public bool ReadOnly { get; init; }

    /// <summary>Of `serve --read-deadline`; null: none, or nobody serves it.</summary>
    public double? ReadDeadlineSeconds { get; init; }

    /// <summary>What clients connect to, as a URI each (nbd+unix, nbd).</summary>
    public IReadOnlyList<string> Exports { get; init; } = [];

    /// <summary>
    /// As what the kernel of the caller has it; null: not attached. Filled in by `status`, from the kernel's
    /// own tables: a server that has died does not say.
    /// </summary>
    public Attachment? Attached { get; init; }

    public int? Pid { get; init; }

    /// <summary>Of the program that serves the device, or of the caller while it is stopped.</summary>
    public required string Version { get; init; }

    public long? UptimeSeconds { get; init; }
}

/// <summary>What a device is attached as.</summary>
/// <param name="Device">/dev/loopN; null for a file alone.</param>
/// <param name="Link">/dev/dmremap/NAME; null where it does not lead to this device.</param>
/// <param name="File">The file below.</param>
public sealed record Attachment(string? Device, string? Link, string File)
{
    /// <summary>What is used: the block device where there is one.</summary>
    [JsonIgnore]
    public string Path => Device ?? File;
}

/// <summary>The states of a device's life, as they appear in JSON.</summary>
public static class DeviceStates
{
    public const string Stopped = "stopped";
    public const string Starting = "starting";
    public const string Running = "running";
    public const string Suspending = "suspending";
    public const string Suspended = "suspended";
    public const string Stopping = "stopping";

    /// <summary>A server holds its members, and no control socket here answers for it.</summary>
    public const string Unreachable = "unreachable";
}

/// <summary>What a starting or a suspended device is at.</summary>
public static class DevicePhases
{
    /// <summary>Starting: waits for the exclusive claim of every member.</summary>
    public const string Claiming = "claiming";

    /// <summary>Starting: reads the table from the spares.</summary>
    public const string Recovering = "recovering";

    /// <summary>Suspending: what was in flight has not ended yet.</summary>
    public const string Draining = "draining";

    /// <summary>Suspended: nothing in flight, members flushed.</summary>
    public const string Quiesced = "quiesced";
}

/// <summary>
/// What a member has been given and has not answered, metadata included. OldestMs is null while nothing has
/// been with it for more than a second.
/// </summary>
public sealed record MemberIo(long InFlight, long? OldestMs);

/// <summary>
/// The disk of a member is gone. Times in milliseconds.
/// </summary>
/// <param name="SinceMs">
/// Since it first went: a disk that was back for less than ten seconds was not back for that.
/// </param>
/// <param name="RequestsHeld">That wait for it.</param>
/// <param name="Holds">What needs it waits now. False: it fails at once.</param>
/// <param name="HoldsForMs">How much longer; null: it does not wait, or until the disk is back.</param>
public sealed record MemberGone(long SinceMs, long RequestsHeld, bool Holds, long? HoldsForMs);

/// <summary>
/// A member is slow: since when, and in microseconds, for operations of the kind that is slow, in the latest
/// window and usually, what half of them and 99 of a hundred do not exceed. Waiting for each other is taken
/// out.
/// </summary>
public sealed record MemberSlow(
    long SinceMs, double MedianUs, double UsualMedianUs, double TailUs, double UsualTailUs);

/// <summary>
/// Since the device was started; an operation that was not seen is null. Zeroings are discards and
/// write-zeroes.
/// </summary>
public sealed record Latencies(Latency? Reads, Latency? Writes, Latency? Flushes, Latency? Zeroings);

/// <summary>
/// So many operations took, in microseconds: on average, at most so long for half of them, for 90, 99 and
/// 99.9 of a hundred, and the longest. Exact to an eighth; average and longest are exact.
/// </summary>
public sealed record Latency(
    long Count, double MeanUs, double P50Us, double P90Us, double P99Us, double P999Us, double LongestUs);

/// <summary>The failing disk. Sizes in bytes.</summary>
public sealed record PrimaryStatus
{
    public required string Path { get; init; }

    public required long SizeBytes { get; init; }

    /// <summary>The logical block that clients address: 512 or 4096.</summary>
    public required int BlockSize { get; init; }

    public required int PhysicalBlockSize { get; init; }

    /// <summary>What one remap moves.</summary>
    public required int UnitBytes { get; init; }

    /// <summary>One of <see cref="MemberModes"/>; null while stopped.</summary>
    public string? Mode { get; init; }

    /// <summary>One of <see cref="MemberConnections"/>; null for a file or disk, and while stopped.</summary>
    public string? Connection { get; init; }

    /// <summary>Null while nobody serves it.</summary>
    public WriteCacheStatus? WriteCache { get; init; }

    public MemberErrors? Errors { get; init; }

    /// <summary>Null while its disk is there.</summary>
    public MemberGone? Gone { get; init; }

    /// <summary>Null while nobody serves it.</summary>
    public MemberIo? Io { get; init; }

    /// <summary>Null while it is not slow.</summary>
    public MemberSlow? Slow { get; init; }

    /// <summary>
    /// How long it took for what it was given, without what the table writes; null while nobody serves it.
    /// </summary>
    public Latencies? Latencies { get; init; }

    /// <summary>Null where it is no disk, or was not asked yet, and while stopped.</summary>
    public ErrorRecoveryStatus? ErrorRecovery { get; init; }
}

/// <summary>
/// How long a drive tries over a sector (SCT ERC): State is one of <see cref="ErrorRecoveryStates"/>; limits
/// in seconds, null for none; CommandTimeoutSeconds is the kernel's, null where it is not known; Why there
/// are no limits to be shown, in words, else null.
/// </summary>
public sealed record ErrorRecoveryStatus(
    string State, double? ReadSeconds, double? WriteSeconds, bool GivesUpEarly, int? CommandTimeoutSeconds,
    string? Why);

public static class ErrorRecoveryStates
{
    public const string Known = "known";

    /// <summary>The drive has none.</summary>
    public const string Unsupported = "unsupported";

    public const string Unknown = "unknown";
}

/// <summary>What is done about the main device's volatile cache.</summary>
/// <param name="Policy">"auto", "off", "fua" or "keep", as `serve --write-cache` has it.</param>
/// <param name="IsOff">The kernel knows of none, or it was switched off.</param>
/// <param name="WritesForced">Each write is durable when it is answered.</param>
public sealed record WriteCacheStatus(string Policy, bool IsOff, bool WritesForced);

/// <summary>A device that lends units.</summary>
public sealed record SpareStatus
{
    public required string Path { get; init; }

    /// <summary>In the set; null while stopped.</summary>
    public int? Index { get; init; }

    public required string Uuid { get; init; }

    /// <summary>
    /// "active", "degraded", "inactive", "missing", "adding", "leaving", or "unknown" while stopped.
    /// </summary>
    public required string State { get; init; }

    /// <summary>One of <see cref="MemberModes"/>; null while stopped.</summary>
    public string? Mode { get; init; }

    /// <summary>One of <see cref="MemberConnections"/>; null for a file or disk, and while stopped.</summary>
    public string? Connection { get; init; }

    public SpareUnits? Units { get; init; }

    /// <summary>Null while nobody serves it.</summary>
    public TableCopies? Table { get; init; }

    public MemberErrors? Errors { get; init; }

    /// <summary>Null while its disk is there.</summary>
    public MemberGone? Gone { get; init; }

    /// <summary>Null while nobody serves it.</summary>
    public MemberIo? Io { get; init; }

    /// <summary>Null while it is not slow.</summary>
    public MemberSlow? Slow { get; init; }

    /// <summary>
    /// How long it took for what it was given, without what the table writes; null while nobody serves it.
    /// </summary>
    public Latencies? Latencies { get; init; }

    /// <summary>Null where it is no disk, or was not asked yet, and while stopped.</summary>
    public ErrorRecoveryStatus? ErrorRecovery { get; init; }
}

/// <summary>
/// Units that got a spare unit in the last day, or since the start; how many an hour, and in how many seconds
/// none is left if that goes on. Null where too few moved to tell, or in the first ten minutes; SecondsLeft
/// also where none is left.
/// </summary>
public sealed record SpareForecast(long MovesLastDay, double? MovesPerHour, long? SecondsLeft);

/// <summary>
/// Places of the table on one spare that are good: superblock copies of 6, journal places and places of the
/// checkpoint of 2 each. All 0 where the spare is left out.
/// </summary>
public sealed record TableCopies(int Superblocks, int Journals, int Checkpoints);

public static class MemberModes
{
    /// <summary>O_DIRECT: errors are reported on the request that meets them.</summary>
    public const string Direct = "direct";

    /// <summary>Through the page cache: a rehearsal on files, in which P1 and P2 are not promised.</summary>
    public const string PageCache = "page-cache";

    /// <summary>Of the process that serves it: gone with it. A rehearsal too.</summary>
    public const string Memory = "memory";

    /// <summary>An export of an NBD server.</summary>
    public const string Nbd = "nbd";
}

/// <summary>Of a member that is an NBD export.</summary>
public static class MemberConnections
{
    public const string Connected = "connected";
    public const string Disconnected = "disconnected";
}

/// <summary>Total = Used + Free + Retired.</summary>
public sealed record SpareUnits(long Total, long Used, long Free, long Retired);

/// <summary>Errors that one member reported since the device was started.</summary>
public sealed record MemberErrors(long Reads, long Writes, long Flushes);

/// <summary>A run of lost logical blocks.</summary>
public sealed record LostExtent(long FirstBlock, long Blocks);

/// <summary>
/// Since the device was started. Requests are the clients'; errors of members are apart from what clients
/// saw.
/// </summary>
public sealed record IoCounters
{
    public long Reads { get; init; }

    public long Writes { get; init; }

    public long Flushes { get; init; }

    public long Discards { get; init; }

    public long Zeroes { get; init; }

    public long BytesRead { get; init; }

    public long BytesWritten { get; init; }

    /// <summary>Errors that members reported for reads.</summary>
    public long ReadErrors { get; init; }

    /// <summary>Errors that members reported for writes.</summary>
    public long WriteErrors { get; init; }

    /// <summary>Requests that were answered with an error.</summary>
    public long ClientErrors { get; init; }

    /// <summary>Units that moved to a spare.</summary>
    public long RemapsMade { get; init; }

    /// <summary>Blocks that became lost.</summary>
    public long BlocksLost { get; init; }

    /// <summary>Units that went back to the main device.</summary>
    public long UnitsReturned { get; init; }

    /// <summary>Blocks that had been given up and were read after all.</summary>
    public long BlocksSalvaged { get; init; }

    /// <summary>Units of spares that failed and are not used again.</summary>
    public long SpareUnitsRetired { get; init; }

    public long Commits { get; init; }

    public long CommitFailures { get; init; }

    /// <summary>
    /// Reads, or pieces of them, that were answered with an error at their deadline and were with a disk.
    /// </summary>
    public long ReadsAbandoned { get; init; }

    /// <summary>Errors made by fault rules.</summary>
    public long FaultsInjected { get; init; }
}

/// <summary>The table as it is on the spares.</summary>
public sealed record MetadataStatus
{
    /// <summary>Of the superblocks; grows with every checkpoint and change of membership.</summary>
    public required long Generation { get; init; }

    /// <summary>16 hexadecimal digits.</summary>
    public required string Epoch { get; init; }

    /// <summary>Units with a rule, remapped or not.</summary>
    public long Entries { get; init; }

    /// <summary>Members that hold a complete copy.</summary>
    public int ActiveCopies { get; init; }

    /// <summary>The last journal record acknowledged.</summary>
    public long Sequence { get; init; }

    /// <summary>Slots of the journal whose records no checkpoint holds yet.</summary>
    public long JournalSlotsUsed { get; init; }

    public int JournalSlots { get; init; }

    /// <summary>Checkpoints made since the start.</summary>
    public long Checkpoints { get; init; }

    /// <summary>Metadata writes that were not back by their deadline.</summary>
    public long TimeOuts { get; init; }

    /// <summary>Metadata operations that were given up and that the kernel still has.</summary>
    public int Stuck { get; init; }

    /// <summary>False: it was not stopped cleanly before this start.</summary>
    public bool CleanStart { get; init; }

    /// <summary>It was never served before.</summary>
    public bool FirstStart { get; init; }
}
