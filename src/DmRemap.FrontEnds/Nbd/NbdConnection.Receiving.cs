using System;
using DmRemap.Core.Abstractions;
using DmRemap.Nbd;

namespace DmRemap.FrontEnds.Nbd;

internal sealed partial class NbdConnection
{
    /// <summary>Holds some 1,000 request headers, or a good number of short WRITEs.</summary>
    private const int ReceiveBytes = 32 * 1024;

    /// <summary>
    /// A payload with at least this much to come is received straight into its slice. A shorter one is
    /// copied: copying it costs less than the receive that would be needed for it alone.
    /// </summary>
    private const int DirectBytesMin = 16 * 1024;

    private readonly BufferSlice _received;
    private int _receivedStart;
    private int _receivedEnd;
    private Phase _phase;
    private Wait _wait;
    private bool _isReceiving;
    private bool _isReceivingIntoLease;

    /// <summary>
    /// The request whose payload is being received or read past, or the READ that waits for buffers.
    /// </summary>
    private ClientRequest? _current;
    private long _payloadLeft;

    /// <summary>What the present piece of a WRITE is received into.</summary>
    private SliceLease? _lease;
    private int _pieceBytes;
    private int _pieceFilled;

    private enum Phase : byte
    {
        Handshake = 0,
        Header = 1,
        Payload = 2,

        /// <summary>Reading past the payload of a WRITE that is refused.</summary>
        Drain = 3,
    }

    /// <summary>What is missing before parsing can go on.</summary>
    private enum Wait : byte
    {
        None = 0,
        Slot = 1,
        Buffers = 2,
        Submission = 3,
    }

    private ReadOnlySpan<byte> Unparsed => _received.Span[_receivedStart.._receivedEnd];

    public void OnReceived(int bytesOrNegativeErrno)
    {
        _isReceiving = false;
        if (bytesOrNegativeErrno < 0)
        {
            CloseStream();
        }
        else if (bytesOrNegativeErrno == 0)
        {
            _isEnding = true;
            AbandonCurrent();
            if (_queue.IsHeld && _queue.HasWaiting(this))
            {
                // Gone while the device is suspended. Writes of its that are held must not be carried out at
                // some later time: it may come back before that, send them again, and go on from there.
                CloseStream();
            }
            else
            {
                // It may have closed its side only: it still gets its answers.
                CloseIfDone();
            }
        }
        else
        {
            if (_isReceivingIntoLease)
            {
                _pieceFilled += bytesOrNegativeErrno;
            }
            else
            {
                _receivedEnd += bytesOrNegativeErrno;
            }
            Advance();
        }
        _server.Settle();
    }

    /// <summary>What it stood in line for is there.</summary>
    public void OnServed()
    {
        Invariant.Check(_wait == Wait.Buffers);
        _wait = Wait.None;
        if (_phase == Phase.Payload)
        {
            BeginPiece(_buffers.LendServed(this));
        }
        else
        {
            ClientRequest read = _current!;
            _current = null;
            if (WantsReserve)
            {
                read.ReadInto(_buffers.LendReserveServed());
            }
            else
            {
                read.ReadInto(_buffers.LendServed(this));
            }
            _queue.SubmitOrWait(read);
        }
        Advance();
    }

    private void ResetReceiving()
    {
        _receivedStart = 0;
        _receivedEnd = 0;
        _phase = Phase.Handshake;
        _wait = Wait.None;
        _isReceiving = false;
        _payloadLeft = 0;
    }

    /// <summary>
    /// Go as far as the received bytes and the free slots and buffers allow, then ask for more bytes.
    /// </summary>
    private void Advance()
    {
        while (_wait == Wait.None && !_isEnding && Step())
        {
        }
        if (_handshakeBytes > 0)
        {
            SendWhatIsDue();
        }
        if (_wait == Wait.None && !_isEnding)
        {
            ReceiveMore();
        }
        CloseIfDone();
    }

    private bool Step() => _phase switch
    {
        Phase.Handshake => StepHandshake(),
        Phase.Header => StepHeader(),
        Phase.Payload => StepPayload(),
        Phase.Drain => StepDrain(),
        _ => false,
    };

    private bool StepHandshake()
    {
        // The output buffer is the kernel's while it is being sent.
        if (_isSending || OutputBytes - _handshakeBytes < ServerHandshake.OutputBytesMax)
        {
            return false;
        }
        if (_handshake.Phase == HandshakePhase.StartingTls)
        {
            StartTls();
            return false;
        }
        int consumed = _handshake.Step(Unparsed, _output.Span[_handshakeBytes..], out int written);
        _receivedStart += consumed;
        _handshakeBytes += written;
        if (_handshake.Phase == HandshakePhase.Transmission)
        {
            _server.Loop.Cancel(_handshakeTimer);
            _phase = Phase.Header;
            _parser.Terms = _handshake.Terms;
        }
        _isEnding = _handshake.Phase == HandshakePhase.Ended;
        return consumed > 0;
    }

    /// <summary>
    /// Once the acknowledgement is sent. What was sent before it was received is not protected, and may
    /// be somebody else's: nothing of it is taken for what comes inside.
    /// </summary>
    private void StartTls()
    {
        if (_handshakeBytes > 0)
        {
            return;
        }
        _isEnding = !Unparsed.IsEmpty || !_server.TryStartTls(_stream!);
        if (!_isEnding)
        {
            _handshake.ContinueInsideTls();
        }
    }

    private bool StepHeader()
    {
        NbdRequest request = _parser.Parse(Unparsed, out int taken);
        if (request.Verdict == NbdVerdict.None)
        {
            return false;
        }
        if (_freeSlots is null)
        {
            _wait = Wait.Slot;
            return false;
        }
        _receivedStart += taken;
        if (request.Verdict is NbdVerdict.Disconnect or NbdVerdict.Drop)
        {
            _isEnding = true;
            return false;
        }
        if (_server.IsStopping && request.Verdict == NbdVerdict.Execute)
        {
            request = request.Refused(NbdError.Shutdown, NbdReason.Stopping);
        }
        Begin(in request);
        return true;
    }

    private void Begin(in NbdRequest request)
    {
        ClientRequest slot = _freeSlots!;
        _freeSlots = slot.Next;
        slot.Next = null;
        _slotsInUse++;
        slot.Begin(in request);
        if (slot.AwaitsPayload)
        {
            _current = slot;
            _payloadLeft = request.PayloadBytes;
            _phase = slot.Operation == IoOperation.Write ? Phase.Payload : Phase.Drain;
        }
        else if (slot.Operation == IoOperation.None)
        {
            OnQuiet(slot);
        }
        else if (slot.Operation != IoOperation.Read)
        {
            _queue.SubmitOrWait(slot);
        }
        else
        {
            _server.Deadlines?.Add(slot);
            if (TryLendFor(slot))
            {
                _queue.SubmitOrWait(slot);
            }
        }
    }

    /// <summary>False when the READ has to wait for its buffers: it is then the current request.</summary>
    private bool TryLendFor(ClientRequest read)
    {
        SlicesWanted = (int)((read.Length + _queue.PieceBytes - 1) / _queue.PieceBytes);
        WantsReserve = _buffers.IsLarge(SlicesWanted);
        if (WantsReserve && _buffers.TryLendReserve(this, out ReserveBuffer? reserve))
        {
            read.ReadInto(reserve);
            return true;
        }
        if (!WantsReserve && _buffers.TryLend(this, SlicesWanted, out SliceLease? leases))
        {
            read.ReadInto(leases!);
            return true;
        }
        _current = read;
        _wait = Wait.Buffers;
        return false;
    }

    private bool StepPayload()
    {
        if (_lease is null)
        {
            SlicesWanted = 1;
            WantsReserve = false;
            if (!_buffers.TryLend(this, SlicesWanted, out SliceLease? lease))
            {
                _wait = Wait.Buffers;
                return false;
            }
            BeginPiece(lease!);
        }
        int copied = Math.Min(Unparsed.Length, _pieceBytes - _pieceFilled);
        Unparsed[..copied].CopyTo(_lease!.Slice.Span[_pieceFilled..]);
        _receivedStart += copied;
        _pieceFilled += copied;
        if (_pieceFilled < _pieceBytes)
        {
            return false;
        }
        EndPiece();
        return true;
    }

    private void BeginPiece(SliceLease lease)
    {
        _lease = lease;
        _pieceFilled = 0;
        _pieceBytes = (int)Math.Min(_queue.PieceBytes, _payloadLeft);
    }

    /// <summary>The piece is whole: hand it to the device, or wait until there is room for it.</summary>
    private void EndPiece()
    {
        ClientRequest write = _current!;
        write.SetPending(_lease!, _pieceBytes);
        _lease = null;
        _payloadLeft -= _pieceBytes;
        bool isSubmitted = _queue.SubmitOrWait(write);
        if (_payloadLeft == 0)
        {
            write.AwaitsPayload = false;
            _phase = Phase.Header;
        }
        // Of a client whose writes are held for long, the next bytes still show whether it is there.
        bool isHeldWhole = _queue.IsHeld && _payloadLeft == 0;
        if (!isSubmitted && !isHeldWhole)
        {
            _wait = Wait.Submission;
        }
        else if (_payloadLeft == 0)
        {
            _current = null;
        }
    }

    private bool StepDrain()
    {
        int passed = (int)Math.Min(Unparsed.Length, _payloadLeft);
        _receivedStart += passed;
        _payloadLeft -= passed;
        if (_payloadLeft == 0)
        {
            ClientRequest refused = _current!;
            _current = null;
            refused.AwaitsPayload = false;
            _phase = Phase.Header;
            OnQuiet(refused);
        }
        return passed > 0;
    }

    private void ReceiveMore()
    {
        if (_isReceiving || (_phase == Phase.Handshake && _isSending))
        {
            return;
        }
        _isReceiving = true;
        _isReceivingIntoLease = _phase == Phase.Payload
            && Unparsed.IsEmpty
            && _payloadLeft - _pieceFilled >= DirectBytesMin;
        if (_isReceivingIntoLease)
        {
            _stream!.Receive(_lease!.Slice.Slice(_pieceFilled, _pieceBytes - _pieceFilled));
            return;
        }
        // What is left is the beginning of a header or of an option: little, and now at the front.
        Unparsed.CopyTo(_received.Span);
        _receivedEnd -= _receivedStart;
        _receivedStart = 0;
        Invariant.Check(_receivedEnd < ReceiveBytes);
        _stream!.Receive(_received.Slice(_receivedEnd, ReceiveBytes - _receivedEnd));
    }
}
