using DmRemap.Core.Accounting;

namespace DmRemap.Engine;

/// <summary>Written by the loop's thread only; any thread may read them.</summary>
public sealed class RemapCounters
{
    public long Reads { get; set; }

    public long Writes { get; set; }

    public long Flushes { get; set; }

    public long Discards { get; set; }

    public long Zeroes { get; set; }

    /// <summary>
    /// From when a request was submitted to its answer; what waited for a slot, a repair or a suspended
    /// device waited inside it.
    /// </summary>
    public OperationLatencies Latencies { get; } = new();

    /// <summary>
    /// From when a change was handed to the table's log to when it was durable or had failed.
    /// </summary>
    public LatencyHistogram CommitTimes { get; } = new();

    /// <summary>Requests that were answered with an error.</summary>
    public long FailedRequests { get; set; }

    /// <summary>
    /// Reads, or pieces of them, that were answered with an error before their disk had answered.
    /// </summary>
    public long ReadsAbandoned { get; set; }

    /// <summary>Units that got a spare unit since the start.</summary>
    public long RemapsMade { get; set; }

    /// <summary>Units that went back to the primary since the start.</summary>
    public long UnitsReturned { get; set; }

    /// <summary>Units that were written in place since the start, and are watched from then on.</summary>
    public long UnitsRewritten { get; set; }

    /// <summary>Units whose place was healed since the start: they are on the primary again.</summary>
    public long UnitsHealed { get; set; }

    /// <summary>Times since the start that a place refused healing, or did not keep it.</summary>
    public long HealsFailed { get; set; }

    /// <summary>
    /// Reads that a spare failed since the start, and that the primary's copy of a unit in probation
    /// answered.
    /// </summary>
    public long ReadsFromCopies { get; set; }

    /// <summary>Second copies that were put on another spare.</summary>
    public long SecondCopiesMade { get; set; }

    /// <summary>Pieces that the first spare did not give, and the second did.</summary>
    public long ReadsFromSecond { get; set; }

    /// <summary>Second copies that missed a write, and are none any more.</summary>
    public long SecondsStruckOut { get; set; }

    /// <summary>Reads that failed and were read again block by block.</summary>
    public long ReadRescues { get; set; }

    /// <summary>Units that read only after failing, and are to be copied for that.</summary>
    public long WeakUnits { get; set; }

    /// <summary>Units that read only after failing, and were copied to a spare for that.</summary>
    public long WeakUnitsRescued { get; set; }

    /// <summary>Writes that failed and went through the redirection.</summary>
    public long WriteRedirects { get; set; }

    /// <summary>Blocks that became lost since the start.</summary>
    public long BlocksLost { get; set; }

    /// <summary>Blocks that had been given up, and were read after all, since the start.</summary>
    public long BlocksSalvaged { get; set; }

    public long Commits { get; set; }

    public long CommitFailures { get; set; }

    public long SpareUnitsRetired { get; set; }
}
