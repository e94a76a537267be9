namespace DmRemap.Control.Contracts;

/// <summary>
/// Second copies of what is on spares, of a device that was made with `create --copies 2`. Counts are since
/// the start, but for units.
/// </summary>
public sealed record CopiesStatus
{
    /// <summary>Copies of each unit that are wanted: 1 or 2.</summary>
    public int Wanted { get; init; }

    /// <summary>Units that have both.</summary>
    public long UnitsWithTwo { get; init; }

    /// <summary>
    /// False: some of them do not count before they have been made anew, after a crash or a lost cache.
    /// </summary>
    public bool InStep { get; init; }

    /// <summary>Second copies that were made.</summary>
    public long Made { get; init; }

    /// <summary>Reads that the first spare failed, and the second answered.</summary>
    public long ReadsFromSecond { get; init; }

    /// <summary>Second copies that missed a write since start, and are none any more.</summary>
    public long StruckOut { get; init; }
}
