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
internal sealed class ClientRequest(NbdConnection connection)
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

    /// <summary>The slices of a READ, in order, or empty.</summary>
    public SliceLease? Leases { get; private set; }

    /// <summary>What a large READ is read into, or empty.</summary>
    public BufferSlice Reserve { get; private set; }

    /// <summary>A piece of a WRITE, received and not yet handed to the device.</summary>
    public SliceLease? PendingLease { get; private set; }

    public int PendingBytes { get; private set; }

    public bool HasReplyData => Operation == IoOperation.Read && Error == NbdError.None && Sent < Length;

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
        Operation = IoOperation.None;
        Flags = IoFlags.None;
        Offset = 0;
        Length = request.Length;
        AwaitsPayload = request.Command == NbdCommand.Write && request.Length > 0;
        Submitted = 0;
        Sent = 0;
        IsOrphan = false;
        _isStarted = false;
        if (request.Verdict == NbdVerdict.Execute)
        {
            Offset = (long)request.Offset;
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

    public void Fail(NbdError error)
    {
        if (Error == NbdError.None)
        {
            Error = error;
        }
    }

    public void ReadInto(SliceLease leases)
    {
        Leases = leases;
        _nextToSubmit = leases;
        _nextToSend = leases;
    }

    public void ReadInto(BufferSlice reserve) => Reserve = reserve;

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

    public void PieceCompleted(IoStatus status)
    {
        Invariant.Check(InFlight > 0);
        InFlight--;
        Fail(NbdErrors.From(status));
    }

    /// <summary>The next part of a READ's data to be sent.</summary>
    public BufferSlice TakeReplyData(int pieceBytes)
    {
        Invariant.Check(HasReplyData);
        if (!Reserve.IsEmpty)
        {
            Sent = Length;
            return Reserve.Slice(0, (int)Length);
        }
        int bytes = (int)Math.Min(pieceBytes, Length - Sent);
        BufferSlice part = _nextToSend!.Slice.Slice(0, bytes);
        _nextToSend = _nextToSend.Next;
        Sent += bytes;
        return part;
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
        if (!Reserve.IsEmpty)
        {
            buffers.ReturnReserve(Reserve);
            Reserve = default;
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

    private static IoOperation OperationOf(in NbdRequest request)
    {
        if (request.Length == 0 && request.Command != NbdCommand.Flush)
        {
            // Nothing to do, so nothing that could fail: answered with success.
            return IoOperation.None;
        }
        return request.Command switch
        {
            NbdCommand.Read => IoOperation.Read,
            NbdCommand.Write => IoOperation.Write,
            NbdCommand.Flush => IoOperation.Flush,
            NbdCommand.Trim => IoOperation.Discard,
            NbdCommand.WriteZeroes => IoOperation.WriteZeroes,
            _ => IoOperation.None,
        };
    }

    private BufferSlice PlaceOf(long start, int bytes)
    {
        if (!Reserve.IsEmpty)
        {
            return Reserve.Slice((int)start, bytes);
        }
        SliceLease lease = _nextToSubmit!;
        _nextToSubmit = lease.Next;
        return lease.Slice.Slice(0, bytes);
    }
}
