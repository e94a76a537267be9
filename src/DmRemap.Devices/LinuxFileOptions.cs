using DmRemap.Core.Faults;
using DmRemap.Linux.Members;

namespace DmRemap.Devices;

public sealed record LinuxFileOptions
{
    /// <summary>For people: the path or the member's name.</summary>
    public required string Name { get; init; }

    public required MemberKind Kind { get; init; }

    public CacheMode CacheMode { get; init; } = CacheMode.Direct;

    /// <summary>
    /// A forced write (RWF_DSYNC) is one command of the drive, and its error of nothing else. Else the kernel
    /// writes and flushes, and does not say which failed.
    /// </summary>
    public bool HasOwnForce { get; init; }

    /// <summary>There is no cache: flushes are nothing.</summary>
    public bool IsWriteThrough { get; init; }

    /// <summary>
    /// In bytes, a power of two: what the address of a buffer must be a multiple of (statx:
    /// stx_dio_mem_align);
    /// 1 where any will do.
    /// </summary>
    public int MemoryAlignment { get; init; } = 512;

    public static LinuxFileOptions Of(MemberFile file) => new()
    {
        Name = file.Path,
        Kind = file.Kind,
        CacheMode = ModeOf(file),
        HasOwnForce = file.HasOwnForce,
        IsWriteThrough = file.HasWriteThroughCache,
        MemoryAlignment = file.DirectMemoryAlignment,
    };

    private static CacheMode ModeOf(MemberFile file)
    {
        CacheMode buffered = file.IsInMemory ? CacheMode.InMemory : CacheMode.PageCache;
        return file.IsDirect ? CacheMode.Direct : buffered;
    }
}

/// <summary>How data gets to the file's medium.</summary>
public enum CacheMode
{
    /// <summary>Opened with O_DIRECT.</summary>
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
