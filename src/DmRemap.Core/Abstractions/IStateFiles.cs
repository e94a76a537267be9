using System;

namespace DmRemap.Core.Abstractions;

/// <summary>What stands at the place of a directory that is to hold our state.</summary>
public enum DirectoryTrust
{
    None = 0,

    /// <summary>A directory, not writable by everybody; made with mode 0700 if nothing was there.</summary>
    Usable = 1,

    /// <summary>A symbolic link, which somebody else could have put there.</summary>
    SymbolicLink = 2,

    NotADirectory = 3,

    /// <summary>It belongs to another user, who could change what we read.</summary>
    OwnedByAnother = 4,

    /// <summary>Others may write to it, or (where it must be private) even look into it.</summary>
    OpenToOthers = 5,
}

/// <summary>How much a state directory must prove before we write into it.</summary>
public enum DirectoryRule
{
    /// <summary>
    /// Named by the user or below a directory of his: a link is his own, only write access by all is refused.
    /// </summary>
    Chosen = 1,

    /// <summary>
    /// In a directory where anybody may create names: must be ours, no link, and closed to others.
    /// </summary>
    InSharedPlace = 2,
}

/// <summary>
/// Small files that must survive a crash whole. Errors of the file system are IOException. Control plane
/// only.
/// </summary>
public interface IStateFiles
{
    /// <summary>The effective user id.</summary>
    uint UserId { get; }

    /// <summary>
    /// Create the directory (and missing parents) with mode 0700 where nothing is, then judge what is there.
    /// </summary>
    DirectoryTrust PrepareDirectory(string path, DirectoryRule rule);

    /// <summary>
    /// Write a new file (mode 0600) durably, whole or not at all. False when the name exists.
    /// </summary>
    bool TryCreate(string path, ReadOnlySpan<byte> content);

    /// <summary>Replace a file (mode 0600) durably: a crash leaves the old or the new one.</summary>
    void Replace(string path, ReadOnlySpan<byte> content);

    /// <summary>Remove a file durably. False when it does not exist.</summary>
    bool Remove(string path);
}
