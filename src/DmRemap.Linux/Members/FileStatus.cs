using System.Runtime.InteropServices;
using DmRemap.Linux.Native;
using Microsoft.Win32.SafeHandles;

namespace DmRemap.Linux.Members;

internal enum FileKind
{
    Other = 0,
    Regular = 1,
    Block = 2,
    Directory = 3,
    SymbolicLink = 4,
    Fifo = 5,
    Socket = 6,
    Character = 7,
}

/// <summary>What statx says about one file.</summary>
internal sealed record FileStatus
{
    private const int FormatMask = 0xf000;

    public required FileKind Kind { get; init; }

    /// <summary>Permission bits, 0 to 0xFFF.</summary>
    public required int Mode { get; init; }

    public required uint OwnerId { get; init; }

    /// <summary>The device that holds the file.</summary>
    public required DeviceNumber HostDevice { get; init; }

    /// <summary>The device that the file is, for device nodes.</summary>
    public required DeviceNumber Device { get; init; }

    public required ulong Inode { get; init; }

    /// <summary>Of a regular file.</summary>
    public required long Bytes { get; init; }

    public required long AllocatedBytes { get; init; }

    /// <summary>
    /// False where the kernel (before 6.1) or file system does not tell how direct I/O must be aligned.
    /// </summary>
    public required bool SaysDirectAlignment { get; init; }

    /// <summary>0: no direct I/O on this file.</summary>
    public required int DirectOffsetAlignment { get; init; }

    public required int DirectMemoryAlignment { get; init; }

    /// <summary>Returns 0 or the errno.</summary>
    public static int TryOfPath(string path, bool followLink, out FileStatus? status) =>
        TryRead(FileNative.AT_FDCWD, path, followLink ? 0 : FileNative.AT_SYMLINK_NOFOLLOW, out status);

    public static FileStatus? OfPath(string path) =>
        TryOfPath(path, followLink: true, out FileStatus? status) == 0 ? status : null;

    /// <summary>
    /// As the kernel has it in memory: whoever serves the file (FUSE, NFS) is not asked, and may hang. What
    /// sort of file it is, its device and its inode stay true; all else may be old.
    /// </summary>
    public static FileStatus? KnownOfPath(string path) =>
        TryRead(FileNative.AT_FDCWD, path, FileNative.AT_STATX_DONT_SYNC, out FileStatus? status) == 0
            ? status
            : null;

    public static FileStatus OfHandle(SafeFileHandle handle, string path)
    {
        int errno = TryRead(
            FileCalls.Descriptor(handle), string.Empty, FileNative.AT_EMPTY_PATH, out FileStatus? status);
        return errno == 0 ? status! : throw FileCalls.Failed("statx of", path, errno);
    }

    public bool IsSameFile(FileStatus other) => HostDevice == other.HostDevice && Inode == other.Inode;

    private static unsafe int TryRead(int directory, string path, int flags, out FileStatus? status)
    {
        FileNative.StatxBuffer buffer = default;
        const uint Mask = FileNative.STATX_BASIC_STATS | FileNative.STATX_DIOALIGN;
        int errno;
        do
        {
            bool failed = FileNative.statx(directory, path, flags, Mask, &buffer) < 0;
            errno = failed ? Marshal.GetLastPInvokeError() : 0;
        }
        while (errno == FileNative.EINTR);
        status = errno == 0 ? From(buffer) : null;
        return errno;
    }

    private static FileStatus From(in FileNative.StatxBuffer buffer) => new()
    {
        Kind = (buffer.stx_mode & FormatMask) switch
        {
            0x1000 => FileKind.Fifo,
            0x2000 => FileKind.Character,
            0x4000 => FileKind.Directory,
            0x6000 => FileKind.Block,
            0x8000 => FileKind.Regular,
            0xa000 => FileKind.SymbolicLink,
            0xc000 => FileKind.Socket,
            _ => FileKind.Other,
        },
        Mode = buffer.stx_mode & 0xfff,
        OwnerId = buffer.stx_uid,
        HostDevice = new DeviceNumber(buffer.stx_dev_major, buffer.stx_dev_minor),
        Device = new DeviceNumber(buffer.stx_rdev_major, buffer.stx_rdev_minor),
        Inode = buffer.stx_ino,
        Bytes = (long)buffer.stx_size,
        AllocatedBytes = (long)(buffer.stx_blocks * 512),
        SaysDirectAlignment = (buffer.stx_mask & FileNative.STATX_DIOALIGN) != 0,
        DirectOffsetAlignment = (int)buffer.stx_dio_offset_align,
        DirectMemoryAlignment = (int)buffer.stx_dio_mem_align,
    };
}
