using System;
using DmRemap.Core.Abstractions;
using DmRemap.Fuse;
using DmRemap.Linux.Fuse;
using DmRemap.Linux.Loop;
using DmRemap.Linux.Native;
using Microsoft.Win32.SafeHandles;

namespace DmRemap.FrontEnds.Fuse;

/// <summary>Told, on the loop's thread, what became of a connection to the kernel.</summary>
public interface IFuseWatcher
{
    /// <summary>The kernel has agreed: requests are served.</summary>
    void OnServing();

    /// <summary>
    /// The connection has ended, and nobody is served. Empty when it ended as it was meant to: unmounted, or
    /// stopped.
    /// </summary>
    void OnClosed(string problem);
}

/// <summary>
/// Serves one block device as one file to the kernel, over one /dev/fuse descriptor after another. Everything
/// runs on the loop's thread but the constructor; nothing is allocated after it.
///
/// A message stays in its slot until it is answered: requests in progress are bounded by the slots, what is
/// more waits in the kernel. Data requests go to the device in pieces, a bounded number at once, those with
/// pieces left in turn. A request fails as a whole or not at all: READ and WRITE are never short (F-10).
/// </summary>
public sealed partial class FuseServer : IFuseChannelOwner, IIoOwner
{
    /// <summary>The longest READ or WRITE; longer ones come in parts.</summary>
    public const int TransferBytesMax = FuseProtocol.TransferBytesMax;

    /// <summary>Messages in progress at once.</summary>
    public const int Slots = 64;

    /// <summary>Pieces at the device at once; NBD clients have as much again.</summary>
    private const int DeviceQueueDepth = Limits.RequestsInFlightMax / 2;

    /// <summary>Receives outstanding at once, at most.</summary>
    private const int ReceivesMax = 16;

    private readonly IBlockDevice _device;

    /// <summary>The kernel is one client, whoever uses the file: it is told of a failed flush once.</summary>
    private readonly FlushClient _kernel = new();
    private readonly IFuseWatcher _watcher;
    private readonly FuseFile _file;
    private readonly FuseParser _parser;
    private readonly FuseSlot[] _slots;
    private readonly IoRequest[] _pieces;
    private readonly IoRequest[] _freePieces;
    private readonly IAbandonedReads? _abandoning;
    private readonly ReadDeadlines? _deadlines;
    private readonly TurnEnd _turn;
    private readonly int _pieceBytes;
    private FuseChannel? _channel;
    private FuseSlot? _freeSlot;
    private FuseSlot? _firstInLine;
    private FuseSlot? _lastInLine;
    private int _freePieceCount;
    private int _abandonedSlots;

    /// <summary>Pieces that may be handed over now: those that nobody waits for take none of them.</summary>
    private int _room = DeviceQueueDepth;
    private int _freeSlotCount;
    private int _receiving;
    private int _receivesWanted;
    private int _receivedThisTurn;
    private bool _isServing;
    private bool _isStopping;
    private string _problem = "";
    private ILoopMessage? _whenClosed;

    /// <summary>On any thread but the loop's: it takes its time.</summary>
    public FuseServer(
        IEventLoop loop, IBlockDevice device, IFuseWatcher watcher, uint userId, uint groupId,
        long unixSeconds, Duration readDeadline = default)
    {
        bool hasDeadline = readDeadline > Duration.Zero;
        _deadlines = hasDeadline ? new ReadDeadlines(loop, readDeadline, this) : null;
        _abandoning = device as IAbandonedReads;
        // As many again for reads that are abandoned: they leave everybody else what there is.
        _slots = new FuseSlot[hasDeadline ? 2 * Slots : Slots];
        _pieces = new IoRequest[hasDeadline ? 2 * DeviceQueueDepth : DeviceQueueDepth];
        _freePieces = new IoRequest[_pieces.Length];
        _device = device;
        _watcher = watcher;
        Loop = loop;
        _file = FuseFile.Of(device.Geometry) with
        {
            UserId = userId,
            GroupId = groupId,
            UnixSeconds = unixSeconds,
        };
        _parser = new FuseParser(_file);
        _turn = new TurnEnd(this);
        _pieceBytes = Math.Min(Limits.SliceBytes, device.Geometry.TransferBytesMax);
        _pieceBytes -= _pieceBytes % _file.BlockSize.Bytes;
        Invariant.Check(_pieceBytes > 0);
        for (int i = 0; i < _slots.Length; i++)
        {
            _slots[i] = new FuseSlot(i, Allocate());
            Free(_slots[i]);
        }
        for (int i = 0; i < _pieces.Length; i++)
        {
            _pieces[i] = new IoRequest { Client = _kernel };
            _freePieces[i] = _pieces[i];
        }
        _freePieceCount = _pieces.Length;
    }

    public FuseCounters Counters { get; } = new();

    /// <summary>Nothing of it is left from a former connection: it may be opened.</summary>
    public bool IsIdle => _channel is not { IsOpen: true } && _freeSlotCount == _slots.Length;

    /// <summary>Not completed by the device: their memory is not free, whoever has gone.</summary>
    public int PiecesAtDevice => _pieces.Length - _freePieceCount;

    /// <summary>The device is suspended: what has not gone to it yet waits in line.</summary>
    public bool IsHeld { get; private set; }

    internal IEventLoop Loop { get; }

    /// <summary>
    /// Serve over this descriptor, which is mounted, or will be. False when it is stopping, or busy: the
    /// descriptor is still the caller's.
    /// </summary>
    public bool TryOpen(KernelLoop loop, SafeFileHandle kernel)
    {
        if (_isStopping || !IsIdle)
        {
            return false;
        }
        _channel ??= new FuseChannel(loop, _slots.Length, this);
        _isServing = false;
        _problem = "";
        _receiving = 0;
        _receivesWanted = 1;
        (_device as IFlushErrorSource)?.Introduce(_kernel);
        _channel.Open(kernel);
        ReceiveMore();
        return true;
    }

    /// <summary>End the connection now, whatever is in flight.</summary>
    public void Abort()
    {
        if (_channel is { IsOpen: true, IsClosing: false })
        {
            _channel.Close();
        }
    }

    public void Hold() => IsHeld = true;

    public void Release()
    {
        IsHeld = false;
        _deadlines?.Restart();
        SubmitWhatWaits();
    }

    /// <summary>
    /// Stop in good order: what has been asked is answered, what comes from now on is answered ESHUTDOWN, and
    /// when nothing is in flight the connection is closed. The message is run then, through the loop.
    /// </summary>
    public void Shutdown(ILoopMessage whenClosed)
    {
        _isStopping = true;
        IsHeld = false;
        _whenClosed = whenClosed;
        SubmitWhatWaits();
        CloseIfDone();
    }

    void IFuseChannelOwner.OnMessage(int index, int bytes)
    {
        EndReceive(_slots[index]);
        if (_receivedThisTurn == 0)
        {
            _turn.Ask();
        }
        _receivedThisTurn++;
        FuseSlot slot = _slots[index];
        FuseRequest request = _parser.Parse(slot.Message(bytes));
        if (request.Action == FuseAction.Negotiate)
        {
            Negotiate(slot, bytes);
            return;
        }
        if (request.Action == FuseAction.Ignore)
        {
            Free(slot);
            return;
        }
        bool isOfDevice = request.Action != FuseAction.Answer;
        if (!_isServing || (_isStopping && isOfDevice))
        {
            int error = _isServing ? FuseErrors.Shutdown : FuseErrors.Protocol;
            request = request with { Action = FuseAction.Answer, Error = error };
            isOfDevice = false;
        }
        slot.Begin(in request, _file.BlockSize);
        if (isOfDevice)
        {
            if (slot.Operation == IoOperation.Read)
            {
                _deadlines?.Add(slot);
            }
            Enqueue(slot);
            SubmitWhatWaits();
        }
        else
        {
            Answer(slot);
        }
    }

    void IFuseChannelOwner.OnFree(int index)
    {
        FuseSlot slot = _slots[index];
        if (slot.IsReceiving)
        {
            EndReceive(slot);
        }
        if (slot.IsAbandoned && slot.InFlight > 0)
        {
            // The kernel has its answer; the memory is still the device's.
            slot.IsAnswered = true;
        }
        else
        {
            Free(slot);
        }
        ReceiveMore();
        CloseIfDone();
    }

    void IFuseChannelOwner.OnEnded(int errno)
    {
        // ENODEV is an unmount: the end that everybody wants.
        if (errno != Errno.ENODEV && !_isStopping)
        {
            _problem = $"the kernel ended it with errno {errno}";
        }
        Abort();
    }

    void IFuseChannelOwner.OnClosed()
    {
        _isServing = false;
        // What waited in line is wanted by nobody any more; what is at the device comes back by itself.
        while (_firstInLine is not null)
        {
            FuseSlot slot = TakeFromLine();
            if (slot.InFlight == 0)
            {
                _deadlines?.Remove(slot);
                Free(slot);
            }
        }
        _watcher.OnClosed(_problem);
        TellWhenClosed();
    }

    /// <summary>A piece came back from the device.</summary>
    public void OnCompleted(IoRequest request)
    {
        FuseSlot slot = (FuseSlot)request.Context!;
        request.Context = null;
        _freePieces[_freePieceCount] = request;
        _freePieceCount++;
        _room += slot.IsAbandoned ? 0 : 1;
        slot.PieceCompleted(request.Status);
        EndIfWhole(slot);
        SubmitWhatWaits();
        CloseIfDone();
    }

    /// <summary>
    /// All of it reserved, and touched as far as ordinary requests go, so that these never meet a page fault.
    /// </summary>
    private static BufferSlice Allocate()
    {
        byte[] array = GC.AllocateUninitializedArray<byte>(
            FuseSlot.MemoryBytes + AlignedMemory.Alignment, pinned: true);
        long address = System.Runtime.InteropServices.Marshal.UnsafeAddrOfPinnedArrayElement(array, 0);
        const int Mask = AlignedMemory.Alignment - 1;
        BufferSlice memory =
            new(array, (int)((AlignedMemory.Alignment - (address & Mask)) & Mask), FuseSlot.MemoryBytes);
        memory.Span[..(FuseSlot.DataStart + Limits.SliceBytes)].Clear();
        return memory;
    }

    private bool IsOpen => _channel is { IsOpen: true, IsClosing: false };

    private void Negotiate(FuseSlot slot, int bytes)
    {
        FuseTerms terms = slot.WriteNegotiation(bytes, out BufferSlice reply, out _problem);
        _channel!.Answer(slot.Index, reply);
        if (terms == FuseTerms.Agreed && !_isServing)
        {
            _isServing = true;
            _watcher.OnServing();
        }
        else if (terms == FuseTerms.Refused)
        {
            Abort();
        }
    }

    /// <summary>
    /// As many receives as messages came at once, and some more: a burst is taken together, and a single
    /// client does not make many receives look in vain.
    /// </summary>
    private void ReceiveMore()
    {
        while (IsOpen && _receiving < _receivesWanted && _freeSlot is not null && SlotsInUse < Slots)
        {
            FuseSlot slot = _freeSlot;
            _freeSlot = slot.Next;
            slot.Next = null;
            _freeSlotCount--;
            slot.IsReceiving = true;
            _receiving++;
            _channel!.Receive(slot.Index, slot.Inbox);
        }
    }

    private void EndReceive(FuseSlot slot)
    {
        Invariant.Check(slot.IsReceiving);
        slot.IsReceiving = false;
        _receiving--;
    }

    private void OnTurnEnded()
    {
        _receivesWanted = Math.Clamp(2 * _receivedThisTurn, 1, ReceivesMax);
        _receivedThisTurn = 0;
        ReceiveMore();
    }

    /// <summary>A piece of each in turn, as long as there is room.</summary>
    private void SubmitWhatWaits()
    {
        while (_firstInLine is not null && _room > 0 && !IsHeld)
        {
            FuseSlot slot = TakeFromLine();
            if (slot.HasPiece)
            {
                SubmitPiece(slot);
            }
            if (slot.HasPiece)
            {
                Enqueue(slot);
            }
            else
            {
                EndIfWhole(slot);
            }
        }
    }

    private void SubmitPiece(FuseSlot slot)
    {
        (BufferSlice buffer, long start, long bytes) = slot.TakePiece(_pieceBytes, _file.BlockSize);
        _room--;
        _freePieceCount--;
        IoRequest piece = _freePieces[_freePieceCount];
        piece.Context = slot;
        Extent extent = slot.Operation == IoOperation.Flush
            ? default
            : new Extent(
                _file.BlockSize.BlockAt(new ByteOffset(start)),
                _file.BlockSize.WholeBlocks(new ByteCount(bytes)));
        piece.Prepare(this, slot.Operation, extent, buffer, slot.Flags);
        _device.Submit(piece);
    }

    private void EndIfWhole(FuseSlot slot)
    {
        if (slot.InFlight > 0 || slot.IsQueued)
        {
            return;
        }
        if (slot.IsAbandoned)
        {
            _abandonedSlots--;
            if (slot.IsAnswered)
            {
                Free(slot);
                ReceiveMore();
            }
            return;
        }
        _deadlines?.Remove(slot);
        Count(slot);
        Answer(slot);
    }

    private void Answer(FuseSlot slot)
    {
        if (IsOpen)
        {
            _channel!.Answer(slot.Index, slot.WriteReply(_file));
        }
        else
        {
            // Nobody waits for it any more.
            Free(slot);
        }
    }

    private void Free(FuseSlot slot)
    {
        slot.Next = _freeSlot;
        _freeSlot = slot;
        _freeSlotCount++;
    }

    private void Count(FuseSlot slot)
    {
        Counters.Answered();
        if (slot.Error != FuseErrors.None)
        {
            Counters.AnsweredWithError();
        }
        else if (slot.Request.Action == FuseAction.Read)
        {
            Counters.Read(slot.Request.Length);
        }
        else if (slot.Request.Action == FuseAction.Write)
        {
            Counters.Wrote(slot.Request.Length);
        }
    }

    private void CloseIfDone()
    {
        if (!_isStopping)
        {
            return;
        }
        if (_channel is not { IsOpen: true })
        {
            TellWhenClosed();
        }
        else if (_freeSlotCount + _receiving + _abandonedSlots == _slots.Length)
        {
            Abort();
        }
    }

    private void TellWhenClosed()
    {
        if (_isStopping && _whenClosed is not null && PiecesAtDevice == 0)
        {
            ILoopMessage message = _whenClosed;
            _whenClosed = null;
            if (!Loop.Post(message))
            {
                // The loop's queue is full or it ends: the news must not be lost.
                message.Run();
            }
        }
    }

    /// <summary>A request that no device sees: it is delivered when all that a turn brought is in.</summary>
    private sealed class TurnEnd(FuseServer server) : IIoOwner
    {
        private readonly IoRequest _request = new();

        public void Ask()
        {
            _request.Prepare(this, IoOperation.None, default, default);
            _request.MarkSubmitted();
            _request.SetResult(IoStatus.Ok, 0, Duration.Zero);
            server.Loop.DeliverLater(_request);
        }

        public void OnCompleted(IoRequest request) => server.OnTurnEnded();
    }
}
