using System;
using System.Threading;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using DmRemap.Linux.Native;
using Microsoft.Win32.SafeHandles;

namespace DmRemap.Linux.Members;

public enum MemberAccess
{
    None = 0,
    ReadOnly = 1,
    ReadWrite = 2,
}

/// <summary>How the data reaches the medium.</summary>
public enum TransferMode
{
    None = 0,

    /// <summary>O_DIRECT: an error is reported on the request that met it.</summary>
    Direct = 1,

    /// <summary>
    /// Through the page cache: a rehearsal, for files only. Errors come late and without an address, so P1
    /// and P2 do not hold; every write must be RWF_DSYNC (there is nothing to be durable on in memory).
    /// </summary>
    PageCache = 2,
}

/// <summary>What identifies the storage behind an open member while the machine runs.</summary>
/// <param name="HostDevice">The file system that holds the file or node.</param>
/// <param name="Inode">The file's, or the device node's.</param>
/// <param name="Device">The block device; 0:0 for a regular file.</param>
public readonly record struct MemberIdentity(DeviceNumber HostDevice, ulong Inode, DeviceNumber Device);

/// <summary>How to open a member.</summary>
public sealed record MemberOptions
{
    public MemberAccess Access { get; init; } = MemberAccess.ReadWrite;

    /// <summary>
    /// The logical block to present: 512 or 4096; null for the device's own, 512 for files.
    /// </summary>
    public int? BlockBytes { get; init; }

    /// <summary>The physical block of a regular file, which has none of its own.</summary>
    public int FilePhysicalBlockBytes { get; init; } = 4096;
}

/// <summary>
/// A member, opened once and claimed. The claim belongs to this open file description, which the kernel keeps
/// until the last request on it has returned, even after kill -9: that is what keeps a dead instance's write
/// from landing after a new instance's (F-1). So all I/O goes through this descriptor, and it is never
/// duplicated, inherited or sent away.
/// </summary>
public sealed class MemberFile : IDisposable
{
    internal MemberFile(string path, SafeFileHandle handle)
    {
        Path = path;
        Handle = handle;
    }

    /// <summary>As given.</summary>
    public string Path { get; }

    public SafeFileHandle Handle { get; }

    /// <summary>
    /// For io_uring. Valid until Dispose, which must wait until the kernel has returned every request.
    /// </summary>
    public int Descriptor => FileCalls.Descriptor(Handle);

    public required MemberKind Kind { get; init; }

    public required TransferMode Mode { get; init; }

    /// <summary>Why the page cache is used; empty in Direct mode.</summary>
    public required string ModeReason { get; init; }

    /// <summary>"ext4", or "block device".</summary>
    public required string FileSystem { get; init; }

    /// <summary>A file of tmpfs or ramfs: there is no medium, and a transfer is a copy.</summary>
    public bool IsInMemory { get; init; }

    /// <summary>Exactly; the geometry counts whole blocks only.</summary>
    public required long SizeBytes { get; init; }

    public required DeviceGeometry Geometry { get; init; }

    /// <summary>
    /// What offsets and lengths must be multiples of in Direct mode; 1 through the page cache.
    /// </summary>
    public required int DirectOffsetAlignment { get; init; }

    /// <summary>
    /// What buffer addresses must be multiples of in Direct mode; 1 through the page cache.
    /// </summary>
    public required int DirectMemoryAlignment { get; init; }

    /// <summary>
    /// The longest single command of the disk below, in bytes; 0 when unknown. The kernel splits longer ones.
    /// </summary>
    public required int HardwareTransferBytesMax { get; init; }

    /// <summary>
    /// The kernel knows of no volatile cache: what the disk has answered is on its medium. False where that
    /// is not known.
    /// </summary>
    public bool HasWriteThroughCache { get; init; }

    /// <summary>
    /// A drive that forces a single write to its medium by itself; of a device on top of others that is not
    /// known.
    /// </summary>
    public bool HasOwnForce { get; init; }

    /// <summary>What the disk below understands; nothing, of a file.</summary>
    public DriveBus Bus { get; init; }

    /// <summary>The disk below, without a partition; empty of a file.</summary>
    public string DrivePath { get; init; } = string.Empty;

    public required MemberIdentity Identity { get; init; }

    /// <summary>Of the disk; empty when it tells none, and for files.</summary>
    public required string Serial { get; init; }

    /// <summary>Of the disk; empty when it has none, and for files.</summary>
    public required string WorldWideName { get; init; }

    public bool IsBlockDevice => Kind == MemberKind.BlockDevice;

    public bool IsDirect => Mode == TransferMode.Direct;

    /// <summary>Open and claim now, or not at all; never waits for another's claim.</summary>
    /// <exception cref="RefusalException">For everything that a claim's end would not cure.</exception>
    public static ClaimResult TryClaim(string path, MemberOptions options) =>
        MemberOpener.TryClaim(path, options);

    /// <summary>
    /// Open and claim. Waits while only the kernel holds the claim (a dead instance's write is still on its
    /// way) or while the file system does not answer, and says so through onWaiting, once for each new
    /// reason. A living holder is refused at once. Never steals.
    /// </summary>
    /// <exception cref="RefusalException">DMR-MEMBER-IN-USE (exit 4), and as TryClaim.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled while waiting.</exception>
    public static MemberFile WaitForClaim(
        string path, MemberOptions options, Action<string> onWaiting, CancellationToken cancellation) =>
        ClaimWait.Run(path, options, onWaiting, cancellation);

    /// <summary>Gives the claim up as soon as the kernel has no request of ours left.</summary>
    public void Dispose() => Handle.Dispose();
}
