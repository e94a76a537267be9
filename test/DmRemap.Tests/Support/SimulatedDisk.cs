using System;
using System.Collections.Generic;
using DmRemap.Core.Abstractions;

namespace DmRemap.Tests.Support;

/// <summary>
/// A disk in memory with a volatile write cache. Requests complete after a seeded latency, in any order; a
/// write takes effect when it completes. Content is durable after FUA or after a flush that was submitted
/// when the write had completed; <see cref="PowerCut"/> keeps or drops every other block at random.
/// Faults: bad blocks for reading and writing, an errno for the n-th operation, operations that hang until
/// released.
/// </summary>
internal sealed class SimulatedDisk : IBlockDevice, ICacheLossSource, ITimerOwner
{
    private readonly IEventLoop _loop;
    private readonly Random _random;
    private readonly LoopTimer _timer;
    private readonly List<IoRequest> _waiting = [];
    private readonly List<IoRequest> _hanging = [];
    private readonly byte[] _content;
    private readonly byte[] _durable;

    /// <summary>Per block: the number of the first write since it was last durable; 0 when it is.</summary>
    private readonly long[] _dirtySince;
    private long _writeSequence;

    public SimulatedDisk(IEventLoop loop, DeviceGeometry geometry, int seed = 1, byte[]? image = null)
    {
        _loop = loop;
        _random = new Random(seed);
        _timer = new LoopTimer(this);
        Geometry = geometry;
        _content = image ?? new byte[geometry.Bytes.Value];
        Invariant.Check(_content.Length == geometry.Bytes.Value);
        _durable = (byte[])_content.Clone();
        _dirtySince = new long[geometry.Blocks.Value];
    }

    /// <summary>As a test says.</summary>
    public long CacheLosses { get; set; }

    public bool IsLossOfFlush { get; set; }

    public DeviceGeometry Geometry { get; }

    /// <summary>What reads see now.</summary>
    public byte[] Content => _content;

    public HashSet<long> BadForReading { get; } = [];

    public HashSet<long> BadForWriting { get; } = [];

    /// <summary>
    /// A write that succeeds makes its blocks readable again, as dm-dust and most drives do.
    /// </summary>
    public bool WritesHeal { get; set; }

    public int ErrnoOfBadBlocks { get; set; } = 5;

    /// <summary>What <see cref="Fault"/> returns for a transfer that ends early, without an errno.</summary>
    public const int EndedEarly = -1;

    /// <summary>Given the operation's number (from 0) and the request: an errno to fail with, or 0.</summary>
    public Func<long, IoRequest, int>? Fault { get; set; }

    /// <summary>So long the operations that <see cref="Fault"/> fails are said to have taken.</summary>
    public Duration FaultElapsed { get; set; }

    /// <summary>Requests for which this is true do not complete until <see cref="ReleaseHanging"/>.</summary>
    public Func<IoRequest, bool>? Hang { get; set; }

    /// <summary>0: complete in the next turn, in order. Else a random latency up to this.</summary>
    public Duration LatencyMax { get; set; }

    public long Operations { get; private set; }

    public int InFlight => _waiting.Count + _hanging.Count;

    public List<string>? Log { get; set; }

    public static DeviceGeometry MakeGeometry(long blocks, int blockBytes = 512, int physicalBytes = 4096,
        int alignmentOffset = 0) => new()
        {
            LogicalBlockSize = new BlockSize(blockBytes),
            PhysicalBlockBytes = physicalBytes,
            Blocks = new BlockCount(blocks),
            AlignmentOffsetBytes = alignmentOffset,
            CanDiscard = true,
            CanWriteZeroes = true,
        };

    public void Submit(IoRequest request)
    {
        request.MarkSubmitted();
        request.SubmittedAt = _loop.Now;
        request.DeviceWord = (int)(Operations & int.MaxValue);
        Operations++;
        Log?.Add($"{request.Operation} {request.Extent} {request.Flags}");
        if (request.Operation == IoOperation.Flush)
        {
            request.DeviceWord2 = checked((int)_writeSequence);
        }
        if (Hang is not null && Hang(request))
        {
            _hanging.Add(request);
        }
        else if (LatencyMax.Nanoseconds == 0)
        {
            Finish(request);
        }
        else
        {
            _waiting.Add(request);
            Arm();
        }
    }

    public void OnTimer(LoopTimer timer)
    {
        if (_waiting.Count > 0)
        {
            int index = _random.Next(_waiting.Count);
            IoRequest request = _waiting[index];
            _waiting[index] = _waiting[^1];
            _waiting.RemoveAt(_waiting.Count - 1);
            Finish(request);
            Arm();
        }
    }

    /// <param name="isReversed">The last one first.</param>
    public void ReleaseHanging(bool isReversed = false)
    {
        IoRequest[] hanging = [.. _hanging];
        if (isReversed)
        {
            Array.Reverse(hanging);
        }
        _hanging.Clear();
        foreach (IoRequest request in hanging)
        {
            Finish(request);
        }
    }

    /// <summary>
    /// What is on the medium if power fails now: unflushed blocks are kept or lost, block by block.
    /// </summary>
    public byte[] PowerCut(Random random)
    {
        byte[] image = (byte[])_durable.Clone();
        int size = Geometry.LogicalBlockSize.Bytes;
        for (int block = 0; block < _dirtySince.Length; block++)
        {
            if (_dirtySince[block] != 0 && random.Next(2) == 0)
            {
                _content.AsSpan(block * size, size).CopyTo(image.AsSpan(block * size));
            }
        }
        foreach (IoRequest request in _waiting)
        {
            TearWriteInto(image, request, random);
        }
        return image;
    }

    /// <summary>
    /// What the disk holds if our process is killed now: all it took, and of what was under way, any part.
    /// </summary>
    public byte[] Kill(Random random)
    {
        byte[] image = (byte[])_content.Clone();
        foreach (IoRequest request in _waiting)
        {
            TearWriteInto(image, request, random);
        }
        return image;
    }

    private void Arm()
    {
        if (!_timer.IsSet && _waiting.Count > 0)
        {
            long wait = 1 + _random.NextInt64(LatencyMax.Nanoseconds);
            _loop.Schedule(_timer, _loop.Now + new Duration(wait));
        }
    }

    /// <summary>
    /// A write that had not completed: each of its blocks may or may not have reached the medium.
    /// </summary>
    private void TearWriteInto(byte[] image, IoRequest request, Random random)
    {
        if (request.Operation != IoOperation.Write)
        {
            return;
        }
        int size = Geometry.LogicalBlockSize.Bytes;
        for (int i = 0; i < request.Extent.Count.Value; i++)
        {
            if (random.Next(2) == 0)
            {
                request.Buffer.Span.Slice(i * size,
                    size).CopyTo(image.AsSpan((int)(request.Extent.Start.Value + i) * size));
            }
        }
    }

    private void Finish(IoRequest request)
    {
        int errno = Fault is null ? 0 : Fault(request.DeviceWord, request);
        if (request.Extent.End > Geometry.Whole.End)
        {
            request.SetResult(IoStatus.Invalid, 22, Duration.Zero);
        }
        else if (errno == 0)
        {
            errno = Apply(request);
            request.SetResult(errno == 0 ? IoStatus.Ok : IoStatus.DeviceError, errno,
                _loop.Now - request.SubmittedAt);
        }
        else
        {
            Duration elapsed = new((_loop.Now - request.SubmittedAt).Nanoseconds + FaultElapsed.Nanoseconds);
            request.SetResult(IoStatus.DeviceError, errno == EndedEarly ? 0 : errno, elapsed);
        }
        _loop.DeliverLater(request);
    }

    private int Apply(IoRequest request)
    {
        int size = Geometry.LogicalBlockSize.Bytes;
        int start = (int)request.Extent.Start.Value * size;
        int length = (int)request.Extent.Count.Value * size;
        switch (request.Operation)
        {
            case IoOperation.Read:
                if (AnyIn(BadForReading, request.Extent))
                {
                    request.Buffer.Span.Fill(0xEE);
                    return ErrnoOfBadBlocks;
                }
                _content.AsSpan(start, length).CopyTo(request.Buffer.Span);
                return 0;
            case IoOperation.Write:
                if (AnyIn(BadForWriting, request.Extent))
                {
                    return ErrnoOfBadBlocks;
                }
                request.Buffer.Span.CopyTo(_content.AsSpan(start, length));
                Written(request);
                return 0;
            case IoOperation.WriteZeroes:
                if (AnyIn(BadForWriting, request.Extent))
                {
                    return ErrnoOfBadBlocks;
                }
                _content.AsSpan(start, length).Clear();
                Written(request);
                return 0;
            case IoOperation.Flush:
                FlushUpTo(request.DeviceWord2);
                return 0;
            case IoOperation.Discard:
                return 0;
            default:
                return 22;
        }
    }

    private void Written(IoRequest request)
    {
        int size = Geometry.LogicalBlockSize.Bytes;
        _writeSequence++;
        for (long block = request.Extent.Start.Value; block < request.Extent.End.Value; block++)
        {
            if (request.IsForceUnitAccess)
            {
                _content.AsSpan((int)block * size, size).CopyTo(_durable.AsSpan((int)block * size));
                _dirtySince[block] = 0;
            }
            else if (_dirtySince[block] == 0)
            {
                _dirtySince[block] = _writeSequence;
            }
            if (WritesHeal)
            {
                BadForReading.Remove(block);
            }
        }
    }

    /// <summary>
    /// What was written before is durable; a block that was written again since then is so with the newer
    /// content.
    /// </summary>
    private void FlushUpTo(long sequence)
    {
        int size = Geometry.LogicalBlockSize.Bytes;
        for (int block = 0; block < _dirtySince.Length; block++)
        {
            if (_dirtySince[block] != 0 && _dirtySince[block] <= sequence)
            {
                _content.AsSpan(block * size, size).CopyTo(_durable.AsSpan(block * size));
                _dirtySince[block] = 0;
            }
        }
    }

    private static bool AnyIn(HashSet<long> blocks, Extent extent)
    {
        if (blocks.Count == 0)
        {
            return false;
        }
        for (long block = extent.Start.Value; block < extent.End.Value; block++)
        {
            if (blocks.Contains(block))
            {
                return true;
            }
        }
        return false;
    }
}
