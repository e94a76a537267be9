using System;
using System.IO;
using System.Runtime.InteropServices;
using DmRemap.Core.Abstractions;
using DmRemap.Linux.Native;
using Microsoft.Win32.SafeHandles;

namespace DmRemap.Linux.Members;

/// <summary>
/// Small files that survive a crash whole: a new file is written beside its place and synced before it gets
/// its name, and the directory is synced before anybody is told.
/// </summary>
public sealed class StateFiles : IStateFiles
{
    private const uint PrivateFile = 0x180; // 0600
    private const uint PrivateDirectory = 0x1c0; // 0700
    private const int ForOthers = 0x3f; // 0077
    private const int WritableByAll = 0x2; // 0002

    public uint UserId => FileNative.geteuid();

    public DirectoryTrust PrepareDirectory(string path, DirectoryRule rule)
    {
        CreateDirectories(path);
        bool isShared = rule == DirectoryRule.InSharedPlace;
        int errno = FileStatus.TryOfPath(path, followLink: !isShared, out FileStatus? status);
        if (errno != 0)
        {
            throw FileCalls.Failed("looking at", path, errno);
        }
        if (status!.Kind == FileKind.SymbolicLink)
        {
            return DirectoryTrust.SymbolicLink;
        }
        if (status.Kind != FileKind.Directory)
        {
            return DirectoryTrust.NotADirectory;
        }
        bool isOwn = status.OwnerId == UserId;
        if (!isOwn && (isShared || status.OwnerId != 0))
        {
            return DirectoryTrust.OwnedByAnother;
        }
        return (status.Mode & (isShared ? ForOthers : WritableByAll)) != 0
            ? DirectoryTrust.OpenToOthers
            : DirectoryTrust.Usable;
    }

    public bool TryCreate(string path, ReadOnlySpan<byte> content)
    {
        string draft = WriteDraft(path, content);
        int errno = RenameNew(draft, path);
        if (errno != 0)
        {
            Discard(draft);
            return errno == FileNative.EEXIST ? false : throw FileCalls.Failed("creating", path, errno);
        }

        // Otherwise a power cut takes back a name that the user has been told is registered.
        FileCalls.SyncDirectory(DirectoryOf(path));
        return true;
    }

    public void Replace(string path, ReadOnlySpan<byte> content)
    {
        string draft = WriteDraft(path, content);
        if (FileNative.rename(draft, path) < 0)
        {
            int errno = Marshal.GetLastPInvokeError();
            Discard(draft);
            throw FileCalls.Failed("replacing", path, errno);
        }

        // Otherwise a power cut brings the old content back after the new one has been acted on.
        FileCalls.SyncDirectory(DirectoryOf(path));
    }

    public bool Remove(string path)
    {
        if (FileNative.unlink(path) < 0)
        {
            int errno = Marshal.GetLastPInvokeError();
            return errno == FileNative.ENOENT ? false : throw FileCalls.Failed("removing", path, errno);
        }

        // Otherwise a power cut brings back a record whose spares may meanwhile have another use.
        FileCalls.SyncDirectory(DirectoryOf(path));
        return true;
    }

    private static void CreateDirectories(string path)
    {
        string? parent = Path.GetDirectoryName(path.TrimEnd('/'));
        if (!string.IsNullOrEmpty(parent)
            && FileStatus.TryOfPath(parent, followLink: true, out _) == FileNative.ENOENT)
        {
            CreateDirectories(parent);
        }
        if (FileNative.mkdir(path, PrivateDirectory) < 0)
        {
            int errno = Marshal.GetLastPInvokeError();
            if (errno != FileNative.EEXIST)
            {
                throw FileCalls.Failed("creating the directory", path, errno);
            }
            return;
        }
        FileCalls.SyncDirectory(parent is { Length: > 0 } ? parent : "/");
    }

    private static string WriteDraft(string path, ReadOnlySpan<byte> content)
    {
        // No NAME.json, so that a draft left by a crash is never read as a record.
        string draft = $"{path}.{Path.GetRandomFileName()}";
        const int Flags = FileNative.O_WRONLY | FileNative.O_CREAT | FileNative.O_EXCL;
        int errno = FileCalls.TryOpen(draft, Flags, PrivateFile, out SafeFileHandle handle);
        using (handle)
        {
            if (errno != 0)
            {
                throw FileCalls.Failed("creating", draft, errno);
            }
            try
            {
                RandomAccess.Write(handle, content, 0);

                // Before the rename: otherwise a crash leaves the name on an empty or half-written file.
                FileCalls.Sync(handle, draft);
            }
            catch (IOException)
            {
                Discard(draft);
                throw;
            }
        }
        return draft;
    }

    private static int RenameNew(string draft, string path)
    {
        const int Here = FileNative.AT_FDCWD;
        if (FileNative.renameat2(Here, draft, Here, path, FileNative.RENAME_NOREPLACE) >= 0)
        {
            return 0;
        }
        int errno = Marshal.GetLastPInvokeError();
        if (errno is not (FileNative.EINVAL or FileNative.ENOSYS))
        {
            return errno;
        }

        // A file system without RENAME_NOREPLACE; link refuses an existing name as well.
        if (FileNative.link(draft, path) < 0)
        {
            return Marshal.GetLastPInvokeError();
        }
        Discard(draft);
        return 0;
    }

    /// <summary>A draft that cannot be removed is only litter: it has no name that is ever read.</summary>
    private static void Discard(string draft) => _ = FileNative.unlink(draft);

    private static string DirectoryOf(string path) => Path.GetDirectoryName(path) ?? "/";
}
