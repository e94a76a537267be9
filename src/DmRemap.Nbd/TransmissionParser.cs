using System;
using System.Buffers.Binary;
using DmRemap.Core.Abstractions;

namespace DmRemap.Nbd;

/// <summary>Reads requests and judges them against the export and what the client has negotiated.</summary>
public sealed class TransmissionParser(NbdExport export)
{
    public const int HeaderBytes = 28;

    /// <summary>With extended headers.</summary>
    public const int ExtendedHeaderBytes = 32;

    /// <summary>The most that one request must show of itself before it can be judged.</summary>
    public const int InputBytesMax = ExtendedHeaderBytes + StatusPayloadBytesMax;

    private const int StatusPayloadBytesMin = sizeof(ulong) + sizeof(uint);
    private const int StatusPayloadBytesMax = sizeof(ulong) + (ContextsMax * sizeof(uint));
    private const int ContextsMax = 2;

    private readonly NbdExport _export = export;

    /// <summary>Of the client that is served now.</summary>
    public NbdTerms Terms { get; set; }

    /// <summary>
    /// Judge the next request. Its verdict is None when more bytes are needed; else so many were taken, and
    /// its payload, if any, follows.
    /// </summary>
    public NbdRequest Parse(ReadOnlySpan<byte> input, out int taken)
    {
        taken = Terms.RequestHeaderBytes;
        if (input.Length < taken)
        {
            taken = 0;
            return default;
        }
        NbdRequest request = Parse(input);
        if (HasStatusPayload(in request))
        {
            int whole = taken + (int)request.PayloadBytes;
            if (input.Length < whole)
            {
                taken = 0;
                return default;
            }
            ReadOnlySpan<byte> payload = input[taken..whole];
            taken = whole;
            return WithStatusPayload(request with { PayloadBytes = 0 }, payload);
        }
        return request;
    }

    /// <summary>Judge a header.</summary>
    public NbdRequest Parse(ReadOnlySpan<byte> header)
    {
        bool isExtended = Terms.Style == NbdReplyStyle.Extended;
        Invariant.Check(header.Length >= Terms.RequestHeaderBytes);
        NbdRequest request = new(
            NbdVerdict.Execute,
            NbdError.None,
            (NbdCommand)BinaryPrimitives.ReadUInt16BigEndian(header[6..]),
            (NbdCommandFlags)BinaryPrimitives.ReadUInt16BigEndian(header[4..]),
            new NbdCookie(BinaryPrimitives.ReadUInt64BigEndian(header[8..])),
            BinaryPrimitives.ReadUInt64BigEndian(header[16..]),
            isExtended ? BinaryPrimitives.ReadUInt64BigEndian(header[24..])
                : BinaryPrimitives.ReadUInt32BigEndian(header[24..]));
        uint magic = isExtended ? NbdMagic.ExtendedRequest : NbdMagic.Request;
        if (BinaryPrimitives.ReadUInt32BigEndian(header) != magic)
        {
            return request with { Verdict = NbdVerdict.Drop };
        }
        if (request.Command == NbdCommand.Disconnect)
        {
            return request with { Verdict = NbdVerdict.Disconnect };
        }
        bool hasPayload = isExtended
            ? (request.Flags & NbdCommandFlags.PayloadLength) != 0
            : request.Command == NbdCommand.Write;
        if (hasPayload && request.Length > NbdExport.PayloadBytesMax)
        {
            // Nothing obliges us to read gigabytes past, and without that the next header cannot be found.
            return request with { Verdict = NbdVerdict.Drop };
        }
        request = request with
        {
            PayloadBytes = hasPayload ? (uint)request.Length : 0,
            Contexts = request.Command == NbdCommand.BlockStatus ? Terms.Contexts : NbdContexts.None,
        };
        NbdReason reason = Check(in request);
        return reason == NbdReason.None ? request : request.Refused(ErrorOf(reason, request.Command), reason);
    }

    private NbdError ErrorOf(NbdReason reason, NbdCommand command) => reason switch
    {
        NbdReason.ReadOnly => NbdError.NotPermitted,
        NbdReason.NotFast => NbdError.NotSupported,
        NbdReason.BeyondEnd when command is NbdCommand.Write or NbdCommand.WriteZeroes => NbdError.NoSpace,
        NbdReason.TooLong when command == NbdCommand.Cache => NbdError.Overflow,
        NbdReason.TooLong when Terms.Style != NbdReplyStyle.Simple => NbdError.Overflow,
        _ => NbdError.Invalid,
    };

    private NbdReason Check(in NbdRequest request)
    {
        if ((request.Flags & ~AllowedFlags(request.Command)) != 0)
        {
            return NbdReason.UnknownFlag;
        }
        bool isExtended = Terms.Style == NbdReplyStyle.Extended;
        if (isExtended && request.Command == NbdCommand.Write && request.PayloadBytes == 0)
        {
            return NbdReason.BadPayload;
        }
        switch (request.Command)
        {
            case NbdCommand.Read:
            case NbdCommand.Cache:
                bool isTooLong = request.Length > NbdExport.PayloadBytesMax;
                return isTooLong ? NbdReason.TooLong : CheckPlace(request.Offset, request.Length);
            case NbdCommand.Write:
                return CheckChange(in request, true);
            case NbdCommand.Trim:
                return CheckChange(in request, _export.CanTrim);
            case NbdCommand.WriteZeroes:
                return CheckChange(in request, _export.CanWriteZeroes);
            case NbdCommand.Flush:
                return request.Offset == 0 && request.Length == 0 ? NbdReason.None : NbdReason.NotEmpty;
            case NbdCommand.BlockStatus:
                return CheckStatus(in request);
            case NbdCommand.Resize:
                return NbdReason.NotOffered;
            case NbdCommand.Disconnect:
            default:
                return NbdReason.UnknownCommand;
        }
    }

    /// <summary>A flag that was not offered is as good as unknown.</summary>
    private NbdCommandFlags AllowedFlags(NbdCommand command)
    {
        bool hasChunks = Terms.Style != NbdReplyStyle.Simple;
        bool isExtended = Terms.Style == NbdReplyStyle.Extended;
        NbdCommandFlags allowed = NbdCommandFlags.ForceUnitAccess;
        switch (command)
        {
            case NbdCommand.Read:
                allowed |= hasChunks ? NbdCommandFlags.DontFragment : 0;
                break;
            case NbdCommand.Write:
                allowed |= isExtended ? NbdCommandFlags.PayloadLength : 0;
                break;
            case NbdCommand.WriteZeroes:
                allowed |= NbdCommandFlags.NoHole;
                allowed |= _export.CanZeroFast ? NbdCommandFlags.FastZero : 0;
                break;
            case NbdCommand.BlockStatus:
                allowed |= NbdCommandFlags.RequestOne;
                allowed |= isExtended ? NbdCommandFlags.PayloadLength : 0;
                break;
            default:
                break;
        }
        return allowed;
    }

    private NbdReason CheckChange(in NbdRequest request, bool isOffered)
    {
        if (_export.IsReadOnly)
        {
            return NbdReason.ReadOnly;
        }
        return isOffered ? CheckPlace(request.Offset, request.Length) : NbdReason.NotOffered;
    }

    private NbdReason CheckStatus(in NbdRequest request)
    {
        if (!Terms.CanAskStatus)
        {
            return NbdReason.NoContext;
        }
        if (request.PayloadBytes > 0)
        {
            // Its place is in the payload.
            bool isWhole = request.PayloadBytes is >= StatusPayloadBytesMin and <= StatusPayloadBytesMax
                && request.PayloadBytes % sizeof(uint) == 0;
            return isWhole ? NbdReason.None : NbdReason.BadPayload;
        }
        return request.Length == 0 ? NbdReason.NoLength : CheckPlace(request.Offset, request.Length);
    }

    private static bool HasStatusPayload(in NbdRequest request) =>
        request.Command == NbdCommand.BlockStatus
        && request.Verdict == NbdVerdict.Execute
        && request.PayloadBytes > 0;

    /// <summary>A length and ids of contexts: negotiated ones, each once.</summary>
    private NbdRequest WithStatusPayload(in NbdRequest request, ReadOnlySpan<byte> payload)
    {
        NbdRequest asked = request with
        {
            Length = BinaryPrimitives.ReadUInt64BigEndian(payload),
            Contexts = NbdContexts.None,
        };
        for (ReadOnlySpan<byte> ids = payload[sizeof(ulong)..]; !ids.IsEmpty; ids = ids[sizeof(uint)..])
        {
            NbdContexts one = MetaContext.FromId(BinaryPrimitives.ReadUInt32BigEndian(ids));
            if ((one & Terms.Contexts & ~asked.Contexts) == 0)
            {
                return asked.Refused(NbdError.Invalid, NbdReason.BadPayload);
            }
            asked = asked with { Contexts = asked.Contexts | one };
        }
        NbdReason reason = asked.Length == 0 ? NbdReason.NoLength : CheckPlace(asked.Offset, asked.Length);
        return reason == NbdReason.None ? asked : asked.Refused(NbdError.Invalid, reason);
    }

    private NbdReason CheckPlace(ulong offset, ulong length)
    {
        ulong size = (ulong)_export.SizeBytes;
        // In this order, so that no sum can wrap.
        if (offset > size || length > size - offset)
        {
            return NbdReason.BeyondEnd;
        }
        bool isAligned = _export.BlockSize.IsAligned((long)offset)
            && _export.BlockSize.IsAligned((long)length);
        return isAligned ? NbdReason.None : NbdReason.Unaligned;
    }
}
