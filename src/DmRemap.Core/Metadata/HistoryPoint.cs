using System;

namespace DmRemap.Core.Metadata;

/// <summary>
/// How far a set's history is known to have come: what is durable on the spares is at least this (F-16).
/// </summary>
public readonly record struct HistoryPoint(ulong Epoch, ulong Generation, ulong JournalSequence);

/// <summary>What was found on the spares, seen from a point that was witnessed earlier.</summary>
public enum HistoryRelation : byte
{
    None = 0,

    /// <summary>It contains the witnessed point.</summary>
    Follows = 1,

    /// <summary>It ends before the witnessed point: an old copy.</summary>
    Behind = 2,

    /// <summary>It has come as far, and not through the witnessed point.</summary>
    Apart = 3,

    /// <summary>It has come further, through more epochs than it can name.</summary>
    Untraceable = 4,
}

public static class SetHistory
{
    /// <summary>
    /// Generations and journal sequences only grow in one history; another epoch contains the witnessed
    /// point when it names that epoch in its past and had come as far there.
    /// </summary>
    /// <param name="witnessed">Durable once.</param>
    /// <param name="found">The newest on the spares now.</param>
    /// <param name="past">The epochs before the found one, the latest first.</param>
    public static HistoryRelation Relate(
        in HistoryPoint witnessed, in HistoryPoint found, ReadOnlySpan<PastEpoch> past)
    {
        bool isShorter = found.Generation < witnessed.Generation
            || found.JournalSequence < witnessed.JournalSequence;
        if (isShorter)
        {
            return HistoryRelation.Behind;
        }
        if (found.Epoch == witnessed.Epoch)
        {
            return HistoryRelation.Follows;
        }
        foreach (PastEpoch epoch in past)
        {
            if (epoch.Epoch == witnessed.Epoch)
            {
                return epoch.Generation >= witnessed.Generation
                    ? HistoryRelation.Follows
                    : HistoryRelation.Apart;
            }
        }
        return past.Length >= SuperblockFormat.PastEpochsMax
            ? HistoryRelation.Untraceable
            : HistoryRelation.Apart;
    }
}
