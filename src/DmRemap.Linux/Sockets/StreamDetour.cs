using DmRemap.Core.Abstractions;
using DmRemap.Linux.Native;
using Microsoft.Win32.SafeHandles;

namespace DmRemap.Linux.Sockets;

/// <summary>
/// Lets somebody else carry the bytes of a stream of the loop from and to its peer, and change them.
/// </summary>
public static class StreamDetour
{
    /// <summary>
    /// The stream goes on with one end of a pair of sockets. Whoever carries gets the other end, and the
    /// peer's socket; both are his to close. On the loop's thread, with nothing outstanding on the stream.
    /// False: no descriptor is free.
    /// </summary>
    public static unsafe bool TryInsert(
        IByteStream stream, out SafeFileHandle? peer, out SafeFileHandle? inside)
    {
        peer = null;
        inside = null;
        int* fds = stackalloc int[2];
        int type = SocketNative.SOCK_STREAM | SocketNative.SOCK_CLOEXEC;
        if (SocketNative.Pair(SocketNative.AF_UNIX, type, 0, fds) < 0)
        {
            return false;
        }
        inside = new SafeFileHandle(fds[0], ownsHandle: true);
        peer = new SafeFileHandle(((SocketStream)stream).Exchange(fds[1]), ownsHandle: true);
        return true;
    }

    /// <summary>Both directions of the pair are closed at the other end.</summary>
    public static bool HasHungUp(int inside) => Is(inside, SocketNative.POLLHUP);

    /// <summary>The other end sends nothing more.</summary>
    public static bool HasEnded(int socket) => Is(socket, SocketNative.POLLHUP | SocketNative.POLLRDHUP);

    private static unsafe bool Is(int socket, int events)
    {
        ulong poll = (uint)socket | ((ulong)(uint)events << 32);
        return SocketNative.Poll(&poll, 1, 0) > 0 && ((int)(poll >> 48) & events) != 0;
    }
}
