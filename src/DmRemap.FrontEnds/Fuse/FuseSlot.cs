using System;
using DmRemap.Core.Abstractions;
using DmRemap.Fuse;

namespace DmRemap.FrontEnds.Fuse;

/// <summary>
/// One message of the kernel, from its receipt to its answer, and the memory it lies in:
/// <code>
///   page 0: ........ | header of the message |  data of a WRITE, page-aligned
///           ........ . ...... | reply header |  data of a READ
/// </code>
/// so that data goes to the disk, and back, from where it is. A READ that does not begin at a block has its
/// header in front of the byte that was asked for.
/// </summary>
internal sealed class FuseSlot(int index, BufferSlice memory) : AwaitedRead
{
    /// <summary>Where data begins.</summary>
    public const int DataStart = AlignedMemory.Alignment;

    /// <summary>With a block before and after the longest READ.</summary>
    public const int MemoryBytes =
        DataStart + FuseProtocol.TransferBytesMax + (2 * AlignedMemory.Alignment);

    private const int MessageStart = DataStart - FuseProtocol.WriteHeaderBytes;

    private FuseRequest _request;
    private long _end;

    public int Index { get; } = index;

    public BufferSlice Memory { get; } = memory;

    /// <summary>Of the free list, or of the line of those that have pieces left.</summary>
    public FuseSlot? Next { get; set; }

    public bool IsQueued { get; set; }

    public bool IsReceiving { get; set; }

    public ref readonly FuseRequest Request => ref _request;

    public int InFlight { get; private set; }

    /// <summary>The first error wins.</summary>
    public int Error { get; private set; }

    /// <summary>Where the next piece begins, in bytes of the device.</summary>
    public long Position { get; private set; }

    public BufferSlice Inbox => Memory.Slice(
        MessageStart, FuseProtocol.WriteHeaderBytes + FuseProtocol.TransferBytesMax);

    public bool HasPiece => Error == FuseErrors.None && (!IsStarted || Position < _end);

    public bool IsStarted { get; private set; }

    public IoOperation Operation => _request.Action switch
    {
        FuseAction.Read => IoOperation.Read,
        FuseAction.Write => IoOperation.Write,
        FuseAction.Flush => IoOperation.Flush,
        FuseAction.Zero => IoOperation.WriteZeroes,
        _ => IoOperation.None,
    };

    public IoFlags Flags
    {
        get
        {
            IoFlags flags = _request.IsForceUnitAccess ? IoFlags.ForceUnitAccess : IoFlags.None;
            return _request.KeepsAllocated ? flags | IoFlags.KeepAllocated : flags;
        }
    }

    public ReadOnlySpan<byte> Message(int bytes) => Memory.Span.Slice(MessageStart, bytes);

    public void Begin(in FuseRequest request, BlockSize blockSize)
    {
        _request = request;
        Error = FuseErrors.None;
        IsAbandoned = false;
        IsAnswered = false;
        IsStarted = false;
        long inBlock = blockSize.Bytes - 1;
        Position = request.Offset & ~inBlock;
        _end = (request.Offset + request.Length + inBlock) & ~inBlock;
    }

    /// <summary>The next piece: its memory, and where and how long it is in bytes of the device.</summary>
    public (BufferSlice Buffer, long Start, long Bytes) TakePiece(int pieceBytes, BlockSize blockSize)
    {
        Invariant.Check(HasPiece);
        InFlight++;
        IsStarted = true;
        long start = Position;
        if (Operation is not (IoOperation.Read or IoOperation.Write))
        {
            Position = _end;
            return (default, start, _end - start);
        }
        long first = _request.Offset & ~(long)(blockSize.Bytes - 1);
        int bytes = (int)Math.Min(pieceBytes, _end - start);
        Position += bytes;
        return (Memory.Slice(DataStart + (int)(start - first), bytes), start, bytes);
    }

    public void PieceCompleted(IoStatus status)
    {
        Invariant.Check(InFlight > 0);
        InFlight--;
        if (Error == FuseErrors.None)
        {
            Error = FuseErrors.From(status);
        }
    }

    public void Fail(int error) => Error = error;

    /// <summary>
    /// It was answered with an error, and its disk has not answered yet: the memory is the device's.
    /// </summary>
    public bool IsAbandoned { get; private set; }

    /// <summary>Of an abandoned one: the kernel has its answer.</summary>
    public bool IsAnswered { get; set; }

    public void Abandon()
    {
        Error = FuseErrors.InputOutput;
        IsAbandoned = true;
    }

    /// <summary>The whole reply, header and all.</summary>
    public BufferSlice WriteReply(FuseFile file)
    {
        // An error is written in front of everything that a device may still be filling.
        int dataStart = DataStart
            + (Error == FuseErrors.None ? (int)(_request.Offset & (file.BlockSize.Bytes - 1)) : 0);
        int start = dataStart - FuseProtocol.ReplyHeaderBytes;
        if (_request.Action == FuseAction.Read && Error == FuseErrors.None)
        {
            FuseReply.WriteDataHeader(Memory.Span[start..], _request.Unique, (int)_request.Length);
            return Memory.Slice(start, FuseProtocol.ReplyHeaderBytes + (int)_request.Length);
        }
        FuseRequest answered = Error == FuseErrors.None ? _request : _request with { Error = Error };
        int bytes = FuseReply.Write(Memory.Span[start..], answered, file);
        return Memory.Slice(start, bytes);
    }

    public FuseTerms WriteNegotiation(int messageBytes, out BufferSlice reply, out string problem)
    {
        // Behind the message, which is being read while the reply is written.
        const int Start = DataStart + AlignedMemory.Alignment;
        FuseTerms terms = FuseNegotiation.Answer(
            Message(messageBytes), Memory.Span[Start..], out int bytes, out problem);
        reply = Memory.Slice(Start, bytes);
        return terms;
    }
}
