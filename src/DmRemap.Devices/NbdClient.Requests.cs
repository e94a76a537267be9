using System;
using System.Runtime.CompilerServices;
using DmRemap.Core.Abstractions;
using DmRemap.Linux.Native;
using DmRemap.Nbd;

namespace DmRemap.Devices;

/// <summary>Requests, and the commands that each of them needs, one after another.</summary>
public sealed partial class NbdClient
{
    /// <summary>Requests sent and not answered, at most; the rest waits in line.</summary>
    private const int Slots = Limits.MemberQueueDepth + Limits.MemberMetadataDepth;

    private readonly ClientTransmission _commands = new(Slots);
    private readonly Slot[] _slots = new Slot[Slots];
    private Slot? _firstFree;
    private Slot? _firstReserved;
    private RequestQueue _waiting;
    private RequestQueue _waitingMetadata;
    private long _flushFailures;
    private long _untoldFailures;

    public void Submit(IoRequest request)
    {
        request.MarkSubmitted();
        request.SubmittedAt = _loop.Now;
        InFlight++;
        IoStatus status = RequestCheck.Of(request, Geometry);
        if (status != IoStatus.Pending)
        {
            Refuse(request, status, 0);
        }
        else if (_life != Life.Ready || request.Operation > IoOperation.Write)
        {
            AcceptRare(request);
        }
        else
        {
            Accept(request);
        }
    }

    private void Accept(IoRequest request)
    {
        Slot? slot = _firstFree;
        if (slot is null)
        {
            WaitForSlot(request);
            return;
        }
        _firstFree = slot.Next;
        Start(slot, request);
        SendMore();
    }

    /// <summary>
    /// Metadata has slots of its own behind which no data stands: a spare that is only busy must not miss the
    /// deadline of a record (F-19).
    /// </summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private void WaitForSlot(IoRequest request)
    {
        bool isMetadata = (request.Flags & IoFlags.Metadata) != 0;
        if (!isMetadata)
        {
            _waiting.Add(request);
        }
        else if (_firstReserved is Slot reserved)
        {
            _firstReserved = reserved.Next;
            Start(reserved, request);
            SendMore();
        }
        else
        {
            _waitingMetadata.Add(request);
        }
    }

    /// <summary>Whatever is not a read or write on a living connection.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private void AcceptRare(IoRequest request)
    {
        bool isFlush = request.Operation == IoOperation.Flush;
        if (_isRetired)
        {
            Refuse(request, IoStatus.ShuttingDown, 0);
        }
        else if (isFlush && !_export.CanFlush)
        {
            Refuse(request, IoStatus.Ok, 0);
        }
        else if (_life != Life.Ready)
        {
            Refuse(request, IoStatus.DeviceError, Errno.ENOTCONN);
        }
        else if (IsUnknownToServer(request.Operation))
        {
            Refuse(request, IoStatus.Unsupported, Errno.EOPNOTSUPP);
        }
        else
        {
            Accept(request);
        }
    }

    /// <summary>A server may offer less after it was restarted; what the geometry says is fixed.</summary>
    private bool IsUnknownToServer(IoOperation operation) =>
        (operation == IoOperation.Discard && !_export.CanTrim)
            || (operation == IoOperation.WriteZeroes && !_export.CanWriteZeroes);

    private void Refuse(IoRequest request, IoStatus status, int errno)
    {
        InFlight--;
        request.SetResult(status, errno, Duration.Zero);
        _loop.DeliverLater(request);
    }

    private void Start(Slot slot, IoRequest request)
    {
        slot.Request = request;
        slot.Offset = request.Extent.Start.Value * _blockBytes;
        slot.End = request.Extent.End.Value * _blockBytes;
        slot.IsFlushing = request.Operation == IoOperation.Flush;
        slot.FlushFailures = _flushFailures;
        slot.UntoldFailures = _untoldFailures;
        QueueCommand(slot);
    }

    private void QueueCommand(Slot slot)
    {
        IoRequest request = slot.Request!;
        slot.WasSent = false;
        if (slot.IsFlushing)
        {
            // Taken now: a write that is answered after this need not be covered.
            slot.Covers = _acknowledgedWrites;
            slot.PieceBytes = 0;
            _commands.Begin(
                slot.Index, NbdCommand.Flush, NbdCommandFlags.None, 0, 0, slot.Header.Span);
        }
        else
        {
            bool isTransfer = request.Operation is IoOperation.Read or IoOperation.Write;
            long left = slot.End - slot.Offset;
            slot.PieceBytes = (int)(isTransfer ? left : Math.Min(left, Limits.ZeroingSliceBytes));
            _commands.Begin(
                slot.Index, CommandOf(request.Operation), FlagsOf(request), slot.Offset, slot.PieceBytes,
                slot.Header.Span);
        }
        AddToSend(slot);
    }

    private static NbdCommand CommandOf(IoOperation operation)
    {
        switch (operation)
        {
            case IoOperation.Read:
                return NbdCommand.Read;
            case IoOperation.Write:
                return NbdCommand.Write;
            case IoOperation.Discard:
                return NbdCommand.Trim;
            case IoOperation.WriteZeroes:
                return NbdCommand.WriteZeroes;
            case IoOperation.Flush:
                return NbdCommand.Flush;
            case IoOperation.None:
            default:
                Invariant.Unreachable("an operation that RequestCheck let through");
                return NbdCommand.Flush;
        }
    }

    private NbdCommandFlags FlagsOf(IoRequest request)
    {
        NbdCommandFlags flags = NbdCommandFlags.None;
        if (request.Operation != IoOperation.Read && IsSentDurable)
        {
            flags |= NbdCommandFlags.ForceUnitAccess;
        }
        if (request.Operation == IoOperation.WriteZeroes && (request.Flags & IoFlags.KeepAllocated) != 0)
        {
            flags |= NbdCommandFlags.NoHole;
        }
        return flags;
    }

    /// <summary>
    /// Only where nothing else makes it durable: most servers do FUA by flushing behind the write, and their
    /// one error does not say which failed. A flush of our own has its error to itself (F-9).
    /// </summary>
    private bool IsSentDurable => _export.CanForceUnitAccess && !_export.CanFlush;

    /// <summary>The slot's command has been sent in full and answered.</summary>
    private void Conclude(Slot slot)
    {
        if (_life == Life.Ready)
        {
            NoteAnswer();
        }
        IoRequest request = slot.Request!;
        slot.IsAnswered = false;
        if (slot.Error != NbdError.None)
        {
            FinishFailed(slot);
        }
        else if (slot.IsFlushing)
        {
            _flushedWrites = Math.Max(_flushedWrites, slot.Covers);
            FinishFlushed(slot, request);
        }
        else if (request.Operation == IoOperation.Read)
        {
            Finish(slot, IoStatus.Ok, 0);
        }
        else
        {
            OnChanged(slot, request);
        }
    }

    private void OnChanged(Slot slot, IoRequest request)
    {
        slot.Offset += slot.PieceBytes;
        if (slot.Offset < slot.End)
        {
            QueueCommand(slot);
        }
        else if (request.IsForceUnitAccess && _export.CanFlush && slot.FlushFailures == _flushFailures)
        {
            // FUA by hand. Barrier: without it a power cut of the server after the acknowledgement brings the
            // old content back.
            slot.IsFlushing = true;
            QueueCommand(slot);
        }
        else if (request.IsForceUnitAccess && _export.CanFlush)
        {
            FinishFlushed(slot, request);
        }
        else
        {
            _acknowledgedWrites += IsSentDurable ? 0 : 1;
            bool isLost = slot.UntoldFailures != _untoldFailures;
            Finish(slot, IoStatus.Ok, 0);
            if (isLost)
            {
                // It was out while a flush failed, perhaps for this.
                NoteCacheLoss(isOfFlush: true);
            }
        }
    }

    /// <summary>
    /// A forced write that was out while a flush failed may be what that failed for: its own succeeds over
    /// the loss, for the server says it once.
    /// </summary>
    private void FinishFlushed(Slot slot, IoRequest request)
    {
        bool isLost = request.Operation != IoOperation.Flush && slot.FlushFailures != _flushFailures;
        Finish(slot, isLost ? IoStatus.DeviceError : IoStatus.Ok, isLost ? (int)NbdError.InputOutput : 0);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void FinishFailed(Slot slot)
    {
        if (slot.IsFlushing)
        {
            NoteFailedFlush(isAsked: slot.Request!.Operation == IoOperation.Flush);
        }
        // EIO may be the medium's and may be anything else: who asks decides that (F-17).
        bool isUnsupported = slot.Error == NbdError.NotSupported && !slot.IsFlushing;
        Finish(slot, isUnsupported ? IoStatus.Unsupported : IoStatus.DeviceError, (int)slot.Error);
    }

    /// <summary>
    /// What it failed for may be any write that no flush has covered, acknowledged or not, and the server
    /// says so once (F-9). Of one that somebody asked for, who asked takes note; the others are behind a
    /// forced write.
    /// </summary>
    private void NoteFailedFlush(bool isAsked)
    {
        _flushFailures++;
        if (isAsked)
        {
            return;
        }
        _untoldFailures++;
        if (_acknowledgedWrites != _flushedWrites)
        {
            NoteCacheLoss(isOfFlush: true);
        }
    }

    private void Finish(Slot slot, IoStatus status, int errno)
    {
        IoRequest request = slot.Request!;
        slot.Request = null;
        // The next in line first: the owner's answer to this completion goes behind it.
        if (!_waitingMetadata.IsEmpty)
        {
            Start(slot, _waitingMetadata.Take());
        }
        else if (!slot.IsReserved && !_waiting.IsEmpty)
        {
            Start(slot, _waiting.Take());
        }
        else
        {
            Free(slot);
        }
        Complete(request, status, errno, _loop.Now - request.SubmittedAt);
    }

    private void Free(Slot slot)
    {
        ref Slot? free = ref slot.IsReserved ? ref _firstReserved : ref _firstFree;
        slot.Next = free;
        free = slot;
    }

    bool IOutstandingIo.TryGetOldest(out Instant submittedAt)
    {
        submittedAt = new Instant(long.MaxValue);
        bool isAny = false;
        foreach (Slot slot in _slots)
        {
            if (slot.Request is IoRequest request)
            {
                isAny = true;
                submittedAt = request.SubmittedAt < submittedAt ? request.SubmittedAt : submittedAt;
            }
        }
        return isAny;
    }

    /// <summary>Inside a completion: nothing of ours is on the stack that the owner could disturb.</summary>
    private void Complete(IoRequest request, IoStatus status, int errno, Duration elapsed)
    {
        InFlight--;
        request.SetResult(status, errno, elapsed);
        request.Deliver();
    }

    /// <summary>May a write that is not answered still reach the medium?</summary>
    private bool HasUnansweredChanges()
    {
        foreach (Slot slot in _slots)
        {
            bool isChange = slot.Request is IoRequest request
                && request.Operation is IoOperation.Write or IoOperation.WriteZeroes or IoOperation.Discard;
            if (isChange && !slot.IsFlushing && (slot.IsSending || slot.WasSent))
            {
                return true;
            }
        }
        return false;
    }

    /// <summary>The stream is closed: every buffer is ours again, and nothing will be answered.</summary>
    private void FailAll()
    {
        RequestQueue gone = default;
        foreach (Slot slot in _slots)
        {
            if (slot.Request is not null)
            {
                gone.Add(slot.Request);
                slot.Request = null;
                slot.IsSending = false;
                slot.IsAnswered = false;
                Free(slot);
            }
        }
        while (!_waitingMetadata.IsEmpty)
        {
            gone.Add(_waitingMetadata.Take());
        }
        while (!_waiting.IsEmpty)
        {
            gone.Add(_waiting.Take());
        }
        _commands.Clear();
        while (!gone.IsEmpty)
        {
            // Without the time: that a server was silent for long says nothing that its absence does not.
            Complete(gone.Take(), IoStatus.DeviceError, Errno.ENOTCONN, Duration.Zero);
        }
    }

    /// <summary>One command at a time; a request may need several.</summary>
    private sealed class Slot(int index, BufferSlice header)
    {
        public int Index { get; } = index;

        /// <summary>For metadata only.</summary>
        public bool IsReserved { get; } = index >= Limits.MemberQueueDepth;

        /// <summary>The kernel's while it is being sent.</summary>
        public BufferSlice Header { get; } = header;

        /// <summary>In the free list, or in line to be sent.</summary>
        public Slot? Next { get; set; }

        public IoRequest? Request { get; set; }

        /// <summary>In bytes: what is left of the request begins here.</summary>
        public long Offset { get; set; }

        public long End { get; set; }

        public int PieceBytes { get; set; }

        public bool IsFlushing { get; set; }

        /// <summary>Flushes that had failed when the request began; and those nobody had asked for.</summary>
        public long FlushFailures { get; set; }

        public long UntoldFailures { get; set; }

        /// <summary>Of a flush: the writes that had been acknowledged.</summary>
        public long Covers { get; set; }

        /// <summary>Header and payload are with the kernel, also when the server has answered.</summary>
        public bool IsSending { get; set; }

        public bool WasSent { get; set; }

        public bool IsAnswered { get; set; }

        public NbdError Error { get; set; }
    }
}
