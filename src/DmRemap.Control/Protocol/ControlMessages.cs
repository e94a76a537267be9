using System.Collections.Generic;
using System.Text.Json;
using System.Text.Json.Serialization;
using DmRemap.Control.Contracts;
using DmRemap.Core.Abstractions;

namespace DmRemap.Control.Protocol;

/// <summary>The server's first line.</summary>
public sealed record Greeting([property: JsonPropertyName("dmremap")] GreetingBody Body);

public sealed record GreetingBody(int Protocol, string Version, string Name);

/// <summary>A client's line. Arguments may be absent when the command needs none.</summary>
public sealed record ControlRequest
{
    /// <summary>0 or more; comes back with the reply.</summary>
    public required long Id { get; init; }

    public required string Command { get; init; }

    public JsonElement? Arguments { get; init; }
}

/// <summary>A server's line after the greeting: exactly one of Return, Error, Progress is there.</summary>
public sealed record ControlReply
{
    /// <summary>Null when the request could not be read far enough to know its id.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public long? Id { get; init; }

    public JsonElement? Return { get; init; }

    public ControlError? Error { get; init; }

    public JsonElement? Progress { get; init; }
}

/// <summary>
/// A refusal on its way through JSON: what, which device, what to do, and what the program exits with.
/// </summary>
public sealed record ControlError(string Id, string Device, string Message, string Action, int ExitCode)
{
    public static ControlError Of(Refusal refusal) => new(
        refusal.Id, refusal.Device, refusal.Message, refusal.Action, (int)refusal.ExitCode);

    /// <summary>
    /// Unknown exit codes (of a newer daemon) are plain failures; "done" is never an error's.
    /// </summary>
    public Refusal ToRefusal()
    {
        bool known = ExitCode is > (int)Core.Abstractions.ExitCode.Done
            and <= (int)Core.Abstractions.ExitCode.MissingHere;
        ExitCode code = known ? (ExitCode)ExitCode : Core.Abstractions.ExitCode.Failed;
        return new Refusal(Id, code, Device, Message, Action);
    }
}

/// <summary>What `--json` prints for a command that failed.</summary>
public sealed record ErrorDocument(ControlError Error);

/// <summary>Of `lost`.</summary>
public sealed record LostArguments
{
    /// <summary>The first block to look at.</summary>
    public long From { get; init; }
}

/// <summary>
/// Of `remap`, `unremap`, `retest` and `mark-lost`: logical blocks of the exported device, both ends
/// included.
/// </summary>
public sealed record RemapArguments
{
    public required long First { get; init; }

    public required long Last { get; init; }
}

/// <summary>Of a command that takes none: anything else than {} is refused.</summary>
public sealed record NoArguments;

public sealed record FaultArguments
{
    public required string Rule { get; init; }
}

public sealed record FaultsClearArguments
{
    /// <summary>Null clears every rule.</summary>
    public string? Rule { get; init; }
}

public sealed record ScrubArguments
{
    /// <summary>start, stop or status.</summary>
    public required string Action { get; init; }

    /// <summary>Of a start; null: as before.</summary>
    public long? BytesPerSecond { get; init; }
}

public sealed record SpareAddArguments
{
    /// <summary>Absolute.</summary>
    public required string Path { get; init; }

    /// <summary>Make it as a file of this size; null: it is there.</summary>
    public long? SizeBytes { get; init; }

    /// <summary>Also where it seems to carry data.</summary>
    public bool Force { get; init; }
}

public sealed record SpareRemoveArguments
{
    /// <summary>Its path, or its index in the set.</summary>
    public required string Spare { get; init; }

    /// <summary>Give up what does not read.</summary>
    public bool AcceptLoss { get; init; }
}

public sealed record ClearArguments
{
    /// <summary>A name from <see cref="ConditionCatalog"/>.</summary>
    public required string Condition { get; init; }
}

public sealed record LabAddBadArguments
{
    /// <summary>`FIRST[-LAST] [KIND] [tries=K] [delay=MS] [lasting]` each.</summary>
    public required IReadOnlyList<string> Runs { get; init; }
}

public sealed record LabHealArguments
{
    /// <summary>Null: everything.</summary>
    public LabRange? Range { get; init; }
}

public sealed record LabTroubleArguments
{
    /// <summary>A word of <see cref="LabTroubles"/>.</summary>
    public required string Trouble { get; init; }

    /// <summary>Null: until it is healed.</summary>
    public double? Seconds { get; init; }
}

public sealed record LabListArguments
{
    public long From { get; init; }
}

/// <summary>Of `stop` and `suspend`.</summary>
public sealed record DeadlineArguments
{
    // Not init: the generated reader would then leave 0 where the field is absent.
    public double DeadlineSeconds { get; set; } = ControlProtocol.DeadlineSecondsDefault;
}
