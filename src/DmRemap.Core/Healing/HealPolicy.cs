using DmRemap.Core.Abstractions;
using DmRemap.Core.Scrubbing;

namespace DmRemap.Core.Healing;

/// <summary>Whether places that failed are given another chance, and how often one is looked at.</summary>
/// <param name="IsOn">False: what is on a spare stays there until a person moves it.</param>
/// <param name="Interval">From the end of one pass over the table to the next.</param>
/// <param name="BytesPerSecond">Of units that are read or written, in a pass.</param>
/// <param name="Transfer">
/// What the disk must transfer between a write and a read that is to prove something (F-4).
/// </param>
public readonly record struct HealPolicy(
    bool IsOn, Duration Interval, long BytesPerSecond, ByteCount Transfer)
{
    public static Duration IntervalDefault => Duration.FromSeconds(3600);

    public static HealPolicy Default => Every(IntervalDefault);

    public static HealPolicy Off => default;

    /// <summary>At a rate that nobody feels.</summary>
    public static HealPolicy Every(Duration interval) =>
        new(true, interval, ScrubPace.RateMin, HealRule.TransferNeeded);
}
