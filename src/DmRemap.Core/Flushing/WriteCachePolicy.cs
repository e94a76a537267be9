namespace DmRemap.Core.Flushing;

/// <summary>
/// What is done about the primary's volatile cache (F-9): a drive that has acknowledged a write, and cannot
/// store it later, says so at the next flush, without an address, and the sector cannot be remapped.
/// </summary>
public enum WriteCachePolicy : byte
{
    /// <summary>Every write is forced from the first bad unit on, unless the cache is off.</summary>
    Auto = 0,

    /// <summary>The drive's cache is switched off at the start.</summary>
    Off = 1,

    /// <summary>Every write is forced.</summary>
    Fua = 2,

    /// <summary>As the drive and the clients have it.</summary>
    Keep = 3,
}

/// <summary>Which writes to the primary carry FUA that their clients did not ask for.</summary>
public sealed class WriteCacheRule(WriteCachePolicy policy, bool isCacheOff)
{
    public WriteCachePolicy Policy { get; } = policy;

    /// <summary>
    /// The kernel says so, or it was switched off for this start, and the drive has not been away since.
    /// </summary>
    public bool IsCacheOff { get; private set; } = isCacheOff;

    /// <summary>A write error has moved a unit, or a flush of the primary has failed.</summary>
    public bool HasBadUnit { get; private set; }

    public bool ForcesWrites => Policy switch
    {
        WriteCachePolicy.Fua => true,
        WriteCachePolicy.Auto => HasBadUnit && !IsCacheOff,
        WriteCachePolicy.Off => !IsCacheOff,
        WriteCachePolicy.Keep => false,
        _ => false,
    };

    public void OnBadUnit() => HasBadUnit = true;

    /// <summary>
    /// Without power, perhaps, and then a cache that was switched off is on again. What the kernel says of a
    /// drive without a cache stays true.
    /// </summary>
    public void OnDriveAway() => IsCacheOff &= Policy != WriteCachePolicy.Off;
}
