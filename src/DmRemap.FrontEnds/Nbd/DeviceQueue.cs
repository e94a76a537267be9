using System.Diagnostics.CodeAnalysis;
using DmRemap.Core.Abstractions;

namespace DmRemap.FrontEnds.Nbd;

/// <summary>
/// Hands clients' requests to the device in pieces of at most one slice, a bounded number at a time; requests
/// with pieces left wait in line, a piece each in turn.
/// </summary>
internal sealed class DeviceQueue : IIoOwner
{
    private readonly NbdServer _server;
    private readonly IBlockDevice _device;
    private readonly BlockSize _blockSize;
    private readonly IoRequest[] _all;
    private readonly IoRequest[] _free;
    private readonly SliceLease?[] _leases;
    private readonly IAbandonedReads? _abandoning;
    private AbandonedRead? _freeAbandoned;
    private int _freeCount;

    /// <summary>Pieces that may be handed over now: those that nobody waits for take none of them.</summary>
    private int _room;
    private ClientRequest? _first;
    private ClientRequest? _last;

    public DeviceQueue(
        NbdServer server, IBlockDevice device, int depth, int pieceBytes, int abandonedMax)
    {
        Invariant.Check(depth > 0);
        _server = server;
        _device = device;
        _blockSize = device.Geometry.LogicalBlockSize;
        PieceBytes = pieceBytes;
        _abandoning = device as IAbandonedReads;
        _all = new IoRequest[depth + abandonedMax];
        _free = new IoRequest[_all.Length];
        _leases = new SliceLease?[_all.Length];
        for (int i = 0; i < _all.Length; i++)
        {
            _all[i] = new IoRequest { Token = i };
            _free[i] = _all[i];
        }
        for (int i = 0; i < abandonedMax; i++)
        {
            _freeAbandoned = new AbandonedRead { Next = _freeAbandoned };
        }
        _freeCount = _all.Length;
        _room = depth;
    }

    public int PieceBytes { get; }

    public int InFlight => _free.Length - _freeCount;

    /// <summary>
    /// The device is suspended: everything waits in line. The lines are bounded, so receiving stops when they
    /// are full; the clients see a pause.
    /// </summary>
    public bool IsHeld { get; set; }

    /// <summary>Hand over what can be at once; false when a piece must wait.</summary>
    public bool SubmitOrWait(ClientRequest request)
    {
        while (!IsHeld && _first is null && _room > 0 && request.HasPiece)
        {
            Submit(request);
        }
        if (!request.HasPiece)
        {
            return request.PendingLease is null;
        }
        Enqueue(request);
        return false;
    }

    /// <summary>Give the first in line its turn, if there is room. True when somebody had one.</summary>
    public bool TrySubmitNext([NotNullWhen(true)] out ClientRequest? request)
    {
        request = null;
        if (IsHeld)
        {
            return TryTakeAbandoned(out request);
        }
        if (_first is null || _room == 0)
        {
            return false;
        }
        request = _first;
        _first = request.Next;
        _last = _first is null ? null : _last;
        request.Next = null;
        request.IsQueued = false;
        if (request.HasPiece)
        {
            Submit(request);
        }
        if (request.HasPiece)
        {
            Enqueue(request);
        }
        return true;
    }

    /// <summary>Does a request of this client wait in line?</summary>
    public bool HasWaiting(NbdConnection connection)
    {
        for (ClientRequest? waiting = _first; waiting is not null; waiting = waiting.Next)
        {
            if (waiting.Connection == connection)
            {
                return true;
            }
        }
        return false;
    }

    public void OnCompleted(IoRequest request)
    {
        if (request.Context is not ClientRequest client)
        {
            TakeLate(request);
            return;
        }
        int index = (int)request.Token;
        SliceLease? lease = _leases[index];
        _leases[index] = null;
        request.Context = null;
        _free[_freeCount] = request;
        _freeCount++;
        _room++;
        client.PieceCompleted(request, PieceBytes);
        if (lease is not null)
        {
            _server.Buffers.Return(lease);
        }
        if (client.HasPiece && !client.IsQueued)
        {
            Enqueue(client);
        }
        if (client.IsQuiet)
        {
            client.Connection.OnQuiet(client);
        }
        _server.Settle();
    }

    /// <summary>
    /// Nobody waits for this READ any more: out of the line with it, and what of it is with the device goes
    /// on without it. False: there is no room to keep its buffers apart.
    /// </summary>
    public bool TryAbandon(ClientRequest read)
    {
        bool isAtDevice = read.InFlight > 0;
        bool hasRoom = _freeAbandoned is not null
            && _freeCount > _room + read.InFlight - 1
            && _server.Buffers.CanAbandon(read.Leases);
        if (isAtDevice && !hasRoom)
        {
            return false;
        }
        if (read.IsQueued)
        {
            TakeOutOfLine(read);
        }
        if (isAtDevice)
        {
            Abandon(read);
        }
        return true;
    }

    private void Abandon(ClientRequest read)
    {
        AbandonedRead late = _freeAbandoned!;
        _freeAbandoned = late.Next;
        late.Next = null;
        _server.Buffers.Abandon(read.Leases);
        _room += read.InFlight;
        read.MoveTo(late);
        foreach (IoRequest piece in _all)
        {
            if (ReferenceEquals(piece.Context, read))
            {
                piece.Context = late;
                _abandoning?.OnReadAbandoned(piece);
            }
        }
    }

    /// <summary>A piece that nobody waits for: with the last one the buffers are ours again.</summary>
    private void TakeLate(IoRequest request)
    {
        AbandonedRead late = (AbandonedRead)request.Context!;
        request.Context = null;
        _free[_freeCount] = request;
        _freeCount++;
        late.InFlight--;
        if (late.InFlight == 0)
        {
            _server.Buffers.ReturnAbandoned(late);
            late.Next = _freeAbandoned;
            _freeAbandoned = late;
        }
        _server.Settle();
    }

    private void TakeOutOfLine(ClientRequest request)
    {
        ClientRequest? before = null;
        for (ClientRequest? one = _first; one != request; one = one!.Next)
        {
            before = one;
        }
        if (before is null)
        {
            _first = request.Next;
        }
        else
        {
            before.Next = request.Next;
        }
        _last = request == _last ? before : _last;
        request.Next = null;
        request.IsQueued = false;
    }

    /// <summary>
    /// While everything is held, those still leave the line that have nothing to hand over any more: their
    /// client has gone.
    /// </summary>
    private bool TryTakeAbandoned([NotNullWhen(true)] out ClientRequest? request)
    {
        ClientRequest? before = null;
        request = _first;
        while (request is not null && request.HasPiece)
        {
            before = request;
            request = request.Next;
        }
        if (request is null)
        {
            return false;
        }
        if (before is null)
        {
            _first = request.Next;
        }
        else
        {
            before.Next = request.Next;
        }
        _last = request == _last ? before : _last;
        request.Next = null;
        request.IsQueued = false;
        return true;
    }

    private void Enqueue(ClientRequest request)
    {
        Invariant.Check(!request.IsQueued);
        request.IsQueued = true;
        request.Next = null;
        if (_last is null)
        {
            _first = request;
        }
        else
        {
            _last.Next = request;
        }
        _last = request;
    }

    private void Submit(ClientRequest client)
    {
        (BufferSlice buffer, long start, long bytes, SliceLease? lease) = client.TakePiece(PieceBytes);
        _room--;
        _freeCount--;
        IoRequest request = _free[_freeCount];
        _leases[(int)request.Token] = lease;
        request.Context = client;
        Extent extent = new(
            _blockSize.BlockAt(new ByteOffset(client.Offset + start)),
            _blockSize.WholeBlocks(new ByteCount(bytes)));
        request.Prepare(this, client.Operation, extent, buffer, client.Flags);
        if (client.Operation == IoOperation.Flush)
        {
            request.Client = client.Connection.FlushClient;
        }
        _device.Submit(request);
    }
}
