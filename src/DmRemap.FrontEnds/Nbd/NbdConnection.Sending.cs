using DmRemap.Core.Abstractions;
using DmRemap.Nbd;

namespace DmRemap.FrontEnds.Nbd;

internal sealed partial class NbdConnection
{
    private const int OutputBytes = 16 * 1024;

    /// <summary>A chunk for each of two contexts.</summary>
    private static readonly int s_statusReplyBytesMax =
        2 * ReplyChunk.StatusBytesMax(NbdServer.StatusRunsMax);

    /// <summary>Handshake replies, later reply headers. The kernel's while a Send is outstanding.</summary>
    private readonly BufferSlice _output;

    /// <summary>Complete, in the order of completion. The first may be sent in part.</summary>
    private RequestList _replies;

    /// <summary>Wholly in the outstanding Send.</summary>
    private RequestList _sending;

    private SendParts _parts;
    private int _handshakeBytes;
    private int _headersStart;
    private int _headersEnd;
    private bool _isFirstBegun;
    private bool _isSending;
    private Instant _sendStartedAt;

    public void OnSent(int zeroOrNegativeErrno)
    {
        _isSending = false;
        if (zeroOrNegativeErrno < 0)
        {
            CloseStream();
        }
        else
        {
            ReleaseAll(ref _sending);
            if (_wait == Wait.Slot && _freeSlots is not null)
            {
                _wait = Wait.None;
            }
            SendWhatIsDue();
            if (_isReceiving)
            {
                CloseIfDone();
            }
            else
            {
                Advance();
            }
        }
        _server.Settle();
    }

    /// <summary>
    /// Send the handshake's replies, or every reply that is complete; nothing while a Send is outstanding.
    /// </summary>
    public void SendWhatIsDue()
    {
        if (_isSending || _life != Life.Open)
        {
            return;
        }
        _parts.Clear();
        if (_handshakeBytes > 0)
        {
            _parts.Add(_output.Slice(0, _handshakeBytes));
            _handshakeBytes = 0;
        }
        else
        {
            GatherReplies();
        }
        if (_parts.Count > 0)
        {
            _isSending = true;
            _sendStartedAt = _server.Loop.Now;
            _stream!.Send(in _parts);
        }
    }

    private void ResetSending()
    {
        _handshakeBytes = 0;
        _isFirstBegun = false;
        _isSending = false;
    }

    private void GatherReplies()
    {
        _headersStart = 0;
        _headersEnd = 0;
        while (_replies.First is ClientRequest reply)
        {
            if (!_isFirstBegun)
            {
                if (!HasRoomFor(reply))
                {
                    break;
                }
                Count(reply);
                AddHeader(reply);
                _isFirstBegun = true;
            }
            if (reply.HasFailedInPart && reply.Error == NbdError.None)
            {
                if (!AddParts(reply))
                {
                    break;
                }
            }
            else if (reply.HasReplyData)
            {
                CloseHeaders();
                AddData(reply, reply.Length);
                if (reply.HasReplyData)
                {
                    break;
                }
            }
            _isFirstBegun = false;
            _replies.TryTake(out _);
            _sending.Add(reply);
        }
        CloseHeaders();
    }

    private void AddData(ClientRequest read, long end)
    {
        while (read.Sent < end && !_parts.IsFull)
        {
            _parts.Add(read.TakeReplyData(_queue.PieceBytes, end));
        }
    }

    private void Count(ClientRequest reply)
    {
        NbdCounters counters = _server.Counters;
        counters.Answered();
        if (reply.Error != NbdError.None || reply.HasFailedInPart)
        {
            counters.AnsweredWithError();
        }
        else if (reply.IsRead)
        {
            counters.Read(reply.Length);
        }
        else if (reply.Operation == IoOperation.Write)
        {
            counters.Wrote(reply.Length);
        }
    }

    /// <summary>Headers that follow each other are one part.</summary>
    private void CloseHeaders()
    {
        if (_headersEnd > _headersStart)
        {
            _parts.Add(_output.Slice(_headersStart, _headersEnd - _headersStart));
            _headersStart = _headersEnd;
        }
    }
}
