using System;
using System.IO;

namespace DmRemap.Cli.Attaching;

/// <summary>/dev/dmremap/NAME: a name for the block device that stays, whatever number it gets.</summary>
internal static class DeviceLink
{
    private const string DirectoryPath = "/dev/dmremap";

    /// <summary>The link, or null where it cannot be made: the block device works without it.</summary>
    public static string? TryMake(string name, string device)
    {
        string path = Path.Combine(DirectoryPath, name);
        try
        {
            Directory.CreateDirectory(
                DirectoryPath,
                UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute
                    | UnixFileMode.GroupRead | UnixFileMode.GroupExecute
                    | UnixFileMode.OtherRead | UnixFileMode.OtherExecute);
            if (new FileInfo(path).LinkTarget != device)
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

    /// <summary>Only one that leads to this device: the name may have become another's.</summary>
    public static void Remove(string name, string device)
    {
        string path = Path.Combine(DirectoryPath, name);
        try
        {
            if (new FileInfo(path).LinkTarget == device)
            {
                File.Delete(path);
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // A link that leads nowhere is replaced by the next attach.
        }
    }
}
