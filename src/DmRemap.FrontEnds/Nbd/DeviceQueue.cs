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
    private readonly IoRequest[] _free;
    private readonly SliceLease?[] _leases;
    private int _freeCount;
    private ClientRequest? _first;
    private ClientRequest? _last;

    public DeviceQueue(NbdServer server, IBlockDevice device, int depth, int pieceBytes)
    {
        Invariant.Check(depth > 0);
        _server = server;
        _device = device;
        _blockSize = device.Geometry.LogicalBlockSize;
        PieceBytes = pieceBytes;
        _free = new IoRequest[depth];
        _leases = new SliceLease?[depth];
        for (int i = 0; i < depth; i++)
        {
            _free[i] = new IoRequest { Token = i };
        }
        _freeCount = depth;
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
        while (!IsHeld && _first is null && _freeCount > 0 && request.HasPiece)
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
        if (_first is null || _freeCount == 0)
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
        ClientRequest client = (ClientRequest)request.Context!;
        int index = (int)request.Token;
        SliceLease? lease = _leases[index];
        _leases[index] = null;
        request.Context = null;
        _free[_freeCount] = request;
        _freeCount++;
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
        _freeCount--;
        IoRequest request = _free[_freeCount];
        _leases[(int)request.Token] = lease;
        request.Context = client;
        Extent extent = new(
            _blockSize.BlockAt(new ByteOffset(client.Offset + start)),
            _blockSize.WholeBlocks(new ByteCount(bytes)));
        request.Prepare(this, client.Operation, extent, buffer, client.Flags);
        _device.Submit(request);
    }
}
