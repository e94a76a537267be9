using System;
using System.Collections.Generic;
using System.Net;
using DmRemap.Control.Contracts;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using DmRemap.Core.Flushing;
using DmRemap.Core.Healing;
using DmRemap.Core.Spares;
using DmRemap.Linux.Loop;
using DmRemap.Nbd;

namespace DmRemap.Cli.Devices;

/// <summary>`create`, checked for form only: names, powers of two, counts. Sizes in bytes.</summary>
public sealed record CreateOptions
{
    public required string Name { get; init; }

    public required string MainPath { get; init; }

    /// <summary>1 to Limits.SparesMax, in the order given.</summary>
    public required IReadOnlyList<string> SparePaths { get; init; }

    /// <summary>Make each spare as a new file of this size; null: the spares exist.</summary>
    public long? SpareBytes { get; init; }

    /// <summary>Null: the larger of the physical block and Limits.UnitBytesMin.</summary>
    public int? UnitBytes { get; init; }

    /// <summary>512 or 4096; null: what the device says, 512 for a file.</summary>
    public int? BlockBytes { get; init; }

    /// <summary>Units that have moved are to be on a second spare, too.</summary>
    public bool KeepsCopies { get; init; }

    /// <summary>Carry out what Refusal.CanBeForced marks.</summary>
    public bool Force { get; init; }
}

/// <summary>`serve`.</summary>
public sealed record ServeOptions
{
    public const double MetadataDeadlineSecondsDefault = 5;

    public required string Name { get; init; }

    /// <summary>Null: NAME.nbd in the run directory.</summary>
    public string? SocketPath { get; init; }

    /// <summary>A loopback address; null: no TCP. Port 0: any free one.</summary>
    public IPEndPoint? Listen { get; init; }

    /// <summary>One client, on standard input and output; nothing else is written there.</summary>
    public bool Stdio { get; init; }

    public NbdTlsMode Tls { get; init; }

    /// <summary>With the certificates; not null unless TLS is off.</summary>
    public string? TlsDirectory { get; init; }

    /// <summary>Beyond loopback too, clients may come without a certificate.</summary>
    public bool AdmitsAnyTlsClient { get; init; }

    public bool ReadOnly { get; init; }

    public LoopBackend Backend { get; init; }

    /// <summary>Serve spares that are older than what this machine last saw.</summary>
    public bool AcceptsRollback { get; init; }

    /// <summary>Serve a main device that was written without us since the last clean stop.</summary>
    public bool AcceptsChangedMain { get; init; }

    /// <summary>A file of fault rules; null: no faults but those added later.</summary>
    public string? FaultsPath { get; init; }

    /// <summary>Start although spares are missing.</summary>
    public bool Degraded { get; init; }

    /// <summary>Spares to leave out although they are here; only with Degraded.</summary>
    public IReadOnlyList<string> Without { get; init; } = [];

    /// <summary>Of missing spares, second copies are read that no stop vouches for.</summary>
    public bool TrustsCopies { get; init; }

    /// <summary>0 to Limits.ReadRetriesMax.</summary>
    public int ReadRetries { get; init; } = Limits.ReadRetriesDefault;

    public bool ProbesNeighbourhood { get; init; } = true;

    /// <summary>Sectors that read only after failing go to a spare.</summary>
    public bool CopiesWeak { get; init; } = true;

    /// <summary>What becomes of requests for a disk that is gone.</summary>
    public OnGone OnGone { get; init; } = OnGone.Default;

    public HealPolicy Heal { get; init; } = HealPolicy.Default;

    public SparePlacement Placement { get; init; }

    /// <summary>What becomes of drives' error recovery.</summary>
    public ErrorRecoveryPolicy ErrorRecovery { get; init; }

    /// <summary>0: reads wait for as long as their disk takes.</summary>
    public double ReadDeadlineSeconds { get; init; }

    /// <summary>What is done about the main device's volatile cache.</summary>
    public WriteCachePolicy WriteCache { get; init; }

    /// <summary>Of each metadata write.</summary>
    public double MetadataDeadlineSeconds { get; init; } = MetadataDeadlineSecondsDefault;
}

/// <summary>`attach`.</summary>
public sealed record AttachOptions
{
    public required string Name { get; init; }

    /// <summary>As a file, without a block device on it.</summary>
    public bool AsFile { get; init; }

    /// <summary>For a server that has to be started.</summary>
    public required TimeSpan Wait { get; init; }
}

/// <summary>What `attach` made.</summary>
/// <param name="Name">Of the device.</param>
/// <param name="Device">/dev/loopN; null for a file alone.</param>
/// <param name="Link">/dev/dmremap/NAME; null where it could not be made.</param>
/// <param name="File">The file below.</param>
/// <param name="WasAttached">It was there before.</param>
/// <param name="Started">A server was started for it.</param>
public sealed record AttachedDevice(
    string Name, string? Device, string? Link, string File, bool WasAttached, bool Started);

/// <summary>What `detach` did.</summary>
/// <param name="Name">Of the device.</param>
/// <param name="WasAttached">False: there was nothing to let go of.</param>
/// <param name="Stopped">The server that `attach` had started has ended.</param>
/// <param name="Forced">Requests that had no answer were cut off.</param>
/// <param name="StopReport">How that server stopped, in its words; null where it had none.</param>
/// <param name="ServerLeft">Its process, where it was told to end and has not yet; else null.</param>
public sealed record DetachedDevice(
    string Name, bool WasAttached, bool Stopped, bool Forced, StopReport? StopReport, int? ServerLeft);

/// <summary>
/// The set that `check` and `dump` read: of a registered device, or of the spares that are given.
/// </summary>
public sealed record SetChoice
{
    /// <summary>Null: SparePaths.</summary>
    public string? Name { get; init; }

    /// <summary>In any order; empty when a name is given.</summary>
    public IReadOnlyList<string> SparePaths { get; init; } = [];
}

/// <summary>`repair`.</summary>
public sealed record RepairOptions
{
    public required string Name { get; init; }

    /// <summary>Go on without acknowledged journal records that are lost.</summary>
    public bool AcceptLoss { get; init; }
}

/// <summary>`rebind`: exactly one of main and spare.</summary>
public sealed record RebindOptions
{
    public required string Name { get; init; }

    /// <summary>Where the main device is now.</summary>
    public string? MainPath { get; init; }

    /// <summary>As it is registered.</summary>
    public string? OldSparePath { get; init; }

    public string? NewSparePath { get; init; }

    public bool AcceptsRollback { get; init; }

    public bool AcceptsChangedMain { get; init; }
}

/// <summary>What `rebind` changed.</summary>
public sealed record RebindReport(string Name, string OldPath, string NewPath);

/// <summary>`demo`.</summary>
public sealed record DemoOptions
{
    /// <summary>Leave the images behind, to look at.</summary>
    public bool Keep { get; init; }
}

/// <summary>What `create` made.</summary>
public sealed record CreateReport
{
    public required string Name { get; init; }

    public required string Uuid { get; init; }

    public required string MainPath { get; init; }

    public required long SizeBytes { get; init; }

    public required int BlockSize { get; init; }

    public required int UnitBytes { get; init; }

    public required IReadOnlyList<CreatedSpare> Spares { get; init; }

    /// <summary>In words, each complete; empty when there is nothing to say.</summary>
    public IReadOnlyList<string> Warnings { get; init; } = [];
}

/// <summary>Units that this spare can lend.</summary>
public sealed record CreatedSpare(string Path, string Uuid, long Units);
