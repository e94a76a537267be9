using DmRemap.Core.Abstractions;
using DmRemap.Nbd;

namespace DmRemap.FrontEnds.Nbd;

/// <summary>
/// One client, from accept to the last completion of what it asked. Made at start, used again for the next
/// client.
///
/// Receiving: what comes is parsed as far as it goes; only the payload of a long WRITE is received straight
/// into the slice it is written from. Parsing stops, and with it receiving, when a slot, a slice or room at
/// the device is missing: that is the back-pressure. A receive is outstanding only while nothing is missing.
/// Sending: one Send at a time, with every reply that was complete when it started, in the order of
/// completion. Ending (DISC, end of stream, broken protocol): no more parsing; what is in flight is answered;
/// then the stream is closed. Closing (an error of the stream, a deadline): at once; slots live on until
/// their pieces have come back.
/// </summary>
internal sealed partial class NbdConnection : IByteStreamOwner, ITimerOwner
{
    /// <summary>A client's requests at once; the Linux kernel's client sends up to this many.</summary>
    private const int Slots = 128;

    private readonly NbdServer _server;
    private readonly NbdBuffers _buffers;
    private readonly DeviceQueue _queue;
    private readonly ReplyBatch _batch;
    private readonly ServerHandshake _handshake;
    private readonly TransmissionParser _parser;
    private readonly LoopTimer _handshakeTimer;
    private readonly Duration _handshakeDeadline;
    private IByteStream? _stream;
    private Life _life;
    private Instant _openedAt;
    private bool _isEnding;
    private ClientRequest? _freeSlots;
    private int _slotsInUse;

    public NbdConnection(NbdServer server, DeviceQueue queue, ReplyBatch batch, Duration handshakeDeadline)
    {
        Invariant.Check(ReceiveBytes >= ServerHandshake.InputBytesMax);
        Invariant.Check(OutputBytes >= ServerHandshake.OutputBytesMax);
        Invariant.Check(ReceiveBytes >= TransmissionParser.InputBytesMax);
        Invariant.Check(OutputBytes >= s_statusReplyBytesMax);
        _server = server;
        _buffers = server.Buffers;
        _queue = queue;
        _batch = batch;
        _handshake = new ServerHandshake(server.Export, server.Tls);
        _parser = new TransmissionParser(server.Export);
        _handshakeTimer = new LoopTimer(this);
        _handshakeDeadline = handshakeDeadline;
        BufferSlice memory = AlignedMemory.Allocate(ReceiveBytes + OutputBytes);
        _received = memory.Slice(0, ReceiveBytes);
        _output = memory.Slice(ReceiveBytes, OutputBytes);
        for (int i = 0; i < Slots; i++)
        {
            _freeSlots = new ClientRequest(this) { Next = _freeSlots };
        }
    }

    private enum Life : byte
    {
        /// <summary>In the server's idle list, or only waiting for its last completions.</summary>
        Closed = 0,

        Open = 1,

        /// <summary>Close was called; the kernel may still hold the stream's buffers.</summary>
        Closing = 2,
    }

    public NbdReplyStyle ReplyStyle => _parser.Terms.Style;

    public BlockSize BlockSize => _server.Export.BlockSize;

    /// <summary>What this client has been told of failed flushes.</summary>
    public FlushClient FlushClient { get; } = new();

    /// <summary>Set by the buffers: slices lent to this connection.</summary>
    public int SlicesHeld { get; set; }

    /// <summary>What it stands in line for.</summary>
    public int SlicesWanted { get; private set; }

    public bool WantsReserve { get; private set; }

    /// <summary>Set by the reply batch.</summary>
    public bool IsReplyDue { get; set; }

    /// <summary>Nothing more is submitted or sent for this client.</summary>
    public bool IsClosing => _life != Life.Open;

    public bool IsInHandshake => _life == Life.Open && _phase == Phase.Handshake;

    public void Open(IByteStream stream)
    {
        Invariant.Check(_life == Life.Closed);
        Invariant.Check(_slotsInUse == 0);
        Invariant.Check(_current is null);
        _stream = stream;
        _life = Life.Open;
        _openedAt = _server.Loop.Now;
        _server.FlushErrors?.Introduce(FlushClient);
        _isEnding = false;
        _parser.Terms = default;
        ResetReceiving();
        ResetSending();
        _handshakeBytes = _handshake.Start(_output.Span);
        _server.Loop.Schedule(_handshakeTimer, _server.Loop.Now + _handshakeDeadline);
        SendWhatIsDue();
    }

    /// <summary>A client may not hold a connection without ever beginning to use it.</summary>
    public void OnTimer(LoopTimer timer)
    {
        CutOffHandshake();
    }

    public bool HasShakenFor(Duration deadline) =>
        IsInHandshake && _server.Loop.Now - _openedAt >= deadline;

    public void CutOffHandshake()
    {
        if (IsInHandshake)
        {
            _server.Counters.ConnectionStalled();
            CloseStream();
        }
    }

    public void OnShutdown()
    {
        if (_life == Life.Open)
        {
            _isEnding |= _phase == Phase.Handshake;
            CloseIfDone();
        }
    }

    public void Abort()
    {
        if (_life == Life.Open)
        {
            CloseStream();
        }
    }

    public bool HasStalled(Duration deadline) =>
        _life == Life.Open && _isSending && _server.Loop.Now - _sendStartedAt >= deadline;

    public void OnClosed()
    {
        Invariant.Check(_life == Life.Closing);
        _life = Life.Closed;
        _stream = null;
        _isReceiving = false;
        _isSending = false;
        AbandonCurrent();
        ReleaseAll(ref _sending);
        ReleaseAll(ref _replies);
        _server.OnStreamClosed();
        RecycleIfUnused();
        _server.Settle();
    }

    /// <summary>A request has left the device queue's line.</summary>
    public void OnSubmitted(ClientRequest request)
    {
        if (_life == Life.Open && request == _current && _wait == Wait.Submission
            && request.PendingLease is null)
        {
            _wait = Wait.None;
            _current = _payloadLeft > 0 ? request : null;
            Advance();
        }
        else
        {
            if (IsClosing && request != _current)
            {
                request.Abandon(_buffers);
            }
            if (request.IsQuiet)
            {
                OnQuiet(request);
            }
        }
    }

    /// <summary>Nothing of the request is outstanding any more: answer it.</summary>
    public void OnQuiet(ClientRequest request)
    {
        Invariant.Check(request.IsQuiet);
        if (request.IsAwaited)
        {
            _server.Deadlines!.Remove(request);
        }
        if (_life == Life.Open && !request.IsOrphan)
        {
            _replies.Add(request);
            _batch.Add(this);
            return;
        }
        Release(request);
        CloseIfDone();
        RecycleIfUnused();
    }

    /// <summary>
    /// The disk has not answered a READ by its deadline: the client is told, and its slot is free when that
    /// is sent. False: the buffers of too many are kept already; it waits on.
    /// </summary>
    public bool TryGiveUp(ClientRequest read)
    {
        if (_life != Life.Open || read.IsOrphan)
        {
            _server.Deadlines!.Remove(read);
            return true;
        }
        if (_wait == Wait.Buffers && read == _current)
        {
            _buffers.Leave(this);
            _wait = Wait.None;
            _current = null;
        }
        else if (!_queue.TryAbandon(read))
        {
            return false;
        }
        read.FailLate();
        OnQuiet(read);
        if (!_isReceiving)
        {
            Advance();
        }
        return true;
    }

    /// <summary>The client will send no more of what it was sending.</summary>
    private void AbandonCurrent()
    {
        _wait = Wait.None;
        if (_lease is not null)
        {
            _buffers.Return(_lease);
            _lease = null;
        }
        ClientRequest? current = _current;
        _current = null;
        if (current is not null)
        {
            current.Abandon(_buffers);
            if (current.IsQuiet)
            {
                _server.Deadlines?.Remove(current);
                Release(current);
            }
        }
    }

    private void CloseIfDone()
    {
        bool isToClose = _isEnding || (_server.IsStopping && _phase == Phase.Header);
        if (_life == Life.Open && isToClose && _slotsInUse == 0 && !_isSending && _handshakeBytes == 0)
        {
            CloseStream();
        }
    }

    /// <summary>
    /// The client of a device that was suspended, and whose end has not been received because it waited for
    /// buffers: its writes are not carried out now. It may have come back and sent them again.
    /// </summary>
    public void CloseIfGoneWhileHeld()
    {
        bool isDeaf = _life == Life.Open && !_isReceiving && !_isEnding;
        if (isDeaf && _queue.HasWaiting(this) && _stream!.HasPeerEnded)
        {
            CloseStream();
        }
    }

    private void CloseStream()
    {
        _life = Life.Closing;
        _buffers.Leave(this);
        _server.Loop.Cancel(_handshakeTimer);
        _stream!.Close();
    }

    private void Release(ClientRequest request)
    {
        Invariant.Check(!request.IsAwaited);
        request.End(_buffers);
        request.Next = _freeSlots;
        _freeSlots = request;
        _slotsInUse--;
    }

    private void ReleaseAll(ref RequestList requests)
    {
        while (requests.TryTake(out ClientRequest? request))
        {
            Release(request);
        }
    }

    private void RecycleIfUnused()
    {
        if (_life == Life.Closed && _slotsInUse == 0 && _stream is null)
        {
            _server.Recycle(this);
        }
    }
}
