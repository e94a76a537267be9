using DmRemap.Linux.Epoll;

namespace DmRemap.Linux.Loop;

/// <summary>
/// On whose behalf the kernel works: a member, the client connections. Lets `stop` say how many operations on
/// which device the kernel still owns (F-31).
/// </summary>
public sealed class OperationOwner
{
    internal OperationOwner(string name, WriteErrors writeErrors)
    {
        Name = name;
        WriteErrors = writeErrors;
    }

    internal WriteErrors WriteErrors { get; }

    /// <summary>What it waits for is a disk's time, and not a client's.</summary>
    internal bool IsDevice => WriteErrors != WriteErrors.OfNone;

    /// <summary>What EpollLoop has for it.</summary>
    internal OwnerThreads? Threads { get; set; }

    public string Name { get; }

    /// <summary>
    /// Operations handed over and not completed. Written by the loop; other threads may read an old value.
    /// </summary>
    public int Outstanding { get; internal set; }

    /// <summary>Operations that have come back since the start.</summary>
    public long Completed { get; internal set; }
}

/// <summary>Whom the kernel tells that a write has failed.</summary>
public enum WriteErrors : byte
{
    /// <summary>Nobody: there is no device behind it, but clients.</summary>
    OfNone = 0,

    /// <summary>The write that failed.</summary>
    OfEachWrite = 1,

    /// <summary>
    /// Through the page cache: the next durable write or flush of the open file that looks, and once. So
    /// these are done one at a time, or one would take another's error, and the other be called durable
    /// (F-7).
    /// </summary>
    OfWhoLooksFirst = 2,
}
