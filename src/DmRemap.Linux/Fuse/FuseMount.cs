using System;
using System.Collections.Generic;
using System.IO;
using System.Runtime.InteropServices;
using DmRemap.Linux.Members;
using DmRemap.Linux.Native;
using DmRemap.Linux.Processes;
using Microsoft.Win32.SafeHandles;

namespace DmRemap.Linux.Fuse;

/// <summary>Whether a device is mounted as a file, and whether anybody serves it.</summary>
public enum FuseMountState
{
    None = 0,

    /// <summary>Mounted, and its server lives.</summary>
    Served = 1,

    /// <summary>Mounted, and its server has gone: everything on it is an error.</summary>
    Dead = 2,
}

/// <summary>
/// Mounts a file over a file: the root of the file system is the device itself, as one regular file. As root
/// by mount(2), else by fusermount3, which may. None of this is for the thread that serves: stat and unmount
/// ask it.
/// </summary>
public static class FuseMount
{
    /// <summary>What mounts of ours are called; their source is the path of the main device.</summary>
    public const string FileSystem = "fuse.dmremap";

    private const string Kernel = "/dev/fuse";
    private const string Privileged = "fusermount3";

    /// <summary>To whom the file belongs: to whoever mounts it.</summary>
    public static (uint UserId, uint GroupId) Owner => (FileNative.geteuid(), FileNative.getegid());

    /// <summary>
    /// Mount over this file, which exists. The descriptor speaks to the kernel, and does not block; the mount
    /// is dead without it.
    /// </summary>
    /// <exception cref="SystemCallException">
    /// ENOENT or ENXIO of /dev/fuse: this machine has no FUSE. EPERM, EACCES: not allowed.
    /// </exception>
    public static SafeFileHandle Mount(string source, string point, int transferBytesMax) =>
        FileNative.geteuid() == 0
            ? MountAsRoot(source, point, transferBytesMax)
            : MountByProgram(source, point, transferBytesMax);

    public static FuseMountState StateOf(string point)
    {
        if (!IsMounted(point))
        {
            return FuseMountState.None;
        }
        int errno = FileStatus.TryOfPath(point, followLink: false, out _);
        return errno == 0 ? FuseMountState.Served : FuseMountState.Dead;
    }

    /// <summary>Asks nobody but the kernel's own table.</summary>
    public static bool IsMounted(string point)
    {
        string real = FileCalls.TryRealPath(Path.GetDirectoryName(point) ?? "/") ?? "/";
        string path = Path.Combine(real, Path.GetFileName(point));
        foreach (Mount mount in MountTable.Mounts("/proc"))
        {
            if (mount.Point == path && mount.FileSystem == FileSystem)
            {
                return true;
            }
        }
        return false;
    }

    /// <summary>
    /// 0, or the errno: EBUSY while somebody has the file open. Lazy: take it out of sight in any case.
    /// </summary>
    public static int TryUnmount(string point, bool lazy = false)
    {
        if (FileNative.geteuid() == 0)
        {
            int flags = MountNative.UMOUNT_NOFOLLOW | (lazy ? MountNative.MNT_DETACH : 0);
            return MountNative.Unmount(point, flags) < 0 ? Marshal.GetLastPInvokeError() : 0;
        }
        string[] arguments = lazy ? ["-q", "-u", "-z", "--", point] : ["-q", "-u", "--", point];
        return RunProgram(arguments, null) == 0 ? 0 : Errno.EBUSY;
    }

    /// <summary>Processes that have the file open.</summary>
    public static IReadOnlyList<ClaimHolder> FindOpeners(string point) => ClaimHolders.OpenersOf(point);

    /// <summary>End the connection: what waits for the server fails now. The mount stays.</summary>
    public static void Abort(string point)
    {
        // EBUSY, as the file is still in use; what MNT_FORCE does beside unmounting has been done.
        _ = MountNative.Unmount(point, MountNative.MNT_FORCE | MountNative.UMOUNT_NOFOLLOW);
    }

    private static SafeFileHandle MountAsRoot(string source, string point, int transferBytesMax)
    {
        int errno = FileCalls.TryOpen(
            Kernel, FileNative.O_RDWR | SocketNative.O_NONBLOCK, 0, out SafeFileHandle kernel);
        if (errno != 0)
        {
            kernel.Dispose();
            throw new SystemCallException("open", Kernel, errno);
        }
        // 100000: the root is a regular file. Only root itself may open it.
        string options = $"fd={FileCalls.Descriptor(kernel)},rootmode=100000,user_id=0,group_id=0,"
            + $"max_read={transferBytesMax}";
        nuint flags = MountNative.MS_NOSUID | MountNative.MS_NODEV;
        if (MountNative.Mount(source, point, FileSystem, flags, options) < 0)
        {
            errno = Marshal.GetLastPInvokeError();
            kernel.Dispose();
            throw new SystemCallException("mount", point, errno);
        }
        return kernel;
    }

    private static unsafe SafeFileHandle MountByProgram(string source, string point, int transferBytesMax)
    {
        int* fds = stackalloc int[2];
        int type = SocketNative.SOCK_STREAM | SocketNative.SOCK_CLOEXEC;
        if (SocketNative.Pair(SocketNative.AF_UNIX, type, 0, fds) < 0)
        {
            throw new SystemCallException("socketpair", "-", Marshal.GetLastPInvokeError());
        }
        using SafeFileHandle ours = new(fds[0], ownsHandle: true);
        using SafeFileHandle theirs = new(fds[1], ownsHandle: true);
        string name = source.Replace("\\", "\\\\", StringComparison.Ordinal)
            .Replace(",", "\\,", StringComparison.Ordinal);
        string options =
            $"fsname={name},subtype=dmremap,nosuid,nodev,max_read={transferBytesMax}";
        if (RunProgram(["-o", options, "--", point], theirs) != 0)
        {
            throw new SystemCallException(Privileged, point, Errno.EPERM);
        }
        int fd = ReceiveDescriptor(FileCalls.Descriptor(ours));
        if (fd < 0)
        {
            throw new SystemCallException(Privileged, point, Errno.EPROTO);
        }
        SafeFileHandle kernel = new(fd, ownsHandle: true);
        int flags = SocketNative.Control(fd, SocketNative.F_GETFL, 0);
        _ = SocketNative.Control(fd, SocketNative.F_SETFL, flags | SocketNative.O_NONBLOCK);
        return kernel;
    }

    /// <summary>Its messages go where ours go.</summary>
    private static int RunProgram(string[] arguments, SafeFileHandle? socket)
    {
        const int SocketAs = 3;
        int errno =
            FileCalls.TryOpen("/dev/null", FileNative.O_RDWR, 0, out SafeFileHandle nothing);
        using (nothing)
        {
            if (errno != 0)
            {
                throw new SystemCallException("open", "/dev/null", errno);
            }
            using SafeFileHandle error = new(2, ownsHandle: false);
            (int, SafeFileHandle)[] standard = [(0, nothing), (1, nothing), (2, error)];
            return SpawnedProcess.Start(new ProcessPlan
            {
                Program = Privileged,
                Arguments = arguments,
                Environment = socket is null ? [] : [$"_FUSE_COMMFD={SocketAs}"],
                Descriptors = socket is null ? standard : [.. standard, (SocketAs, socket)],
            }).WaitForExit();
        }
    }

    /// <summary>SCM_RIGHTS: one descriptor beside one byte. Negative: it did not come.</summary>
    private static unsafe int ReceiveDescriptor(int socket)
    {
        // struct cmsghdr (length, level, type: 16 bytes), then the descriptor, padded to 8.
        const int ControlBytes = 24;
        const int Rights = 1; // SCM_RIGHTS
        const int CloseOnExec = 0x40000000; // MSG_CMSG_CLOEXEC
        byte data = 0;
        ulong* control = stackalloc ulong[ControlBytes / sizeof(ulong)];
        IoVector vector = new() { iov_base = (ulong)&data, iov_len = 1 };
        MessageHeader message = new()
        {
            msg_iov = (ulong)&vector,
            msg_iovlen = 1,
            msg_control = (ulong)control,
            msg_controllen = ControlBytes,
        };
        nint received;
        do
        {
            received = MountNative.ReceiveMessage(socket, &message, CloseOnExec);
        }
        while (received < 0 && Marshal.GetLastPInvokeError() == Errno.EINTR);
        int* header = (int*)control;
        bool isHere = received > 0 && message.msg_controllen >= 20
            && header[2] == SocketNative.SOL_SOCKET && header[3] == Rights;
        return isHere ? header[4] : -1;
    }
}
