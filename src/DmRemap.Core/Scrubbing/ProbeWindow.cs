using System;
using DmRemap.Core.Abstractions;

namespace DmRemap.Core.Scrubbing;

/// <summary>
/// The neighbourhood of a bad unit, read outwards in chunks, right and left in turn: bad sectors come in
/// clusters. 256 KiB to each side; wherever something more is bad, 512 KiB beyond it, up to 16 MiB.
/// </summary>
public struct ProbeWindow
{
    public const int ChunkBytes = 64 * 1024;

    private const int FirstChunks = 4;
    private const int MoreChunks = 8;
    private const int ChunksMax = 256;

    private readonly Extent _device;
    private readonly Extent _bad;
    private readonly long _chunkBlocks;
    private int _limit;
    private int _chunk;
    private bool _isLeft;

    /// <param name="bad">The bad unit.</param>
    /// <param name="device">All there is.</param>
    /// <param name="blockSize">Of both.</param>
    public ProbeWindow(Extent bad, Extent device, BlockSize blockSize)
    {
        _bad = bad;
        _device = device;
        _chunkBlocks = ChunkBytes / blockSize.Bytes;
        _limit = FirstChunks;
    }

    /// <summary>What was read of it so far, with the bad unit.</summary>
    public readonly Extent Covered
    {
        get
        {
            long left = _chunk * _chunkBlocks;
            long right = (_chunk + (_isLeft ? 1 : 0)) * _chunkBlocks;
            return Extent.FromBounds(
                new BlockNumber(Math.Max(_device.Start.Value, _bad.Start.Value - left)),
                new BlockNumber(Math.Min(_device.End.Value, _bad.End.Value + right)));
        }
    }

    /// <summary>The next chunk to read; false: the window has been read.</summary>
    public bool TryNext(out Extent chunk)
    {
        while (_chunk < _limit)
        {
            long far = (_chunk + 1) * _chunkBlocks;
            long near = _chunk * _chunkBlocks;
            (long start, long end) = _isLeft
                ? (_bad.Start.Value - far, _bad.Start.Value - near)
                : (_bad.End.Value + near, _bad.End.Value + far);
            _chunk += _isLeft ? 1 : 0;
            _isLeft = !_isLeft;
            start = Math.Max(start, _device.Start.Value);
            end = Math.Min(end, _device.End.Value);
            if (start < end)
            {
                chunk = Extent.FromBounds(new BlockNumber(start), new BlockNumber(end));
                return true;
            }
        }
        chunk = default;
        return false;
    }

    /// <summary>The chunk read last held something bad: look further out.</summary>
    public void OnFound() => _limit = Math.Min(ChunksMax, Math.Max(_limit, _chunk + MoreChunks));
}
