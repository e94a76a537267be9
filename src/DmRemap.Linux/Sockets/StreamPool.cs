using DmRemap.Core.Abstractions;
using DmRemap.Linux.Loop;

namespace DmRemap.Linux.Sockets;

/// <summary>
/// Every connection of a loop, allocated at start: the bound on connections, over all listeners.
/// </summary>
public sealed class StreamPool
{
    private UringStream? _firstFree;

    /// <summary>On the loop's thread, or before it runs.</summary>
    public StreamPool(
        UringLoop loop, int connectionsMax = Limits.ConnectionsMax, string name = "client connections")
    {
        Loop = loop;
        Operations = loop.CreateOwner(name);
        for (int i = 0; i < connectionsMax; i++)
        {
            UringStream stream = new(this, loop, Operations) { NextFree = _firstFree };
            _firstFree = stream;
            FreeCount++;
        }
    }

    public UringLoop Loop { get; }

    /// <summary>What the kernel has of these connections now.</summary>
    public OperationOwner Operations { get; }

    public int FreeCount { get; private set; }

    /// <summary>Null when every one is connected.</summary>
    internal UringStream? TryTake(int fd)
    {
        UringStream? stream = _firstFree;
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

    internal void Return(UringStream stream)
    {
        stream.NextFree = _firstFree;
        _firstFree = stream;
        FreeCount++;
    }
}
