using System.Collections.Generic;
using System.Net;
using DmRemap.Core.Faults.Injection;
using DmRemap.Core.Faults.Injection.Models;
using DmRemap.Linux.Loop;

namespace DmRemap.Cli.Devices;

/// <summary>What `lab serve` was asked for.</summary>
public sealed record LabOptions
{
    public required string Name { get; init; }

    /// <summary>Null: that of the file.</summary>
    public long? SizeBytes { get; init; }

    /// <summary>Null: a sparse file that goes with the process.</summary>
    public string? FilePath { get; init; }

    /// <summary>Where that sparse file lies; null: in the run directory.</summary>
    public string? Folder { get; init; }

    public int BlockBytes { get; init; } = 512;

    public int PhysicalBytes { get; init; } = 4096;

    public string? SocketPath { get; init; }

    /// <summary>A loopback address; null: no TCP.</summary>
    public IPEndPoint? Listen { get; init; }

    public LoopBackend Backend { get; init; }

    public long Seed { get; init; } = 1;

    public FaultModel? Model { get; init; }

    public DiskChoice Choice { get; init; }

    /// <summary>Null: all of the year when the clock stands, nothing of it when it runs.</summary>
    public double? AgeDays { get; init; }

    /// <summary>0: the disk does not age.</summary>
    public double Clock { get; init; }

    /// <summary>Of what the model says that a drive takes over something.</summary>
    public double Delays { get; init; } = 1;

    /// <summary>Files of defects, of ddrescue, of badblocks, of rules.</summary>
    public IReadOnlyList<string> BadPaths { get; init; } = [];

    public IReadOnlyList<string> MapfilePaths { get; init; } = [];

    public IReadOnlyList<string> BadblocksPaths { get; init; } = [];

    public int BadblocksBytes { get; init; } = 1024;

    public string? FaultsPath { get; init; }

    /// <summary>So many physical sectors, anywhere.</summary>
    public long BadCount { get; init; }

    public double BadPercent { get; init; }

    public DefectKind BadKind { get; init; } = DefectKind.Pending;
}
