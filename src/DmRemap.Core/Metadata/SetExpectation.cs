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
    /// Go on without journal records that were acknowledged and are lost: what they changed may show old
    /// content. For somebody who has been told and agreed.
    /// </summary>
    public bool AcceptsLoss { get; init; }
}
