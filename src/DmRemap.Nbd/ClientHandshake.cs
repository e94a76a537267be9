using System;
using System.Buffers.Binary;
using System.Globalization;
using System.Numerics;
using System.Text;
using DmRemap.Core.Abstractions;

namespace DmRemap.Nbd;

public enum ClientHandshakePhase : byte
{
    /// <summary>Before Start.</summary>
    None = 0,

    /// <summary>The server speaks first.</summary>
    Greeting = 1,

    /// <summary>GO is sent; its replies come.</summary>
    GoReplies = 2,

    /// <summary>EXPORT_NAME is sent, to a server that does not know GO; its answer has no header.</summary>
    ByName = 3,

    /// <summary>Requests may be sent.</summary>
    Transmission = 4,

    /// <summary>It is over, for a reason; the connection is of no use.</summary>
    Failed = 5,
}

/// <summary>Why a handshake failed, as far as somebody decides on it.</summary>
public enum ClientHandshakeFailure : byte
{
    None = 0,

    /// <summary>What came is no NBD, or breaks its rules.</summary>
    Protocol = 1,

    /// <summary>The server has no such export.</summary>
    NoSuchExport = 2,

    /// <summary>The server does not want this client, or not without TLS.</summary>
    Refused = 3,
}

/// <summary>
/// The client's side of the fixed newstyle handshake: GO with the block sizes asked for, or EXPORT_NAME where
/// GO is not known. Bytes in, bytes out. The server is not trusted: every magic, length and size is checked,
/// nothing longer than the protocol allows is waited for, and whatever is wrong ends in
/// <see cref="ClientHandshakePhase.Failed"/>.
/// </summary>
public sealed class ClientHandshake
{
    /// <summary>The most that one Step must see at once.</summary>
    public const int InputBytesMax = ReplyHeaderBytes + ReplyDataBytesMax;

    /// <summary>The most that one Step writes.</summary>
    public const int OutputBytesMax = sizeof(uint) + OptionHeaderBytes + GoFixedBytes
        + NbdExport.StringBytesMax;

    /// <summary>Replies to one option; more are an attempt to keep us here.</summary>
    private const int RepliesMax = 64;

    private const int GreetingBytes = 18;
    private const int OptionHeaderBytes = 16;
    private const int GoFixedBytes = 8;
    private const int ReplyHeaderBytes = 20;
    private const int ReplyDataBytesMax = 8192;
    private const int ByNameBytes = 10;
    private const int ReservedZeroes = 124;
    private const int TextMax = 160;
    private const uint ErrorBit = 0x8000_0000;

    private readonly byte[] _name;
    private bool _hasNoZeroes;
    private bool _hasExport;
    private bool _hasBlockSizes;
    private int _replies;
    private long _sizeBytes;
    private NbdTransmissionFlags _flags;
    private int _minimum;
    private int _preferred;
    private long _payloadMax;

    public ClientHandshake(string exportName)
    {
        _name = Encoding.UTF8.GetBytes(exportName);
        Invariant.Check(_name.Length <= NbdExport.StringBytesMax);
    }

    public ClientHandshakePhase Phase { get; private set; }

    public ClientHandshakeFailure Failure { get; private set; }

    /// <summary>In the phase Failed: for a sentence, "the server …".</summary>
    public string Problem { get; private set; } = string.Empty;

    /// <summary>In the phase Transmission.</summary>
    public ClientExport? Export { get; private set; }

    /// <summary>Begin anew, on a new connection.</summary>
    public void Start()
    {
        Phase = ClientHandshakePhase.Greeting;
        Failure = ClientHandshakeFailure.None;
        Problem = string.Empty;
        Export = null;
        _hasExport = false;
        _hasBlockSizes = false;
        _replies = 0;
    }

    /// <summary>
    /// Take one message. Returns the bytes consumed: 0 when more are needed, or when the handshake is over.
    /// <paramref name="output"/> has room for <see cref="OutputBytesMax"/>.
    /// </summary>
    public int Step(ReadOnlySpan<byte> input, Span<byte> output, out int written)
    {
        Invariant.Check(output.Length >= OutputBytesMax);
        OptionReplyWriter writer = new(output);
        int consumed = Phase switch
        {
            ClientHandshakePhase.Greeting => TakeGreeting(input, ref writer),
            ClientHandshakePhase.GoReplies => TakeReply(input, ref writer),
            ClientHandshakePhase.ByName => TakeByName(input),
            _ => 0,
        };
        written = writer.Written;
        return consumed;
    }

    private int TakeGreeting(ReadOnlySpan<byte> input, ref OptionReplyWriter writer)
    {
        if (input.Length < GreetingBytes)
        {
            return 0;
        }
        ulong second = BinaryPrimitives.ReadUInt64BigEndian(input[8..]);
        if (BinaryPrimitives.ReadUInt64BigEndian(input) != NbdMagic.Greeting || second != NbdMagic.Option)
        {
            Fail(
                ClientHandshakeFailure.Protocol,
                second == NbdMagic.OldStyle
                    ? "the server speaks the old form of NBD, which cannot be negotiated"
                    : "what answers there does not speak NBD");
            return GreetingBytes;
        }
        NbdHandshakeFlags flags = (NbdHandshakeFlags)BinaryPrimitives.ReadUInt16BigEndian(input[16..]);
        bool isFixed = (flags & NbdHandshakeFlags.FixedNewstyle) != 0;
        _hasNoZeroes = (flags & NbdHandshakeFlags.NoZeroes) != 0;
        // Flags that we do not know are not answered, so they bind nobody.
        writer.UInt32(
            (uint)((isFixed ? NbdClientFlags.FixedNewstyle : NbdClientFlags.None)
                | (_hasNoZeroes ? NbdClientFlags.NoZeroes : NbdClientFlags.None)));
        if (isFixed)
        {
            SendGo(ref writer);
        }
        else
        {
            SendExportName(ref writer);
        }
        return GreetingBytes;
    }

    private void SendGo(ref OptionReplyWriter writer)
    {
        Phase = ClientHandshakePhase.GoReplies;
        writer.UInt64(NbdMagic.Option);
        writer.UInt32((uint)NbdOption.Go);
        writer.UInt32((uint)(_name.Length + GoFixedBytes));
        writer.UInt32((uint)_name.Length);
        writer.Bytes(_name);
        // Whoever asks for the block sizes promises to keep to them.
        writer.UInt16(1);
        writer.UInt16((ushort)NbdInfo.BlockSize);
    }

    private void SendExportName(ref OptionReplyWriter writer)
    {
        Phase = ClientHandshakePhase.ByName;
        writer.UInt64(NbdMagic.Option);
        writer.UInt32((uint)NbdOption.ExportName);
        writer.UInt32((uint)_name.Length);
        writer.Bytes(_name);
    }

    private int TakeReply(ReadOnlySpan<byte> input, ref OptionReplyWriter writer)
    {
        if (input.Length < ReplyHeaderBytes)
        {
            return 0;
        }
        NbdOptionReply type = (NbdOptionReply)BinaryPrimitives.ReadUInt32BigEndian(input[12..]);
        uint length = BinaryPrimitives.ReadUInt32BigEndian(input[16..]);
        bool isBroken = BinaryPrimitives.ReadUInt64BigEndian(input) != NbdMagic.OptionReply
            || BinaryPrimitives.ReadUInt32BigEndian(input[8..]) != (uint)NbdOption.Go
            || length > ReplyDataBytesMax
            || _replies == RepliesMax;
        if (isBroken)
        {
            FailProtocol();
            return ReplyHeaderBytes;
        }
        int whole = ReplyHeaderBytes + (int)length;
        if (input.Length < whole)
        {
            return 0;
        }
        _replies++;
        ReadOnlySpan<byte> data = input[ReplyHeaderBytes..whole];
        if (type == NbdOptionReply.Info)
        {
            TakeInfo(data);
        }
        else if (type == NbdOptionReply.Ack)
        {
            FinishGo(data);
        }
        else if (type == NbdOptionReply.ErrorUnsupported)
        {
            SendExportName(ref writer);
        }
        else
        {
            TakeError(type, data);
        }
        return whole;
    }

    private void TakeInfo(ReadOnlySpan<byte> data)
    {
        if (data.Length < sizeof(ushort))
        {
            FailProtocol();
            return;
        }
        NbdInfo kind = (NbdInfo)BinaryPrimitives.ReadUInt16BigEndian(data);
        switch (kind)
        {
            case NbdInfo.Export when data.Length == 12:
                TakeExport(data[2..]);
                break;
            case NbdInfo.BlockSize when data.Length == 14:
                TakeBlockSizes(data[2..]);
                break;
            case NbdInfo.Export or NbdInfo.BlockSize:
                FailProtocol();
                break;
            case NbdInfo.Name:
            case NbdInfo.Description:
            default:
                // A server may say more than it was asked.
                break;
        }
    }

    /// <summary>Size (64 bits), flags (16 bits); in both forms of the answer.</summary>
    private void TakeExport(ReadOnlySpan<byte> data)
    {
        ulong size = BinaryPrimitives.ReadUInt64BigEndian(data);
        _flags = (NbdTransmissionFlags)BinaryPrimitives.ReadUInt16BigEndian(data[8..]);
        _hasExport = true;
        if (size == 0)
        {
            Fail(ClientHandshakeFailure.Refused, "the export has no bytes at all");
        }
        else if (size > long.MaxValue || (_flags & NbdTransmissionFlags.HasFlags) == 0)
        {
            FailProtocol();
        }
        _sizeBytes = unchecked((long)size);
    }

    private void TakeBlockSizes(ReadOnlySpan<byte> data)
    {
        uint minimum = BinaryPrimitives.ReadUInt32BigEndian(data);
        uint preferred = BinaryPrimitives.ReadUInt32BigEndian(data[4..]);
        uint maximum = BinaryPrimitives.ReadUInt32BigEndian(data[8..]);
        bool isSane = BitOperations.IsPow2(minimum)
            && minimum <= 65_536
            && BitOperations.IsPow2(preferred)
            && preferred >= minimum
            && preferred <= 1 << 30
            && maximum >= minimum
            && (maximum == uint.MaxValue || maximum % minimum == 0);
        if (!isSane)
        {
            Fail(
                ClientHandshakeFailure.Protocol,
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"the server names block sizes that cannot be ({minimum}, {preferred}, {maximum})"));
            return;
        }
        _minimum = (int)minimum;
        _preferred = (int)preferred;
        _payloadMax = maximum;
        _hasBlockSizes = true;
    }

    private void FinishGo(ReadOnlySpan<byte> data)
    {
        if (Phase == ClientHandshakePhase.Failed)
        {
            return;
        }
        if (!data.IsEmpty || !_hasExport)
        {
            FailProtocol();
            return;
        }
        Finish();
    }

    private int TakeByName(ReadOnlySpan<byte> input)
    {
        int whole = _hasNoZeroes ? ByNameBytes : ByNameBytes + ReservedZeroes;
        if (input.Length < whole)
        {
            return 0;
        }
        // No block sizes: an earlier GO that was not understood said nothing that counts.
        _hasBlockSizes = false;
        TakeExport(input);
        if (Phase != ClientHandshakePhase.Failed)
        {
            Finish();
        }
        return whole;
    }

    private void Finish()
    {
        ClientExport export = new() { SizeBytes = _sizeBytes, Flags = _flags };
        Export = _hasBlockSizes
            ? export with
            {
                MinimumBlockBytes = _minimum,
                PreferredBlockBytes = _preferred,
                PayloadBytesMax = _payloadMax,
            }
            : export;
        Phase = ClientHandshakePhase.Transmission;
    }

    private void TakeError(NbdOptionReply type, ReadOnlySpan<byte> text)
    {
        if (((uint)type & ErrorBit) == 0)
        {
            FailProtocol();
            return;
        }
        (ClientHandshakeFailure failure, string problem) = type switch
        {
            NbdOptionReply.ErrorUnknown => (
                ClientHandshakeFailure.NoSuchExport, "the server has no export of this name"),
            NbdOptionReply.ErrorTlsRequired => (
                ClientHandshakeFailure.Refused, "the server demands TLS, which is not supported"),
            NbdOptionReply.ErrorShutdown => (
                ClientHandshakeFailure.Refused, "the server is shutting down"),
            NbdOptionReply.ErrorPolicy => (
                ClientHandshakeFailure.Refused, "the server does not admit this client"),
            _ => (ClientHandshakeFailure.Refused,
                $"the server answered GO with error {(uint)type & ~ErrorBit}"),
        };
        string said = Printable(text);
        Fail(failure, said.Length == 0 ? problem : $"{problem} (\"{said}\")");
    }

    private void FailProtocol() =>
        Fail(ClientHandshakeFailure.Protocol, "what the server says breaks the rules of the protocol");

    private void Fail(ClientHandshakeFailure failure, string problem)
    {
        Phase = ClientHandshakePhase.Failed;
        Failure = failure;
        Problem = problem;
    }

    /// <summary>A server's words go to people's terminals.</summary>
    private static string Printable(ReadOnlySpan<byte> text)
    {
        char[] letters = new char[int.Min(text.Length, TextMax)];
        for (int i = 0; i < letters.Length; i++)
        {
            letters[i] = text[i] is >= (byte)' ' and <= (byte)'~' and not (byte)'"' ? (char)text[i] : '?';
        }
        return new string(letters);
    }
}
