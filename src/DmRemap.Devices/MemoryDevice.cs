using System;
using DmRemap.Core.Abstractions;

namespace DmRemap.Devices;

/// <summary>
/// Blocks in memory, for the demo, for measuring, and for tests. Allocated whole when it is made; loses
/// everything with the process, so a flush has nothing to do.
/// </summary>
public sealed class MemoryDevice : IMemberDevice
{
    private const int PieceBytes = 1 << 24;

    private readonly IEventLoop _loop;
    private readonly byte[][] _pieces;
    private readonly int _blockBytes;

    private bool _isRetired;

    /// <summary>Full of zeros.</summary>
    public MemoryDevice(IEventLoop loop, DeviceGeometry geometry, string name = "memory")
    {
        _loop = loop;
        Name = name;
        Geometry = geometry;
        _blockBytes = geometry.LogicalBlockSize.Bytes;
        long bytes = geometry.Bytes.Value;
        _pieces = new byte[(int)((bytes + PieceBytes - 1) / PieceBytes)][];
        for (int i = 0; i < _pieces.Length; i++)
        {
            _pieces[i] = new byte[(int)Math.Min(PieceBytes, bytes - ((long)i * PieceBytes))];
        }
    }

    public DeviceGeometry Geometry { get; }

    public string Name { get; }

    /// <summary>Nobody else has a part in it.</summary>
    public int Outstanding => 0;

    public bool IsIdle => true;

    public void Retire() => _isRetired = true;

    public void Dispose()
    {
    }

    public void Submit(IoRequest request)
    {
        request.MarkSubmitted();
        request.SubmittedAt = _loop.Now;
        IoStatus status = _isRetired ? IoStatus.ShuttingDown : RequestCheck.Of(request, Geometry);
        if (status == IoStatus.Pending)
        {
            Do(request);
            status = IoStatus.Ok;
        }
        request.SetResult(status, 0, Duration.Zero);
        _loop.DeliverLater(request);
    }

    private void Do(IoRequest request)
    {
        long start = request.Extent.Start.Value * _blockBytes;
        switch (request.Operation)
        {
            case IoOperation.Read:
                Read(start, request.Buffer.Span);
                break;
            case IoOperation.Write:
                Write(start, request.Buffer.Span);
                break;
            case IoOperation.WriteZeroes:
            case IoOperation.Discard:
                Clear(start, request.Extent.Count.Value * _blockBytes);
                break;
            case IoOperation.Flush:
                break;
            case IoOperation.None:
            default:
                Invariant.Unreachable("an operation that RequestCheck let through");
                break;
        }
    }

    private void Read(long start, Span<byte> into)
    {
        while (!into.IsEmpty)
        {
            ReadOnlySpan<byte> piece = PieceFrom(start, into.Length);
            piece.CopyTo(into);
            into = into[piece.Length..];
            start += piece.Length;
        }
    }

    private void Write(long start, ReadOnlySpan<byte> from)
    {
        while (!from.IsEmpty)
        {
            Span<byte> piece = PieceFrom(start, from.Length);
            from[..piece.Length].CopyTo(piece);
            from = from[piece.Length..];
            start += piece.Length;
        }
    }

    private void Clear(long start, long bytes)
    {
        while (bytes > 0)
        {
            Span<byte> piece = PieceFrom(start, bytes);
            piece.Clear();
            bytes -= piece.Length;
            start += piece.Length;
        }
    }

    /// <summary>What one array holds of these bytes, from their start.</summary>
    private Span<byte> PieceFrom(long start, long bytes)
    {
        byte[] piece = _pieces[(int)(start / PieceBytes)];
        int offset = (int)(start % PieceBytes);
        return piece.AsSpan(offset, (int)Math.Min(bytes, piece.Length - offset));
    }
}
