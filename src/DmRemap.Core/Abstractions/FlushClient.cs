namespace DmRemap.Core.Abstractions;

/// <summary>
/// Whoever is told of a failed flush once: a connection. It goes with its flushes (<see
/// cref="IoRequest.Client"/>).
/// </summary>
public sealed class FlushClient
{
    /// <summary>Of the device's failures, the one that it was told of last.</summary>
    internal long Told { get; set; }
}

/// <summary>A device that remembers failed flushes, and who was told.</summary>
public interface IFlushErrorSource
{
    /// <summary>A client comes, or another in the place of one that has gone. Loop thread only.</summary>
    void Introduce(FlushClient client);
}

/// <summary>
/// A device that notices itself when what it had acknowledged and not flushed may be gone: a connection to a
/// server that keeps a cache was lost, or a flush failed that nobody asked for but a forced write. Loop
/// thread only.
/// </summary>
public interface ICacheLossSource
{
    /// <summary>How often that happened.</summary>
    long CacheLosses { get; }

    /// <summary>The latest of them was a flush that failed.</summary>
    bool IsLossOfFlush { get; }
}
