using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using DmRemap.Core.Flushing;
using DmRemap.Core.Healing;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;
using DmRemap.Core.Spares;

namespace DmRemap.Engine;

/// <summary>
/// What a remapped device is made of. The table and the allocator hold what recovery found.
/// </summary>
public sealed record RemapDeviceParts
{
    public required IEventLoop Loop { get; init; }

    public required Member Primary { get; init; }

    /// <summary>In the order of their index in the set.</summary>
    public required Member[] Spares { get; init; }

    public required RemapTable Table { get; init; }

    public required SpareAllocator Allocator { get; init; }

    public required IMetadataLog Log { get; init; }

    public IEventSink? Events { get; init; }

    /// <summary>How often a place that does not read is tried again, while a request waits for it.</summary>
    public int ReadRetries { get; init; } = Limits.ReadRetriesDefault;

    /// <summary>Copy to a spare what reads only after failing.</summary>
    public bool CopiesWeak { get; init; } = true;

    /// <summary>Read around units that turn out bad.</summary>
    public bool ProbesNeighbourhood { get; init; } = true;

    /// <summary>Try again in the background what did not read.</summary>
    public bool RetriesUnreadable { get; init; } = true;

    /// <summary>Somebody gives the primary's drive more time while that is done (F-35).</summary>
    public bool IsRetryPatient { get; init; }

    /// <summary>Rewrite in place what is on spares, and give it back when the disk keeps it.</summary>
    public HealPolicy Heal { get; init; }

    /// <summary>Keep a second copy of each unit that is on a spare, on another one.</summary>
    public bool KeepsCopies { get; init; }

    /// <summary>The last stop was clean, and vouches for the second copies.</summary>
    public bool AreCopiesInStep { get; init; }

    /// <summary>
    /// Bit by spare that is missing: the second copies of its units are believed, though no stop vouches for
    /// them.
    /// </summary>
    public uint SecondsBelievedFor { get; init; }

    /// <summary>What becomes of requests for a disk that is gone.</summary>
    public OnGone OnGone { get; init; }

    /// <summary>What is done about the primary's volatile cache.</summary>
    public WriteCachePolicy WriteCache { get; init; }

    /// <summary>The primary has no volatile cache, or it is switched off.</summary>
    public bool IsPrimaryCacheOff { get; init; }

    /// <summary>Reads that may be here although nobody waits for them, beside all others.</summary>
    public int ReadsAbandonedMax { get; init; }

    public bool IsReadOnly { get; init; }
}
