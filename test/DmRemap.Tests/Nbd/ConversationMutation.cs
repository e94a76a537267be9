using System;
using System.Buffers.Binary;
using System.Collections.Generic;
using DmRemap.Nbd;

namespace DmRemap.Tests.Nbd;

/// <summary>
/// Makes conversations that no client would have: of others, with some of their bytes changed, or of nothing,
/// with lengths and names that lie. Two bytes in front say how the server is set up and the bytes are cut.
/// </summary>
internal sealed class ConversationMutation(Random random)
{
    public const int SetupBytes = 2;

    private const int BytesMax = 24 * 1024;

    private static readonly ulong[] s_tempting =
    [
        0, 1, 2, 3, 4, 7, 8, 12, 16, 255, 256, 511, 512, 513, 4095, 4096, 4097, 8192, 8193, 65_535, 65_536,
        1 << 20, (1 << 20) + 1, 32 << 20, (32 << 20) + 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff,
        0x1_0000_0000, 0x7fff_ffff_ffff_ffff, 0x8000_0000_0000_0000, ulong.MaxValue, ulong.MaxValue - 511,
        NbdCorpus.ExportBytes, NbdCorpus.ExportBytes - 512, NbdCorpus.ExportBytes + 512,
    ];

    private readonly Random _random = random;

    public byte[] Make(IReadOnlyList<byte[]> corpus)
    {
        byte[] made = _random.Next(4) == 0 ? Generate() : Change(corpus);
        return made.Length <= BytesMax ? made : made[..BytesMax];
    }

    /// <summary>With the two bytes in front.</summary>
    public static byte[] WithSetup(byte[] conversation, byte mode, byte cut) => [mode, cut, .. conversation];

    private byte[] Change(IReadOnlyList<byte[]> corpus)
    {
        byte[] made = (byte[])corpus[_random.Next(corpus.Count)].Clone();
        for (int changes = _random.Next(1, 5); changes > 0; changes--)
        {
            made = ChangeOnce(made, corpus);
        }
        return made;
    }

    private byte[] ChangeOnce(byte[] made, IReadOnlyList<byte[]> corpus)
    {
        int place = _random.Next(made.Length);
        int end = Math.Min(made.Length, place + _random.Next(1, 64));
        switch (_random.Next(8))
        {
            case 0:
                made[place] ^= (byte)(1 << _random.Next(8));
                return made;
            case 1:
                made[place] = (byte)_random.Next(256);
                return made;
            case 2:
            case 3:
                WriteTempting(made.AsSpan(place));
                return made;
            case 4:
                return [.. made[..end], .. made[place..]];
            case 5:
                return [.. made[..place], .. made[end..], 0];
            case 6:
                byte[] other = corpus[_random.Next(corpus.Count)];
                return [.. made[..place], .. other[_random.Next(other.Length)..]];
            default:
                return [.. made, .. Request(_random.Next(3) == 0)];
        }
    }

    private void WriteTempting(Span<byte> place)
    {
        ulong value = s_tempting[_random.Next(s_tempting.Length)];
        Span<byte> bytes = stackalloc byte[8];
        BinaryPrimitives.WriteUInt64BigEndian(bytes, value);
        int width = Math.Min(place.Length, 1 << _random.Next(4));
        bytes[(8 - width)..].CopyTo(place);
    }

    private byte[] Generate()
    {
        ConversationBuilder made = new();
        made.Bytes([(byte)_random.Next(3), (byte)_random.Next(256)]);
        made.ClientFlags(_random.Next(8) == 0 ? (uint)_random.Next(8) : 3u);
        for (int options = _random.Next(6); options > 0; options--)
        {
            AddOption(made);
        }
        made.Go(_random.Next(8) == 0 ? "nope" : "", 7, 3);
        bool isExtended = _random.Next(3) == 0;
        for (int requests = _random.Next(8); requests > 0; requests--)
        {
            made.Bytes(Request(isExtended));
        }
        return made.ToArray();
    }

    private void AddOption(ConversationBuilder made)
    {
        uint option = (uint)_random.Next(13);
        switch (option)
        {
            case 6 or 7 when _random.Next(2) == 0:
                made.Go(_random.Next(2) == 0 ? "disk" : "", 6, _random.Next(5));
                break;
            case 9 or 10 when _random.Next(4) > 0:
                made.Contexts(option, "", "base:", "base:allocation", "x-dmremap:state"[.._random.Next(16)]);
                break;
            case 5 or 8 or 11 when _random.Next(4) > 0:
                made.Option(option);
                break;
            default:
                byte[] data = new byte[_random.Next(3) == 0 ? _random.Next(9000) : _random.Next(40)];
                _random.NextBytes(data);
                made.Option(option, data);
                break;
        }
    }

    private byte[] Request(bool isExtended)
    {
        ushort command = (ushort)_random.Next(10);
        ushort flags = (ushort)(_random.Next(3) == 0 ? _random.Next(64) : 0);
        ulong offset = _random.Next(3) == 0 ? Tempting() : (ulong)_random.Next(2048) * 512;
        ulong length = _random.Next(3) == 0 ? Tempting() : (ulong)_random.Next(64) * 512;
        bool hasPayload = isExtended ? (flags & 32) != 0 : command == (ushort)NbdCommand.Write;
        ConversationBuilder made = new();
        made.UInt32(isExtended ? 0x21e41c71u : 0x25609513u).UInt16(flags).UInt16(command)
            .UInt64((ulong)_random.NextInt64()).UInt64(offset);
        _ = isExtended ? made.UInt64(length) : made.UInt32(unchecked((uint)length));
        if (hasPayload)
        {
            made.Bytes(new byte[Math.Min(length, 16_384)]);
        }
        return made.ToArray();
    }

    private ulong Tempting() => s_tempting[_random.Next(s_tempting.Length)];
}
