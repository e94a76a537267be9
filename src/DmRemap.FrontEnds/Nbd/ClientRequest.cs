using System;
using DmRemap.Core.Abstractions;
using DmRemap.Nbd;

namespace DmRemap.FrontEnds.Nbd;

/// <summary>
/// A client's request, from its header to the last byte of its reply: a slot of its connection, used again
/// for ever. It lives until every piece of it has come back from the device and the kernel has given its
/// buffers back, also when the client has gone. It stands in at most one queue: the connection's free slots,
/// the device queue's line, the replies to be sent, or those being sent.
/// </summary>
internal sealed class ClientRequest(NbdConnection connection) : AwaitedRead
{
    /// <summary>
    /// Pieces of one request at the device at once, so that a long one leaves room for the others.
    /// </summary>
    public const int PiecesInFlightMax = 64;

    private SliceLease? _nextToSubmit;
    private SliceLease? _nextToSend;
    private bool _isStarted;

    public NbdConnection Connection { get; } = connection;

    public NbdCookie Cookie { get; private set; }

    public IoOperation Operation { get; private set; }

    public IoFlags Flags { get; private set; }

    /// <summary>In bytes from the export's start.</summary>
    public long Offset { get; private set; }

    public long Length { get; private set; }

    /// <summary>The first error wins.</summary>
    public NbdError Error { get; private set; }

    public NbdReason Reason { get; private set; }

    /// <summary>Only some of a READ's data is there; <see cref="OutcomeOf"/> says which.</summary>
    public bool HasFailedInPart { get; private set; }

    /// <summary>CACHE: read, and not sent.</summary>
    public bool IsPrefetch { get; private set; }

    /// <summary>One chunk of data at most.</summary>
    public bool IsDontFragment { get; private set; }

    /// <summary>BLOCK_STATUS: one run at most in each chunk.</summary>
    public bool IsRequestOne { get; private set; }

    /// <summary>BLOCK_STATUS: what to describe; else none.</summary>
    public NbdContexts Contexts { get; private set; }

    /// <summary>A READ, whatever became of it: answered in chunks where those are agreed.</summary>
    public bool IsRead { get; private set; }

    /// <summary>As the client sent it, also when it is nowhere in the export.</summary>
    public ulong RequestOffset { get; private set; }

    /// <summary>A WRITE (or a refused one) whose payload is still coming.</summary>
    public bool AwaitsPayload { get; set; }

    /// <summary>The client has gone in the middle of it: nobody awaits a reply.</summary>
    public bool IsOrphan { get; private set; }

    /// <summary>In the device queue's line.</summary>
    public bool IsQueued { get; set; }

    public ClientRequest? Next { get; set; }

    public int InFlight { get; private set; }

    /// <summary>Bytes handed to the device so far.</summary>
    public long Submitted { get; private set; }

    /// <summary>Bytes of a READ's data handed to the stream so far.</summary>
    public long Sent { get; private set; }

    /// <summary>
    /// Where the chunk of data ends that is being sent, for a READ that failed in part; 0 before the first.
    /// </summary>
    public long ChunkEnd { get; private set; }

    /// <summary>Data that was read is sent, but only once where it may not be fragmented.</summary>
    public bool MaySendChunk => !IsPrefetch && (!IsDontFragment || ChunkEnd == 0);

    /// <summary>The slices of a READ, in order, or empty.</summary>
    public SliceLease? Leases { get; private set; }

    /// <summary>What a large READ is read into, or null.</summary>
    public ReserveBuffer? Reserve { get; private set; }

    /// <summary>A piece of a WRITE, received and not yet handed to the device.</summary>
    public SliceLease? PendingLease { get; private set; }

    public int PendingBytes { get; private set; }

    public bool HasReplyData =>
        Operation == IoOperation.Read && Error == NbdError.None && Sent < Length && !IsPrefetch;

    /// <summary>There is something that could be handed to the device now.</summary>
    public bool HasPiece => !Connection.IsClosing && InFlight < PiecesInFlightMax && Operation switch
    {
        IoOperation.Read => Submitted < Length && Error == NbdError.None,
        IoOperation.Write => PendingLease is not null,
        _ => Operation != IoOperation.None && !_isStarted,
    };

    /// <summary>Nothing of it is outstanding and nothing is to come.</summary>
    public bool IsQuiet => InFlight == 0 && !IsQueued && !AwaitsPayload && PendingLease is null && !HasPiece;

    /// <summary>Take the slot for a request. A refused one has no operation.</summary>
    public void Begin(in NbdRequest request)
    {
        Cookie = request.Cookie;
        Error = request.Error;
        Reason = request.Reason;
        HasFailedInPart = false;
        IsRead = request.Command == NbdCommand.Read;
        IsPrefetch = request.Command == NbdCommand.Cache;
        IsDontFragment = (request.Flags & NbdCommandFlags.DontFragment) != 0;
        IsRequestOne = (request.Flags & NbdCommandFlags.RequestOne) != 0;
        Contexts = NbdContexts.None;
        RequestOffset = request.Offset;
        Operation = IoOperation.None;
        Flags = IoFlags.None;
        Offset = 0;
        Length = 0;
        AwaitsPayload = request.PayloadBytes > 0;
        Submitted = 0;
        Sent = 0;
        ChunkEnd = 0;
        IsOrphan = false;
        _isStarted = false;
        if (request.Verdict == NbdVerdict.Execute)
        {
            Offset = (long)request.Offset;
            Length = (long)request.Length;
            Contexts = request.Contexts;
            Operation = OperationOf(in request);
            // Clients may set FUA on anything; on what writes nothing it asks for nothing.
            bool isChange = Operation is IoOperation.Write or IoOperation.WriteZeroes or IoOperation.Discard;
            Flags = request.IsForceUnitAccess && isChange ? IoFlags.ForceUnitAccess : IoFlags.None;
            if ((request.Flags & NbdCommandFlags.NoHole) != 0)
            {
                Flags |= IoFlags.KeepAllocated;
            }
        }
    }

    public void Fail(IoStatus status)
    {
        if (Error == NbdError.None)
        {
            Error = NbdErrors.From(status);
            Reason = NbdReasons.From(status);
        }
    }

    /// <summary>A READ is given up: what is with the device, and its buffers, are another's now.</summary>
    public void MoveTo(AbandonedRead late)
    {
        late.InFlight = InFlight;
        late.Leases = Leases;
        late.Reserve = Reserve;
        InFlight = 0;
        Leases = null;
        Reserve = null;
        _nextToSubmit = null;
        _nextToSend = null;
    }

    /// <summary>The whole READ fails, whatever of it has come back.</summary>
    public void FailLate()
    {
        Error = NbdError.InputOutput;
        Reason = NbdReason.Late;
        HasFailedInPart = false;
    }

    /// <summary>What became of a piece of a READ.</summary>
    public ref PieceOutcome OutcomeOf(int piece)
    {
        if (Reserve is not null)
        {
            return ref Reserve.OutcomeOf(piece);
        }
        SliceLease lease = Leases!;
        for (int i = 0; i < piece; i++)
        {
            lease = lease.Next!;
        }
        return ref lease.Outcome;
    }

    public void ReadInto(SliceLease leases)
    {
        Leases = leases;
        _nextToSubmit = leases;
        _nextToSend = leases;
    }

    public void ReadInto(ReserveBuffer reserve) => Reserve = reserve;

    public void SetPending(SliceLease lease, int bytes)
    {
        Invariant.Check(PendingLease is null);
        PendingLease = lease;
        PendingBytes = bytes;
    }

    /// <summary>
    /// The next piece for the device; the lease is one that goes back when the piece completes, or null.
    /// </summary>
    public (BufferSlice Buffer, long Start, long Bytes, SliceLease? Lease) TakePiece(int pieceBytes)
    {
        Invariant.Check(HasPiece);
        InFlight++;
        long start = Submitted;
        switch (Operation)
        {
            case IoOperation.Write:
                SliceLease pending = PendingLease!;
                PendingLease = null;
                Submitted += PendingBytes;
                return (pending.Slice.Slice(0, PendingBytes), start, PendingBytes, pending);
            case IoOperation.Read:
                int bytes = (int)Math.Min(pieceBytes, Length - Submitted);
                Submitted += bytes;
                return (PlaceOf(start, bytes), start, bytes, null);
            default:
                _isStarted = true;
                return (default, start, Length, null);
        }
    }

    public void PieceCompleted(IoRequest piece, int pieceBytes)
    {
        Invariant.Check(InFlight > 0);
        InFlight--;
        if (piece.Status == IoStatus.Ok)
        {
            return;
        }
        if (!CanFailInPart || !IsOfTheMedium(piece.Status))
        {
            Fail(piece.Status);
            return;
        }
        HasFailedInPart = true;
        long start = piece.Extent.Start.ToBytes(Connection.BlockSize).Value - Offset;
        int index = (int)(start / pieceBytes);
        if (Reserve is not null)
        {
            Reserve.Note(index, piece);
        }
        else
        {
            OutcomeOf(index).Take(piece);
        }
    }

    /// <summary>The next data of a READ to be sent, up to this end.</summary>
    public BufferSlice TakeReplyData(int pieceBytes, long end)
    {
        Invariant.Check(HasReplyData);
        if (Reserve is not null)
        {
            int rest = (int)(end - Sent);
            int at = (int)Sent;
            Sent = end;
            return Reserve.Memory.Slice(at, rest);
        }
        int start = (int)(Sent % pieceBytes);
        int bytes = (int)Math.Min(pieceBytes - start, end - Sent);
        BufferSlice part = _nextToSend!.Slice.Slice(start, bytes);
        SkipReplyData(pieceBytes, Sent + bytes);
        return part;
    }

    public void BeginChunk(long end) => ChunkEnd = end;

    /// <summary>Go on from this place of a READ's data.</summary>
    public void SkipReplyData(int pieceBytes, long to)
    {
        for (long piece = Sent / pieceBytes; piece < to / pieceBytes; piece++)
        {
            _nextToSend = _nextToSend?.Next;
        }
        Sent = to;
    }

    /// <summary>Give back what it holds. The kernel and the device must hold nothing of it.</summary>
    public void End(NbdBuffers buffers)
    {
        Invariant.Check(InFlight == 0);
        Invariant.Check(!IsQueued);
        while (Leases is not null)
        {
            SliceLease lease = Leases;
            Leases = lease.Next;
            buffers.Return(lease);
        }
        if (Reserve is not null)
        {
            buffers.ReturnReserve(Reserve);
            Reserve = null;
        }
        _nextToSubmit = null;
        _nextToSend = null;
        Operation = IoOperation.None;
    }

    /// <summary>
    /// The client is gone: the rest of the payload will not come, and what waits is not written.
    /// </summary>
    public void Abandon(NbdBuffers buffers)
    {
        AwaitsPayload = false;
        IsOrphan = true;
        if (PendingLease is not null)
        {
            buffers.Return(PendingLease);
            PendingLease = null;
        }
    }

    /// <summary>A simple reply has no words for it.</summary>
    private bool CanFailInPart =>
        Operation == IoOperation.Read && Connection.ReplyStyle != NbdReplyStyle.Simple;

    /// <summary>The rest of the request may do better.</summary>
    private static bool IsOfTheMedium(IoStatus status) =>
        status is IoStatus.DeviceError or IoStatus.Unreadable or IoStatus.MetadataUnavailable;

    private static IoOperation OperationOf(in NbdRequest request)
    {
        if (request.Length == 0 && request.Command != NbdCommand.Flush)
        {
            // Nothing to do, so nothing that could fail: answered with success.
            return IoOperation.None;
        }
        return request.Command switch
        {
            NbdCommand.Read or NbdCommand.Cache => IoOperation.Read,
            NbdCommand.Write => IoOperation.Write,
            NbdCommand.Flush => IoOperation.Flush,
            NbdCommand.Trim => IoOperation.Discard,
            NbdCommand.WriteZeroes => IoOperation.WriteZeroes,
            _ => IoOperation.None,
        };
    }

    private BufferSlice PlaceOf(long start, int bytes)
    {
        if (Reserve is not null)
        {
            return Reserve.Memory.Slice((int)start, bytes);
        }
        SliceLease lease = _nextToSubmit!;
        _nextToSubmit = lease.Next;
        return lease.Slice.Slice(0, bytes);
    }
}
