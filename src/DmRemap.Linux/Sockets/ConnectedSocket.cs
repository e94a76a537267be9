using System.Runtime.InteropServices;
using DmRemap.Linux.Native;
using Microsoft.Win32.SafeHandles;

namespace DmRemap.Linux.Sockets;

/// <summary>Makes connections; blocks, so never on a loop's thread.</summary>
public static class ConnectedSocket
{
    private const int TimeoutSeconds = 5;

    /// <summary>
    /// 0 and a connected, blocking socket, or a positive errno: that of the last address tried. Ends within
    /// some seconds for each address (a server that is stopped leaves its backlog full).
    /// </summary>
    public static int TryConnect(StreamAddress address, out SafeFileHandle? socket)
    {
        socket = null;
        int errno = Errno.ENOENT;
        foreach ((int family, byte[] bytes) in address.Resolve())
        {
            errno = TryConnect(family, bytes, out socket);
            if (errno == 0)
            {
                return 0;
            }
        }
        return errno;
    }

    private static unsafe int TryConnect(int family, byte[] address, out SafeFileHandle? socket)
    {
        socket = null;
        int type = SocketNative.SOCK_STREAM | SocketNative.SOCK_CLOEXEC;
        int fd = SocketNative.Socket(family, type, 0);
        if (fd < 0)
        {
            return Marshal.GetLastPInvokeError();
        }
        SafeFileHandle handle = new(fd, ownsHandle: true);
        int errno = SetTimeout(fd, TimeoutSeconds);
        if (errno == 0 && family != SocketNative.AF_UNIX)
        {
            int on = 1;
            _ = SocketNative.SetOption(
                fd, SocketNative.IPPROTO_TCP, SocketNative.TCP_NODELAY, &on, sizeof(int));
            // A peer whose machine has died says nothing; the kernel then ends the connection by itself.
            _ = SocketNative.SetOption(
                fd, SocketNative.SOL_SOCKET, SocketNative.SO_KEEPALIVE, &on, sizeof(int));
        }
        if (errno == 0)
        {
            fixed (byte* bytes = address)
            {
                int result = SocketNative.Connect(fd, bytes, (uint)address.Length);
                errno = result < 0 ? Marshal.GetLastPInvokeError() : 0;
            }
        }
        // With a timeout, connect says EINPROGRESS (TCP) or EAGAIN (Unix) when it has passed. EINTR leaves a
        // connection half made: it counts as failed, and is tried anew.
        if (errno is Errno.EINPROGRESS or Errno.EAGAIN)
        {
            errno = Errno.ETIMEDOUT;
        }
        if (errno == 0)
        {
            errno = SetTimeout(fd, 0);
        }
        if (errno != 0)
        {
            handle.Dispose();
            return errno;
        }
        socket = handle;
        return 0;
    }

    /// <summary>Of a connect and of sends; 0: none.</summary>
    private static unsafe int SetTimeout(int fd, long seconds)
    {
        // struct timeval.
        long* time = stackalloc long[2];
        time[0] = seconds;
        time[1] = 0;
        int result = SocketNative.SetTimeout(
            fd, SocketNative.SOL_SOCKET, SocketNative.SO_SNDTIMEO, time, 2 * sizeof(long));
        return result < 0 ? Marshal.GetLastPInvokeError() : 0;
    }
}
