using System;
using System.IO;
using DmRemap.Core.Abstractions;
using DmRemap.Linux.Loops;

namespace DmRemap.Cli.Attaching;

/// <summary>
/// /dev/dmremap/NAME: a name for the block device that stays, whatever number it gets. The machine has one of
/// each name, and a device of that name in each configuration directory.
/// </summary>
internal static class DeviceLink
{
    private const string DirectoryPath = "/dev/dmremap";

    /// <summary>Before anything is made: a link that is in use stays whose it is.</summary>
    /// <exception cref="RefusalException">DMR-ATTACH-NAME-TAKEN (exit 4).</exception>
    public static void RequireFree(string name, string file)
    {
        if (FindOther(name, file) is LoopDevice other)
        {
            throw new RefusalException(
                AttachRefusals.NameTaken(name, PathOf(name), other.Path, other.BackingFile));
        }
    }

    /// <summary>The link, where it leads to this device; else null.</summary>
    public static string? Find(string name, string device) =>
        TargetOf(name) == device ? PathOf(name) : null;

    /// <summary>
    /// The link, or null where it cannot be made or is another's: the block device works without it.
    /// </summary>
    public static string? TryMake(string name, string device, string file)
    {
        string path = PathOf(name);
        try
        {
            Directory.CreateDirectory(
                DirectoryPath,
                UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute
                    | UnixFileMode.GroupRead | UnixFileMode.GroupExecute
                    | UnixFileMode.OtherRead | UnixFileMode.OtherExecute);
            if (FindOther(name, file) is not null)
            {
                return null;
            }
            if (TargetOf(name) != device)
            {
                // Beside it first: whoever looks finds the old or the new one, never none.
                string draft = path + ".new";
                File.Delete(draft);
                File.CreateSymbolicLink(draft, device);
                File.Move(draft, path, overwrite: true);
            }
            return path;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    /// <summary>
    /// Only one that leads to this device, which must not have been let go yet: its number, and a link to it,
    /// may be another's at once. False: there was none.
    /// </summary>
    public static bool Remove(string name, string device)
    {
        try
        {
            if (Find(name, device) is not string path)
            {
                return false;
            }
            File.Delete(path);
            return true;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false; // A link that leads nowhere is replaced by the next attach.
        }
    }

    /// <summary>The device that the link leads to, if that stands on another file.</summary>
    private static LoopDevice? FindOther(string name, string file) =>
        TargetOf(name) is string target && LoopDevice.At(target) is { IsAttached: true } loop
            && !loop.IsOn(file)
            ? loop
            : null;

    private static string? TargetOf(string name)
    {
        try
        {
            return new FileInfo(PathOf(name)).LinkTarget;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    private static string PathOf(string name) => Path.Combine(DirectoryPath, name);
}
