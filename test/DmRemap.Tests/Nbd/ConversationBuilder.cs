using System;
using System.Buffers.Binary;
using System.Collections.Generic;
using System.Text;
using DmRemap.Nbd;

namespace DmRemap.Tests.Nbd;

/// <summary>
/// Writes what a client says, and byte by byte what a server should say, independently of the code tested.
/// </summary>
internal sealed class ConversationBuilder
{
    private readonly List<byte> _bytes = [];

    public byte[] ToArray() => [.. _bytes];

    public ConversationBuilder Bytes(ReadOnlySpan<byte> bytes)
    {
        _bytes.AddRange(bytes);
        return this;
    }

    public ConversationBuilder Text(string text) => Bytes(Encoding.UTF8.GetBytes(text));

    public ConversationBuilder Zeroes(int count) => Bytes(new byte[count]);

    public ConversationBuilder UInt16(int value)
    {
        Span<byte> bytes = stackalloc byte[2];
        BinaryPrimitives.WriteUInt16BigEndian(bytes, (ushort)value);
        return Bytes(bytes);
    }

    public ConversationBuilder UInt32(uint value)
    {
        Span<byte> bytes = stackalloc byte[4];
        BinaryPrimitives.WriteUInt32BigEndian(bytes, value);
        return Bytes(bytes);
    }

    public ConversationBuilder UInt64(ulong value)
    {
        Span<byte> bytes = stackalloc byte[8];
        BinaryPrimitives.WriteUInt64BigEndian(bytes, value);
        return Bytes(bytes);
    }

    public ConversationBuilder ClientFlags(uint flags = 3) => UInt32(flags);

    public ConversationBuilder Option(uint option, byte[]? data = null) =>
        UInt64(0x49484156454F5054).UInt32(option).UInt32((uint)(data?.Length ?? 0)).Bytes(data);

    /// <summary>INFO (6) or GO (7).</summary>
    public ConversationBuilder Go(string name = "", uint option = 7, params int[] infos)
    {
        ConversationBuilder data = new ConversationBuilder()
            .UInt32((uint)Encoding.UTF8.GetByteCount(name)).Text(name).UInt16(infos.Length);
        foreach (int info in infos)
        {
            data.UInt16(info);
        }
        return Option(option, data.ToArray());
    }

    public ConversationBuilder Request(
        NbdCommand command, ulong cookie, ulong offset, uint length, int flags = 0, byte[]? payload = null) =>
        UInt32(0x25609513).UInt16(flags).UInt16((int)command).UInt64(cookie).UInt64(offset).UInt32(
            length).Bytes(payload);

    /// <summary>A request of extended headers; its payload's length is the header's.</summary>
    public ConversationBuilder Extended(
        NbdCommand command, ulong cookie, ulong offset, ulong length, int flags = 0,
        byte[]? payload = null) =>
        UInt32(0x21e41c71).UInt16(flags).UInt16((int)command).UInt64(cookie).UInt64(offset).UInt64(
            length).Bytes(payload);

    public ConversationBuilder Write(ulong cookie, ulong offset, byte[] payload, int flags = 0) =>
        Request(NbdCommand.Write, cookie, offset, (uint)payload.Length, flags, payload);

    public ConversationBuilder Read(ulong cookie, ulong offset, uint length) =>
        Request(NbdCommand.Read, cookie, offset, length);

    public ConversationBuilder Disconnect() => Request(NbdCommand.Disconnect, 0, 0, 0);

    public ConversationBuilder Greeting() => UInt64(0x4e42444d41474943).UInt64(0x49484156454F5054).UInt16(3);

    public ConversationBuilder OptionReply(uint option, uint type, byte[]? data = null) =>
        UInt64(0x3e889045565a9).UInt32(option).UInt32(type).UInt32((uint)(data?.Length ?? 0)).Bytes(data);

    /// <summary>Of a structured reply.</summary>
    public ConversationBuilder Chunk(ulong cookie, int flags, int type, ConversationBuilder payload) =>
        UInt32(0x668e33ef).UInt16(flags).UInt16(type).UInt64(cookie).UInt32((uint)payload._bytes.Count)
            .Bytes(payload.ToArray());

    /// <summary>Of an extended reply to a request for this offset.</summary>
    public ConversationBuilder ExtendedChunk(
        ulong cookie, ulong offset, int flags, int type, ConversationBuilder payload) =>
        UInt32(0x6e8a278c).UInt16(flags).UInt16(type).UInt64(cookie).UInt64(offset)
            .UInt64((ulong)payload._bytes.Count).Bytes(payload.ToArray());

    /// <summary>LIST_META_CONTEXT (9) or SET_META_CONTEXT (10).</summary>
    public ConversationBuilder Contexts(uint option, string export, params string[] queries)
    {
        ConversationBuilder data = new ConversationBuilder()
            .UInt32((uint)export.Length).Text(export).UInt32((uint)queries.Length);
        foreach (string query in queries)
        {
            data.UInt32((uint)query.Length).Text(query);
        }
        return Option(option, data.ToArray());
    }

    public ConversationBuilder Reply(ulong cookie, uint error = 0, byte[]? data = null) =>
        UInt32(0x67446698).UInt32(error).UInt64(cookie).Bytes(data);
}
