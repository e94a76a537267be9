using System.Collections.Generic;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using DmRemap.Cli.Devices;
using DmRemap.Cli.Losses;
using DmRemap.Control.Contracts;
using DmRemap.Control.Protocol;

namespace DmRemap.Cli.Output;

/// <summary>
/// `status --json` without a name. A device that cannot be asked is among the problems, never left out.
/// </summary>
internal sealed record StatusDocument(
    IReadOnlyList<DeviceStatus> Devices, IReadOnlyList<ControlError> Problems);

/// <summary>`list --json`.</summary>
internal sealed record ListDocument(IReadOnlyList<ListedDevice> Devices);

/// <summary>State is that of the status, or "unreadable" with the problem. Null: not known.</summary>
internal sealed record ListedDevice
{
    public required string Name { get; init; }

    public required string State { get; init; }

    public IReadOnlyList<string> Conditions { get; init; } = [];

    public string? Main { get; init; }

    public long? SizeBytes { get; init; }

    public long? Remaps { get; init; }

    public long? LostBlocks { get; init; }

    public SpareUnits? SpareUnits { get; init; }

    /// <summary>Null: not attached.</summary>
    public Attachment? Attached { get; init; }

    public ControlError? Problem { get; init; }
}

/// <summary>`mark-bad --json`: as RemapReport, over all runs of the list.</summary>
internal sealed record MarkBadDocument
{
    public required string Name { get; init; }

    /// <summary>Of the list.</summary>
    public required long Runs { get; init; }

    public required long UnitsRemapped { get; init; }

    public required long UnitsAlreadyRemapped { get; init; }

    public required long UnitsFailed { get; init; }

    public required long BlocksUnread { get; init; }

    /// <summary>Null: all of the list was gone through, and every unit moved.</summary>
    public string? Failure { get; init; }
}

/// <summary>
/// `lost --json`. Complete: no extent is left out. SuspectUnits: of which blocks failed to read and are not
/// given up yet; they are not among the extents. Files: null unless they were asked for.
/// </summary>
internal sealed record LostDocument
{
    public required string Name { get; init; }

    public required int BlockSize { get; init; }

    public required long LostBlocks { get; init; }

    public required IReadOnlyList<LostRun> Extents { get; init; }

    public required bool Complete { get; init; }

    public required long SuspectUnits { get; init; }

    public HitFiles? Files { get; init; }
}

/// <summary>`spare list --json`. Forecast is null while the device is stopped.</summary>
internal sealed record SpareListDocument(
    string Name, IReadOnlyList<SpareStatus> Spares, SpareForecast? Forecast);

/// <summary>`stop --json`. Report is null when the device was not running.</summary>
internal sealed record StopDocument(string Name, bool WasRunning, StopReport? Report);

/// <summary>`delete --json`.</summary>
internal sealed record DeleteDocument(string Name, bool Deleted);

/// <summary>`repair --json`. WholeSet: every spare holds the whole table.</summary>
internal sealed record RepairDocument(
    string Name, bool CleanStop, bool WholeSet, bool LossAccepted, bool DataDoubtful, RepairedParts Repaired);

/// <summary>What was written anew; all 0: nothing was wrong.</summary>
/// <param name="Superblocks">Copies that were damaged or unreadable.</param>
/// <param name="SuperblocksOld">Copies of an older generation.</param>
/// <param name="CheckpointPlaces">Places in which the table was damaged or unreadable.</param>
/// <param name="JournalRecords">Records that were not in every place.</param>
/// <param name="Spares">Spares that had been behind.</param>
internal sealed record RepairedParts(
    int Superblocks, int SuperblocksOld, int CheckpointPlaces, int JournalRecords, int Spares);

/// <summary>`serve --json`, one line: clients may come.</summary>
internal sealed record ReadyDocument(string Name, bool Ready, IReadOnlyList<string> Exports, int Pid);

/// <summary>`lab list --json` without a name.</summary>
internal sealed record LabListDocument(IReadOnlyList<LabStatus> Disks);

/// <summary>What `--json` prints: indented, since people read it too, and every field present.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, WriteIndented = true)]
[JsonSerializable(typeof(DeviceStatus))]
[JsonSerializable(typeof(StatusDocument))]
[JsonSerializable(typeof(ListDocument))]
[JsonSerializable(typeof(RemapReport))]
[JsonSerializable(typeof(UnremapReport))]
[JsonSerializable(typeof(RetestReport))]
[JsonSerializable(typeof(MarkLostReport))]
[JsonSerializable(typeof(MarkBadDocument))]
[JsonSerializable(typeof(LostDocument))]
[JsonSerializable(typeof(SuspendReport))]
[JsonSerializable(typeof(ResumeReport))]
[JsonSerializable(typeof(ClearReport))]
[JsonSerializable(typeof(ScrubReport))]
[JsonSerializable(typeof(SpareListDocument))]
[JsonSerializable(typeof(SpareAddReport))]
[JsonSerializable(typeof(SpareRemoveReport))]
[JsonSerializable(typeof(SpareStopReport))]
[JsonSerializable(typeof(FaultList))]
[JsonSerializable(typeof(FaultsCleared))]
[JsonSerializable(typeof(AttachedDevice))]
[JsonSerializable(typeof(DetachedDevice))]
[JsonSerializable(typeof(StopDocument))]
[JsonSerializable(typeof(DeleteDocument))]
[JsonSerializable(typeof(CreateReport))]
[JsonSerializable(typeof(CheckDocument))]
[JsonSerializable(typeof(RepairDocument))]
[JsonSerializable(typeof(ReadyDocument))]
[JsonSerializable(typeof(LabStatus))]
[JsonSerializable(typeof(LabChange))]
[JsonSerializable(typeof(LabDefects))]
[JsonSerializable(typeof(LabListDocument))]
[JsonSerializable(typeof(RebindReport))]
[JsonSerializable(typeof(EmptyReport))]
[JsonSerializable(typeof(ErrorDocument))]
internal sealed partial class CliJson : JsonSerializerContext;

/// <summary>
/// With quotes and backquotes as they are: the output goes to a terminal or a program, not into HTML.
/// </summary>
internal static class PlainJson
{
    /// <summary>A document on one line, for what reads line by line.</summary>
    public static CliJson Lines { get; } = new(new JsonSerializerOptions(CliJson.Default.Options)
    {
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        WriteIndented = false,
    });

    public static CliJson Types { get; } = new(new JsonSerializerOptions(CliJson.Default.Options)
    {
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    });
}
