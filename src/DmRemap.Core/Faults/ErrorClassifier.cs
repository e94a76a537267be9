using DmRemap.Core.Abstractions;

namespace DmRemap.Core.Faults;

/// <summary>What an error of a member means (F-17). The default never remaps.</summary>
public enum ErrorClass : byte
{
    /// <summary>Anything else: an error to report, never a bad unit.</summary>
    Other = 0,

    /// <summary>
    /// The kernel names the medium. Drives that refuse everything are named so, too: a control elsewhere
    /// decides here as well.
    /// </summary>
    Medium = 1,

    /// <summary>Perhaps the medium: a control elsewhere decides.</summary>
    Ambiguous = 2,

    /// <summary>The device was stalled or reset; its errno says nothing.</summary>
    Timeout = 3,

    /// <summary>The device is not there, or no longer as large as it was.</summary>
    Gone = 4,

    /// <summary>
    /// The store behind a file or an export is full: the member is degraded, the unit is not bad (F-37).
    /// </summary>
    NoSpace = 5,
}

/// <summary>What carries a member's blocks.</summary>
public enum MemberKind : byte
{
    BlockDevice = 0,
    File = 1,
    Nbd = 2,
    Memory = 3,
}

/// <summary>One failed operation of a member.</summary>
public readonly record struct DeviceFailure
{
    public required MemberKind Member { get; init; }

    public required IoOperation Operation { get; init; }

    /// <summary>Positive; 0 for a transfer that ended early without an error.</summary>
    public required int Errno { get; init; }

    public required Duration Elapsed { get; init; }

    /// <summary>
    /// The kernel's time-out for one command of this device; zero when unknown: then 30 seconds.
    /// </summary>
    public Duration CommandTimeout { get; init; }
}

/// <summary>
/// F-17 by errno, time, operation and kind of member. What the kernel reports (source: block/blk-core.c,
/// blk_errors): ENODATA and EILSEQ come from the medium, ENODATA also from an NVMe namespace that is locked
/// or has become read-only (drivers/nvme/host/core.c, nvme_error_status); EIO also from resets and time-outs;
/// EREMOTEIO also from a sector that cannot be found (IDNF). A disk that was pulled reads 0 bytes and answers
/// writes with ENOSPC.
/// </summary>
public static class ErrorClassifier
{
    public const int InputOutputError = 5;
    private const int NoSuchDeviceOrAddress = 6;
    private const int NoSuchDevice = 19;
    private const int NoSpaceLeft = 28;
    private const int BrokenPipe = 32;
    private const int NoData = 61;
    private const int TimerExpired = 62;
    private const int IllegalByteSequence = 84;
    private const int ConnectionReset = 104;
    private const int NotConnected = 107;
    private const int ShutDown = 108;
    private const int TimedOut = 110;
    private const int RemoteInputOutputError = 121;
    private const int QuotaExceeded = 122;
    private const int NoMedium = 123;

    /// <summary>Linux's default for SCSI and ATA disks (/sys/block/X/device/timeout).</summary>
    public static Duration CommandTimeoutDefault => Duration.FromSeconds(30);

    public static ErrorClass Classify(in DeviceFailure failure)
    {
        Duration given = failure.CommandTimeout;
        Duration timeout = given > Duration.Zero ? given : CommandTimeoutDefault;
        // Whatever the errno: an error that took this long came out of the kernel's error handling.
        if (failure.Elapsed.Nanoseconds >= timeout.Nanoseconds / 5 * 4)
        {
            return ErrorClass.Timeout;
        }
        ErrorClass byErrno = ByErrno(failure.Errno, failure.Member);
        if (byErrno is not ErrorClass.Medium and not ErrorClass.Ambiguous)
        {
            return byErrno;
        }
        switch (failure.Operation)
        {
            case IoOperation.Read:
            case IoOperation.Write:
                return byErrno;
            case IoOperation.WriteZeroes:
                // It names no place: tried again in pieces, as writes, it does (F-11).
                return ErrorClass.Ambiguous;
            case IoOperation.None:
            case IoOperation.Flush:
            case IoOperation.Discard:
            default:
                // No address, or nothing was stored: no unit can be bad because of it.
                return ErrorClass.Other;
        }
    }

    /// <summary>The class of a completed request's error.</summary>
    public static ErrorClass Classify(IoRequest failed, MemberKind member, Duration commandTimeout)
    {
        Invariant.Check(failed.Status != IoStatus.Pending);
        Invariant.Check(failed.Status != IoStatus.Ok);
        if (failed.Status != IoStatus.DeviceError)
        {
            return failed.Status == IoStatus.DeviceGone ? ErrorClass.Gone : ErrorClass.Other;
        }
        return Classify(new DeviceFailure
        {
            Member = member,
            Operation = failed.Operation,
            Errno = failed.Errno,
            Elapsed = failed.Elapsed,
            CommandTimeout = commandTimeout,
        });
    }

    private static ErrorClass ByErrno(int errno, MemberKind member)
    {
        Invariant.Check(errno >= 0);
        switch (errno)
        {
            case 0:
            case NoSuchDeviceOrAddress:
            case NoSuchDevice:
            case NoMedium:
                return ErrorClass.Gone;
            case NoData:
            case IllegalByteSequence:
                return ErrorClass.Medium;
            case InputOutputError:
            case RemoteInputOutputError:
                return ErrorClass.Ambiguous;
            case TimedOut:
            case TimerExpired:
                return ErrorClass.Timeout;
            case NoSpaceLeft:
                return member == MemberKind.BlockDevice ? ErrorClass.Gone : ErrorClass.NoSpace;
            case QuotaExceeded:
                return member == MemberKind.BlockDevice ? ErrorClass.Other : ErrorClass.NoSpace;
            case BrokenPipe:
            case ConnectionReset:
            case NotConnected:
            case ShutDown:
                return member == MemberKind.Nbd ? ErrorClass.Gone : ErrorClass.Other;
            default:
                return ErrorClass.Other;
        }
    }
}
