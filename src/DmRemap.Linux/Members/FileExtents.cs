using System;
using System.Collections.Generic;
using System.Runtime.InteropServices;
using DmRemap.Linux.Native;
using Microsoft.Win32.SafeHandles;

namespace DmRemap.Linux.Members;

/// <summary>A run of bytes of a file without written blocks below it, half-open.</summary>
internal readonly record struct FileHole(long Start, long End)
{
    public long Bytes => End - Start;
}

/// <summary>
/// Which parts of a file have no written blocks, and whether any are shared with another file.
/// </summary>
internal sealed record FileExtents(IReadOnlyList<FileHole> Holes, bool HasShared, bool HasEncoded)
{
    private const int ExtentsPerCall = 128;

    public long HoleBytes
    {
        get
        {
            long bytes = 0;
            foreach (FileHole hole in Holes)
            {
                bytes += hole.Bytes;
            }
            return bytes;
        }
    }

    /// <summary>
    /// By FIEMAP, which knows of allocated but unwritten blocks and of sharing; by SEEK_HOLE where there is
    /// none (tmpfs).
    /// </summary>
    public static FileExtents Read(SafeFileHandle handle, string path, long bytes) =>
        TryReadMap(handle, path, bytes, out FileExtents? extents)
            ? extents!
            : new FileExtents(Seek(handle, path, bytes), false, false);

    private static unsafe bool TryReadMap(
        SafeFileHandle handle, string path, long bytes, out FileExtents? extents)
    {
        extents = null;
        int headerBytes = sizeof(FileNative.FiemapHeader);
        byte[] memory = new byte[headerBytes + (ExtentsPerCall * sizeof(FileNative.FiemapExtent))];
        FileExtentsBuilder builder = new(bytes);
        fixed (byte* start = memory)
        {
            FileNative.FiemapHeader* header = (FileNative.FiemapHeader*)start;
            FileNative.FiemapExtent* found = (FileNative.FiemapExtent*)(start + headerBytes);
            while (!builder.IsComplete)
            {
                *header = new FileNative.FiemapHeader
                {
                    fm_start = (ulong)builder.Position,
                    fm_length = (ulong)(bytes - builder.Position),
                    fm_flags = FileNative.FIEMAP_FLAG_SYNC,
                    fm_extent_count = ExtentsPerCall,
                };
                if (FileNative.ioctl(FileCalls.Descriptor(handle), FileNative.FS_IOC_FIEMAP, header) < 0)
                {
                    int errno = Marshal.GetLastPInvokeError();
                    return errno is FileNative.EOPNOTSUPP
                        or FileNative.ENOTTY or FileNative.EINVAL or FileNative.ENOSYS
                        ? false
                        : throw FileCalls.Failed("listing the extents of", path, errno);
                }
                builder.Add(new ReadOnlySpan<FileNative.FiemapExtent>(found, (int)header->fm_mapped_extents));
            }
        }
        extents = builder.Build();
        return true;
    }

    private static List<FileHole> Seek(SafeFileHandle handle, string path, long bytes)
    {
        List<FileHole> holes = [];
        int fd = FileCalls.Descriptor(handle);
        long position = 0;
        while (position < bytes)
        {
            long hole = FileNative.lseek(fd, position, FileNative.SEEK_HOLE);
            if (hole < 0)
            {
                throw FileCalls.Failed("looking for holes in", path, Marshal.GetLastPInvokeError());
            }
            if (hole >= bytes)
            {
                break;
            }

            // ENXIO: nothing but hole up to the end.
            long data = FileNative.lseek(fd, hole, FileNative.SEEK_DATA);
            position = data < 0 ? bytes : long.Min(data, bytes);
            holes.Add(new FileHole(hole, position));
        }
        return holes;
    }
}
