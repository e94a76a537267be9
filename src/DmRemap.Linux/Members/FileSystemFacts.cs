using System.Runtime.InteropServices;
using DmRemap.Linux.Native;
using Microsoft.Win32.SafeHandles;

namespace DmRemap.Linux.Members;

/// <summary>What statfs says.</summary>
/// <param name="Type">The magic number of the file system.</param>
/// <param name="FreeBytes">What this user may still write.</param>
/// <param name="BlockBytes">What the file system allocates at once.</param>
internal readonly record struct FileSystemFacts(long Type, long FreeBytes, long BlockBytes)
{
    public static unsafe FileSystemFacts? OfPath(string path)
    {
        FileNative.StatfsBuffer buffer = default;
        int errno;
        do
        {
            errno = FileNative.statfs(path, &buffer) < 0 ? Marshal.GetLastPInvokeError() : 0;
        }
        while (errno == FileNative.EINTR);
        if (errno != 0)
        {
            return null;
        }
        long block = buffer.f_frsize > 0 ? buffer.f_frsize : buffer.f_bsize;
        ulong blocks = ulong.Min(buffer.f_bavail, (ulong)(long.MaxValue / long.Max(1, block)));
        return new FileSystemFacts(buffer.f_type, (long)blocks * block, block);
    }

    /// <summary>Of what is open, whatever its path leads to by now.</summary>
    public static unsafe bool IsInMemory(SafeFileHandle handle)
    {
        FileNative.StatfsBuffer buffer = default;
        return FileNative.fstatfs(FileCalls.Descriptor(handle), &buffer) >= 0
            && buffer.f_type is (FileNative.TMPFS_MAGIC or FileNative.RAMFS_MAGIC);
    }

    public static string NameOf(long type) => type switch
    {
        FileNative.EXT4_SUPER_MAGIC => "ext4",
        FileNative.XFS_SUPER_MAGIC => "XFS",
        FileNative.BTRFS_SUPER_MAGIC => "btrfs",
        FileNative.F2FS_SUPER_MAGIC => "F2FS",
        FileNative.TMPFS_MAGIC => "tmpfs",
        FileNative.RAMFS_MAGIC => "ramfs",
        FileNative.ZFS_SUPER_MAGIC => "ZFS",
        0x794c7630 => "overlayfs",
        0x65735546 => "FUSE",
        0x6969 => "NFS",
        _ => $"file system 0x{type:x}",
    };
}
