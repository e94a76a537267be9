using System;
using DmRemap.Core.Abstractions;

namespace DmRemap.Tests.Nbd;

/// <summary>
/// A connected stream in memory, over a loop; this end is the client's. Received bytes are stored, and sent
/// ones taken, when the operation completes, not when it starts: a buffer that is used again too early shows
/// as wrong data. Keeps the rules of <see cref="IByteStream"/> for the server, and allocates nothing once its
/// buffers have grown.
/// </summary>
internal sealed class MemoryByteStream : IByteStream, IIoOwner
{
    private readonly IEventLoop _loop;
    private readonly IoRequest _receiving = new();
    private readonly IoRequest _sending = new();
    private readonly IoRequest _closing = new();
    private BufferSlice _into;
    private SendParts _parts;
    private byte[] _toServer = new byte[64 * 1024];
    private int _toServerStart;
    private int _toServerEnd;
    private byte[] _fromServer = new byte[64 * 1024];
    private bool _isReceivePending;
    private bool _isSendPending;
    private bool _hasEnded;

    public MemoryByteStream(IEventLoop loop)
    {
        _loop = loop;
    }

    public IByteStreamOwner? Owner { get; set; }

    public bool HasPeerEnded => _hasEnded || ReceiveError != 0;

    /// <summary>How many bytes the server gets at once, at most.</summary>
    public Func<int>? Cut { get; set; }

    /// <summary>The client takes nothing: what the server sends stays outstanding.</summary>
    public bool IsStalled { get; set; }

    /// <summary>The kernel takes its time to give the buffers back.</summary>
    public bool HoldsClose { get; set; }

    /// <summary>Errors for the operations to come, as negative errno.</summary>
    public int ReceiveError { get; set; }

    public int SendError { get; set; }

    public bool IsClosed { get; private set; }

    public bool IsCloseCalled { get; private set; }

    public int Sends { get; private set; }

    public int Receives { get; private set; }

    /// <summary>Bytes the server has said and the client has not taken.</summary>
    public int Said { get; private set; }

    public ReadOnlySpan<byte> Output => _fromServer.AsSpan(0, Said);

    public int Unreceived => _toServerEnd - _toServerStart;

    /// <summary>From the client.</summary>
    public void Write(ReadOnlySpan<byte> bytes)
    {
        if (_toServerStart == _toServerEnd)
        {
            _toServerStart = 0;
            _toServerEnd = 0;
        }
        if (_toServer.Length - _toServerEnd < bytes.Length)
        {
            Array.Resize(ref _toServer, Math.Max(_toServer.Length * 2, _toServerEnd + bytes.Length));
        }
        bytes.CopyTo(_toServer.AsSpan(_toServerEnd));
        _toServerEnd += bytes.Length;
        TryReceive();
    }

    /// <summary>The client sends no more.</summary>
    public void End()
    {
        _hasEnded = true;
        TryReceive();
    }

    /// <summary>The client vanishes: what is outstanding fails.</summary>
    public void Break()
    {
        ReceiveError = -104;
        SendError = -32;
        IsStalled = false;
        TryReceive();
        TrySend();
    }

    public void Resume()
    {
        IsStalled = false;
        TrySend();
    }

    /// <summary>The next client, over the same memory.</summary>
    public void Reopen()
    {
        Invariant.Check(IsClosed || Owner is null);
        IsClosed = false;
        IsCloseCalled = false;
        _isReceivePending = false;
        _isSendPending = false;
        _hasEnded = false;
        _toServerStart = 0;
        _toServerEnd = 0;
        Said = 0;
    }

    public void ClearOutput() => Said = 0;

    /// <summary>These bytes have been said and not been taken.</summary>
    public void Unsay(ReadOnlySpan<byte> bytes)
    {
        bytes.CopyTo(_fromServer);
        Said = bytes.Length;
    }

    public void Receive(BufferSlice into)
    {
        Invariant.Check(!_isReceivePending);
        Invariant.Check(!IsCloseCalled);
        Invariant.Check(into.Length > 0);
        _into = into;
        _isReceivePending = true;
        Receives++;
        TryReceive();
    }

    public void Send(in SendParts parts)
    {
        Invariant.Check(!_isSendPending);
        Invariant.Check(!IsCloseCalled);
        Invariant.Check(parts.Bytes > 0);
        _parts = parts;
        _isSendPending = true;
        Sends++;
        TrySend();
    }

    public void Close()
    {
        Invariant.Check(!IsCloseCalled);
        IsCloseCalled = true;
        if (!HoldsClose)
        {
            Later(_closing);
        }
    }

    public void ReleaseClose() => Later(_closing);

    public void OnCompleted(IoRequest request)
    {
        if (request == _closing)
        {
            IsClosed = true;
            Owner!.OnClosed();
        }
        else if (IsCloseCalled)
        {
            return;
        }
        else if (request == _receiving)
        {
            Owner!.OnReceived(CompleteReceive());
        }
        else
        {
            Owner!.OnSent(CompleteSend());
        }
    }

    private void TryReceive()
    {
        bool canComplete = Unreceived > 0 || _hasEnded || ReceiveError < 0;
        if (_isReceivePending && canComplete && !_receiving.IsSubmitted)
        {
            Later(_receiving);
        }
    }

    private void TrySend()
    {
        if (_isSendPending && !IsStalled && !_sending.IsSubmitted)
        {
            Later(_sending);
        }
    }

    private int CompleteReceive()
    {
        _isReceivePending = false;
        if (ReceiveError < 0)
        {
            return ReceiveError;
        }
        int bytes = Math.Min(Unreceived, _into.Length);
        if (Cut is not null)
        {
            bytes = Math.Min(bytes, Cut());
        }
        _toServer.AsSpan(_toServerStart, bytes).CopyTo(_into.Span);
        _toServerStart += bytes;
        return bytes;
    }

    private int CompleteSend()
    {
        _isSendPending = false;
        if (SendError < 0)
        {
            return SendError;
        }
        if (_fromServer.Length - Said < _parts.Bytes)
        {
            Array.Resize(ref _fromServer, Math.Max(_fromServer.Length * 2, Said + (int)_parts.Bytes));
        }
        for (int i = 0; i < _parts.Count; i++)
        {
            _parts[i].Span.CopyTo(_fromServer.AsSpan(Said));
            Said += _parts[i].Length;
        }
        return 0;
    }

    private void Later(IoRequest marker)
    {
        marker.Prepare(this, IoOperation.None, default, default);
        marker.MarkSubmitted();
        marker.SetResult(IoStatus.Ok, 0, Duration.Zero);
        _loop.DeliverLater(marker);
    }
}
