using DmRemap.Linux.Epoll;

namespace DmRemap.Linux.Loop;

/// <summary>
/// On whose behalf the kernel works: a member, the client connections. Lets `stop` say how many operations on
/// which device the kernel still owns (F-31).
/// </summary>
public sealed class OperationOwner
{
    internal OperationOwner(string name, bool isDevice, WriteErrors writeErrors)
    {
        Name = name;
        IsDevice = isDevice;
        WriteErrors = writeErrors;
    }

    internal WriteErrors WriteErrors { get; }

    /// <summary>A file or a disk. Else sockets, of clients or of servers that are members.</summary>
    internal bool IsDevice { get; }

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
    /// <summary>The write that failed.</summary>
    OfEachWrite = 0,

    /// <summary>
    /// Through the page cache: the next durable write or flush of the open file that looks, and once. So
    /// these are done one at a time, or one would take another's error, and the other be called durable
    /// (F-7).
    /// </summary>
    OfWhoLooksFirst = 1,
}
