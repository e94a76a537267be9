using System;
using System.Buffers.Binary;

namespace DmRemap.Fuse;

/// <summary>
/// Reads the kernel's messages and judges them against the file. Every length is checked before what it
/// covers is looked at: a message that lies about itself gets an error.
/// </summary>
public sealed class FuseParser(FuseFile file)
{
    private const int SyncFlag = 0x101000; // O_SYNC; O_DSYNC is one bit of it.
    private const int DataSyncFlag = 0x1000;

    private readonly FuseFile _file = file;

    public FuseRequest Parse(ReadOnlySpan<byte> message)
    {
        if (message.Length < FuseProtocol.RequestHeaderBytes)
        {
            // Whom to answer is not known.
            return default;
        }
        FuseOpcode opcode = (FuseOpcode)BinaryPrimitives.ReadUInt32LittleEndian(message[4..]);
        ulong unique = BinaryPrimitives.ReadUInt64LittleEndian(message[8..]);
        ulong node = BinaryPrimitives.ReadUInt64LittleEndian(message[16..]);
        switch (opcode)
        {
            case FuseOpcode.Forget:
            case FuseOpcode.BatchForget:
                // The root is never forgotten. Neither has a reply.
                return default;
            case FuseOpcode.Interrupt:
                // It may be answered with nothing: what it is about ends by itself.
                return default;
            case FuseOpcode.Init:
                return new FuseRequest(FuseAction.Negotiate, opcode, unique);
            case FuseOpcode.Destroy:
                return new FuseRequest(FuseAction.Answer, opcode, unique);
            default:
                break;
        }
        if (BinaryPrimitives.ReadUInt32LittleEndian(message) != message.Length)
        {
            return Refused(opcode, unique, FuseErrors.Protocol);
        }
        return node == FuseProtocol.RootNode
            ? ParseOfFile(opcode, unique, message[FuseProtocol.RequestHeaderBytes..])
            : Refused(opcode, unique, FuseErrors.Stale);
    }

    private static FuseRequest Refused(FuseOpcode opcode, ulong unique, int error) =>
        new(FuseAction.Answer, opcode, unique, error);

    private static FuseRequest Answered(FuseOpcode opcode, ulong unique, FuseReplyKind reply) =>
        new(FuseAction.Answer, opcode, unique, FuseErrors.None, reply);

    private FuseRequest ParseOfFile(FuseOpcode opcode, ulong unique, ReadOnlySpan<byte> body)
    {
        switch (opcode)
        {
            case FuseOpcode.Read:
                return ParseRead(unique, body);
            case FuseOpcode.Write:
                return ParseWrite(unique, body);
            case FuseOpcode.Fsync:
                return body.Length < FuseProtocol.FsyncBytes
                    ? Refused(opcode, unique, FuseErrors.Protocol)
                    : new FuseRequest(FuseAction.Flush, opcode, unique);
            case FuseOpcode.Fallocate:
                return ParseFallocate(unique, body);
            case FuseOpcode.GetAttributes:
                return Answered(opcode, unique, FuseReplyKind.Attributes);
            case FuseOpcode.SetAttributes:
                return ParseSetAttributes(unique, body);
            case FuseOpcode.Open:
                return Answered(opcode, unique, FuseReplyKind.Opened);
            case FuseOpcode.StatFileSystem:
                return Answered(opcode, unique, FuseReplyKind.FileSystem);
            case FuseOpcode.Release:
            case FuseOpcode.Flush:
                // FLUSH is sent by close(2), which promises nothing of what is durable.
                return Answered(opcode, unique, FuseReplyKind.Nothing);
            case FuseOpcode.Lookup:
            case FuseOpcode.Create:
            case FuseOpcode.OpenDirectory:
            case FuseOpcode.ReadDirectory:
            case FuseOpcode.ReadDirectoryPlus:
            case FuseOpcode.ReleaseDirectory:
            case FuseOpcode.FsyncDirectory:
                return Refused(opcode, unique, FuseErrors.NotDirectory);
            default:
                // Attributes beside the file, seeking for holes, locks and the like: the kernel goes on
                // without, and asks no more.
                return Refused(opcode, unique, FuseErrors.NoSuchOperation);
        }
    }

    private FuseRequest ParseRead(ulong unique, ReadOnlySpan<byte> body)
    {
        if (body.Length < FuseProtocol.ReadBytes)
        {
            return Refused(FuseOpcode.Read, unique, FuseErrors.Protocol);
        }
        ulong offset = BinaryPrimitives.ReadUInt64LittleEndian(body[8..]);
        uint length = BinaryPrimitives.ReadUInt32LittleEndian(body[16..]);
        if (length > FuseProtocol.TransferBytesMax)
        {
            return Refused(FuseOpcode.Read, unique, FuseErrors.Invalid);
        }
        if (offset >= (ulong)_file.Bytes || length == 0)
        {
            // The end of the file is where there is nothing, and that is what is read there.
            return Answered(FuseOpcode.Read, unique, FuseReplyKind.Nothing);
        }
        long inside = Math.Min(length, _file.Bytes - (long)offset);
        return new FuseRequest(FuseAction.Read, FuseOpcode.Read, unique)
        {
            Offset = (long)offset,
            Length = inside,
        };
    }

    private FuseRequest ParseWrite(ulong unique, ReadOnlySpan<byte> body)
    {
        if (body.Length < FuseProtocol.WriteBytes)
        {
            return Refused(FuseOpcode.Write, unique, FuseErrors.Protocol);
        }
        ulong offset = BinaryPrimitives.ReadUInt64LittleEndian(body[8..]);
        uint length = BinaryPrimitives.ReadUInt32LittleEndian(body[16..]);
        uint openFlags = BinaryPrimitives.ReadUInt32LittleEndian(body[32..]);
        if (length != body.Length - FuseProtocol.WriteBytes || length > FuseProtocol.TransferBytesMax)
        {
            return Refused(FuseOpcode.Write, unique, FuseErrors.Protocol);
        }
        int error = Judge(offset, length);
        if (error != FuseErrors.None)
        {
            return Refused(FuseOpcode.Write, unique, error);
        }
        return new FuseRequest(
            length == 0 ? FuseAction.Answer : FuseAction.Write, FuseOpcode.Write, unique)
        {
            Reply = FuseReplyKind.Written,
            Offset = (long)offset,
            Length = length,
            IsForceUnitAccess = (openFlags & (DataSyncFlag | SyncFlag)) != 0,
        };
    }

    /// <summary>PUNCH_HOLE and ZERO_RANGE both mean: it reads as zeros afterwards (F-11).</summary>
    private FuseRequest ParseFallocate(ulong unique, ReadOnlySpan<byte> body)
    {
        if (body.Length < FuseProtocol.FallocateBytes)
        {
            return Refused(FuseOpcode.Fallocate, unique, FuseErrors.Protocol);
        }
        ulong offset = BinaryPrimitives.ReadUInt64LittleEndian(body[8..]);
        ulong length = BinaryPrimitives.ReadUInt64LittleEndian(body[16..]);
        FallocateMode mode = (FallocateMode)BinaryPrimitives.ReadUInt32LittleEndian(body[24..]);
        FallocateMode what = mode & ~FallocateMode.KeepSize;
        if (what is not (FallocateMode.None or FallocateMode.PunchHole or FallocateMode.ZeroRange)
            || mode == FallocateMode.PunchHole)
        {
            // Not "no such operation": the kernel would keep all of them from us from then on.
            return Refused(FuseOpcode.Fallocate, unique, FuseErrors.Invalid);
        }
        if ((mode & FallocateMode.KeepSize) != 0 && what != FallocateMode.None)
        {
            length = Clip(offset, length);
        }
        int error = Judge(offset, length);
        if (error != FuseErrors.None)
        {
            return Refused(FuseOpcode.Fallocate, unique, error);
        }
        if (what == FallocateMode.None || length == 0)
        {
            // All of the device is there already.
            return Answered(FuseOpcode.Fallocate, unique, FuseReplyKind.Nothing);
        }
        return new FuseRequest(FuseAction.Zero, FuseOpcode.Fallocate, unique)
        {
            Offset = (long)offset,
            Length = (long)length,
            KeepsAllocated = what == FallocateMode.ZeroRange,
        };
    }

    /// <summary>Only what changes nothing: time stamps, and the size that it has.</summary>
    private FuseRequest ParseSetAttributes(ulong unique, ReadOnlySpan<byte> body)
    {
        if (body.Length < FuseProtocol.SetAttributesBytes)
        {
            return Refused(FuseOpcode.SetAttributes, unique, FuseErrors.Protocol);
        }
        FuseAttributeChanges changes =
            (FuseAttributeChanges)BinaryPrimitives.ReadUInt32LittleEndian(body);
        ulong size = BinaryPrimitives.ReadUInt64LittleEndian(body[16..]);
        const FuseAttributeChanges Never =
            FuseAttributeChanges.Mode | FuseAttributeChanges.UserId | FuseAttributeChanges.GroupId;
        bool isResized = (changes & FuseAttributeChanges.Size) != 0 && size != (ulong)_file.Bytes;
        return isResized || (changes & Never) != 0
            ? Refused(FuseOpcode.SetAttributes, unique, FuseErrors.NotPermitted)
            : Answered(FuseOpcode.SetAttributes, unique, FuseReplyKind.Attributes);
    }

    /// <summary>How much of it lies before the end of the file.</summary>
    private ulong Clip(ulong offset, ulong length)
    {
        ulong end = (ulong)_file.Bytes;
        return offset >= end ? 0 : Math.Min(length, end - offset);
    }

    /// <summary>Of what changes the content: all of it inside, in whole blocks, and allowed.</summary>
    private int Judge(ulong offset, ulong length)
    {
        if (_file.IsReadOnly)
        {
            return FuseErrors.ReadOnly;
        }
        ulong end = (ulong)_file.Bytes;
        if (length > 0 && (offset > end || length > end - offset))
        {
            return FuseErrors.NoSpace;
        }
        ulong inBlock = (ulong)(_file.BlockSize.Bytes - 1);
        return length > 0 && ((offset | length) & inBlock) != 0 ? FuseErrors.Invalid : FuseErrors.None;
    }
}
