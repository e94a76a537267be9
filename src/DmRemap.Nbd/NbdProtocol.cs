using System;

namespace DmRemap.Nbd;

// The numbers of the NBD protocol, as its doc/proto.md gives them. Everything on the wire is big-endian.

public static class NbdMagic
{
    /// <summary>"NBDMAGIC": the first eight bytes a server sends.</summary>
    public const ulong Greeting = 0x4e42444d41474943;

    /// <summary>"IHAVEOPT": the next eight, and the start of every option a client sends.</summary>
    public const ulong Option = 0x49484156454f5054;

    public const ulong OptionReply = 0x0003e889045565a9;

    public const uint Request = 0x25609513;

    /// <summary>Of a request with a 64-bit length: extended headers.</summary>
    public const uint ExtendedRequest = 0x21e41c71;

    public const uint SimpleReply = 0x67446698;

    public const uint StructuredReply = 0x668e33ef;

    public const uint ExtendedReply = 0x6e8a278c;

    /// <summary>The second word of servers from before 2011, which cannot be negotiated with.</summary>
    public const ulong OldStyle = 0x0000420281861253;
}

/// <summary>What the server says of itself in the greeting.</summary>
[Flags]
public enum NbdHandshakeFlags : ushort
{
    None = 0,
    FixedNewstyle = 1,
    NoZeroes = 2,
}

/// <summary>The client's answer to the greeting; any other bit ends the connection.</summary>
[Flags]
public enum NbdClientFlags : uint
{
    None = 0,
    FixedNewstyle = 1,
    NoZeroes = 2,
}

/// <summary>What an export can do.</summary>
[Flags]
public enum NbdTransmissionFlags : ushort
{
    None = 0,
    HasFlags = 1 << 0,
    ReadOnly = 1 << 1,
    SendFlush = 1 << 2,
    SendFua = 1 << 3,
    Rotational = 1 << 4,
    SendTrim = 1 << 5,
    SendWriteZeroes = 1 << 6,
    SendDontFragment = 1 << 7,
    CanMultiConn = 1 << 8,
    SendResize = 1 << 9,
    SendCache = 1 << 10,
    SendFastZero = 1 << 11,
    BlockStatusPayload = 1 << 12,
}

public enum NbdOption : uint
{
    None = 0,
    ExportName = 1,
    Abort = 2,
    List = 3,
    PeekExport = 4,
    StartTls = 5,
    Info = 6,
    Go = 7,
    StructuredReply = 8,
    ListMetaContext = 9,
    SetMetaContext = 10,
    ExtendedHeaders = 11,
}

/// <summary>The type of a reply to an option; errors have bit 31 set.</summary>
public enum NbdOptionReply : uint
{
    None = 0,
    Ack = 1,
    Server = 2,
    Info = 3,
    MetaContext = 4,
    ErrorUnsupported = 0x8000_0001,
    ErrorPolicy = 0x8000_0002,
    ErrorInvalid = 0x8000_0003,
    ErrorPlatform = 0x8000_0004,
    ErrorTlsRequired = 0x8000_0005,
    ErrorUnknown = 0x8000_0006,
    ErrorShutdown = 0x8000_0007,
    ErrorBlockSizeRequired = 0x8000_0008,
    ErrorTooBig = 0x8000_0009,
    ErrorExtendedHeaderRequired = 0x8000_000a,
}

/// <summary>A kind of information about an export, asked for and given in INFO and GO.</summary>
public enum NbdInfo : ushort
{
    Export = 0,
    Name = 1,
    Description = 2,
    BlockSize = 3,
}

public enum NbdCommand : ushort
{
    Read = 0,
    Write = 1,
    Disconnect = 2,
    Flush = 3,
    Trim = 4,
    Cache = 5,
    WriteZeroes = 6,
    BlockStatus = 7,
    Resize = 8,
}

[Flags]
public enum NbdCommandFlags : ushort
{
    None = 0,
    ForceUnitAccess = 1 << 0,
    NoHole = 1 << 1,
    DontFragment = 1 << 2,
    RequestOne = 1 << 3,
    FastZero = 1 << 4,
    PayloadLength = 1 << 5,
}

/// <summary>Of a chunk of a reply.</summary>
[Flags]
public enum NbdReplyFlags : ushort
{
    None = 0,

    /// <summary>The last chunk of its reply.</summary>
    Done = 1,
}

/// <summary>The type of a chunk of a reply; errors have bit 15 set.</summary>
public enum NbdReplyType : ushort
{
    None = 0,
    OffsetData = 1,
    OffsetHole = 2,
    BlockStatus = 5,
    BlockStatusExtended = 6,
    Error = 0x8001,
    ErrorOffset = 0x8002,
}

/// <summary>The errors a reply can carry. Clients take any other number for EINVAL.</summary>
public enum NbdError : uint
{
    None = 0,
    NotPermitted = 1,
    InputOutput = 5,
    OutOfMemory = 12,
    Invalid = 22,
    NoSpace = 28,
    Overflow = 75,
    NotSupported = 95,
    Shutdown = 108,
}

/// <summary>How a client names its request in the reply: opaque, sent back as it came.</summary>
public readonly record struct NbdCookie(ulong Value);
