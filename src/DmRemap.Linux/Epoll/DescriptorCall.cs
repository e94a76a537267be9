using DmRemap.Core.Abstractions;
using DmRemap.Linux.Native;
using static DmRemap.Linux.Native.SystemCallResult;

namespace DmRemap.Linux.Epoll;

/// <summary>
/// The system calls that never wait, by the loop itself. They return a count or descriptor, or a negative
/// errno; -EAGAIN: not now.
/// </summary>
internal static unsafe class DescriptorCall
{
    private const int Flags = SocketNative.MSG_NOSIGNAL | EpollNative.MSG_DONTWAIT;

    /// <summary>What the descriptor has to have before it is worth another try.</summary>
    public static uint EventsOf(in EpollOperation operation) => operation.Kind switch
    {
        OperationKind.Send or OperationKind.SendMessage or OperationKind.WriteMessage =>
            EpollNative.EPOLLOUT,
        OperationKind.Poll => (uint)operation.Argument,
        _ => EpollNative.EPOLLIN,
    };

    public static int Try(in EpollOperation operation)
    {
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
            case OperationKind.Receive:
                return ResultOf(EpollNative.Receive(fd, address, bytes, EpollNative.MSG_DONTWAIT));
            case OperationKind.Send:
                return ResultOf(EpollNative.Send(fd, address, bytes, Flags));
            case OperationKind.SendMessage:
                return ResultOf(EpollNative.SendMessage(fd, address, Flags));
            case OperationKind.ReadMessage:
                return ResultOf(EpollNative.Read(fd, address, bytes));
            case OperationKind.WriteMessage:
                return ResultOf(EpollNative.Write(fd, address, bytes));
            case OperationKind.Accept:
                return Accept(fd);
            case OperationKind.Poll:
                return Poll(fd, (uint)operation.Argument);
            default:
                Invariant.Check(false);
                return -Errno.EINVAL;
        }
    }

    private static int Accept(int fd)
    {
        // Asked first: who shares the socket may have made it block again.
        int ready = Poll(fd, EpollNative.EPOLLIN);
        if (ready < 0)
        {
            return ready;
        }
        int result = ResultOf(EpollNative.Accept(fd, null, null, SocketNative.SOCK_CLOEXEC));
        // A socket that has been shut down never has a connection, and says so only to whoever blocks.
        bool isBroken = (ready & (int)(EpollNative.EPOLLHUP | EpollNative.EPOLLERR)) != 0;
        return result == -Errno.EAGAIN && isBroken ? -Errno.EINVAL : result;
    }

    /// <summary>The events that are there, or -EAGAIN.</summary>
    private static int Poll(int fd, uint events)
    {
        ulong poll = (uint)fd | ((ulong)(ushort)events << 32);
        int result = ResultOf(SocketNative.Poll(&poll, 1, 0));
        return result <= 0 ? (result == 0 ? -Errno.EAGAIN : result) : (int)(poll >> 48);
    }
}
