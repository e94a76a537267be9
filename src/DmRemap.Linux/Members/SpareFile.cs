using System;
using System.IO;
using System.Threading;
using DmRemap.Core.Abstractions;
using DmRemap.Linux.Native;
using Microsoft.Win32.SafeHandles;

namespace DmRemap.Linux.Members;

/// <summary>
/// Spare files that cannot run out of room later (F-37): every block is written once, so that a remap neither
/// needs space that the file system no longer has nor turns its FUA into a journal commit of the file system.
/// </summary>
public static class SpareFile
{
    private const uint PrivateFile = 0x180; // 0600
    private const int ChunkBytes = 1024 * 1024;

    // Bounds the dirty pages that a large spare would otherwise pile up before its one fsync.
    private const long SyncEveryBytes = 64L * 1024 * 1024;

    /// <summary>Make a new file of zeros, fully written and durable. Never touches an existing one.</summary>
    /// <param name="path">Where; its directory exists.</param>
    /// <param name="bytes">The size.</param>
    /// <param name="progress">Called with the bytes written so far, now and then; may be null.</param>
    /// <param name="cancellation">Ends it early; the unfinished file is removed.</param>
    /// <exception cref="RefusalException">
    /// DMR-SPARE-EXISTS (exit 5), DMR-SPARE-NO-ROOM (exit 5, with the missing amount), DMR-SPARE-NOT-WRITTEN
    /// (exit 1), DMR-MEMBER-NOT-PERMITTED (exit 8), DMR-MEMBER-MISSING (exit 3; the directory).
    /// </exception>
    public static void Create(string path, long bytes, Action<long>? progress, CancellationToken cancellation)
    {
        Invariant.Check(bytes > 0);
        string directory = Path.GetDirectoryName(Path.GetFullPath(path)) ?? "/";
        RequireAbsent(path);
        RequireRoom(path, directory, bytes);
        const int Flags = FileNative.O_RDWR | FileNative.O_CREAT | FileNative.O_EXCL;
        int errno =
            FileCalls.TryOpen(path, Flags | FileNative.O_NOFOLLOW, PrivateFile, out SafeFileHandle handle);
        using (handle)
        {
            if (errno != 0)
            {
                throw new RefusalException(ExplainCreate(path, directory, errno));
            }
            bool isComplete = false;
            try
            {
                Fill(handle, path, directory, bytes, progress, cancellation);
                isComplete = true;
            }
            finally
            {
                if (!isComplete)
                {
                    _ = FileNative.unlink(path); // Made a moment ago by this very call; half a spare is none.
                }
            }
        }

        // Otherwise a power cut takes the name away after the set's metadata has been written into the file.
        FileCalls.SyncDirectory(directory);
    }

    /// <summary>
    /// Write zeros into the holes of an existing file and into blocks that are allocated but unwritten; what
    /// is written stays. True when anything had to be written; a device never needs it.
    /// </summary>
    /// <param name="member">Claimed, so that nobody else uses it meanwhile, and not yet in use here.</param>
    /// <param name="progress">Called with the bytes written so far, now and then; may be null.</param>
    /// <param name="cancellation">Ends it early.</param>
    /// <exception cref="RefusalException">
    /// DMR-SPARE-SHARED (exit 5: reflinked, compressed or copy-on-write), DMR-SPARE-NO-ROOM (exit 5),
    /// DMR-MEMBER-REPLACED, DMR-SPARE-NOT-WRITTEN (exit 1).
    /// </exception>
    public static bool EnsureFullyWritten(
        MemberFile member, Action<long>? progress, CancellationToken cancellation) =>
        !member.IsBlockDevice && FillHoles(member, progress, cancellation);

    private static bool FillHoles(MemberFile member, Action<long>? progress, CancellationToken cancellation)
    {
        string path = member.Path;
        // Through the page cache, and without a claim of its own: the member's stays where it is.
        int errno = FileCalls.TryOpen(path, FileNative.O_RDWR, 0, out SafeFileHandle handle);
        using (handle)
        {
            if (errno != 0)
            {
                throw new RefusalException(MemberRefusals.CannotOpen(path, errno));
            }
            FileStatus opened = FileStatus.OfHandle(handle, path);
            if (opened.HostDevice != member.Identity.HostDevice || opened.Inode != member.Identity.Inode)
            {
                throw new RefusalException(MemberRefusals.Replaced(path));
            }
            FileExtents extents = FileExtents.Read(handle, path, member.SizeBytes);
            RequireOwnBlocks(path, handle, extents);
            if (extents.Holes.Count == 0)
            {
                return false;
            }
            RequireRoom(path, path, extents.HoleBytes);
            Writer writer = new(handle, path, extents.HoleBytes, progress, cancellation);
            foreach (FileHole hole in extents.Holes)
            {
                writer.WriteZeros(hole.Start, hole.End);
            }
            writer.Finish();
            RequireNoHoles(handle, path, member.SizeBytes);
            return true;
        }
    }

    private static void Fill(
        SafeFileHandle handle, string path, string directory, long bytes, Action<long>? progress,
        CancellationToken cancellation)
    {
        if (FileSystemFacts.OfPath(directory)?.Type == FileNative.BTRFS_SUPER_MAGIC)
        {
            // Only an empty file can be taken out of copy-on-write. Where it cannot, the check below refuses.
            int flags = FileCalls.TryGetInt(handle, FileNative.FS_IOC_GETFLAGS) ?? 0;
            FileCalls.TrySetInt(handle, FileNative.FS_IOC_SETFLAGS, flags | FileNative.FS_NOCOW_FL);
        }
        Writer writer = new(handle, path, bytes, progress, cancellation);
        writer.WriteZeros(0, bytes);
        writer.Finish();
        RequireOwnBlocks(path, handle, FileExtents.Read(handle, path, bytes));
        RequireNoHoles(handle, path, bytes);
    }

    private static void RequireAbsent(string path)
    {
        if (FileStatus.TryOfPath(path, followLink: false, out _) == 0)
        {
            throw new RefusalException(Exists(path));
        }
    }

    private static void RequireRoom(string path, string place, long bytes)
    {
        if (FileSystemFacts.OfPath(place) is FileSystemFacts facts && facts.FreeBytes < bytes)
        {
            throw new RefusalException(NoRoom(path, bytes, facts.FreeBytes));
        }
    }

    private static void RequireOwnBlocks(string path, SafeFileHandle handle, FileExtents extents)
    {
        bool isCow = FileSystemFacts.OfPath(path)?.Type == FileNative.BTRFS_SUPER_MAGIC
            && (FileCalls.TryGetInt(handle, FileNative.FS_IOC_GETFLAGS) is not int flags
                || (flags & FileNative.FS_NOCOW_FL) == 0);
        string? why = extents.HasShared ? "it shares blocks with another file (a reflink copy or snapshot)"
            : extents.HasEncoded ? "its file system compresses or encodes it"
            : isCow ? "btrfs copies it on every write"
            : null;
        if (why is not null)
        {
            throw new RefusalException(new Refusal(
                "DMR-SPARE-SHARED",
                ExitCode.RefusedForSafety,
                path,
                $"The spare file {path} needs new room for every write: {why}. It could run out in the"
                    + " middle of a remap.",
                "Use a file on ext4 or XFS that is no reflink copy, or one made on btrfs after `chattr +C`,"
                    + " or a device."));
        }
    }

    private static void RequireNoHoles(SafeFileHandle handle, string path, long bytes)
    {
        FileExtents extents = FileExtents.Read(handle, path, bytes);
        if (extents.Holes.Count > 0)
        {
            throw new RefusalException(new Refusal(
                "DMR-SPARE-SPARSE",
                ExitCode.RefusedForSafety,
                path,
                $"The file system of {path} does not keep blocks of zeros: {extents.HoleBytes} bytes have"
                    + " no room of their own.",
                "Put the spare on a file system without compression, such as ext4 or XFS, or on a device."));
        }
    }

    private static Refusal ExplainCreate(string path, string directory, int errno) => errno switch
    {
        FileNative.EEXIST or FileNative.ELOOP => Exists(path),
        FileNative.ENOENT or FileNative.ENOTDIR => MemberRefusals.FolderMissing(path, directory),
        FileNative.EACCES or FileNative.EPERM or FileNative.EROFS => MemberRefusals.NotPermitted(path, errno),
        _ => MemberRefusals.CannotOpen(path, errno),
    };

    private static Refusal Exists(string path) => new(
        "DMR-SPARE-EXISTS",
        ExitCode.RefusedForSafety,
        path,
        $"{path} exists already; a spare file is only made where nothing is.",
        "Choose another path, or leave the size out to use the existing file.");

    private static Refusal NoRoom(string path, long bytes, long free) => new(
        "DMR-SPARE-NO-ROOM",
        ExitCode.RefusedForSafety,
        path,
        $"There is no room for the spare file {path}: it needs {AmountText.Bytes(bytes)},"
            + $" {AmountText.Bytes(free)} are free, {AmountText.Bytes(bytes - free)} are missing.",
        "Make room there, choose a smaller size, or put it on another file system.");

    /// <summary>
    /// Writes zeros through the page cache, syncs now and then, and explains what went wrong.
    /// </summary>
    private sealed class Writer(
        SafeFileHandle handle, string path, long bytes, Action<long>? progress,
        CancellationToken cancellation)
    {
        private readonly byte[] _zeros = new byte[ChunkBytes];
        private long _written;
        private long _synced;

        public void WriteZeros(long start, long end)
        {
            try
            {
                for (long position = start; position < end;)
                {
                    cancellation.ThrowIfCancellationRequested();
                    int length = (int)long.Min(ChunkBytes, end - position);
                    RandomAccess.Write(handle, _zeros.AsSpan(0, length), position);
                    position += length;
                    _written += length;
                    SyncNowAndThen();
                }
            }
            catch (IOException error)
            {
                throw Explain(error);
            }
        }

        /// <summary>
        /// Before anybody counts on the blocks: only written-back blocks are allocated for good.
        /// </summary>
        public void Finish()
        {
            try
            {
                FileCalls.Sync(handle, path);
            }
            catch (IOException error)
            {
                throw Explain(error);
            }
            progress?.Invoke(_written);
        }

        private void SyncNowAndThen()
        {
            if (_written - _synced >= SyncEveryBytes)
            {
                FileCalls.Sync(handle, path);
                _synced = _written;
                progress?.Invoke(_written);
            }
        }

        private RefusalException Explain(IOException error)
        {
            long free = FileSystemFacts.OfPath(path)?.FreeBytes ?? 0;
            long left = bytes - _written;
            return free < left
                ? new RefusalException(NoRoom(path, left, free), error)
                : new RefusalException(
                    new Refusal(
                        "DMR-SPARE-NOT-WRITTEN",
                        ExitCode.Failed,
                        path,
                        $"The spare file {path} could not be written in full: {error.Message.TrimEnd('.')}.",
                        "Check the quota, the free room and the disk that it lies on."),
                    error);
        }
    }
}
