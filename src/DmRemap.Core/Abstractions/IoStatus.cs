using System;

namespace DmRemap.Core.Abstractions;

/// <summary>What a request asks of a device.</summary>
public enum IoOperation : byte
{
    None = 0,

    /// <summary>Fill the buffer from the extent.</summary>
    Read = 1,

    /// <summary>Store the buffer in the extent.</summary>
    Write = 2,

    /// <summary>
    /// Make every write that completed before this was submitted durable. The extent is empty.
    /// </summary>
    Flush = 3,

    /// <summary>
    /// The content of the extent is no longer needed. Afterwards it reads as before or as zeros.
    /// </summary>
    Discard = 4,

    /// <summary>The extent reads as zeros afterwards.</summary>
    WriteZeroes = 5,
}

[Flags]
public enum IoFlags : byte
{
    None = 0,

    /// <summary>Durable when completed, as if a flush of just these blocks had followed.</summary>
    ForceUnitAccess = 1,

    /// <summary>WriteZeroes: keep the space allocated (do not punch a hole).</summary>
    KeepAllocated = 2,

    /// <summary>Nobody waits for it: not counted as a client's.</summary>
    Background = 4,

    /// <summary>
    /// Has a deadline, and others wait for it: at a member it does not stand in line behind data (F-19).
    /// </summary>
    Metadata = 8,
}

/// <summary>How a request ended. The default is not success.</summary>
public enum IoStatus : byte
{
    /// <summary>Not completed yet.</summary>
    Pending = 0,

    Ok = 1,

    /// <summary>
    /// The device reported an error: errno and elapsed time say which, ErrorClassifier what kind.
    /// </summary>
    DeviceError = 2,

    /// <summary>
    /// The content of a block is gone, or its place cannot be read now: never data, always an error.
    /// </summary>
    Unreadable = 3,

    /// <summary>The disk refused a write and no spare unit is left for it.</summary>
    OutOfSpares = 4,

    /// <summary>The table entry that this write needs cannot be made durable.</summary>
    MetadataUnavailable = 5,

    /// <summary>The request is outside the device or malformed.</summary>
    Invalid = 6,

    /// <summary>The device has no such operation.</summary>
    Unsupported = 7,

    /// <summary>A write to a device that is read-only.</summary>
    ReadOnly = 8,

    /// <summary>The device is stopping and takes no new requests.</summary>
    ShuttingDown = 9,

    /// <summary>The disk is gone, and nobody waits for its return any more.</summary>
    DeviceGone = 10,
}
