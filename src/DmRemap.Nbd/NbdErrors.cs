using DmRemap.Core.Abstractions;

namespace DmRemap.Nbd;

public static class NbdErrors
{
    /// <summary>
    /// What a client is told. A full spare is EIO, never ENOSPC: base:allocation promises that writes to
    /// allocated blocks do not run out of space, and file systems treat ENOSPC of a disk as a thin pool to be
    /// extended.
    /// </summary>
    public static NbdError From(IoStatus status)
    {
        switch (status)
        {
            case IoStatus.Ok:
                return NbdError.None;
            case IoStatus.DeviceError:
            case IoStatus.Unreadable:
            case IoStatus.OutOfSpares:
            case IoStatus.MetadataUnavailable:
            case IoStatus.DeviceGone:
                return NbdError.InputOutput;
            case IoStatus.Invalid:
                return NbdError.Invalid;
            case IoStatus.Unsupported:
                return NbdError.NotSupported;
            case IoStatus.ReadOnly:
                return NbdError.NotPermitted;
            case IoStatus.ShuttingDown:
                return NbdError.Shutdown;
            case IoStatus.Pending:
            default:
                // A request without a result must never look like success.
                Invariant.Unreachable("a completion without a status");
                return NbdError.InputOutput;
        }
    }
}
