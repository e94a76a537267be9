using System;

namespace DmRemap.Cli.Losses;

/// <summary>Lines of `btrfs inspect-internal logical-resolve`: a path, or why there is none.</summary>
internal static class BtrfsAnswer
{
    private const string NotMounted = " could not be accessed: not mounted";

    /// <summary>
    /// It says that no file has this address. Of anything else that it does not find, nothing follows.
    /// </summary>
    public static bool IsOfNoFile(ToolAnswer answer) => answer.ExitCode is not (null or 0)
        && answer.Why.Contains("logical ino ioctl: No such file or directory", StringComparison.Ordinal);

    public static bool IsBelow(string path, string folder) =>
        path.StartsWith(folder == "/" ? folder : folder + "/", StringComparison.Ordinal);

    /// <summary>
    /// `inode I subvol PATH could not be accessed: not mounted`: it names nothing in a subvolume that is not
    /// mounted by itself, also where that can be reached through the one above it.
    /// </summary>
    public static bool TryTakeInSubvolume(string line, out string inode, out string subvolume)
    {
        const string Subvolume = " subvol ";
        const string Inode = "inode ";
        inode = subvolume = "";
        int at = line.IndexOf(Subvolume, StringComparison.Ordinal);
        if (!line.StartsWith(Inode, StringComparison.Ordinal)
            || !line.EndsWith(NotMounted, StringComparison.Ordinal)
            || at < Inode.Length
            || at + Subvolume.Length >= line.Length - NotMounted.Length)
        {
            return false;
        }
        inode = line[Inode.Length..at];
        subvolume = line[(at + Subvolume.Length)..^NotMounted.Length];
        return XfsGeometry.TryNumber(inode, out _);
    }
}
