using DmRemap.Core.Abstractions;
using DmRemap.Linux.Native;
using static DmRemap.Linux.Native.SystemCallResult;

namespace DmRemap.Linux.Epoll;

/// <summary>
/// The system calls that may block, by a thread of the owner. What they return means what io_uring's
/// completions mean: a count, or a negative errno.
/// </summary>
internal static unsafe class ThreadCall
{
    public static int Run(in EpollOperation operation)
    {
        if (operation.Kind == OperationKind.Close)
        {
            // Never twice: the descriptor is gone whatever close says, and may be another's by now.
            return ResultOf(UringNative.Close(operation.Fd));
        }
        int result;
        do
        {
            result = Once(in operation);
        }
        while (result == -Errno.EINTR);
        return result;
    }

    private static int Once(in EpollOperation operation)
    {
        void* address = (void*)operation.Address;
        nuint bytes = (nuint)operation.Length;
        int fd = operation.Fd;
        switch (operation.Kind)
        {
            case OperationKind.Read:
                int read = ResultOf(FileNative.pread(fd, address, bytes, operation.Offset));
                // A pipe has no places: it is read where it is, as io_uring does.
                return read == -FileNative.ESPIPE ? ResultOf(EpollNative.Read(fd, address, bytes)) : read;
            case OperationKind.Write:
                int written = ResultOf(FileNative.pwrite(fd, address, bytes, operation.Offset));
                return written == -FileNative.ESPIPE
                    ? ResultOf(EpollNative.Write(fd, address, bytes))
                    : written;
            case OperationKind.DurableWrite:
                return WriteDurably(in operation);
            case OperationKind.SyncData:
                return ResultOf(EpollNative.SyncData(fd));
            case OperationKind.Zero:
                return ResultOf(
                    FileNative.fallocate(fd, operation.Argument, operation.Offset, operation.Length));
            default:
                Invariant.Check(false);
                return -Errno.EINVAL;
        }
    }

    private static int WriteDurably(in EpollOperation operation)
    {
        IoVector vector = new() { iov_base = operation.Address, iov_len = (ulong)operation.Length };
        int result = ResultOf(EpollNative.WriteVectorAt(
            operation.Fd, &vector, 1, operation.Offset, (int)UringNative.RWF_DSYNC));
        if (result is not (-Errno.EOPNOTSUPP or -Errno.ENOSYS or -Errno.EPERM))
        {
            return result;
        }
        // A sandbox without the flag, or the call. Barrier: without it a power cut after the acknowledgement
        // loses what the disk's cache held.
        result = ResultOf(FileNative.pwrite(
            operation.Fd, (void*)operation.Address, (nuint)operation.Length, operation.Offset));
        int synced = result < 0 ? 0 : ResultOf(EpollNative.SyncData(operation.Fd));
        return synced < 0 ? synced : result;
    }
}
