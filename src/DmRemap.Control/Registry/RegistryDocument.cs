using System.Text.Json.Serialization;

namespace DmRemap.Control.Registry;

/// <summary>
/// NAME.json as it is written. Everything is nullable: a file is parsed first and verified afterwards.
/// </summary>
internal sealed class RegistryDocument
{
    public int? Format { get; init; }

    public string? Name { get; init; }

    public string? Uuid { get; init; }

    public MainDocument? Main { get; init; }

    public int? UnitBytes { get; init; }

    public SpareDocument?[]? Spares { get; init; }

    public string? Lost { get; init; }

    public string? Created { get; init; }
}

internal sealed class MainDocument
{
    public string? Path { get; init; }

    public long? SizeBytes { get; init; }

    public int? BlockSize { get; init; }

    public int? PhysicalBlockSize { get; init; }

    public int? AlignmentOffset { get; init; }
}

internal sealed class SpareDocument
{
    public string? Path { get; init; }

    public string? Uuid { get; init; }

    /// <summary>"adding" or "removing"; left out otherwise.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Transit { get; init; }
}

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    WriteIndented = true,
    NewLine = "\n",
    MaxDepth = RegistryCodec.DepthMax,
    AllowDuplicateProperties = false)]
[JsonSerializable(typeof(RegistryDocument))]
[JsonSerializable(typeof(HostWitnessDocument))]
[JsonSerializable(typeof(ScrubProgress))]
internal sealed partial class RegistryJson : JsonSerializerContext;
