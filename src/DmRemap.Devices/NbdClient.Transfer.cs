using System;
using DmRemap.Core.Abstractions;
using DmRemap.Linux.Native;
using DmRemap.Nbd;

namespace DmRemap.Devices;

/// <summary>
/// Bytes. One Send at a time, with every command that waits when it starts; one Receive at a time. Data of a
/// long READ is received straight into the request's buffer.
/// </summary>
public sealed partial class NbdClient
{
    private const int ReceiveBytes = 32 * 1024;

    private const int OutputBytes = 8 * 1024;

    /// <summary>Headers do not share a cache line.</summary>
    private const int HeaderStride = 64;

    /// <summary>
    /// Data with at least this much to come is received where it belongs; copying less costs less than a
    /// receive for it alone.
    /// </summary>
    private const int DirectBytesMin = 16 * 1024;

    private readonly BufferSlice _received;
    private readonly BufferSlice _output;
    private readonly Slot?[] _inSend = new Slot?[Slots];
    private int _inSendCount;
    private Slot? _firstToSend;
    private Slot? _lastToSend;
    private int _receivedStart;
    private int _receivedEnd;
    private bool _isReceivingDirect;
    private bool _isReceiving;
    private bool _isSending;
    private bool _isDisconnectSent;
    private Slot? _reading;
    private int _dataLeft;

    private bool IsTransmitting => _life is Life.Ready or Life.Identifying;

    private ReadOnlySpan<byte> Unparsed => _received.Span[_receivedStart.._receivedEnd];

    public void OnReceived(int bytesOrNegativeErrno)
    {
        _isReceiving = false;
        if (bytesOrNegativeErrno <= 0)
        {
            Lose(bytesOrNegativeErrno == 0
                ? "the server closed the connection"
                : $"the connection failed ({Errno.Name(-bytesOrNegativeErrno)})");
            return;
        }
        if (_isReceivingDirect)
        {
            _isReceivingDirect = false;
            _dataLeft -= bytesOrNegativeErrno;
            FinishDataIfWhole();
        }
        else
        {
            _receivedEnd += bytesOrNegativeErrno;
        }
        GoOn();
    }

    public void OnSent(int zeroOrNegativeErrno)
    {
        if (_life != Life.Leaving && zeroOrNegativeErrno < 0)
        {
            _isSending = false;
            Lose($"the connection failed ({Errno.Name(-zeroOrNegativeErrno)})");
            return;
        }
        // Still sending, until each has been looked at: what an owner asks for in answer to a completion
        // would be sent at once, and take the places of those that are not.
        for (int i = 0; i < _inSendCount; i++)
        {
            Slot slot = _inSend[i]!;
            slot.IsSending = false;
            slot.WasSent = true;
            // Answered before the kernel said that it was sent: only now are its buffers ours.
            if (slot.IsAnswered)
            {
                Conclude(slot);
            }
        }
        _inSendCount = 0;
        _isSending = false;
        if (_life == Life.Leaving)
        {
            Leave();
            return;
        }
        GoOn();
    }

    private void ResetTransfer()
    {
        _receivedStart = 0;
        _receivedEnd = 0;
        _isReceiving = false;
        _isReceivingDirect = false;
        _isSending = false;
        _inSendCount = 0;
        _firstToSend = null;
        _lastToSend = null;
        _reading = null;
        _dataLeft = 0;
    }

    /// <summary>As far as what was received allows; then send what is due and ask for more.</summary>
    private void GoOn()
    {
        while (_life == Life.Handshaking && StepHandshake())
        {
        }
        while (IsTransmitting && TakeReply())
        {
        }
        SendMore();
        ReceiveMore();
    }

    private bool StepHandshake()
    {
        // The output is the kernel's while it is being sent.
        if (_isSending)
        {
            return false;
        }
        int consumed = _handshake.Step(Unparsed, _output.Span, out int written);
        _receivedStart += consumed;
        if (written > 0)
        {
            SendParts parts = default;
            parts.Add(_output.Slice(0, written));
            _isSending = true;
            _stream!.Send(parts);
        }
        if (_handshake.Phase == ClientHandshakePhase.Transmission)
        {
            FinishHandshake();
        }
        else if (_handshake.Phase == ClientHandshakePhase.Failed)
        {
            Lose(_handshake.Problem);
        }
        return consumed > 0;
    }

    /// <summary>A reply, or a part of its data. False: more bytes are needed.</summary>
    private bool TakeReply()
    {
        ReadOnlySpan<byte> unparsed = Unparsed;
        if (_dataLeft > 0)
        {
            int bytes = Math.Min(unparsed.Length, _dataLeft);
            BufferSlice into = _reading!.Request!.Buffer;
            unparsed[..bytes].CopyTo(into.Span[(into.Length - _dataLeft)..]);
            _receivedStart += bytes;
            _dataLeft -= bytes;
            FinishDataIfWhole();
            return bytes > 0;
        }
        if (unparsed.Length < SimpleReply.HeaderBytes)
        {
            return false;
        }
        _receivedStart += SimpleReply.HeaderBytes;
        ReplyVerdict verdict = _commands.Take(unparsed, out int index, out NbdError error, out int dataBytes);
        if (verdict == ReplyVerdict.Broken)
        {
            Lose("the server sent what answers nothing that was asked");
            return false;
        }
        Slot slot = _slots[index];
        Invariant.Check(slot.Request is not null);
        slot.Error = error;
        if (verdict == ReplyVerdict.Data)
        {
            Invariant.Check(dataBytes == slot.Request.Buffer.Length);
            _reading = slot;
            _dataLeft = dataBytes;
        }
        else
        {
            TakeAnswer(slot);
        }
        return true;
    }

    private void FinishDataIfWhole()
    {
        if (_dataLeft == 0)
        {
            Slot slot = _reading!;
            _reading = null;
            TakeAnswer(slot);
        }
    }

    private void TakeAnswer(Slot slot)
    {
        slot.IsAnswered = true;
        if (slot.IsSending)
        {
            return;
        }
        // A reply to what has not been sent cannot be one: its cookie was guessed.
        if (!slot.WasSent)
        {
            Lose("the server answered before it was asked");
            return;
        }
        Conclude(slot);
    }

    private void ReceiveMore()
    {
        if (_isReceiving || !(IsTransmitting || _life == Life.Handshaking))
        {
            return;
        }
        _isReceiving = true;
        if (_receivedStart == _receivedEnd)
        {
            _receivedStart = 0;
            _receivedEnd = 0;
        }
        if (_dataLeft >= DirectBytesMin)
        {
            Invariant.Check(_receivedEnd == 0);
            BufferSlice into = _reading!.Request!.Buffer;
            _isReceivingDirect = true;
            _stream!.Receive(into.Slice(into.Length - _dataLeft, _dataLeft));
            return;
        }
        if (_receivedStart > 0)
        {
            int left = _receivedEnd - _receivedStart;
            Unparsed.CopyTo(_received.Span);
            _receivedStart = 0;
            _receivedEnd = left;
        }
        _stream!.Receive(_received.Slice(_receivedEnd, ReceiveBytes - _receivedEnd));
    }

    private void AddToSend(Slot slot)
    {
        slot.Next = null;
        if (_lastToSend is null)
        {
            _firstToSend = slot;
        }
        else
        {
            _lastToSend.Next = slot;
        }
        _lastToSend = slot;
    }

    private void SendMore()
    {
        if (_isSending || _firstToSend is null || !IsTransmitting)
        {
            return;
        }
        SendParts parts = default;
        while (_firstToSend is not null && parts.Count + 2 <= Limits.SendPartsMax)
        {
            Slot slot = _firstToSend;
            _firstToSend = slot.Next;
            parts.Add(slot.Header);
            IoRequest request = slot.Request!;
            if (request.Operation == IoOperation.Write && !slot.IsFlushing)
            {
                parts.Add(request.Buffer);
            }
            slot.IsSending = true;
            _inSend[_inSendCount] = slot;
            _inSendCount++;
        }
        if (_firstToSend is null)
        {
            _lastToSend = null;
        }
        _isSending = true;
        _stream!.Send(parts);
    }

    /// <summary>DISC, after what is being sent; then the end.</summary>
    private void Leave()
    {
        if (_isSending)
        {
            return;
        }
        if (_isDisconnectSent)
        {
            Close();
            return;
        }
        ClientTransmission.WriteDisconnect(_output.Span);
        SendParts parts = default;
        parts.Add(_output.Slice(0, ClientTransmission.HeaderBytes));
        _isSending = true;
        _isDisconnectSent = true;
        _stream!.Send(parts);
    }
}
