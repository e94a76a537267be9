using System;
using System.Collections.Generic;
using System.IO;
using System.IO.Enumeration;
using System.Runtime.InteropServices;
using DmRemap.Linux.Native;
using Microsoft.Win32.SafeHandles;

namespace DmRemap.Linux.Members;

/// <summary>Bytes of a device, half-open.</summary>
public readonly record struct ByteRun(long Start, long End);

/// <summary>A file or folder that has some of the bytes.</summary>
/// <param name="Path">From the mount point on: begins with a slash.</param>
/// <param name="Inode">Its number.</param>
/// <param name="Runs">Of the device, in the order of the file.</param>
public sealed record MountedFile(string Path, long Inode, IReadOnlyList<ByteRun> Runs);

/// <summary>
/// Which files of a mounted file system lie on some bytes of its device: each is asked where it lies
/// (FIEMAP), as nothing tells it the other way round for every file system. Reads folders and inodes, and
/// changes nothing but the time of access of folders, where the mount keeps that.
/// </summary>
public sealed class MountedFiles
{
    private const int ExtentsPerCall = 256;

    private static readonly EnumerationOptions s_all = new()
    {
        AttributesToSkip = 0,
        IgnoreInaccessible = false,
        RecurseSubdirectories = false,
    };

    private readonly string _mountPoint;
    private readonly ByteRun[] _sought;
    private readonly Func<bool> _isOver;
    private readonly List<MountedFile> _found = [];
    private readonly byte[] _memory = new byte[MapBytes];

    private MountedFiles(string mountPoint, ByteRun[] sought, Func<bool> isOver)
    {
        _mountPoint = mountPoint;
        _sought = sought;
        _isOver = isOver;
    }

    private static unsafe int MapBytes =>
        sizeof(FileNative.FiemapHeader) + (ExtentsPerCall * sizeof(FileNative.FiemapExtent));

    public IReadOnlyList<MountedFile> Found => _found;

    /// <summary>Files and folders that could not be asked: one of them may have some of the bytes.</summary>
    public int Unasked { get; private set; }

    /// <summary>Why the first of them could not.</summary>
    public string Problem { get; private set; } = "";

    /// <summary>The time was over before all were asked.</summary>
    public bool IsCut { get; private set; }

    /// <param name="mountPoint">Of the root of the file system.</param>
    /// <param name="sought">Ascending, apart from each other.</param>
    /// <param name="isOver">The time for it is over. Asked once for each file.</param>
    public static MountedFiles Find(string mountPoint, ByteRun[] sought, Func<bool> isOver)
    {
        MountedFiles files = new(mountPoint, sought, isOver);
        files.Walk();
        return files;
    }

    private void Walk()
    {
        int errno = FileStatus.TryOfPath(_mountPoint, followLink: false, out FileStatus? root);
        if (root is null)
        {
            Miss("the mount point", Errno.Name(errno));
            return;
        }
        Stack<string> folders = new([_mountPoint]);
        Ask(_mountPoint, root);
        while (folders.TryPop(out string? folder))
        {
            try
            {
                foreach (string path in new FileSystemEnumerable<string>(
                    folder, (ref FileSystemEntry entry) => entry.ToSpecifiedFullPath(), s_all))
                {
                    if (IsCut || (IsCut = _isOver()))
                    {
                        return;
                    }
                    Visit(path, root, folders);
                }
            }
            catch (Exception error) when (error is IOException or UnauthorizedAccessException)
            {
                Miss(PathOf(folder), error.Message);
            }
        }
    }

    private void Visit(string path, FileStatus root, Stack<string> folders)
    {
        int errno = FileStatus.TryOfPath(path, followLink: false, out FileStatus? status);
        if (status is null)
        {
            Miss(PathOf(path), Errno.Name(errno));
            return;
        }
        if (status.HostDevice != root.HostDevice)
        {
            Miss(PathOf(path), "another file system is mounted over it");
            return;
        }
        if (status.Kind is FileKind.Regular or FileKind.Directory)
        {
            Ask(path, status);
        }
        if (status.Kind == FileKind.Directory)
        {
            folders.Push(path);
        }
    }

    private void Ask(string path, FileStatus status)
    {
        const int Flags = FileNative.O_RDONLY | SocketNative.O_NONBLOCK;
        int errno = FileCalls.TryOpen(
            path, Flags | FileNative.O_NOFOLLOW, 0, out SafeFileHandle handle);
        using (handle)
        {
            List<ByteRun> runs = [];
            errno = errno == 0 ? TryMap(handle, runs) : errno;
            bool isWithout = errno is FileNative.EOPNOTSUPP or FileNative.ENOTTY
                && status.Kind == FileKind.Directory;
            if (errno != 0 && !isWithout)
            {
                Miss(PathOf(path), Errno.Name(errno));
            }
            if (runs.Count > 0)
            {
                _found.Add(new MountedFile(PathOf(path), (long)status.Inode, runs));
            }
        }
    }

    /// <summary>0, or the errno.</summary>
    private unsafe int TryMap(SafeFileHandle handle, List<ByteRun> runs)
    {
        ulong position = 0;
        fixed (byte* start = _memory)
        {
            FileNative.FiemapHeader* header = (FileNative.FiemapHeader*)start;
            FileNative.FiemapExtent* extents =
                (FileNative.FiemapExtent*)(start + sizeof(FileNative.FiemapHeader));
            while (true)
            {
                // Without FIEMAP_FLAG_SYNC, which would write: what is not written yet lies nowhere.
                *header = new FileNative.FiemapHeader
                {
                    fm_start = position,
                    fm_length = ulong.MaxValue - position,
                    fm_extent_count = ExtentsPerCall,
                };
                if (FileNative.ioctl(FileCalls.Descriptor(handle), FileNative.FS_IOC_FIEMAP, header) < 0)
                {
                    return Marshal.GetLastPInvokeError();
                }
                int count = (int)Math.Min(header->fm_mapped_extents, ExtentsPerCall);
                for (int i = 0; i < count; i++)
                {
                    Take(extents[i], runs);
                }
                bool isLast = count == 0
                    || (extents[count - 1].fe_flags & FileNative.FIEMAP_EXTENT_LAST) != 0
                    || extents[count - 1].fe_length == 0;
                if (isLast)
                {
                    return 0;
                }
                position = extents[count - 1].fe_logical + extents[count - 1].fe_length;
            }
        }
    }

    private void Take(in FileNative.FiemapExtent extent, List<ByteRun> runs)
    {
        const uint Nowhere = FileNative.FIEMAP_EXTENT_UNKNOWN | FileNative.FIEMAP_EXTENT_DELALLOC
            | FileNative.FIEMAP_EXTENT_ENCODED | FileNative.FIEMAP_EXTENT_DATA_INLINE;
        if ((extent.fe_flags & Nowhere) != 0)
        {
            return;
        }
        long start = (long)extent.fe_physical;
        long end = start + (long)extent.fe_length;
        if (start < 0 || end <= start)
        {
            return; // Nowhere on a disk: a damaged file system says such things.
        }
        for (int i = FirstEndingAfter(start); i < _sought.Length && _sought[i].Start < end; i++)
        {
            runs.Add(new ByteRun(Math.Max(start, _sought[i].Start), Math.Min(end, _sought[i].End)));
        }
    }

    private int FirstEndingAfter(long position)
    {
        int low = 0;
        int high = _sought.Length;
        while (low < high)
        {
            int middle = low + ((high - low) / 2);
            if (_sought[middle].End <= position)
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }
        return low;
    }

    private void Miss(string path, string why)
    {
        Problem = Unasked == 0 ? $"{path}: {why}" : Problem;
        Unasked++;
    }

    private string PathOf(string path) =>
        path.Length == _mountPoint.Length ? "/" : "/" + path[_mountPoint.Length..].TrimStart('/');
}

/// <summary>The number of a file's inode.</summary>
public static class FileNumber
{
    /// <summary>Null: there is no such file, or it cannot be asked. A link is itself.</summary>
    public static long? Of(string path) =>
        FileStatus.TryOfPath(path, followLink: false, out FileStatus? status) == 0
            ? (long)status!.Inode
            : null;
}
