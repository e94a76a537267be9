using DmRemap.Core.Abstractions;

namespace DmRemap.Fuse;

/// <summary>The kernel's error numbers that replies carry, positive here and negative on the wire.</summary>
public static class FuseErrors
{
    public const int None = 0;
    public const int NotPermitted = 1; // EPERM
    public const int InputOutput = 5; // EIO
    public const int NotDirectory = 20; // ENOTDIR
    public const int Invalid = 22; // EINVAL
    public const int NoSpace = 28; // ENOSPC
    public const int ReadOnly = 30; // EROFS
    public const int NoSuchOperation = 38; // ENOSYS
    public const int Protocol = 71; // EPROTO
    public const int Shutdown = 108; // ESHUTDOWN
    public const int Stale = 116; // ESTALE

    /// <summary>
    /// What the kernel is told. Never "no such operation": it would not ask again and report success for
    /// ever (F-10). Never ENOSPC for a spare that is full: file systems take that for a thin pool.
    /// </summary>
    public static int From(IoStatus status)
    {
        switch (status)
        {
            case IoStatus.Ok:
                return None;
            case IoStatus.DeviceError:
            case IoStatus.Unreadable:
            case IoStatus.OutOfSpares:
            case IoStatus.MetadataUnavailable:
            case IoStatus.DeviceGone:
            case IoStatus.Unsupported:
                return InputOutput;
            case IoStatus.Invalid:
                return Invalid;
            case IoStatus.ReadOnly:
                return ReadOnly;
            case IoStatus.ShuttingDown:
                return Shutdown;
            case IoStatus.Pending:
            default:
                // A request without a result must never look like success.
                Invariant.Unreachable("a completion without a status");
                return InputOutput;
        }
    }
}
