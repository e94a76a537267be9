using DmRemap.Linux.Native;
using Microsoft.Win32.SafeHandles;

namespace DmRemap.Linux.Members;

/// <summary>
/// Whether a file's data can go past the page cache (F-23). Direct only where the kernel says which alignment
/// direct I/O needs and the logical block fits it; file systems that take O_DIRECT and buffer all the same
/// are named here.
/// </summary>
internal readonly record struct FileTransfer(
    TransferMode Mode, string Reason, string FileSystem, bool CanZeroRanges = false)
{
    public static FileTransfer Buffered(string fileSystem, string reason) =>
        new(TransferMode.PageCache, reason, fileSystem);

    public static FileTransfer Decide(string path, FileStatus status, int logicalBlockBytes)
    {
        long type = FileSystemFacts.OfPath(path)?.Type ?? 0;
        string name = FileSystemFacts.NameOf(type);
        bool canZero =
            type is FileNative.EXT4_SUPER_MAGIC or FileNative.XFS_SUPER_MAGIC or FileNative.F2FS_SUPER_MAGIC;
        string? lie = type switch
        {
            FileNative.TMPFS_MAGIC or FileNative.RAMFS_MAGIC => $"{name} keeps everything in memory",
            FileNative.ZFS_SUPER_MAGIC => "ZFS buffers direct I/O silently",
            FileNative.BTRFS_SUPER_MAGIC when !IsNoCow(path) =>
                "btrfs buffers direct I/O of files with checksums",
            _ => null,
        };
        string? reason = lie ?? ReasonAgainst(status, logicalBlockBytes, name);
        TransferMode mode = reason is null ? TransferMode.Direct : TransferMode.PageCache;
        return new FileTransfer(mode, reason ?? string.Empty, name, canZero);
    }

    private static string? ReasonAgainst(FileStatus status, int logicalBlockBytes, string name)
    {
        if (!status.SaysDirectAlignment)
        {
            return $"{name} or this kernel does not tell how direct I/O must be aligned (Linux 6.1 does)";
        }
        if (status.DirectOffsetAlignment == 0)
        {
            return $"{name} does no direct I/O on this file (data journaling, encryption or compression)";
        }
        int needed = int.Max(status.DirectOffsetAlignment, status.DirectMemoryAlignment);
        return needed > logicalBlockBytes
            ? $"{name} needs direct I/O in multiples of {needed} bytes: see --block-size"
            : null;
    }

    private static bool IsNoCow(string path)
    {
        int errno = FileCalls.TryOpen(path, FileNative.O_RDONLY, 0, out SafeFileHandle handle);
        using (handle)
        {
            return errno == 0 && FileCalls.TryGetInt(handle, FileNative.FS_IOC_GETFLAGS) is int flags
                && (flags & FileNative.FS_NOCOW_FL) != 0;
        }
    }
}
