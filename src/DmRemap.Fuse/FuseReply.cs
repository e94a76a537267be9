using System;
using System.Buffers.Binary;

namespace DmRemap.Fuse;

/// <summary>Writes replies: a header, and what belongs to it.</summary>
public static class FuseReply
{
    private const int AttributesBytes = 104;
    private const int OpenedBytes = 16;
    private const int FileSystemBytes = 80;
    private const int WrittenBytes = 8;

    /// <summary>A regular file that its owner may read and write.</summary>
    private const uint FileMode = 0x8180; // S_IFREG | 0600

    /// <summary>What the kernel knows of the file stays true while it is served.</summary>
    private const ulong AttributesValidSeconds = 365UL * 24 * 60 * 60;

    /// <summary>Only the header of a reply that carries so much data, which follows it in memory.</summary>
    public static void WriteDataHeader(Span<byte> into, ulong unique, int dataBytes) =>
        WriteHeader(into, unique, FuseErrors.None, FuseProtocol.ReplyHeaderBytes + dataBytes);

    public static int WriteError(Span<byte> into, ulong unique, int error)
    {
        WriteHeader(into, unique, error, FuseProtocol.ReplyHeaderBytes);
        return FuseProtocol.ReplyHeaderBytes;
    }

    /// <summary>Returns the length of the reply, at most FuseProtocol.ReplyBytesMax.</summary>
    public static int Write(Span<byte> into, in FuseRequest request, FuseFile file)
    {
        if (request.Error != FuseErrors.None)
        {
            return WriteError(into, request.Unique, request.Error);
        }
        Span<byte> body = into[FuseProtocol.ReplyHeaderBytes..];
        int bytes = request.Reply switch
        {
            FuseReplyKind.Attributes => WriteAttributes(body, file),
            FuseReplyKind.Opened => WriteOpened(body),
            FuseReplyKind.FileSystem => WriteFileSystem(body, file),
            FuseReplyKind.Written => WriteWritten(body, (uint)request.Length),
            _ => 0,
        };
        WriteHeader(into, request.Unique, FuseErrors.None, FuseProtocol.ReplyHeaderBytes + bytes);
        return FuseProtocol.ReplyHeaderBytes + bytes;
    }

    private static void WriteHeader(Span<byte> into, ulong unique, int error, int length)
    {
        BinaryPrimitives.WriteUInt32LittleEndian(into, (uint)length);
        BinaryPrimitives.WriteInt32LittleEndian(into[4..], -error);
        BinaryPrimitives.WriteUInt64LittleEndian(into[8..], unique);
    }

    /// <summary>struct fuse_attr_out: how long it is true, then struct fuse_attr.</summary>
    private static int WriteAttributes(Span<byte> into, FuseFile file)
    {
        into[..AttributesBytes].Clear();
        BinaryPrimitives.WriteUInt64LittleEndian(into, AttributesValidSeconds);
        Span<byte> attributes = into[16..];
        BinaryPrimitives.WriteUInt64LittleEndian(attributes, FuseProtocol.RootNode);
        BinaryPrimitives.WriteUInt64LittleEndian(attributes[8..], (ulong)file.Bytes);
        BinaryPrimitives.WriteUInt64LittleEndian(attributes[16..], (ulong)(file.Bytes / 512));
        for (int time = 24; time < 48; time += 8)
        {
            BinaryPrimitives.WriteUInt64LittleEndian(attributes[time..], (ulong)file.UnixSeconds);
        }
        BinaryPrimitives.WriteUInt32LittleEndian(attributes[60..], FileMode);
        BinaryPrimitives.WriteUInt32LittleEndian(attributes[64..], 1);
        BinaryPrimitives.WriteUInt32LittleEndian(attributes[68..], file.UserId);
        BinaryPrimitives.WriteUInt32LittleEndian(attributes[72..], file.GroupId);
        BinaryPrimitives.WriteUInt32LittleEndian(attributes[80..], FuseProtocol.PageBytes);
        return AttributesBytes;
    }

    /// <summary>struct fuse_open_out.</summary>
    private static int WriteOpened(Span<byte> into)
    {
        into[..OpenedBytes].Clear();
        BinaryPrimitives.WriteUInt32LittleEndian(
            into[8..], (uint)(FuseOpenFlags.DirectIo | FuseOpenFlags.ParallelDirectWrites));
        return OpenedBytes;
    }

    /// <summary>struct fuse_kstatfs: a file system that is full of its one file.</summary>
    private static int WriteFileSystem(Span<byte> into, FuseFile file)
    {
        into[..FileSystemBytes].Clear();
        BinaryPrimitives.WriteUInt64LittleEndian(into, (ulong)(file.Bytes / FuseProtocol.PageBytes));
        BinaryPrimitives.WriteUInt64LittleEndian(into[24..], 1);
        BinaryPrimitives.WriteUInt32LittleEndian(into[40..], FuseProtocol.PageBytes);
        BinaryPrimitives.WriteUInt32LittleEndian(into[44..], 255);
        BinaryPrimitives.WriteUInt32LittleEndian(into[48..], FuseProtocol.PageBytes);
        return FileSystemBytes;
    }

    /// <summary>struct fuse_write_out.</summary>
    private static int WriteWritten(Span<byte> into, uint bytes)
    {
        BinaryPrimitives.WriteUInt32LittleEndian(into, bytes);
        BinaryPrimitives.WriteUInt32LittleEndian(into[4..], 0);
        return WrittenBytes;
    }
}
