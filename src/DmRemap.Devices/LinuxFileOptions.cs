using DmRemap.Core.Faults;

namespace DmRemap.Devices;

public sealed record LinuxFileOptions
{
    /// <summary>For people: the path or the member's name.</summary>
    public required string Name { get; init; }

    public required MemberKind Kind { get; init; }

    public CacheMode CacheMode { get; init; } = CacheMode.Direct;

    /// <summary>
    /// In bytes, a power of two: what the address of a buffer must be a multiple of (statx:
    /// stx_dio_mem_align);
    /// 1 where any will do.
    /// </summary>
    public int MemoryAlignment { get; init; } = 512;
}

/// <summary>How the descriptor was opened.</summary>
public enum CacheMode
{
    /// <summary>O_DIRECT.</summary>
    Direct = 0,

    /// <summary>
    /// Through the page cache, for rehearsals with files only: every write is made durable at once
    /// (RWF_DSYNC), or an error of the medium would appear when nobody can be told any more (F-23).
    /// </summary>
    PageCache = 1,

    /// <summary>
    /// A file of a file system that lives in memory (tmpfs): a rehearsal too. A short transfer is a copy
    /// that the loop's thread makes itself, which takes less than handing it to somebody. It waits for a disk
    /// only where the page was swapped out.
    /// </summary>
    InMemory = 2,
}
