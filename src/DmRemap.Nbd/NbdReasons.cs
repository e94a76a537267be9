using System;
using DmRemap.Core.Abstractions;

namespace DmRemap.Nbd;

/// <summary>Why a request is refused before it reaches the device, or what the device answered.</summary>
public enum NbdReason : byte
{
    None = 0,
    UnknownCommand = 1,
    UnknownFlag = 2,
    NotOffered = 3,
    NoContext = 4,
    ReadOnly = 5,
    BeyondEnd = 6,
    Unaligned = 7,
    TooLong = 8,
    NotEmpty = 9,
    NoLength = 10,
    BadPayload = 11,
    NotFast = 12,
    Stopping = 13,
    DiskError = 14,
    Unreadable = 15,
    OutOfSpares = 16,
    MetadataUnavailable = 17,
    Unsupported = 18,
    Malformed = 19,
    Late = 20,
}

/// <summary>What a person is told about a reason, where the reply has room for it.</summary>
public static class NbdReasons
{
    public const int TextBytesMax = 128;

    public static NbdReason From(IoStatus status) => status switch
    {
        IoStatus.Ok => NbdReason.None,
        IoStatus.Unreadable => NbdReason.Unreadable,
        IoStatus.OutOfSpares => NbdReason.OutOfSpares,
        IoStatus.MetadataUnavailable => NbdReason.MetadataUnavailable,
        IoStatus.Invalid => NbdReason.Malformed,
        IoStatus.Unsupported => NbdReason.Unsupported,
        IoStatus.ReadOnly => NbdReason.ReadOnly,
        IoStatus.ShuttingDown => NbdReason.Stopping,
        _ => NbdReason.DiskError,
    };

    public static ReadOnlySpan<byte> TextOf(NbdReason reason) => reason switch
    {
        NbdReason.UnknownCommand => "the command is not known"u8,
        NbdReason.UnknownFlag => "a flag is not known, or not valid for this command"u8,
        NbdReason.NotOffered => "the export does not offer this command"u8,
        NbdReason.NoContext => "no metadata context was negotiated"u8,
        NbdReason.ReadOnly => "the export is read-only"u8,
        NbdReason.BeyondEnd => "the request goes beyond the end of the export"u8,
        NbdReason.Unaligned => "offset or length is not a multiple of the minimum block size"u8,
        NbdReason.TooLong => "the request is longer than the maximum payload: ask for less at once"u8,
        NbdReason.NotEmpty => "FLUSH takes no offset and no length"u8,
        NbdReason.NoLength => "the request has no length"u8,
        NbdReason.BadPayload => "the request has a payload it may not have, or lacks one"u8,
        NbdReason.NotFast => "zeroing is not known to be faster than writing here"u8,
        NbdReason.Stopping => "the server is stopping"u8,
        NbdReason.Unreadable => "the content is lost; writing it again makes it readable"u8,
        NbdReason.OutOfSpares => "the disk refused the write and no spare unit is free for it"u8,
        NbdReason.MetadataUnavailable => "the remap table cannot be made durable on any spare now"u8,
        NbdReason.Unsupported => "the device has no such operation"u8,
        NbdReason.Late => "the disk has not answered by the deadline for reads"u8,
        NbdReason.Malformed => "the request is malformed"u8,
        _ => "the disk reported an error"u8,
    };
}
