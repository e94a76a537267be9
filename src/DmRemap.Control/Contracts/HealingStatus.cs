namespace DmRemap.Control.Contracts;

/// <summary>
/// What healing has come to: places of the main device that failed, were rewritten, and are watched. Counts
/// are since the start, but for those in probation.
/// </summary>
public sealed record HealingStatus
{
    public bool On { get; init; }

    /// <summary>From the end of one pass over the table to the next.</summary>
    public long IntervalSeconds { get; init; }

    /// <summary>Units that were rewritten in place and are watched; their spare unit decides.</summary>
    public long InProbation { get; init; }

    public long Rewritten { get; init; }

    /// <summary>Units that are on the main device again.</summary>
    public long Healed { get; init; }

    /// <summary>Times that a place refused, or did not keep what was written.</summary>
    public long Failed { get; init; }

    public long Passes { get; init; }

    /// <summary>Reads that a spare failed, and the copy on the main device answered.</summary>
    public long ReadsFromCopies { get; init; }
}
