namespace DmRemap.Fuse;

/// <summary>What to do with a message of the kernel.</summary>
public enum FuseAction : byte
{
    /// <summary>Nothing; there is no reply to it.</summary>
    Ignore = 0,

    /// <summary>Reply now: nothing needs to be asked of the device.</summary>
    Answer = 1,

    /// <summary>See <see cref="FuseNegotiation"/>.</summary>
    Negotiate = 2,

    /// <summary>Read the extent; its data is the reply.</summary>
    Read = 3,

    /// <summary>Write the message's data.</summary>
    Write = 4,

    /// <summary>Make everything durable that was answered.</summary>
    Flush = 5,

    /// <summary>The extent reads as zeros afterwards.</summary>
    Zero = 6,
}

/// <summary>What a successful reply holds after its header.</summary>
public enum FuseReplyKind : byte
{
    Nothing = 0,
    Attributes = 1,
    Opened = 2,
    FileSystem = 3,

    /// <summary>How much was written: always all of it.</summary>
    Written = 4,
}

/// <summary>
/// A message, judged. Offset and length are inside the file, and for Write and Zero whole blocks. A READ may
/// begin and end anywhere, and is cut at the end of the file.
/// </summary>
/// <param name="Action">What to do.</param>
/// <param name="Opcode">As it was sent.</param>
/// <param name="Unique">Names the request in its reply.</param>
/// <param name="Error">With Answer: an errno, or 0.</param>
/// <param name="Reply">What comes after the header when it succeeds.</param>
/// <param name="Offset">In bytes.</param>
/// <param name="Length">In bytes.</param>
public readonly record struct FuseRequest(
    FuseAction Action,
    FuseOpcode Opcode,
    ulong Unique,
    int Error = 0,
    FuseReplyKind Reply = FuseReplyKind.Nothing,
    long Offset = 0,
    long Length = 0)
{
    /// <summary>The file was opened O_SYNC or O_DSYNC.</summary>
    public bool IsForceUnitAccess { get; init; }

    /// <summary>Zero: by ZERO_RANGE, which leaves no hole.</summary>
    public bool KeepsAllocated { get; init; }
}
