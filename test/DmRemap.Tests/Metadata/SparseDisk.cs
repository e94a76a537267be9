using System;
using System.Collections.Generic;
using DmRemap.Core.Abstractions;

namespace DmRemap.Tests.Metadata;

/// <summary>
/// What is on a sparse disk: 512-byte blocks that were ever written. Arrays are replaced, never changed.
/// </summary>
internal sealed class SparseImage
{
    private readonly Dictionary<long, byte[]> _blocks;

    public SparseImage() => _blocks = [];

    private SparseImage(Dictionary<long, byte[]> blocks) => _blocks = blocks;

    public IEnumerable<KeyValuePair<long, byte[]>> Blocks => _blocks;

    public SparseImage Clone() => new(new Dictionary<long, byte[]>(_blocks));

    public void Read(long block, Span<byte> into)
    {
        if (_blocks.TryGetValue(block, out byte[]? bytes))
        {
            bytes.CopyTo(into);
        }
        else
        {
            into.Clear();
        }
    }

    public void Write(long block, ReadOnlySpan<byte> bytes) => _blocks[block] = bytes.ToArray();

    /// <summary>Change bytes at a byte offset, within one block or several.</summary>
    public void Corrupt(long offset, int length, Func<byte, byte> change)
    {
        Span<byte> block = stackalloc byte[SparseDisk.BlockBytes];
        for (long at = offset; at < offset + length; at++)
        {
            long number = at / SparseDisk.BlockBytes;
            Read(number, block);
            int index = (int)(at % SparseDisk.BlockBytes);
            block[index] = change(block[index]);
            Write(number, block);
        }
    }
}

/// <summary>
/// A large disk of which little is written, cheap to copy at every crash point. Requests complete one by one,
/// in a seeded order. A write takes effect when it completes; a crash keeps any subset of the 512-byte blocks
/// of the writes in flight, and of those completed without FUA.
/// </summary>
internal sealed class SparseDisk : IBlockDevice, ITimerOwner
{
    public const int BlockBytes = 512;

    private readonly IEventLoop _loop;
    private readonly Random _random;
    private readonly LoopTimer _timer;
    private readonly List<IoRequest> _waiting = [];
    private readonly List<IoRequest> _hanging = [];
    private readonly Dictionary<long, byte[]> _volatile = [];

    public SparseDisk(IEventLoop loop, long bytes, SparseImage image, int seed, int physicalBytes = 4096)
    {
        _loop = loop;
        _random = new Random(seed);
        _timer = new LoopTimer(this);
        Image = image;
        Geometry = new DeviceGeometry
        {
            LogicalBlockSize = new BlockSize(BlockBytes),
            PhysicalBlockBytes = physicalBytes,
            Blocks = new BlockCount(bytes / BlockBytes),
            TransferBytesMax = Limits.JournalRecordBytesMax,
        };
    }

    public DeviceGeometry Geometry { get; set; }

    /// <summary>What survives a crash for certain, and, where nothing is volatile, what reads see.</summary>
    public SparseImage Image { get; }

    /// <summary>Given the operation's number (from 0) and the request: an errno to fail with, or 0.</summary>
    public Func<long, IoRequest, int>? Fault { get; set; }

    /// <summary>Called for each read that went well: what it has read may still be changed.</summary>
    public Action<IoRequest>? Misread { get; set; }

    public Func<IoRequest, bool>? Hang { get; set; }

    /// <summary>Called for each request on submission.</summary>
    public Action<IoRequest>? Watch { get; set; }

    public long Operations { get; private set; }

    public int InFlight => _waiting.Count + _hanging.Count;

    public void Submit(IoRequest request)
    {
        request.MarkSubmitted();
        request.SubmittedAt = _loop.Now;
        Invariant.Check(request.Extent.End <= Geometry.Whole.End);
        request.DeviceWord = (int)Operations;
        Operations++;
        Watch?.Invoke(request);
        if (Hang is not null && Hang(request))
        {
            _hanging.Add(request);
            return;
        }
        _waiting.Add(request);
        Arm();
    }

    public void OnTimer(LoopTimer timer)
    {
        if (_waiting.Count > 0)
        {
            int index = _random.Next(_waiting.Count);
            IoRequest request = _waiting[index];
            _waiting.RemoveAt(index);
            Finish(request);
            Arm();
        }
    }

    public void ReleaseHanging()
    {
        _waiting.AddRange(_hanging);
        _hanging.Clear();
        Arm();
    }

    /// <summary>Reads see this from now on, and the medium has it after a flush that succeeds.</summary>
    public void PutIntoCache(SparseImage newer)
    {
        foreach ((long block, byte[] bytes) in newer.Blocks)
        {
            _volatile[block] = bytes;
        }
    }

    /// <summary>What is on the medium if power fails now.</summary>
    public SparseImage Crash(Random random)
    {
        SparseImage image = Image.Clone();
        foreach ((long block, byte[] bytes) in _volatile)
        {
            if (random.Next(2) == 0)
            {
                image.Write(block, bytes);
            }
        }
        foreach (IoRequest request in _waiting)
        {
            Tear(image, request, random);
        }
        foreach (IoRequest request in _hanging)
        {
            Tear(image, request, random);
        }
        return image;
    }

    private static void Tear(SparseImage image, IoRequest request, Random random)
    {
        if (request.Operation != IoOperation.Write)
        {
            return;
        }
        for (int i = 0; i < request.Extent.Count.Value; i++)
        {
            if (random.Next(2) == 0)
            {
                image.Write(
                    request.Extent.Start.Value + i, request.Buffer.Span.Slice(i * BlockBytes, BlockBytes));
            }
        }
    }

    private void Arm()
    {
        if (!_timer.IsSet && _waiting.Count > 0)
        {
            _loop.Schedule(_timer, _loop.Now + new Duration(1 + _random.Next(1000)));
        }
    }

    private void Finish(IoRequest request)
    {
        int errno = Fault?.Invoke(request.DeviceWord, request) ?? 0;
        if (errno == 0)
        {
            Apply(request);
        }
        else if (request.Operation == IoOperation.Flush)
        {
            // What a flush could not store need not be there any more.
            _volatile.Clear();
        }
        request.SetResult(
            errno == 0 ? IoStatus.Ok : IoStatus.DeviceError, errno, _loop.Now - request.SubmittedAt);
        _loop.DeliverLater(request);
    }

    private void Apply(IoRequest request)
    {
        for (int i = 0; i < request.Extent.Count.Value; i++)
        {
            long block = request.Extent.Start.Value + i;
            Span<byte> bytes = request.Buffer.Span.Slice(i * BlockBytes, BlockBytes);
            if (request.Operation == IoOperation.Read)
            {
                ReadNow(block, bytes);
            }
            else if (request.Operation == IoOperation.Write && request.IsForceUnitAccess)
            {
                _volatile.Remove(block);
                Image.Write(block, bytes);
            }
            else if (request.Operation == IoOperation.Write)
            {
                _volatile[block] = bytes.ToArray();
            }
        }
        if (request.Operation == IoOperation.Read)
        {
            Misread?.Invoke(request);
        }
        if (request.Operation == IoOperation.Flush)
        {
            foreach ((long block, byte[] bytes) in _volatile)
            {
                Image.Write(block, bytes);
            }
            _volatile.Clear();
        }
    }

    private void ReadNow(long block, Span<byte> into)
    {
        if (_volatile.TryGetValue(block, out byte[]? bytes))
        {
            bytes.CopyTo(into);
        }
        else
        {
            Image.Read(block, into);
        }
    }
}
