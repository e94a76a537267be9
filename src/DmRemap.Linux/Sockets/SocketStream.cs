using System;
using System.Runtime.InteropServices;
using DmRemap.Core.Abstractions;
using DmRemap.Linux.Loop;
using DmRemap.Linux.Native;

namespace DmRemap.Linux.Sockets;

/// <summary>
/// A connected socket of the loop. One object serves many connections after another: it goes back to its
/// <see cref="StreamPool"/> when the socket is closed, just before OnClosed; its owner forgets it then.
///
/// Close: shutdown(2), which ends a waiting receive and send; a cancel, for whatever shutdown leaves; when
/// all three have come back, the kernel holds no buffer, and the descriptor is closed; then OnClosed.
/// </summary>
internal sealed class SocketStream : IByteStream
{
    // Room for the message header in front of the vectors, in one pinned array: addresses that never change.
    private const int VectorsStart = 4;

    private readonly StreamPool _pool;
    private readonly KernelLoop _loop;
    private readonly ReceiveTarget _receive;
    private readonly SendTarget _send;
    private readonly CancelTarget _cancel;
    private readonly CloseTarget _close;
    private readonly IoVector[] _vectors =
        GC.AllocateArray<IoVector>(VectorsStart + Limits.SendPartsMax, pinned: true);
    private IByteStreamOwner? _owner;
    private int _fd = -1;
    private int _firstVector;
    private int _endVector;
    private long _unsentBytes;
    private bool _isClosing;

    public SocketStream(StreamPool pool, KernelLoop loop, OperationOwner operations)
    {
        _pool = pool;
        _loop = loop;
        _receive = new ReceiveTarget(this, operations);
        _send = new SendTarget(this, operations);
        _cancel = new CancelTarget(this, operations);
        _close = new CloseTarget(this, operations);
    }

    /// <summary>The pool's own link.</summary>
    public SocketStream? NextFree { get; set; }

    public void Receive(BufferSlice into)
    {
        Invariant.Check(_fd >= 0);
        Invariant.Check(!_isClosing);
        Invariant.Check(!into.IsEmpty);
        _loop.SubmitReceive(_receive, _fd, into);
    }

    public void Send(in SendParts parts)
    {
        Invariant.Check(_fd >= 0);
        Invariant.Check(!_isClosing);
        Invariant.Check(!_send.IsOutstanding);
        Invariant.Check(parts.Bytes > 0);
        for (int i = 0; i < parts.Count; i++)
        {
            BufferSlice part = parts[i];
            ref IoVector vector = ref _vectors[VectorsStart + i];
            vector.iov_base = KernelMemory.AddressOf(part);
            vector.iov_len = (ulong)part.Length;
        }
        _firstVector = VectorsStart;
        _endVector = VectorsStart + parts.Count;
        _unsentBytes = parts.Bytes;
        SubmitSend();
    }

    public void Close()
    {
        Invariant.Check(_fd >= 0);
        if (_isClosing)
        {
            return;
        }
        _isClosing = true;
        // ENOTCONN says that the peer has reset the connection: then there is nothing to shut down.
        _ = SocketNative.Shutdown(_fd, SocketNative.SHUT_RDWR);
        if (_receive.IsOutstanding || _send.IsOutstanding)
        {
            _loop.SubmitCancelAllOn(_cancel, _fd);
        }
        else
        {
            _loop.SubmitClose(_close, _fd);
        }
    }

    /// <summary>Take over an accepted descriptor.</summary>
    internal void Open(int fd)
    {
        Invariant.Check(_fd < 0);
        _fd = fd;
        _isClosing = false;
        _loop.Adopt(fd);
    }

    /// <summary>
    /// Go on with another descriptor; the present one is the caller's. Nothing may be outstanding.
    /// </summary>
    internal int Exchange(int fd)
    {
        Invariant.Check(_fd >= 0);
        Invariant.Check(!_isClosing);
        Invariant.Check(!_receive.IsOutstanding);
        Invariant.Check(!_send.IsOutstanding);
        int former = _fd;
        _loop.Disown(former);
        _fd = fd;
        _loop.Adopt(fd);
        return former;
    }

    internal void SetOwner(IByteStreamOwner owner) => _owner = owner;

    private void SubmitSend()
    {
        int count = _endVector - _firstVector;
        if (count == 1)
        {
            _loop.SubmitSend(_send, _fd, in _vectors[_firstVector]);
            return;
        }
        ref MessageHeader header = ref MemoryMarshal.AsRef<MessageHeader>(
            MemoryMarshal.AsBytes(_vectors.AsSpan(0, VectorsStart)));
        header = default;
        header.msg_iov = (ulong)Marshal.UnsafeAddrOfPinnedArrayElement(_vectors, _firstVector);
        header.msg_iovlen = (ulong)count;
        _loop.SubmitSendMessage(_send, _fd, (ulong)Marshal.UnsafeAddrOfPinnedArrayElement(_vectors, 0));
    }

    private void OnReceived(int result)
    {
        if (_isClosing)
        {
            GoOnClosing();
        }
        else
        {
            _owner!.OnReceived(result);
        }
    }

    public bool HasPeerEnded => _fd >= 0 && StreamDetour.HasEnded(_fd);

    private void OnSent(int result)
    {
        if (_isClosing)
        {
            GoOnClosing();
            return;
        }
        if (result < 0)
        {
            _owner!.OnSent(result);
            return;
        }
        _unsentBytes -= result;
        Invariant.Check(_unsentBytes >= 0);
        if (_unsentBytes == 0)
        {
            _owner!.OnSent(0);
            return;
        }
        _firstVector += SentBytes.Skip(_vectors.AsSpan(_firstVector, _endVector - _firstVector), result);
        SubmitSend();
    }

    private void GoOnClosing()
    {
        bool isTransferring = _receive.IsOutstanding || _send.IsOutstanding;
        if (!isTransferring && !_cancel.IsOutstanding && !_close.IsOutstanding)
        {
            _loop.SubmitClose(_close, _fd);
        }
    }

    private void OnClosed()
    {
        IByteStreamOwner? owner = _owner;
        _owner = null;
        _fd = -1;
        _pool.Return(this);
        owner?.OnClosed();
    }

    private sealed class ReceiveTarget(SocketStream stream, OperationOwner owner)
        : CompletionTarget(stream._loop, owner)
    {
        protected override void OnCompleted(int result) => stream.OnReceived(result);
    }

    private sealed class SendTarget(SocketStream stream, OperationOwner owner)
        : CompletionTarget(stream._loop, owner)
    {
        protected override void OnCompleted(int result) => stream.OnSent(result);
    }

    private sealed class CancelTarget(SocketStream stream, OperationOwner owner)
        : CompletionTarget(stream._loop, owner)
    {
        // EINVAL on a kernel without cancel by descriptor: shutdown has ended both operations already.
        protected override void OnCompleted(int result) => stream.GoOnClosing();
    }

    private sealed class CloseTarget(SocketStream stream, OperationOwner owner)
        : CompletionTarget(stream._loop, owner)
    {
        // The descriptor is gone whatever close returned.
        protected override void OnCompleted(int result) => stream.OnClosed();
    }
}
