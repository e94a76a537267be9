using DmRemap.Core.Abstractions;
using DmRemap.Linux.Loop;
using Microsoft.Win32.SafeHandles;

namespace DmRemap.Linux.Sockets;

/// <summary>
/// Every connection of a loop, allocated at start: the bound on connections, over all listeners.
/// </summary>
public sealed class StreamPool
{
    private SocketStream? _firstFree;

    /// <summary>On the loop's thread, or before it runs.</summary>
    public StreamPool(
        KernelLoop loop, int connectionsMax = Limits.ConnectionsMax, string name = "client connections")
    {
        Loop = loop;
        Operations = loop.CreateOwner(name);
        for (int i = 0; i < connectionsMax; i++)
        {
            SocketStream stream = new(this, loop, Operations) { NextFree = _firstFree };
            _firstFree = stream;
            FreeCount++;
        }
    }

    public KernelLoop Loop { get; }

    /// <summary>What the kernel has of these connections now.</summary>
    public OperationOwner Operations { get; }

    public int FreeCount { get; private set; }

    /// <summary>
    /// Serve a socket that is connected already, and is the stream's from here on. On the loop's thread.
    /// False: there is no room for it, or the acceptor said no; it is closed then.
    /// </summary>
    public bool TryServe(SafeFileHandle socket, IStreamAcceptor acceptor)
    {
        int fd = Release(socket);
        SocketStream? stream = TryTake(fd);
        if (stream is null)
        {
            new SafeFileHandle(fd, ownsHandle: true).Dispose();
            return false;
        }
        IByteStreamOwner? owner = acceptor.OnAccepted(stream);
        if (owner is null)
        {
            stream.Close();
            return false;
        }
        stream.SetOwner(owner);
        return true;
    }

    /// <summary>The descriptor, which somebody else closes from here on.</summary>
    internal static int Release(SafeFileHandle socket)
    {
        int fd = (int)socket.DangerousGetHandle();
        socket.SetHandleAsInvalid();
        return fd;
    }

    /// <summary>Null when every one is connected.</summary>
    internal SocketStream? TryTake(int fd)
    {
        SocketStream? stream = _firstFree;
        if (stream is null)
        {
            return null;
        }
        _firstFree = stream.NextFree;
        stream.NextFree = null;
        FreeCount--;
        stream.Open(fd);
        return stream;
    }

    internal void Return(SocketStream stream)
    {
        stream.NextFree = _firstFree;
        _firstFree = stream;
        FreeCount++;
    }
}
