using System;
using DmRemap.Core.Abstractions;
using DmRemap.Linux.Loop;
using DmRemap.Linux.Native;

namespace DmRemap.Linux.Sockets;

/// <summary>
/// Accepts connections for a loop, one accept outstanding at a time. One connection more than the pool holds
/// is closed at once. When the process is out of descriptors or memory it pauses instead of spinning.
/// </summary>
public sealed class SocketListener : ITimerOwner
{
    private static readonly Duration s_backOff = Duration.FromMilliseconds(100);

    private readonly KernelLoop _loop;
    private readonly StreamPool _pool;
    private readonly IStreamAcceptor _acceptor;
    private readonly AcceptTarget _accept;
    private readonly CancelTarget _cancel;
    private readonly RefuseTarget _refuse;
    private readonly LoopTimer _retry;
    private readonly int _fd;
    private Action? _closed;
    private State _state;

    /// <summary>On the loop's thread, or before it runs. The socket must outlive the listener.</summary>
    public SocketListener(StreamPool pool, ListeningSocket socket, IStreamAcceptor acceptor)
    {
        _pool = pool;
        _loop = pool.Loop;
        _acceptor = acceptor;
        _fd = socket.FileDescriptor;
        _retry = new LoopTimer(this);
        OperationOwner operations = _loop.CreateOwner("listening socket");
        _accept = new AcceptTarget(this, operations);
        _cancel = new CancelTarget(this, operations);
        _refuse = new RefuseTarget(this, operations);
    }

    private enum State
    {
        Made = 0,
        Accepting = 1,
        Closing = 2,
        Closed = 3,
    }

    /// <summary>Connections taken, including those refused.</summary>
    public long Accepted { get; private set; }

    /// <summary>Connections closed at once, because the pool was empty or the acceptor said no.</summary>
    public long Refused { get; private set; }

    /// <summary>Accepts that failed.</summary>
    public long Errors { get; private set; }

    /// <summary>On the loop's thread.</summary>
    public void Start()
    {
        Invariant.Check(_state == State.Made);
        _state = State.Accepting;
        _loop.AdoptListening(_fd);
        Accept();
    }

    /// <summary>
    /// Accept no more. `closed` is called once, later, on the loop's thread, when the kernel has let go of
    /// the socket; connections that were accepted live on. Dispose of the socket then, on another thread.
    /// </summary>
    public void Close(Action closed)
    {
        Invariant.Check(_state is State.Accepting or State.Made);
        _closed = closed;
        _state = State.Closing;
        // Set now in any case, so that `closed` is never called from inside Close.
        _loop.Schedule(_retry, _loop.Now);
        if (_accept.IsOutstanding)
        {
            _loop.SubmitCancel(_cancel, _accept);
        }
    }

    public void OnTimer(LoopTimer timer)
    {
        if (_state == State.Closing)
        {
            GoOnClosing();
        }
        else
        {
            Accept();
        }
    }

    private void Accept() => _loop.SubmitAccept(_accept, _fd);

    private void OnAccepted(int result)
    {
        if (result >= 0)
        {
            Accepted++;
            Take(result);
        }
        else if (_state != State.Closing)
        {
            Errors++;
            if (result is -Errno.ECONNABORTED or -Errno.EPROTO or -Errno.EINTR)
            {
                Accept();
            }
            else
            {
                // EMFILE, ENFILE, ENOMEM: the connection stays in the backlog, and asking again at once would
                // spin.
                _loop.Schedule(_retry, _loop.Now + s_backOff);
            }
        }
        else
        {
            GoOnClosing();
        }
    }

    private void Take(int fd)
    {
        SocketStream? stream = _state == State.Closing ? null : _pool.TryTake(fd);
        if (stream is null)
        {
            // The next accept waits for this close: connections beyond the bound never hold more than one
            // descriptor.
            Refused++;
            _loop.SubmitClose(_refuse, fd);
            return;
        }
        Accept();
        IByteStreamOwner? owner = _acceptor.OnAccepted(stream);
        if (owner is null)
        {
            Refused++;
            stream.Close();
        }
        else
        {
            stream.SetOwner(owner);
        }
    }

    private void OnRefused()
    {
        if (_state == State.Closing)
        {
            GoOnClosing();
        }
        else
        {
            Accept();
        }
    }

    private void GoOnClosing()
    {
        if (_accept.IsOutstanding || _cancel.IsOutstanding || _refuse.IsOutstanding || _retry.IsSet)
        {
            return;
        }
        _state = State.Closed;
        _loop.Disown(_fd);
        _accept.Unregister();
        _cancel.Unregister();
        _refuse.Unregister();
        _closed!();
    }

    private sealed class AcceptTarget(SocketListener listener, OperationOwner owner)
        : CompletionTarget(listener._loop, owner)
    {
        protected override void OnCompleted(int result) => listener.OnAccepted(result);
    }

    private sealed class CancelTarget(SocketListener listener, OperationOwner owner)
        : CompletionTarget(listener._loop, owner)
    {
        protected override void OnCompleted(int result) => listener.GoOnClosing();
    }

    private sealed class RefuseTarget(SocketListener listener, OperationOwner owner)
        : CompletionTarget(listener._loop, owner)
    {
        protected override void OnCompleted(int result) => listener.OnRefused();
    }
}
