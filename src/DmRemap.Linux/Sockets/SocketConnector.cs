using System.Diagnostics.CodeAnalysis;
using System.Threading;
using DmRemap.Core.Abstractions;
using DmRemap.Linux.Loop;
using Microsoft.Win32.SafeHandles;

namespace DmRemap.Linux.Sockets;

/// <summary>
/// Connections to one place for one owner, one at a time, as streams of the loop. Looking up names and
/// connecting may block, so a thread of its own does that and posts what came of it (F-19).
/// </summary>
[SuppressMessage("Design", "CA1001", Justification = "Both threads may be using it at the end.")]
public sealed class SocketConnector : IStreamConnector, ILoopMessage
{
    private readonly StreamPool _streams;
    private readonly StreamAddress _address;
    private readonly AutoResetEvent _asked = new(false);
    private readonly Thread _thread;
    private IStreamConnectOwner? _owner;
    private SafeFileHandle? _socket;
    private int _errno;
    private volatile bool _isAsked;
    private volatile bool _isRetired;

    /// <summary>On the loop's thread, or before it runs.</summary>
    /// <param name="loop">Whose streams it makes.</param>
    /// <param name="address">Where to.</param>
    /// <param name="name">For people: on whose behalf the kernel works.</param>
    public SocketConnector(KernelLoop loop, StreamAddress address, string name)
    {
        _streams = new StreamPool(loop, 1, name);
        _address = address;
        _thread = new Thread(ConnectWhenAsked) { IsBackground = true, Name = "connect" };
        _thread.Start();
    }

    /// <summary>What the kernel has of the connection now.</summary>
    public OperationOwner Operations => _streams.Operations;

    public void Connect(IStreamConnectOwner owner)
    {
        Invariant.Check(_owner is null);
        Invariant.Check(_streams.FreeCount == 1);
        _owner = owner;
        _isAsked = true;
        _asked.Set();
    }

    public void Retire()
    {
        _isRetired = true;
        _asked.Set();
    }

    /// <summary>On the loop's thread: the attempt has ended.</summary>
    void ILoopMessage.Run()
    {
        IStreamConnectOwner owner = _owner!;
        _owner = null;
        if (_socket is null)
        {
            owner.OnConnectFailed(_errno);
            return;
        }
        SocketStream stream = _streams.TryTake(StreamPool.Release(_socket))!;
        _socket = null;
        stream.SetOwner(owner);
        owner.OnConnected(stream);
    }

    private void ConnectWhenAsked()
    {
        while (!_isRetired || _isAsked)
        {
            _asked.WaitOne();
            if (!_isAsked)
            {
                continue;
            }
            _isAsked = false;
            _errno = ConnectedSocket.TryConnect(_address, out _socket);
            if (!_streams.Loop.Post(this))
            {
                // The loop has ended: nobody is left to tell.
                _socket?.Dispose();
                break;
            }
        }
    }
}
