using System;
using System.Buffers.Binary;
using DmRemap.Fuse;

namespace DmRemap.Tests.Fuse;

/// <summary>Messages as the kernel writes them, by hand from include/uapi/linux/fuse.h.</summary>
internal static class FuseMessages
{
    /// <summary>FUSE_ASYNC_READ, BIG_WRITES, ASYNC_DIO, MAX_PAGES, INIT_EXT.</summary>
    public const uint AllFlags = 1 | (1 << 5) | (1 << 15) | (1 << 22) | (1 << 30);

    /// <summary>fuse_in_header, then the body.</summary>
    public static byte[] Message(FuseOpcode opcode, ulong unique, byte[] body, ulong node = 1)
    {
        byte[] message = new byte[40 + body.Length];
        BinaryPrimitives.WriteUInt32LittleEndian(message, (uint)message.Length);
        BinaryPrimitives.WriteUInt32LittleEndian(message.AsSpan(4), (uint)opcode);
        BinaryPrimitives.WriteUInt64LittleEndian(message.AsSpan(8), unique);
        BinaryPrimitives.WriteUInt64LittleEndian(message.AsSpan(16), node);
        body.CopyTo(message, 40);
        return message;
    }

    public static byte[] Init(
        ulong unique, uint major = 7, uint minor = 45, uint flags = AllFlags, int bodyBytes = 64)
    {
        byte[] body = new byte[Math.Max(bodyBytes, 16)];
        BinaryPrimitives.WriteUInt32LittleEndian(body, major);
        BinaryPrimitives.WriteUInt32LittleEndian(body.AsSpan(4), minor);
        BinaryPrimitives.WriteUInt32LittleEndian(body.AsSpan(8), 131_072);
        BinaryPrimitives.WriteUInt32LittleEndian(body.AsSpan(12), flags);
        return Message(FuseOpcode.Init, unique, body[..bodyBytes], node: 0);
    }

    public static byte[] Read(ulong unique, ulong offset, uint length)
    {
        byte[] body = new byte[40];
        BinaryPrimitives.WriteUInt64LittleEndian(body.AsSpan(8), offset);
        BinaryPrimitives.WriteUInt32LittleEndian(body.AsSpan(16), length);
        return Message(FuseOpcode.Read, unique, body);
    }

    public static byte[] Write(ulong unique, ulong offset, byte[] data, uint openFlags = 2)
    {
        byte[] body = new byte[40 + data.Length];
        BinaryPrimitives.WriteUInt64LittleEndian(body.AsSpan(8), offset);
        BinaryPrimitives.WriteUInt32LittleEndian(body.AsSpan(16), (uint)data.Length);
        BinaryPrimitives.WriteUInt32LittleEndian(body.AsSpan(32), openFlags);
        data.CopyTo(body, 40);
        return Message(FuseOpcode.Write, unique, body);
    }

    public static byte[] Fsync(ulong unique) => Message(FuseOpcode.Fsync, unique, new byte[16]);

    public static byte[] Fallocate(ulong unique, uint mode, ulong offset, ulong length)
    {
        byte[] body = new byte[32];
        BinaryPrimitives.WriteUInt64LittleEndian(body.AsSpan(8), offset);
        BinaryPrimitives.WriteUInt64LittleEndian(body.AsSpan(16), length);
        BinaryPrimitives.WriteUInt32LittleEndian(body.AsSpan(24), mode);
        return Message(FuseOpcode.Fallocate, unique, body);
    }

    public static byte[] SetAttributes(ulong unique, uint valid, ulong size)
    {
        byte[] body = new byte[88];
        BinaryPrimitives.WriteUInt32LittleEndian(body, valid);
        BinaryPrimitives.WriteUInt64LittleEndian(body.AsSpan(16), size);
        return Message(FuseOpcode.SetAttributes, unique, body);
    }

    /// <summary>A reply's length, error (positive) and unique.</summary>
    public static (int Bytes, int Error, ulong Unique) Header(ReadOnlySpan<byte> reply) => (
        (int)BinaryPrimitives.ReadUInt32LittleEndian(reply),
        -BinaryPrimitives.ReadInt32LittleEndian(reply[4..]),
        BinaryPrimitives.ReadUInt64LittleEndian(reply[8..]));
}
