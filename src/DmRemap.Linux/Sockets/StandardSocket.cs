using DmRemap.Linux.Native;
using Microsoft.Win32.SafeHandles;

namespace DmRemap.Linux.Sockets;

/// <summary>A client on standard input and output, which are one connected socket.</summary>
public static class StandardSocket
{
    private const int Input = 0;
    private const int Output = 1;

    /// <summary>
    /// Take the socket away from both descriptors, which lead to /dev/null from then on: nothing that is
    /// printed can get between the replies. Null, and why, when it cannot be served.
    /// </summary>
    public static SafeFileHandle? TryTake(out string problem)
    {
        problem = "";
        if (OptionOf(Input, SocketNative.SO_TYPE) is not SocketNative.SOCK_STREAM)
        {
            problem = "standard input is not a stream socket";
        }
        else if (OptionOf(Input, SocketNative.SO_ACCEPTCONN) is not 0)
        {
            problem = "the socket on standard input listens: no client is connected";
        }
        else if (OptionOf(Input, SocketNative.SO_COOKIE) != OptionOf(Output, SocketNative.SO_COOKIE))
        {
            problem = "standard output is not the same socket as standard input";
        }
        return problem.Length == 0 ? Take(out problem) : null;
    }

    private static SafeFileHandle? Take(out string problem)
    {
        problem = "";
        int taken = SocketNative.Control(Input, SocketNative.F_DUPFD_CLOEXEC, Output + 2);
        int errno = FileCalls.TryOpen("/dev/null", FileNative.O_RDWR, 0, out SafeFileHandle nothing);
        using (nothing)
        {
            if (taken < 0 || errno != 0)
            {
                problem = "no descriptor is free";
                return null;
            }
            int fd = (int)nothing.DangerousGetHandle();
            _ = SocketNative.Duplicate(fd, Input);
            _ = SocketNative.Duplicate(fd, Output);
        }
        // A ring waits by itself, and does not for a descriptor that asks not to be waited for.
        int flags = SocketNative.Control(taken, SocketNative.F_GETFL, 0);
        _ = SocketNative.Control(taken, SocketNative.F_SETFL, flags & ~SocketNative.O_NONBLOCK);
        return new SafeFileHandle(taken, ownsHandle: true);
    }

    private static unsafe long? OptionOf(int fd, int name)
    {
        long value = 0;
        uint size = sizeof(long);
        int result = SocketNative.GetOption(fd, SocketNative.SOL_SOCKET, name, (int*)&value, &size);
        return result < 0 ? null : value;
    }
}
