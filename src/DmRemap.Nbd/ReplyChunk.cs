using System;
using System.Buffers.Binary;
using System.Globalization;
using DmRemap.Core.Abstractions;

namespace DmRemap.Nbd;

/// <summary>
/// Writes the chunks of replies, structured or extended, into a span that is known to be long enough. Each
/// returns the bytes written; the data of a READ is not among them.
/// </summary>
public readonly struct ReplyChunk(NbdReplyStyle style, NbdCookie cookie, ulong requestOffset)
{
    /// <summary>The most that any of these but Status writes.</summary>
    public const int BytesMax = ExtendedHeaderBytes + ErrorBytes + TextBytesMax + sizeof(ulong);

    private const int StructuredHeaderBytes = 20;
    private const int ExtendedHeaderBytes = 32;
    private const int ErrorBytes = 6;
    private const int TextBytesMax = NbdReasons.TextBytesMax + 80;

    private int HeaderBytes =>
        style == NbdReplyStyle.Extended ? ExtendedHeaderBytes : StructuredHeaderBytes;

    /// <summary>The most that Status writes for so many runs.</summary>
    public static int StatusBytesMax(int runs) => ExtendedHeaderBytes + 8 + (runs * 16);

    /// <summary>The end of a reply that has no more to say.</summary>
    public int None(Span<byte> into) => Header(into, NbdReplyFlags.Done, NbdReplyType.None, 0);

    /// <summary>Before so many bytes of data, which come from this offset of the export.</summary>
    public int Data(Span<byte> into, NbdReplyFlags flags, ulong offset, uint bytes)
    {
        int at = Header(into, flags, NbdReplyType.OffsetData, sizeof(ulong) + bytes);
        BinaryPrimitives.WriteUInt64BigEndian(into[at..], offset);
        return at + sizeof(ulong);
    }

    /// <summary>The request failed as a whole: the reply's only chunk.</summary>
    public int Error(Span<byte> into, NbdError error, NbdReason reason)
    {
        ReadOnlySpan<byte> text = NbdReasons.TextOf(reason);
        int at = Header(into, NbdReplyFlags.Done, NbdReplyType.Error, (uint)(ErrorBytes + text.Length));
        return at + ErrorAndText(into[at..], error, text);
    }

    /// <summary>These bytes of the export failed; nothing was or will be sent for them.</summary>
    public int ErrorAt(Span<byte> into, NbdError error, NbdReason reason, ulong offset, ulong bytes)
    {
        Span<byte> text = stackalloc byte[TextBytesMax];
        int length = Append(text, 0, bytes);
        length = Append(text, length, " bytes at offset "u8);
        length = Append(text, length, offset);
        length = Append(text, length, ": "u8);
        length = Append(text, length, NbdReasons.TextOf(reason));
        text = text[..length];
        uint payload = (uint)(ErrorBytes + text.Length + sizeof(ulong));
        int at = Header(into, NbdReplyFlags.None, NbdReplyType.ErrorOffset, payload);
        at += ErrorAndText(into[at..], error, text);
        BinaryPrimitives.WriteUInt64BigEndian(into[at..], offset);
        return at + sizeof(ulong);
    }

    /// <summary>What one context says of consecutive blocks.</summary>
    public int Status(
        Span<byte> into,
        NbdReplyFlags flags,
        NbdContexts context,
        ReadOnlySpan<HealthRun> runs,
        int blockBytes)
    {
        Invariant.Check(!runs.IsEmpty);
        bool isExtended = style == NbdReplyStyle.Extended;
        NbdReplyType type = isExtended ? NbdReplyType.BlockStatusExtended : NbdReplyType.BlockStatus;
        int payload = isExtended ? 8 + (runs.Length * 16) : 4 + (runs.Length * 8);
        OptionReplyWriter writer = new(into[Header(into, flags, type, (uint)payload)..]);
        writer.UInt32(MetaContext.IdOf(context));
        if (isExtended)
        {
            writer.UInt32((uint)runs.Length);
        }
        foreach (HealthRun run in runs)
        {
            ulong bytes = (ulong)(run.Count.Value * blockBytes);
            if (isExtended)
            {
                writer.UInt64(bytes);
                writer.UInt64((ulong)run.Health);
            }
            else
            {
                writer.UInt32(checked((uint)bytes));
                writer.UInt32((uint)run.Health);
            }
        }
        Invariant.Check(writer.Written == payload);
        return HeaderBytes + payload;
    }

    private static int Append(Span<byte> text, int at, ReadOnlySpan<byte> more)
    {
        more.CopyTo(text[at..]);
        return at + more.Length;
    }

    private static int Append(Span<byte> text, int at, ulong number)
    {
        // Not by interpolation: that may box.
        bool fits = number.TryFormat(text[at..], out int digits, default, CultureInfo.InvariantCulture);
        Invariant.Check(fits);
        return at + digits;
    }

    private static int ErrorAndText(Span<byte> into, NbdError error, ReadOnlySpan<byte> text)
    {
        Invariant.Check(error != NbdError.None);
        BinaryPrimitives.WriteUInt32BigEndian(into, (uint)error);
        BinaryPrimitives.WriteUInt16BigEndian(into[4..], (ushort)text.Length);
        text.CopyTo(into[ErrorBytes..]);
        return ErrorBytes + text.Length;
    }

    private int Header(Span<byte> into, NbdReplyFlags flags, NbdReplyType type, uint payloadBytes)
    {
        bool isExtended = style == NbdReplyStyle.Extended;
        uint magic = isExtended ? NbdMagic.ExtendedReply : NbdMagic.StructuredReply;
        BinaryPrimitives.WriteUInt32BigEndian(into, magic);
        BinaryPrimitives.WriteUInt16BigEndian(into[4..], (ushort)flags);
        BinaryPrimitives.WriteUInt16BigEndian(into[6..], (ushort)type);
        BinaryPrimitives.WriteUInt64BigEndian(into[8..], cookie.Value);
        if (isExtended)
        {
            BinaryPrimitives.WriteUInt64BigEndian(into[16..], requestOffset);
            BinaryPrimitives.WriteUInt64BigEndian(into[24..], payloadBytes);
        }
        else
        {
            BinaryPrimitives.WriteUInt32BigEndian(into[16..], payloadBytes);
        }
        return HeaderBytes;
    }
}
