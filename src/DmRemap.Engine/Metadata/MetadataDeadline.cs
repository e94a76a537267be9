using DmRemap.Core.Abstractions;

namespace DmRemap.Engine.Metadata;

/// <summary>How long a metadata write may take before it counts as stuck.</summary>
public static class MetadataDeadline
{
    public static readonly Duration Default = Duration.FromSeconds(5);
}
