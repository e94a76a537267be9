namespace DmRemap.Core.Abstractions;

/// <summary>
/// A device that can say what it was given and has not answered: how `status` names the disk that hangs.
/// Loop thread only, and never waits.
/// </summary>
public interface IOutstandingIo
{
    /// <summary>Requests submitted and not completed.</summary>
    int InFlight { get; }

    /// <summary>
    /// When the oldest of those that have left the line was handed on; false when there is none.
    /// </summary>
    bool TryGetOldest(out Instant submittedAt);
}
