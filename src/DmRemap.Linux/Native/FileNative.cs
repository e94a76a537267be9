using System.Runtime.InteropServices;

namespace DmRemap.Linux.Native;

/// <summary>
/// System calls on files, as libc has them; the kernel's names and values. Every import that fails returns -1
/// (or NULL) and leaves errno in Marshal.GetLastPInvokeError. Callers use <see cref="FileCalls"/>, which
/// repeats after EINTR.
/// </summary>
internal static unsafe partial class FileNative
{
    public const int EPERM = 1;
    public const int ENOENT = 2;
    public const int EINTR = 4;
    public const int ENXIO = 6;
    public const int EAGAIN = 11;
    public const int EACCES = 13;
    public const int EBUSY = 16;
    public const int EEXIST = 17;
    public const int ENODEV = 19;
    public const int ENOTDIR = 20;
    public const int EISDIR = 21;
    public const int EINVAL = 22;
    public const int ENOTTY = 25;
    public const int ETXTBSY = 26;
    public const int ENOSPC = 28;
    public const int ESPIPE = 29;
    public const int EROFS = 30;
    public const int ENAMETOOLONG = 36;
    public const int ENOSYS = 38;
    public const int ELOOP = 40;
    public const int EOPNOTSUPP = 95;
    public const int EDQUOT = 122;
    public const int ENOMEDIUM = 123;

    public const int O_RDONLY = 0;
    public const int O_WRONLY = 1;
    public const int O_RDWR = 2;
    public const int O_ACCMODE = 3;
    public const int O_CREAT = 0x40;
    public const int O_EXCL = 0x80;
    public const int O_CLOEXEC = 0x80000;

    public const int LOCK_EX = 2;
    public const int LOCK_NB = 4;

    public const int SEEK_DATA = 3;
    public const int SEEK_HOLE = 4;

    public const int AT_FDCWD = -100;
    public const int AT_SYMLINK_NOFOLLOW = 0x100;
    public const int AT_EMPTY_PATH = 0x1000;
    public const int AT_STATX_DONT_SYNC = 0x4000;
    public const uint STATX_BASIC_STATS = 0x7ff;
    public const uint STATX_DIOALIGN = 0x2000;

    public const uint RENAME_NOREPLACE = 1;

    public const int FALLOC_FL_KEEP_SIZE = 1;
    public const int FALLOC_FL_PUNCH_HOLE = 2;

    public const nuint BLKROGET = 0x125e;
    public const nuint BLKSSZGET = 0x1268;
    public const nuint BLKALIGNOFF = 0x127a;
    public const nuint BLKPBSZGET = 0x127b;
    public const nuint BLKGETSIZE64 = 0x80081272;
    public const nuint FS_IOC_GETFLAGS = 0x80086601;
    public const nuint FS_IOC_SETFLAGS = 0x40086602;
    public const nuint FS_IOC_FIEMAP = 0xc020660b;

    public const int FS_NOCOW_FL = 0x00800000;

    public const uint FIEMAP_FLAG_SYNC = 1;
    public const uint FIEMAP_EXTENT_LAST = 0x1;
    public const uint FIEMAP_EXTENT_UNKNOWN = 0x2;
    public const uint FIEMAP_EXTENT_DELALLOC = 0x4;
    public const uint FIEMAP_EXTENT_ENCODED = 0x8;
    public const uint FIEMAP_EXTENT_DATA_INLINE = 0x200;
    public const uint FIEMAP_EXTENT_UNWRITTEN = 0x800;
    public const uint FIEMAP_EXTENT_SHARED = 0x2000;

    public const long BTRFS_SUPER_MAGIC = 0x9123683e;
    public const long EXT4_SUPER_MAGIC = 0xef53;
    public const long F2FS_SUPER_MAGIC = 0xf2f52010;
    public const long RAMFS_MAGIC = 0x858458f6;
    public const long TMPFS_MAGIC = 0x01021994;
    public const long XFS_SUPER_MAGIC = 0x58465342;
    public const long ZFS_SUPER_MAGIC = 0x2fc12fc1;

    public const int PathBytesMax = 4096;

    private const string LibC = "libc";

    // arm and arm64 number these three differently from everybody else.
    private static readonly bool s_isArm =
        RuntimeInformation.ProcessArchitecture is Architecture.Arm64 or Architecture.Arm;

    public static int O_DIRECT => s_isArm ? 0x10000 : 0x4000;

    public static int O_DIRECTORY => s_isArm ? 0x4000 : 0x10000;

    public static int O_NOFOLLOW => s_isArm ? 0x8000 : 0x20000;

    [LibraryImport(LibC, SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int open(string path, int flags, uint mode);

    [LibraryImport(LibC, SetLastError = true)]
    public static partial int flock(int fd, int operation);

    [LibraryImport(LibC, SetLastError = true)]
    public static partial int fsync(int fd);

    [LibraryImport(LibC, SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int statx(int directory, string path, int flags, uint mask, StatxBuffer* buffer);

    [LibraryImport(LibC, SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int statfs(string path, StatfsBuffer* buffer);

    [LibraryImport(LibC, SetLastError = true)]
    public static partial int fstatfs(int fd, StatfsBuffer* buffer);

    [LibraryImport(LibC, SetLastError = true)]
    public static partial int ioctl(int fd, nuint request, void* argument);

    [LibraryImport(LibC, SetLastError = true)]
    public static partial long lseek(int fd, long offset, int whence);

    [LibraryImport(LibC, SetLastError = true)]
    public static partial nint pread(int fd, void* into, nuint bytes, long offset);

    [LibraryImport(LibC, SetLastError = true)]
    public static partial nint pwrite(int fd, void* from, nuint bytes, long offset);

    [LibraryImport(LibC, SetLastError = true)]
    public static partial int fallocate(int fd, int mode, long offset, long length);

    [LibraryImport(LibC, SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    public static partial nint readlink(string path, byte* buffer, nuint length);

    [LibraryImport(LibC, SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    public static partial byte* realpath(string path, byte* buffer);

    [LibraryImport(LibC, SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int mkdir(string path, uint mode);

    [LibraryImport(LibC, SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int unlink(string path);

    [LibraryImport(LibC, SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int link(string source, string target);

    [LibraryImport(LibC, SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int rename(string source, string target);

    [LibraryImport(LibC, SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int renameat2(
        int sourceDirectory, string source, int targetDirectory, string target, uint flags);

    [LibraryImport(LibC)]
    public static partial uint geteuid();

    [LibraryImport(LibC)]
    public static partial uint getegid();

    /// <summary>struct statx, 256 bytes on every architecture.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 256)]
    public struct StatxBuffer
    {
        [FieldOffset(0x00)]
        public uint stx_mask;

        [FieldOffset(0x14)]
        public uint stx_uid;

        [FieldOffset(0x1c)]
        public ushort stx_mode;

        [FieldOffset(0x20)]
        public ulong stx_ino;

        [FieldOffset(0x28)]
        public ulong stx_size;

        [FieldOffset(0x30)]
        public ulong stx_blocks;

        [FieldOffset(0x80)]
        public uint stx_rdev_major;

        [FieldOffset(0x84)]
        public uint stx_rdev_minor;

        [FieldOffset(0x88)]
        public uint stx_dev_major;

        [FieldOffset(0x8c)]
        public uint stx_dev_minor;

        [FieldOffset(0x98)]
        public uint stx_dio_mem_align;

        [FieldOffset(0x9c)]
        public uint stx_dio_offset_align;
    }

    /// <summary>struct statfs of the 64-bit architectures, 120 bytes.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 120)]
    public struct StatfsBuffer
    {
        [FieldOffset(0)]
        public long f_type;

        [FieldOffset(8)]
        public long f_bsize;

        [FieldOffset(32)]
        public ulong f_bavail;

        [FieldOffset(72)]
        public long f_frsize;
    }

    /// <summary>struct fiemap without its extents, 32 bytes.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct FiemapHeader
    {
        public ulong fm_start;
        public ulong fm_length;
        public uint fm_flags;
        public uint fm_mapped_extents;
        public uint fm_extent_count;
        public uint fm_reserved;
    }

    /// <summary>struct fiemap_extent, 56 bytes.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 56)]
    public struct FiemapExtent
    {
        [FieldOffset(0)]
        public ulong fe_logical;

        [FieldOffset(8)]
        public ulong fe_physical;

        [FieldOffset(16)]
        public ulong fe_length;

        [FieldOffset(40)]
        public uint fe_flags;
    }
}
