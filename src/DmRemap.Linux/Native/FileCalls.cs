using System.IO;
using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Win32.SafeHandles;

namespace DmRemap.Linux.Native;

/// <summary>
/// The calls of <see cref="FileNative"/>, repeated after EINTR. Try… return 0 or the errno, for callers that
/// decide by it; the others throw IOException with the path, what failed and why.
/// </summary>
internal static unsafe class FileCalls
{
    public static int TryOpen(string path, int flags, uint mode, out SafeFileHandle handle)
    {
        int fd;
        int errno;
        do
        {
            fd = FileNative.open(path, flags | FileNative.O_CLOEXEC, mode);
            errno = fd < 0 ? Marshal.GetLastPInvokeError() : 0;
        }
        while (errno == FileNative.EINTR);
        handle = new SafeFileHandle(fd, ownsHandle: true);
        return errno;
    }

    /// <summary>Take the exclusive lock of this open file description, now or not at all.</summary>
    public static int TryLockExclusive(SafeFileHandle handle)
    {
        int errno;
        do
        {
            int result = FileNative.flock(Descriptor(handle), FileNative.LOCK_EX | FileNative.LOCK_NB);
            errno = result < 0 ? Marshal.GetLastPInvokeError() : 0;
        }
        while (errno == FileNative.EINTR);
        return errno;
    }

    public static void Sync(SafeFileHandle handle, string path)
    {
        // Not repeated: after a failed fsync the kernel may have dropped the pages, and a second one reports
        // success.
        if (FileNative.fsync(Descriptor(handle)) < 0)
        {
            throw Failed("fsync of", path, Marshal.GetLastPInvokeError());
        }
    }

    /// <summary>Make creations, renames and removals in this directory durable.</summary>
    public static void SyncDirectory(string path)
    {
        int errno = TryOpen(path, FileNative.O_RDONLY | FileNative.O_DIRECTORY, 0, out SafeFileHandle handle);
        using (handle)
        {
            if (errno != 0)
            {
                throw Failed("opening", path, errno);
            }
            if (FileNative.fsync(Descriptor(handle)) < 0)
            {
                errno = Marshal.GetLastPInvokeError();

                // EINVAL: this file system has no fsync for directories (some network and FUSE ones); nothing
                // to wait for.
                if (errno != FileNative.EINVAL)
                {
                    throw Failed("fsync of", path, errno);
                }
            }
        }
    }

    /// <summary>An ioctl that fills or takes an int; null when the device does not know it.</summary>
    public static int? TryGetInt(SafeFileHandle handle, nuint request)
    {
        long value = 0; // Some kernels' FS_IOC_GETFLAGS write a long.
        return FileNative.ioctl(Descriptor(handle), request, &value) < 0 ? null : unchecked((int)value);
    }

    public static bool TrySetInt(SafeFileHandle handle, nuint request, int argument)
    {
        long value = argument;
        return FileNative.ioctl(Descriptor(handle), request, &value) >= 0;
    }

    public static long? TryGetLong(SafeFileHandle handle, nuint request)
    {
        long value = 0;
        return FileNative.ioctl(Descriptor(handle), request, &value) < 0 ? null : value;
    }

    /// <summary>
    /// Where a symbolic link points, as text; nothing is looked up, so this never waits for a disk.
    /// </summary>
    public static string? TryReadLink(string path)
    {
        byte* buffer = stackalloc byte[FileNative.PathBytesMax];
        nint length = FileNative.readlink(path, buffer, FileNative.PathBytesMax);
        return length < 0 ? null : Encoding.UTF8.GetString(buffer, (int)length);
    }

    /// <summary>The absolute path without links; null when it does not lead anywhere.</summary>
    public static string? TryRealPath(string path)
    {
        byte* buffer = stackalloc byte[FileNative.PathBytesMax + 1];
        return FileNative.realpath(path, buffer) is null
            ? null
            : Marshal.PtrToStringUTF8((nint)buffer);
    }

    public static int Descriptor(SafeFileHandle handle) => (int)handle.DangerousGetHandle();

    public static string Describe(int errno) => Marshal.GetPInvokeErrorMessage(errno);

    public static IOException Failed(string what, string path, int errno) =>
        new($"{what} {path} failed: {Describe(errno)} (errno {errno})", errno);
}
