using System.Numerics;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using DmRemap.Linux.Native;
using Microsoft.Win32.SafeHandles;

namespace DmRemap.Linux.Members;

/// <summary>The geometry of a block device, from the kernel.</summary>
internal static class DeviceFacts
{
    public static MemberFile Measure(
        string path, SafeFileHandle handle, FileStatus status, MemberOptions options)
    {
        BlockTopology topology = new();
        long bytes = FileCalls.TryGetLong(handle, FileNative.BLKGETSIZE64) ?? 0;
        int own = FileCalls.TryGetInt(handle, FileNative.BLKSSZGET) ?? 0;
        int physical = FileCalls.TryGetInt(handle, FileNative.BLKPBSZGET) ?? own;
        int offset = FileCalls.TryGetInt(handle, FileNative.BLKALIGNOFF) ?? 0;
        if (bytes < own || own == 0)
        {
            throw new RefusalException(MemberRefusals.Empty(path, MemberKind.BlockDevice));
        }
        if (offset < 0)
        {
            throw new RefusalException(MemberRefusals.Misaligned(path));
        }
        int logical = options.BlockBytes ?? own;
        bool fits = logical >= own && logical is >= 512 and <= 4096 && BitOperations.IsPow2(logical);
        if (!fits)
        {
            throw new RefusalException(MemberRefusals.BlockSize(path, logical, own));
        }
        if (RefusalOfOffset(path, logical, own, offset) is Refusal refusal)
        {
            throw new RefusalException(refusal);
        }
        if (bytes < logical)
        {
            throw new RefusalException(MemberRefusals.Empty(path, MemberKind.BlockDevice));
        }
        return new MemberFile(path, handle)
        {
            Kind = MemberKind.BlockDevice,
            Mode = TransferMode.Direct,
            ModeReason = string.Empty,
            FileSystem = "block device",
            SizeBytes = bytes,
            Geometry = GeometryOf(
                bytes,
                logical,
                int.Max(physical, logical),
                offset,
                options,
                topology.IsRotational(status.Device)),
            DirectOffsetAlignment = own,
            DirectMemoryAlignment = status.SaysDirectAlignment && status.DirectMemoryAlignment > 0
                ? status.DirectMemoryAlignment
                : own,
            HardwareTransferBytesMax = topology.TransferBytesMax(status.Device),
            HasWriteThroughCache = topology.QueueOf(status.Device, "write_cache") == "write through",
            HasOwnForce = topology.IsDrive(status.Device) && topology.QueueOf(status.Device, "fua") == "1",
            Bus = topology.BusOf(status.Device),
            DrivePath = topology.DrivePathOf(status.Device),
            Identity = new MemberIdentity(status.HostDevice, status.Inode, status.Device),
            Serial = topology.SerialOf(status.Device),
            WorldWideName = topology.WorldWideNameOf(status.Device),
        };
    }

    /// <summary>The unit grid is made of whole blocks, also in front of the first boundary.</summary>
    internal static Refusal? RefusalOfOffset(string path, int logical, int own, int alignmentOffset) =>
        alignmentOffset % logical == 0 ? null
            : alignmentOffset % own == 0 ? MemberRefusals.BlockOffset(path, logical, alignmentOffset)
            : MemberRefusals.Misaligned(path);

    /// <summary>
    /// The kernel's alignment_offset is the distance from the device's start to the first boundary of the
    /// larger of physical block and minimum I/O size; both are powers of two or multiples, so the remainder
    /// is the physical one's.
    /// </summary>
    internal static DeviceGeometry GeometryOf(
        long bytes,
        int logical,
        int physical,
        int alignmentOffset,
        MemberOptions options,
        bool isRotational) => new()
        {
            LogicalBlockSize = new BlockSize(logical),
            PhysicalBlockBytes = physical,
            Blocks = new BlockSize(logical).WholeBlocks(new ByteCount(bytes)),
            AlignmentOffsetBytes = alignmentOffset % physical,

            // A discard through fallocate would be zeroing with no fallback on most disks (F-11).
            CanDiscard = false,
            CanWriteZeroes = options.Access == MemberAccess.ReadWrite,
            IsReadOnly = options.Access == MemberAccess.ReadOnly,
            IsRotational = isRotational,
        };
}
