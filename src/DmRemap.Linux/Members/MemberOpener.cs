using System;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using DmRemap.Linux.Native;
using Microsoft.Win32.SafeHandles;

namespace DmRemap.Linux.Members;

/// <summary>
/// Opens, claims and measures a member. May wait for a disk or file system that does not answer.
/// </summary>
internal static class MemberOpener
{
    public static ClaimResult TryClaim(string path, MemberOptions options)
    {
        Invariant.Check(options.Access != MemberAccess.None);
        FileStatus status = Look(path);
        return status.Kind == FileKind.Block
            ? TryClaimDevice(path, options, status)
            : TryClaimFile(path, options, status);
    }

    private static FileStatus Look(string path)
    {
        int errno = FileStatus.TryOfPath(path, followLink: true, out FileStatus? status);
        if (errno != 0)
        {
            throw new RefusalException(Explain(path, errno));
        }
        return status!.Kind switch
        {
            FileKind.Block or FileKind.Regular => status,
            FileKind.Directory => throw new RefusalException(MemberRefusals.NotStorage(path, "a directory")),
            FileKind.Fifo => throw new RefusalException(MemberRefusals.NotStorage(path, "a named pipe")),
            FileKind.Socket => throw new RefusalException(MemberRefusals.NotStorage(path, "a socket")),
            FileKind.Character =>
                throw new RefusalException(MemberRefusals.NotStorage(path, "a character device")),
            _ => throw new RefusalException(MemberRefusals.NotStorage(path, "something else")),
        };
    }

    private static Refusal Explain(string path, int errno) => errno switch
    {
        FileNative.ENOENT or FileNative.ENOTDIR or FileNative.ENXIO or FileNative.ENODEV =>
            MemberRefusals.Missing(path),
        FileNative.ELOOP => MemberRefusals.NotStorage(path, "a symbolic link that leads to itself"),
        FileNative.ENAMETOOLONG => MemberRefusals.NotStorage(path, "longer than a path can be"),
        FileNative.ENOMEDIUM => MemberRefusals.Empty(path, MemberKind.BlockDevice),
        FileNative.EACCES or FileNative.EPERM or FileNative.EROFS => MemberRefusals.NotPermitted(path, errno),
        FileNative.ETXTBSY => MemberRefusals.InUse(path, "the kernel executes it or swaps to it"),
        _ => MemberRefusals.CannotOpen(path, errno),
    };

    private static int AccessFlags(MemberOptions options) =>
        options.Access == MemberAccess.ReadOnly ? FileNative.O_RDONLY : FileNative.O_RDWR;

    private static ClaimResult TryClaimDevice(string path, MemberOptions options, FileStatus status)
    {
        // O_EXCL is the claim (F-1): it is on the device, not on this node of it, and mounts, dm and md
        // respect it.
        int flags = AccessFlags(options) | FileNative.O_DIRECT | FileNative.O_EXCL;
        int errno = FileCalls.TryOpen(path, flags, 0, out SafeFileHandle handle);
        if (errno != 0)
        {
            handle.Dispose();
            if (errno == FileNative.EBUSY)
            {
                RequireNoKernelUser(path);
                return ClaimResult.Held(path, () => ClaimHolders.OfDevice(status.Device));
            }
            throw new RefusalException(
                errno == FileNative.EINVAL ? MemberRefusals.NoDirectIo(path) : Explain(path, errno));
        }
        return Measure(path, handle, status, opened => DeviceFacts.Measure(path, handle, opened, options));
    }

    private static ClaimResult TryClaimFile(string path, MemberOptions options, FileStatus status)
    {
        FileTransfer transfer =
            FileTransfer.Decide(path, status, options.BlockBytes ?? FileFacts.BlockBytesDefault);
        int errno = OpenFile(path, options, ref transfer, out SafeFileHandle handle);
        if (errno != 0)
        {
            handle.Dispose();
            RequireNoKernelUser(path);
            throw new RefusalException(Explain(path, errno));
        }
        errno = FileCalls.TryLockExclusive(handle);
        if (errno != 0)
        {
            handle.Dispose();
            return errno == FileNative.EAGAIN
                ? ClaimResult.Held(path, () => ClaimHolders.OfFile(status))
                : throw new RefusalException(MemberRefusals.CannotOpen(path, errno));
        }
        return Measure(
            path, handle, status, opened => FileFacts.Measure(path, handle, opened, options, transfer));
    }

    private static int OpenFile(
        string path, MemberOptions options, ref FileTransfer transfer, out SafeFileHandle handle)
    {
        int direct = transfer.Mode == TransferMode.Direct ? FileNative.O_DIRECT : 0;
        int errno = FileCalls.TryOpen(path, AccessFlags(options) | direct, 0, out handle);
        if (errno == FileNative.EINVAL && direct != 0)
        {
            handle.Dispose();
            transfer = FileTransfer.Buffered(transfer.FileSystem, "the file system refuses O_DIRECT");
            errno = FileCalls.TryOpen(path, AccessFlags(options), 0, out handle);
        }
        return errno;
    }

    /// <summary>
    /// From here on an exception must close the descriptor, or the claim would outlive the refusal.
    /// </summary>
    private static ClaimResult Measure(
        string path, SafeFileHandle handle, FileStatus before, Func<FileStatus, MemberFile> measure)
    {
        try
        {
            FileStatus opened = FileStatus.OfHandle(handle, path);

            // The checks were made on the path; what is open may be something else if somebody renamed
            // meanwhile.
            bool isSame = opened.Kind == before.Kind
                && (opened.Kind == FileKind.Block
                    ? opened.Device == before.Device
                    : opened.IsSameFile(before));
            return isSame
                ? ClaimResult.Claimed(measure(opened))
                : throw new RefusalException(MemberRefusals.Replaced(path));
        }
        catch
        {
            handle.Dispose();
            throw;
        }
    }

    private static void RequireNoKernelUser(string path)
    {
        foreach (MemberUser user in MemberInspection.FindUsers(path))
        {
            throw new RefusalException(MemberRefusals.UsedBy(path, user));
        }
    }
}
