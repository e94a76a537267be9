using System.Numerics;
using System.Runtime.InteropServices;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using DmRemap.Linux.Native;
using Microsoft.Win32.SafeHandles;

namespace DmRemap.Linux.Members;

/// <summary>The geometry of a regular file: chosen, since it has none.</summary>
internal static class FileFacts
{
    public const int BlockBytesDefault = 512;

    public static MemberFile Measure(
        string path, SafeFileHandle handle, FileStatus status, MemberOptions options, FileTransfer transfer)
    {
        int logical = options.BlockBytes ?? BlockBytesDefault;
        bool fits = logical is >= 512 and <= 4096 && BitOperations.IsPow2(logical);
        if (!fits)
        {
            throw new RefusalException(MemberRefusals.BlockSize(path, logical, BlockBytesDefault));
        }
        if (status.Bytes < logical)
        {
            throw new RefusalException(MemberRefusals.Empty(path, MemberKind.File));
        }
        BlockTopology topology = new();
        bool isDirect = transfer.Mode == TransferMode.Direct;
        bool isWritable = options.Access == MemberAccess.ReadWrite;
        return new MemberFile(path, handle)
        {
            Kind = MemberKind.File,
            Mode = transfer.Mode,
            ModeReason = transfer.Reason,
            FileSystem = transfer.FileSystem,
            IsInMemory = FileSystemFacts.IsInMemory(handle),
            SizeBytes = status.Bytes,
            Geometry = new DeviceGeometry
            {
                LogicalBlockSize = new BlockSize(logical),
                PhysicalBlockBytes = int.Max(options.FilePhysicalBlockBytes, logical),
                Blocks = new BlockSize(logical).WholeBlocks(new ByteCount(status.Bytes)),
                CanDiscard = isWritable && CanPunchHoles(handle, status.Bytes),
                CanWriteZeroes = isWritable && transfer.CanZeroRanges,

                // A file system only notes it; a disk may well write every zero.
                CanZeroFast = isWritable && transfer.CanZeroRanges,
                IsReadOnly = !isWritable,
                IsRotational = topology.IsRotational(status.HostDevice),
            },
            DirectOffsetAlignment = isDirect ? status.DirectOffsetAlignment : 1,
            DirectMemoryAlignment = isDirect ? status.DirectMemoryAlignment : 1,
            HardwareTransferBytesMax = topology.TransferBytesMax(status.HostDevice),
            Identity = new MemberIdentity(status.HostDevice, status.Inode, default),
            Serial = string.Empty,
            WorldWideName = string.Empty,
        };
    }

    /// <summary>Asks with a hole behind the end of the file, where nothing is.</summary>
    private static bool CanPunchHoles(SafeFileHandle handle, long bytes)
    {
        const int Mode = FileNative.FALLOC_FL_PUNCH_HOLE | FileNative.FALLOC_FL_KEEP_SIZE;
        const long Page = 4096;
        long behind = (bytes + Page - 1) / Page * Page;
        int errno;
        do
        {
            bool done = FileNative.fallocate(FileCalls.Descriptor(handle), Mode, behind, Page) >= 0;
            errno = done ? 0 : Marshal.GetLastPInvokeError();
        }
        while (errno == FileNative.EINTR);
        return errno == 0;
    }
}
