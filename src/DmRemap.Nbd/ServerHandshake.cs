using System;
using System.Buffers.Binary;
using DmRemap.Core.Abstractions;

namespace DmRemap.Nbd;

public enum HandshakePhase : byte
{
    /// <summary>Before Start.</summary>
    None = 0,

    /// <summary>The greeting is sent; the client's flags are awaited.</summary>
    ClientFlags = 1,

    /// <summary>Options come, each with its replies.</summary>
    Options = 2,

    /// <summary>An option's data is read past; its reply follows.</summary>
    Draining = 3,

    /// <summary>The handshake is over: requests follow.</summary>
    Transmission = 4,

    /// <summary>Send what was written, then close: the client said ABORT, or broke the protocol.</summary>
    Ended = 5,

    /// <summary>
    /// Send what was written; then everything is TLS, and ContinueInsideTls goes on. What the client has sent
    /// beyond its STARTTLS was never protected: it must not be taken for what comes inside.
    /// </summary>
    StartingTls = 6,
}

/// <summary>Whether a connection can, or must, be protected by TLS.</summary>
public enum NbdTlsMode : byte
{
    Off = 0,
    Allow = 1,
    Require = 2,
}

/// <summary>
/// The server's side of the fixed newstyle handshake. Bytes in, bytes out: the same bytes give
/// the same answers, however they are cut. No length is believed before it is checked, and data that is of no
/// use is read past, never stored.
/// </summary>
public sealed partial class ServerHandshake(NbdExport export, NbdTlsMode tls = NbdTlsMode.Off)
{
    /// <summary>The most that one Step or Start writes.</summary>
    public const int OutputBytesMax = 2048;

    /// <summary>The most that one Step must see at once: an option whose data is looked at.</summary>
    public const int InputBytesMax = OptionHeaderBytes + OptionDataBytesMax;

    /// <summary>An option with more data than this is a denial of service: the connection ends.</summary>
    public const int OptionDrainBytesMax = 1024 * 1024;

    /// <summary>More options than this on one connection: likewise.</summary>
    public const int OptionsMax = 1024;

    private const int OptionHeaderBytes = 16;
    private const int OptionDataBytesMax = 8192;
    private const int ReservedZeroes = 124;

    private const NbdClientFlags KnownClientFlags = NbdClientFlags.FixedNewstyle | NbdClientFlags.NoZeroes;

    private readonly NbdExport _export = export;
    private readonly NbdTlsMode _tls = tls;
    private NbdTlsMode _mode;
    private bool _isInsideTls;
    private NbdClientFlags _clientFlags;
    private NbdOption _option;
    private int _drainLeft;
    private bool _isTooBig;
    private bool _hadData;
    private int _options;

    public HandshakePhase Phase { get; private set; }

    /// <summary>What the client has negotiated so far.</summary>
    public NbdTerms Terms { get; private set; }

    /// <summary>Begin anew: writes the greeting. Returns the bytes written.</summary>
    public int Start(Span<byte> output)
    {
        Phase = HandshakePhase.ClientFlags;
        _clientFlags = NbdClientFlags.None;
        _options = 0;
        _isInsideTls = false;
        _mode = _tls;
        Terms = default;
        OptionReplyWriter writer = new(output);
        writer.UInt64(NbdMagic.Greeting);
        writer.UInt64(NbdMagic.Option);
        writer.UInt16((ushort)(NbdHandshakeFlags.FixedNewstyle | NbdHandshakeFlags.NoZeroes));
        return writer.Written;
    }

    /// <summary>
    /// Take one message, or a part of one that can be read past. Returns the bytes consumed: 0 when more are
    /// needed, or when the handshake is over. <paramref name="output"/> has room for
    /// <see cref="OutputBytesMax"/>.
    /// </summary>
    public int Step(ReadOnlySpan<byte> input, Span<byte> output, out int written)
    {
        Invariant.Check(output.Length >= OutputBytesMax);
        OptionReplyWriter writer = new(output);
        int consumed = Phase switch
        {
            HandshakePhase.ClientFlags => TakeClientFlags(input),
            HandshakePhase.Options => TakeOption(input, ref writer),
            HandshakePhase.Draining => Drain(input, ref writer),
            _ => 0,
        };
        written = writer.Written;
        return consumed;
    }

    private int TakeClientFlags(ReadOnlySpan<byte> input)
    {
        if (input.Length < sizeof(uint))
        {
            return 0;
        }
        _clientFlags = (NbdClientFlags)BinaryPrimitives.ReadUInt32BigEndian(input);
        // A flag we do not know changes the protocol in a way we cannot follow.
        bool isKnown = (_clientFlags & ~KnownClientFlags) == 0;
        Phase = isKnown && ChooseTls() ? HandshakePhase.Options : HandshakePhase.Ended;
        return sizeof(uint);
    }

    private int TakeOption(ReadOnlySpan<byte> input, ref OptionReplyWriter writer)
    {
        if (input.Length < OptionHeaderBytes)
        {
            return 0;
        }
        _option = (NbdOption)BinaryPrimitives.ReadUInt32BigEndian(input[8..]);
        uint length = BinaryPrimitives.ReadUInt32BigEndian(input[12..]);
        bool isBroken = BinaryPrimitives.ReadUInt64BigEndian(input) != NbdMagic.Option
            || length > OptionDrainBytesMax
            || (length > OptionDataBytesMax && _option == NbdOption.ExportName)
            || (IsTlsMissing && _option == NbdOption.ExportName)
            || _options == OptionsMax;
        if (isBroken)
        {
            Phase = HandshakePhase.Ended;
            return OptionHeaderBytes;
        }
        if (_option == NbdOption.SetMetaContext)
        {
            // Whatever becomes of it, what was set before is replaced.
            Terms = Terms with { Contexts = NbdContexts.None };
        }
        bool isLookedAt = !IsTlsMissing && _option is NbdOption.ExportName or NbdOption.Info or NbdOption.Go
            or NbdOption.ListMetaContext or NbdOption.SetMetaContext;
        if (isLookedAt && length <= OptionDataBytesMax)
        {
            int whole = OptionHeaderBytes + (int)length;
            if (input.Length < whole)
            {
                return 0;
            }
            _options++;
            Answer(input[OptionHeaderBytes..whole], ref writer);
            return whole;
        }
        _options++;
        _isTooBig = isLookedAt;
        _hadData = length > 0;
        _drainLeft = (int)length;
        Phase = HandshakePhase.Draining;
        return OptionHeaderBytes + Drain(input[OptionHeaderBytes..], ref writer);
    }

    private int Drain(ReadOnlySpan<byte> input, ref OptionReplyWriter writer)
    {
        int passed = Math.Min(input.Length, _drainLeft);
        _drainLeft -= passed;
        if (_drainLeft == 0)
        {
            Phase = HandshakePhase.Options;
            AnswerDrained(ref writer);
        }
        return passed;
    }

    private void AnswerDrained(ref OptionReplyWriter writer)
    {
        if (_isTooBig)
        {
            writer.Final(_option, NbdOptionReply.ErrorTooBig, "the option is too long"u8);
            return;
        }
        if (IsTlsMissing && _option is not (NbdOption.StartTls or NbdOption.Abort))
        {
            writer.Final(_option, NbdOptionReply.ErrorTlsRequired, "the server requires TLS"u8);
            return;
        }
        switch (_option)
        {
            case NbdOption.Abort:
                // Data sent along is ignored, as the protocol asks.
                writer.Final(_option, NbdOptionReply.Ack, default);
                Phase = HandshakePhase.Ended;
                break;
            case NbdOption.List when _hadData:
                writer.Final(_option, NbdOptionReply.ErrorInvalid, "LIST takes no data"u8);
                break;
            case NbdOption.List:
                List(ref writer);
                break;
            case NbdOption.StructuredReply:
            case NbdOption.ExtendedHeaders:
                ChooseStyle(ref writer);
                break;
            case NbdOption.StartTls:
                StartTls(ref writer);
                break;
            default:
                writer.Final(_option, NbdOptionReply.ErrorUnsupported, "the option is not supported"u8);
                break;
        }
    }

    private readonly ref struct InfoRequest(ReadOnlySpan<byte> name, bool wantsName, bool wantsDescription)
    {
        public readonly ReadOnlySpan<byte> Name = name;
        public readonly bool WantsName = wantsName;
        public readonly bool WantsDescription = wantsDescription;
    }

    private void Answer(ReadOnlySpan<byte> data, ref OptionReplyWriter writer)
    {
        if (_option == NbdOption.ExportName)
        {
            EnterByName(data, ref writer);
        }
        else if (_option is NbdOption.ListMetaContext or NbdOption.SetMetaContext)
        {
            AnswerContexts(data, ref writer);
        }
        else if (!TryParse(data, out InfoRequest request))
        {
            writer.Final(_option, NbdOptionReply.ErrorInvalid, "the option is malformed"u8);
        }
        else if (!_export.IsCalled(request.Name))
        {
            writer.Final(_option, NbdOptionReply.ErrorUnknown, "there is no export of this name"u8);
        }
        else
        {
            Describe(in request, ref writer);
            if (_option == NbdOption.Go)
            {
                Phase = HandshakePhase.Transmission;
            }
        }
    }

    /// <summary>EXPORT_NAME has no error reply: a name that is not served ends the connection.</summary>
    private void EnterByName(ReadOnlySpan<byte> name, ref OptionReplyWriter writer)
    {
        if (!_export.IsCalled(name) || Terms.Style == NbdReplyStyle.Extended)
        {
            // With extended headers only GO may follow.
            Phase = HandshakePhase.Ended;
            return;
        }
        writer.UInt64((ulong)_export.SizeBytes);
        writer.UInt16((ushort)_export.FlagsFor(Terms));
        if ((_clientFlags & NbdClientFlags.NoZeroes) == 0)
        {
            writer.Zeroes(ReservedZeroes);
        }
        Phase = HandshakePhase.Transmission;
    }

    /// <summary>
    /// Shape: name length (32 bits), name, count (16 bits), that many kinds of information (16 bits each).
    /// </summary>
    private static bool TryParse(ReadOnlySpan<byte> data, out InfoRequest request)
    {
        request = default;
        if (data.Length < sizeof(uint) + sizeof(ushort))
        {
            return false;
        }
        uint nameBytes = BinaryPrimitives.ReadUInt32BigEndian(data);
        if (nameBytes > NbdExport.StringBytesMax || nameBytes > data.Length - sizeof(uint) - sizeof(ushort))
        {
            return false;
        }
        ReadOnlySpan<byte> name = data.Slice(sizeof(uint), (int)nameBytes);
        ReadOnlySpan<byte> kinds = data[(sizeof(uint) + (int)nameBytes)..];
        int count = BinaryPrimitives.ReadUInt16BigEndian(kinds);
        kinds = kinds[sizeof(ushort)..];
        if (kinds.Length != count * sizeof(ushort))
        {
            return false;
        }
        bool wantsName = false;
        bool wantsDescription = false;
        for (; !kinds.IsEmpty; kinds = kinds[sizeof(ushort)..])
        {
            NbdInfo kind = (NbdInfo)BinaryPrimitives.ReadUInt16BigEndian(kinds);
            wantsName |= kind == NbdInfo.Name;
            wantsDescription |= kind == NbdInfo.Description;
        }
        request = new InfoRequest(name, wantsName, wantsDescription);
        return true;
    }

    /// <summary>
    /// The block sizes are sent asked or not: our minimum is not the protocol's default. Who did not ask need
    /// not honour them; requests that do not fit are answered EINVAL.
    /// </summary>
    private void Describe(in InfoRequest request, ref OptionReplyWriter writer)
    {
        writer.Reply(_option, NbdOptionReply.Info, 12);
        writer.UInt16((ushort)NbdInfo.Export);
        writer.UInt64((ulong)_export.SizeBytes);
        writer.UInt16((ushort)_export.FlagsFor(Terms));
        writer.Reply(_option, NbdOptionReply.Info, 14);
        writer.UInt16((ushort)NbdInfo.BlockSize);
        writer.UInt32((uint)_export.BlockSize.Bytes);
        writer.UInt32(NbdExport.PreferredBlockBytes);
        writer.UInt32(NbdExport.PayloadBytesMax);
        if (request.WantsName)
        {
            writer.Reply(_option, NbdOptionReply.Info, sizeof(ushort) + _export.Name.Length);
            writer.UInt16((ushort)NbdInfo.Name);
            writer.Bytes(_export.Name);
        }
        if (request.WantsDescription)
        {
            writer.Reply(_option, NbdOptionReply.Info, sizeof(ushort) + _export.Description.Length);
            writer.UInt16((ushort)NbdInfo.Description);
            writer.Bytes(_export.Description);
        }
        writer.Final(_option, NbdOptionReply.Ack, default);
    }

    private void List(ref OptionReplyWriter writer)
    {
        writer.Reply(_option, NbdOptionReply.Server, sizeof(uint) + _export.Name.Length
            + _export.Description.Length);
        writer.UInt32((uint)_export.Name.Length);
        writer.Bytes(_export.Name);
        writer.Bytes(_export.Description);
        writer.Final(_option, NbdOptionReply.Ack, default);
    }
}
