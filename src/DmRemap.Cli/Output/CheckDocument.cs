using System.Collections.Generic;
using DmRemap.Control.Protocol;

namespace DmRemap.Cli.Output;

internal static class CheckVerdicts
{
    public const string Whole = "whole";

    /// <summary>Damaged or incomplete; a start can use it, and repairs what is here.</summary>
    public const string Usable = "usable";

    public const string Refused = "refused";
}

/// <summary>`check --json`.</summary>
internal sealed record CheckDocument
{
    /// <summary>Null when the spares were given by path.</summary>
    public string? Name { get; init; }

    /// <summary>Of the set; null when no superblock is valid.</summary>
    public string? Uuid { get; init; }

    /// <summary>One of <see cref="CheckVerdicts"/>.</summary>
    public required string Verdict { get; init; }

    /// <summary>In words, each complete; empty when all is whole.</summary>
    public required IReadOnlyList<string> Problems { get; init; }

    /// <summary>What `serve` would say instead of serving; null when it would serve.</summary>
    public ControlError? Refusal { get; init; }

    /// <summary>Those that were read, then those that are missing.</summary>
    public required IReadOnlyList<CheckedSpare> Spares { get; init; }

    /// <summary>Null where it could not be read; it is there after a refusal for another reason.</summary>
    public CheckedTable? Table { get; init; }
}

internal sealed record CheckedSpare
{
    public const string Active = "active";
    public const string Behind = "behind";
    public const string Missing = "missing";

    /// <summary>Nothing was decided.</summary>
    public const string Unknown = "unknown";

    /// <summary>Null for a missing one that no registry names.</summary>
    public required string? Path { get; init; }

    public int? Member { get; init; }

    public string? Uuid { get; init; }

    public required string State { get; init; }

    /// <summary>Units of the main device whose blocks are on it; null where the table is not known.</summary>
    public long? UnitsUsed { get; init; }

    /// <summary>
    /// Superblock copies in whose place something else was written; null where no set was decided.
    /// </summary>
    public int? SuperblocksOverwritten { get; init; }

    public IReadOnlyList<CheckedCopy> Superblocks { get; init; } = [];

    public IReadOnlyList<CheckedPlace> CheckpointPlaces { get; init; } = [];

    public IReadOnlyList<CheckedJournalPlace> JournalPlaces { get; init; } = [];
}

/// <summary>State: valid, old, damaged, unreadable, blank, foreign, misplaced, malformed, ...</summary>
internal sealed record CheckedCopy(int Copy, string State, long? Generation)
{
    public const string Valid = "valid";

    /// <summary>Zeros.</summary>
    public const string Blank = "blank";

    /// <summary>What has no magic.</summary>
    public const string Foreign = "foreign";

    /// <summary>Whole, and not of the newest generation.</summary>
    public const string Old = "old";
}

/// <summary>State: valid, damaged, unreadable.</summary>
internal sealed record CheckedPlace(int Place, string State);

internal sealed record CheckedJournalPlace(int Place, int RecordsMissing);

/// <summary>The table as a start would have it.</summary>
internal sealed record CheckedTable
{
    public required long Generation { get; init; }

    /// <summary>16 hexadecimal digits.</summary>
    public required string Epoch { get; init; }

    public required bool CleanStop { get; init; }

    /// <summary>No start has come since `create`: there was nothing to stop.</summary>
    public required bool NeverServed { get; init; }

    /// <summary>Units with an entry.</summary>
    public required long Entries { get; init; }

    public required long RemappedUnits { get; init; }

    public required long LostBlocks { get; init; }

    public required long RetiredUnits { get; init; }

    public required long CheckpointEntries { get; init; }

    /// <summary>Replayed over the checkpoint.</summary>
    public required int JournalRecords { get; init; }

    /// <summary>Sequence of the first; null when there is none.</summary>
    public required long? JournalFrom { get; init; }

    public required long? JournalTo { get; init; }

    public required int JournalSlotsUnreadable { get; init; }
}
