namespace DmRemap.Core.Spares;

/// <summary>
/// From which of several spares a unit comes whose neighbourhood has no place yet. What lies somewhere stays
/// there.
/// </summary>
public enum SparePlacement : byte
{
    /// <summary>
    /// The first that has one, by its index in the set: the others stay empty as long as may be.
    /// </summary>
    FirstFit = 0,

    /// <summary>The one with the most units left: all fill up alike, and share the load.</summary>
    MostFree = 1,

    /// <summary>
    /// The one of which the smallest part has failed; of equals, the one with the most units left.
    /// </summary>
    HealthAware = 2,
}
