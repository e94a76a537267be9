using System;
using System.Buffers.Binary;
using DmRemap.Core.Abstractions;

namespace DmRemap.Nbd;

/// <summary>
/// Appends what the server says during the handshake to a span that is known to be long enough.
/// </summary>
internal ref struct OptionReplyWriter(Span<byte> output)
{
    private const int HeaderBytes = 20;

    private readonly Span<byte> _output = output;

    public int Written { get; private set; }

    public void UInt16(ushort value)
    {
        BinaryPrimitives.WriteUInt16BigEndian(_output[Written..], value);
        Written += sizeof(ushort);
    }

    public void UInt32(uint value)
    {
        BinaryPrimitives.WriteUInt32BigEndian(_output[Written..], value);
        Written += sizeof(uint);
    }

    public void UInt64(ulong value)
    {
        BinaryPrimitives.WriteUInt64BigEndian(_output[Written..], value);
        Written += sizeof(ulong);
    }

    public void Bytes(ReadOnlySpan<byte> bytes)
    {
        bytes.CopyTo(_output[Written..]);
        Written += bytes.Length;
    }

    public void Zeroes(int count)
    {
        _output.Slice(Written, count).Clear();
        Written += count;
    }

    /// <summary>The header of a reply; exactly <paramref name="dataBytes"/> bytes must follow.</summary>
    public void Reply(NbdOption option, NbdOptionReply type, int dataBytes)
    {
        Invariant.Check(dataBytes <= _output.Length - Written - HeaderBytes);
        UInt64(NbdMagic.OptionReply);
        UInt32((uint)option);
        UInt32((uint)type);
        UInt32((uint)dataBytes);
    }

    /// <summary>A final reply; the text of an error is shown to people by most clients.</summary>
    public void Final(NbdOption option, NbdOptionReply type, ReadOnlySpan<byte> text)
    {
        Reply(option, type, text.Length);
        Bytes(text);
    }
}
