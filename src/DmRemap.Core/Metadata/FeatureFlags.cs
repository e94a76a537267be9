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

    /// <summary>
    /// Incompatible: units are on two spares. Who does not know of the second copies would not keep them in
    /// step, and trust them later.
    /// </summary>
    public const ulong Copies = 2;

    /// <summary>What this version understands.</summary>
    public static FeatureFlags Supported => new(0, 0, Copies);

    /// <summary>What this version puts into a new set, unless more is asked for.</summary>
    public static FeatureFlags Created => default;

    /// <summary>A second copy is kept of each unit, on another spare.</summary>
    public bool KeepsCopies => (Incompatible & Copies) != 0;

    /// <summary>
    /// True when a set with these features may be opened, which always writes (F-13), by one that knows
    /// `supported`.
    /// </summary>
    public bool CanBeOpenedBy(FeatureFlags supported) =>
        (Incompatible & ~supported.Incompatible) == 0
        && (ReadOnlyCompatible & ~supported.ReadOnlyCompatible) == 0;
}
