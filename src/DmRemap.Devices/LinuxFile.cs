using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using DmRemap.Linux.Loop;
using DmRemap.Linux.Native;

namespace DmRemap.Devices;

/// <summary>
/// A file or block device of the loop. It keeps the one descriptor that was opened and claimed (F-1):
/// never reopened, never duplicated, closed only by Dispose after all I/O has returned, or by the end of the
/// process.
///
/// Short transfers of a file in memory are copies, made in Submit: neither with the kernel nor in line. At
/// most MemberQueueDepth others, and MemberMetadataDepth of metadata beside them, one flush and
/// MemberZeroingDepth zeroings are with the kernel; the rest waits in line, so that a stuck device cannot
/// take the workers of another (F-19). Flushes that wait are answered together by the next one, which is
/// submitted after all of them arrived (F-7).
/// </summary>
public sealed partial class LinuxFile : IMemberDevice, IOutstandingIo, ICacheLossSource
{
    private readonly KernelLoop _loop;
    private readonly SafeHandle _handle;
    private readonly int _fd;
    private readonly int _blockBytes;
    private readonly bool _isBlockDevice;
    private readonly bool _isAlwaysDurable;
    private readonly bool _isInMemory;
    private readonly bool _isForcedByFlush;
    private readonly int _memoryAlignment;
    private readonly FlushOperation _flush;
    private readonly TransferOperation[] _transfers =
        new TransferOperation[Limits.MemberQueueDepth + Limits.MemberMetadataDepth];
    private readonly ZeroOperation[] _zeroes = new ZeroOperation[Limits.MemberZeroingDepth];
    private TransferOperation? _firstFreeTransfer;
    private TransferOperation? _firstFreeReserved;
    private ZeroOperation? _firstFreeZero;
    private RequestQueue _waitingTransfers;
    private RequestQueue _waitingMetadata;
    private RequestQueue _waitingZeroes;
    private RequestQueue _waitingFlushes;
    private long _acknowledgedWrites;
    private long _flushedWrites;
    private long _flushFailures;
    private long _untoldFailures;
    private bool _isRetired;
    private long _cutAtBlock = long.MaxValue;
    private bool _isDisposed;

    /// <summary>On the loop's thread, or before it runs.</summary>
    /// <param name="loop">On whose thread everything happens.</param>
    /// <param name="file">Open and claimed; this object owns it from here on.</param>
    /// <param name="geometry">As found when it was opened.</param>
    /// <param name="options">How it was opened.</param>
    public LinuxFile(KernelLoop loop, SafeHandle file, DeviceGeometry geometry, LinuxFileOptions options)
    {
        _loop = loop;
        _handle = file;
        // While counted, the descriptor is not closed whatever else happens to the handle.
        bool isCounted = false;
        file.DangerousAddRef(ref isCounted);
        Invariant.Check(isCounted);
        _fd = (int)file.DangerousGetHandle();
        Geometry = geometry;
        Name = options.Name;
        _blockBytes = geometry.LogicalBlockSize.Bytes;
        _isBlockDevice = options.Kind == MemberKind.BlockDevice;
        _isAlwaysDurable = options.CacheMode != CacheMode.Direct;
        _isInMemory = options.CacheMode == CacheMode.InMemory;
        // Off io_uring a forced write is carried out by a thread, for which the kernel flushes too, and says
        // nothing of which of the two has failed.
        bool isForcedAlone = options.HasOwnForce && loop is UringLoop;
        _isForcedByFlush =
            options.CacheMode == CacheMode.Direct && !options.IsWriteThrough && !isForcedAlone;
        // What a former instance has left in the cache counts as one write.
        _acknowledgedWrites = options.CacheMode == CacheMode.Direct && !options.IsWriteThrough ? 1 : 0;
        _memoryAlignment = options.MemoryAlignment;
        Invariant.Check((_memoryAlignment & (_memoryAlignment - 1)) == 0);
        // Page-cache mode on a block device would hide the errors that this program is about (F-23).
        Invariant.Check(!_isBlockDevice || !_isAlwaysDurable);
        // Discarding on a block device is an ioctl, which would block this thread.
        Invariant.Check(!_isBlockDevice || !geometry.CanDiscard);
        Operations = loop.CreateDeviceOwner(
            options.Name, _isAlwaysDurable ? WriteErrors.OfWhoLooksFirst : WriteErrors.OfEachWrite);
        _flush = new FlushOperation(this);
        for (int i = 0; i < _transfers.Length; i++)
        {
            _transfers[i] = new TransferOperation(this, isReserved: i >= Limits.MemberQueueDepth);
            _transfers[i].Free();
        }
        for (int i = 0; i < Limits.MemberZeroingDepth; i++)
        {
            _firstFreeZero = new ZeroOperation(this) { NextFree = _firstFreeZero };
            _zeroes[i] = _firstFreeZero;
        }
    }

    public DeviceGeometry Geometry { get; }

    public string Name { get; }

    /// <summary>What the kernel has of this device now.</summary>
    public OperationOwner Operations { get; }

    /// <summary>Requests submitted and not completed: with the kernel or waiting in line.</summary>
    public int InFlight { get; private set; }

    public int Outstanding => Operations.Outstanding;

    /// <summary>
    /// A flush behind a forced write failed, while other writes waited for one: it may have been theirs.
    /// </summary>
    public long CacheLosses { get; private set; }

    public bool IsLossOfFlush => true;

    public bool IsIdle => InFlight == 0 && Operations.Outstanding == 0;

    public void Submit(IoRequest request)
    {
        request.MarkSubmitted();
        InFlight++;
        IoStatus status = RequestCheck.Of(request, Geometry);
        if (status == IoStatus.Pending)
        {
            Accept(request);
        }
        else
        {
            Refuse(request, status);
        }
    }

    public bool TryGetOldest(out Instant submittedAt)
    {
        IoRequest? oldest = _flush.Request;
        foreach (TransferOperation transfer in _transfers)
        {
            oldest = Older(oldest, transfer.Request);
        }
        foreach (ZeroOperation zero in _zeroes)
        {
            oldest = Older(oldest, zero.Request);
        }
        oldest = Older(oldest, _waitingFlushes.First);
        submittedAt = oldest?.SubmittedAt ?? default;
        return oldest is not null;
    }

    /// <summary>
    /// On the loop's thread, when nothing is in flight: from here every request completes with ShuttingDown.
    /// </summary>
    public void Retire()
    {
        Invariant.Check(InFlight == 0);
        Invariant.Check(!_isRetired);
        _isRetired = true;
        _flush.Unregister();
        foreach (TransferOperation operation in _transfers)
        {
            operation.Unregister();
        }
        for (ZeroOperation? operation = _firstFreeZero; operation is not null; operation = operation.NextFree)
        {
            operation.Unregister();
        }
    }

    /// <summary>
    /// Close the descriptor, and with it end the claim; may block, so not on the loop's thread while it runs.
    /// Only when nothing is in flight: the claim must not end before the last write has landed (F-1).
    /// </summary>
    public void Dispose()
    {
        if (_isDisposed)
        {
            return;
        }
        Invariant.Check(InFlight == 0);
        Invariant.Check(Operations.Outstanding == 0);
        _isDisposed = true;
        _isRetired = true;
        _handle.DangerousRelease();
        _handle.Dispose();
    }

    private static IoRequest? Older(IoRequest? one, IoRequest? other) =>
        one is null || (other is not null && other.SubmittedAt < one.SubmittedAt) ? other : one;

    private void Accept(IoRequest request)
    {
        if (_isRetired || request.Extent.End.Value > _cutAtBlock)
        {
            Refuse(request, _isRetired ? IoStatus.ShuttingDown : IoStatus.DeviceError);
        }
        else if (request.Operation is IoOperation.Read or IoOperation.Write)
        {
            AcceptTransfer(request);
        }
        else if (request.Operation == IoOperation.Flush)
        {
            _waitingFlushes.Add(request);
            _flush.StartIfIdle();
        }
        else if (_firstFreeZero is null)
        {
            _waitingZeroes.Add(request);
        }
        else
        {
            ZeroOperation operation = _firstFreeZero;
            _firstFreeZero = operation.NextFree;
            operation.Start(request);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void AcceptTransfer(IoRequest request)
    {
        TransferOperation? operation = _firstFreeTransfer;
        if (_isInMemory && MayCopy(request) && TryCopy(request))
        {
            return;
        }
        if (!KernelMemory.IsAligned(request.Buffer, _memoryAlignment))
        {
            Refuse(request, IoStatus.Invalid);
        }
        else if (operation is null)
        {
            WaitForTransfer(request);
        }
        else
        {
            _firstFreeTransfer = operation.NextFree;
            operation.Start(request);
        }
    }

    /// <summary>
    /// Metadata has operations of its own behind which no data stands: a spare that is only busy must not
    /// miss the deadline of a record (F-19).
    /// </summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private void WaitForTransfer(IoRequest request)
    {
        bool isMetadata = (request.Flags & IoFlags.Metadata) != 0;
        if (!isMetadata)
        {
            _waitingTransfers.Add(request);
        }
        else if (_firstFreeReserved is TransferOperation reserved)
        {
            _firstFreeReserved = reserved.NextFree;
            reserved.Start(request);
        }
        else
        {
            _waitingMetadata.Add(request);
        }
    }

    /// <summary>
    /// A write takes the file's lock, which a zeroing of ours, or a long write, may have for milliseconds:
    /// then it waits where they do.
    /// </summary>
    private bool MayCopy(IoRequest request) =>
        request.Buffer.Length <= Limits.LoopCopyBytesMax
        && (request.Operation == IoOperation.Read || Operations.Outstanding == 0);

    /// <summary>
    /// False: something is the matter, and what it is the kernel will say when the request is handed to it.
    /// </summary>
    private bool TryCopy(IoRequest request)
    {
        long offset = request.Extent.Start.Value * _blockBytes;
        int copied = request.Operation == IoOperation.Read
            ? FileCopy.Read(_fd, request.Buffer, offset)
            : FileCopy.Write(_fd, request.Buffer, offset);
        if (copied != request.Buffer.Length)
        {
            return false;
        }
        InFlight--;
        request.SubmittedAt = _loop.Now;
        request.SetResult(IoStatus.Ok, 0, KernelLoop.ExactNow - _loop.Now);
        _loop.DeliverLater(request);
        return true;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void Refuse(IoRequest request, IoStatus status)
    {
        InFlight--;
        request.SetResult(status, status == IoStatus.DeviceError ? Errno.ENXIO : 0, Duration.Zero);
        _loop.DeliverLater(request);
    }

    /// <summary>Inside a completion: nothing of ours is on the stack that the owner could disturb.</summary>
    private void Complete(IoRequest request, IoStatus status, int errno)
    {
        InFlight--;
        request.SetResult(status, errno, _loop.Now - request.SubmittedAt);
        request.Deliver();
    }

    private WriteDurability DurabilityOf(IoRequest request) =>
        _isAlwaysDurable || request.IsForceUnitAccess ? WriteDurability.Durable : WriteDurability.Cached;

    /// <summary>
    /// Barrier: without the flush a power cut after the acknowledgement brings the old content back. Apart
    /// from the write, where the kernel would do the same two things in one (RWF_DSYNC): an error of the
    /// flush may be of writes that were acknowledged before, and the kernel tells it once (F-9).
    /// </summary>
    private void FlushBehind(IoRequest request)
    {
        _waitingFlushes.Add(request);
        _flush.StartIfIdle();
    }

    /// <summary>
    /// What lies behind the end of a file that somebody has cut stays gone, also when a write has made it as
    /// long as it was: it would read as zeros. A disk is another matter: that one is away.
    /// </summary>
    private void NoteCut(long block) =>
        _cutAtBlock = _isBlockDevice ? _cutAtBlock : System.Math.Min(_cutAtBlock, block);

    /// <summary>
    /// The disk may have dropped anything that was in its cache, and says so this once: what was
    /// acknowledged, and what was written and waits for the next flush, or is with the kernel now. Forced
    /// writes of these fail, too; the others are in doubt when they come back.
    /// </summary>
    /// <param name="isTold">A flush that somebody asked for failed with it: who asked takes note.</param>
    private RequestQueue OnFlushFailed(bool isTold)
    {
        _flushFailures++;
        _untoldFailures += isTold ? 0 : 1;
        CacheLosses += !isTold && _acknowledgedWrites != _flushedWrites ? 1 : 0;
        _flushedWrites = _acknowledgedWrites;
        RequestQueue forced = default;
        RequestQueue flushes = default;
        while (!_waitingFlushes.IsEmpty)
        {
            IoRequest request = _waitingFlushes.Take();
            ref RequestQueue queue = ref request.Operation == IoOperation.Flush ? ref flushes : ref forced;
            queue.Add(request);
        }
        _waitingFlushes = flushes;
        return forced;
    }

    /// <summary>Written, and not forced.</summary>
    private void NoteAcknowledged(long untoldAtStart)
    {
        _acknowledgedWrites++;
        CacheLosses += untoldAtStart == _untoldFailures ? 0 : 1;
    }
}
