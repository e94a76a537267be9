using System;
using System.Collections.Generic;

namespace DmRemap.Control.Registry;

/// <summary>Whether a block that failed may be believed when it reads again.</summary>
public enum LostPolicy
{
    None = 0,

    /// <summary>A lost unit that reads twice, equal, without error is served again.</summary>
    Salvage = 1,

    /// <summary>Only a write ends the loss.</summary>
    Strict = 2,
}

/// <summary>What is being done to a spare: the set may not count it yet, or not any more.</summary>
public enum SpareTransit
{
    /// <summary>Nothing: it is of the set.</summary>
    None = 0,
    Adding = 1,
    Removing = 2,
}

/// <summary>One spare as the user named it, and the member UUID that we wrote on it.</summary>
public sealed record SpareRecord(string Path, Guid Uuid)
{
    /// <summary>Recorded before the set knows of it, so that every crash leaves what a start takes.</summary>
    public SpareTransit Transit { get; init; }
}

/// <summary>
/// What this machine knows of one device: where its members are. What the members *are* is in their
/// superblocks; the paths here only say where to look first.
/// </summary>
public sealed record DeviceRecord
{
    public required string Name { get; init; }

    public required Guid SetUuid { get; init; }

    /// <summary>Absolute, links kept as given (/dev/disk/by-id/... stays that); or an NBD URI.</summary>
    public required string MainPath { get; init; }

    public required long MainBytes { get; init; }

    /// <summary>Logical, 512 to 4096.</summary>
    public required int BlockBytes { get; init; }

    public required int PhysicalBlockBytes { get; init; }

    /// <summary>What one remap moves.</summary>
    public required int UnitBytes { get; init; }

    /// <summary>Bytes from the main device's start to its first physical block boundary.</summary>
    public required int AlignmentOffsetBytes { get; init; }

    /// <summary>1 to Limits.SparesMax, in the order of `create`.</summary>
    public required IReadOnlyList<SpareRecord> Spares { get; init; }

    public required DateTimeOffset Created { get; init; }

    public LostPolicy Lost { get; init; } = LostPolicy.Salvage;
}
