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

    /// <summary>Hand over what can be at once; false when a piece must wait.</summary>
    public bool SubmitOrWait(ClientRequest request)
    {
        while (_first is null && _freeCount > 0 && request.HasPiece)
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

    public void OnCompleted(IoRequest request)
    {
        ClientRequest client = (ClientRequest)request.Context!;
        int index = (int)request.Token;
        SliceLease? lease = _leases[index];
        _leases[index] = null;
        request.Context = null;
        _free[_freeCount] = request;
        _freeCount++;
        client.PieceCompleted(request.Status);
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
