using System;
using System.Buffers.Binary;
using DmRemap.Core.Abstractions;

namespace DmRemap.Fuse;

/// <summary>How an INIT ended.</summary>
public enum FuseTerms : byte
{
    None = 0,

    /// <summary>Agreed: requests may come.</summary>
    Agreed = 1,

    /// <summary>The kernel speaks a newer major version and asks again in ours.</summary>
    AskedAgain = 2,

    /// <summary>What keeps errors from getting lost cannot be had: nothing is served.</summary>
    Refused = 3,
}

/// <summary>
/// INIT: what both sides can do. Without asynchronous direct I/O a loop device above reports success for
/// writes that failed (F-10), so there is nothing to agree on then.
/// </summary>
public static class FuseNegotiation
{
    public const int ReplyBytes = FuseProtocol.ReplyHeaderBytes + AgreedBytes;

    /// <summary>struct fuse_init_in before it had more than 32 flags.</summary>
    private const int AskedBytesMin = 16;

    private const int AgreedBytes = 64;

    private const FuseFeatures Needed =
        FuseFeatures.AsyncDirectIo | FuseFeatures.BigWrites | FuseFeatures.MaxPages;

    private const FuseFeatures Wanted = Needed | FuseFeatures.AsyncRead;

    /// <summary>`message` is an INIT with its header; the reply has `replyBytes`.</summary>
    public static FuseTerms Answer(
        ReadOnlySpan<byte> message, Span<byte> reply, out int replyBytes, out string problem)
    {
        Invariant.Check(message.Length >= FuseProtocol.RequestHeaderBytes);
        Invariant.Check(reply.Length >= ReplyBytes);
        ulong unique = BinaryPrimitives.ReadUInt64LittleEndian(message[8..]);
        ReadOnlySpan<byte> asked = message[FuseProtocol.RequestHeaderBytes..];
        problem = Judge(message, asked, out uint minor);
        if (problem.Length > 0)
        {
            replyBytes = FuseReply.WriteError(reply, unique, FuseErrors.Protocol);
            return FuseTerms.Refused;
        }
        replyBytes = ReplyBytes;
        FuseReply.WriteDataHeader(reply, unique, AgreedBytes);
        Span<byte> agreed = reply[FuseProtocol.ReplyHeaderBytes..ReplyBytes];
        agreed.Clear();
        BinaryPrimitives.WriteUInt32LittleEndian(agreed, FuseProtocol.Major);
        BinaryPrimitives.WriteUInt32LittleEndian(agreed[4..], minor);
        if (BinaryPrimitives.ReadUInt32LittleEndian(asked) > FuseProtocol.Major)
        {
            return FuseTerms.AskedAgain;
        }
        BinaryPrimitives.WriteUInt32LittleEndian(agreed[8..], FuseProtocol.TransferBytesMax);
        BinaryPrimitives.WriteUInt32LittleEndian(agreed[12..], (uint)Wanted);
        BinaryPrimitives.WriteUInt16LittleEndian(agreed[16..], FuseProtocol.BackgroundMax);
        BinaryPrimitives.WriteUInt16LittleEndian(agreed[18..], FuseProtocol.BackgroundMax);
        BinaryPrimitives.WriteUInt32LittleEndian(agreed[20..], FuseProtocol.TransferBytesMax);
        BinaryPrimitives.WriteUInt32LittleEndian(agreed[24..], 1);
        BinaryPrimitives.WriteUInt16LittleEndian(
            agreed[28..], FuseProtocol.TransferBytesMax / FuseProtocol.PageBytes);
        return FuseTerms.Agreed;
    }

    private static string Judge(ReadOnlySpan<byte> message, ReadOnlySpan<byte> asked, out uint minor)
    {
        minor = FuseProtocol.Minor;
        if (asked.Length < AskedBytesMin
            || BinaryPrimitives.ReadUInt32LittleEndian(message) != message.Length)
        {
            return "the kernel's first message is malformed";
        }
        uint major = BinaryPrimitives.ReadUInt32LittleEndian(asked);
        uint askedMinor = BinaryPrimitives.ReadUInt32LittleEndian(asked[4..]);
        if (major > FuseProtocol.Major)
        {
            return "";
        }
        if (major < FuseProtocol.Major || askedMinor < FuseProtocol.MinorMin)
        {
            return $"the kernel speaks FUSE {major}.{askedMinor}, and 7.23 or later is needed";
        }
        minor = Math.Min(askedMinor, FuseProtocol.Minor);
        FuseFeatures offered = (FuseFeatures)BinaryPrimitives.ReadUInt32LittleEndian(asked[12..]);
        FuseFeatures missing = Needed & ~offered;
        return missing == FuseFeatures.None
            ? ""
            : $"the kernel's FUSE lacks {missing}, without which failed writes could look successful";
    }
}
