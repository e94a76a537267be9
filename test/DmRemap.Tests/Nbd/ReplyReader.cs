using System;
using System.Buffers.Binary;
using System.Collections.Generic;
using System.Text;
using Xunit;

namespace DmRemap.Tests.Nbd;

/// <summary>One message of a server, taken apart by the protocol's text and not by the code tested.</summary>
/// <param name="IsSimple">Not a chunk.</param>
/// <param name="IsDone">No more follows for this cookie.</param>
/// <param name="Type">Of a chunk; 0 also for a simple reply.</param>
/// <param name="Cookie">The request's.</param>
/// <param name="Error">0, or the error's number.</param>
/// <param name="Offset">Where in the export: of data, and of errors that say so.</param>
/// <param name="Data">Data, or the payload of BLOCK_STATUS.</param>
/// <param name="Text">Of an error, for people.</param>
internal sealed record ReadReply(
    bool IsSimple, bool IsDone, int Type, ulong Cookie, uint Error, ulong Offset, byte[] Data, string Text)
{
    public const int OffsetData = 1;
    public const int OffsetHole = 2;
    public const int Status = 5;
    public const int StatusExtended = 6;
    public const int ErrorWhole = 0x8001;
    public const int ErrorOffset = 0x8002;
}

/// <summary>Reads what a server says to a client that has agreed on chunks.</summary>
internal static class ReplyReader
{
    /// <summary>Everything, or as much of it as is whole.</summary>
    public static List<ReadReply> ReadAll(ReadOnlySpan<byte> output, bool isExtended)
    {
        List<ReadReply> replies = [];
        while (!output.IsEmpty)
        {
            uint magic = BinaryPrimitives.ReadUInt32BigEndian(output);
            if (magic == 0x67446698)
            {
                Assert.False(isExtended, "a simple reply in spite of extended headers");
                uint error = BinaryPrimitives.ReadUInt32BigEndian(output[4..]);
                ulong cookie = BinaryPrimitives.ReadUInt64BigEndian(output[8..]);
                replies.Add(new ReadReply(true, true, 0, cookie, error, 0, [], ""));
                output = output[16..];
                continue;
            }
            Assert.Equal(isExtended ? 0x6e8a278cu : 0x668e33efu, magic);
            int header = isExtended ? 32 : 20;
            int length = isExtended
                ? (int)BinaryPrimitives.ReadUInt64BigEndian(output[24..])
                : (int)BinaryPrimitives.ReadUInt32BigEndian(output[16..]);
            replies.Add(ReadChunk(output, output.Slice(header, length)));
            output = output[(header + length)..];
        }
        return replies;
    }

    /// <summary>The chunks of each cookie: exactly the last is done.</summary>
    public static Dictionary<ulong, List<ReadReply>> ByCookie(
        ReadOnlySpan<byte> output, bool isExtended = false)
    {
        Dictionary<ulong, List<ReadReply>> all = [];
        foreach (ReadReply reply in ReadAll(output, isExtended))
        {
            if (!all.TryGetValue(reply.Cookie, out List<ReadReply>? before))
            {
                before = all[reply.Cookie] = [];
            }
            else
            {
                Assert.False(before[^1].IsDone, $"more for {reply.Cookie:x} after its end");
            }
            before.Add(reply);
        }
        foreach ((ulong cookie, List<ReadReply> chunks) in all)
        {
            Assert.True(chunks[^1].IsDone, $"{cookie:x} has no end");
        }
        return all;
    }

    private static ReadReply ReadChunk(ReadOnlySpan<byte> header, ReadOnlySpan<byte> payload)
    {
        int flags = BinaryPrimitives.ReadUInt16BigEndian(header[4..]);
        int type = BinaryPrimitives.ReadUInt16BigEndian(header[6..]);
        ulong cookie = BinaryPrimitives.ReadUInt64BigEndian(header[8..]);
        Assert.True(flags is 0 or 1, $"flags {flags:x}");
        ReadReply reply = new(false, flags == 1, type, cookie, 0, 0, [], "");
        switch (type)
        {
            case 0:
                Assert.True(payload.IsEmpty && flags == 1, "NONE has no payload and is the last");
                return reply;
            case ReadReply.OffsetData:
                Assert.True(payload.Length >= 9, "a chunk of data without data");
                return reply with
                {
                    Offset = BinaryPrimitives.ReadUInt64BigEndian(payload),
                    Data = payload[8..].ToArray(),
                };
            case ReadReply.Status:
            case ReadReply.StatusExtended:
                return reply with { Data = payload.ToArray() };
            case ReadReply.ErrorWhole:
            case ReadReply.ErrorOffset:
                int text = BinaryPrimitives.ReadUInt16BigEndian(payload[4..]);
                bool hasOffset = type == ReadReply.ErrorOffset;
                Assert.Equal(6 + text + (hasOffset ? 8 : 0), payload.Length);
                Assert.InRange(text, 1, 4096);
                return reply with
                {
                    Error = BinaryPrimitives.ReadUInt32BigEndian(payload),
                    Text = new UTF8Encoding(false, true).GetString(payload.Slice(6, text)),
                    Offset = hasOffset ? BinaryPrimitives.ReadUInt64BigEndian(payload[(6 + text)..]) : 0,
                };
            default:
                Assert.Fail($"chunk of type {type}");
                return reply;
        }
    }
}
