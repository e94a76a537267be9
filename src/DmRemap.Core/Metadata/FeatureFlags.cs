namespace DmRemap.Core.Metadata;

/// <summary>
/// Three sets of bits, as ext4 has them. An unknown compatible feature is ignored; an unknown read-only one
/// forbids writing, an unknown incompatible one forbids reading. A start never changes them (F-39).
/// </summary>
public readonly record struct FeatureFlags(ulong Compatible, ulong ReadOnlyCompatible, ulong Incompatible)
{
    /// <summary>
    /// Incompatible: made by a development version. Released versions do not know this bit.
    /// </summary>
    public const ulong Development = 1;

    /// <summary>What this version understands.</summary>
    public static FeatureFlags Supported => default;

    /// <summary>What this version puts into a new set.</summary>
    public static FeatureFlags Created => default;

    /// <summary>
    /// True when a set with these features may be opened, which always writes (F-13), by one that knows
    /// `supported`.
    /// </summary>
    public bool CanBeOpenedBy(FeatureFlags supported) =>
        (Incompatible & ~supported.Incompatible) == 0
        && (ReadOnlyCompatible & ~supported.ReadOnlyCompatible) == 0;
}
