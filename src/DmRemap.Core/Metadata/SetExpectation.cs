using System;

namespace DmRemap.Core.Metadata;

/// <summary>What the caller knows from elsewhere; fields left null are not compared.</summary>
public sealed record SetExpectation
{
    public Guid? SetUuid { get; init; }

    /// <summary>What else tells the primary (its text) is compared by who can read it.</summary>
    public long? PrimaryBytes { get; init; }

    /// <summary>Start although active members are missing; the new epoch names them (F-14).</summary>
    public bool AllowsMissing { get; init; }

    /// <summary>
    /// Position of a spare that was being added or removed when the last process ended: it may not be of the
    /// set yet, or not any more, and is then left aside. Of every other one that is a refusal.
    /// </summary>
    public int? Unsettled { get; init; }

    /// <summary>
    /// Go on without journal records that were acknowledged and are lost: what they changed may show old
    /// content. For somebody who has been told and agreed.
    /// </summary>
    public bool AcceptsLoss { get; init; }
}
