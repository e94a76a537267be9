namespace DmRemap.Core.Abstractions;

/// <summary>
/// A device that is told when nobody waits for a read any more. It keeps the read and its buffer until the
/// read completes, as always; it takes no more of the kind than it can keep so.
/// </summary>
public interface IAbandonedReads
{
    /// <summary>The request has been submitted and not completed. Loop thread only.</summary>
    void OnReadAbandoned(IoRequest read);
}
