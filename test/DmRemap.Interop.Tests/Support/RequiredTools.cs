using System;
using System.IO;
using System.Linq;
using System.Threading.Tasks;
using Xunit;

namespace DmRemap.Interop.Tests.Support;

/// <summary>Skips a test, with the reason, where this machine has not what it needs.</summary>
internal static class RequiredTools
{
    public static void SkipUnless(params string[] programs)
    {
        string[] missing = [.. programs.Where(program => !IsInstalled(program))];
        Assert.SkipWhen(missing.Length > 0, "not installed on this machine: " + string.Join(", ", missing));
    }

    /// <summary>nbdfuse: a FUSE mount.</summary>
    public static void SkipUnlessFuse()
    {
        SkipUnless("nbdfuse", "fusermount3");
        Assert.SkipUnless(CanOpen("/dev/fuse"), "/dev/fuse cannot be opened by this user");
    }

    /// <summary>The kernel's FUSE, spoken to by the program itself.</summary>
    public static void SkipUnlessKernelFuse() =>
        Assert.SkipUnless(CanOpen("/dev/fuse"), "/dev/fuse cannot be opened by this user");

    /// <summary>nbdfuse, a loop device on top, and a file system mounted from it.</summary>
    public static async Task SkipUnlessLoopAsync()
    {
        SkipUnlessFuse();
        SkipUnless("losetup", "mkfs.ext4", "e2fsck", "mount", "umount");
        Assert.SkipUnless(Environment.UserName == "root", "mounting a loop device needs root");
        CommandResult free = await Command.RunAsync("losetup", "-f");
        Assert.SkipUnless(free.ExitCode == 0, "no loop device to be had: " + free.Error.Trim());
    }

    private static bool IsInstalled(string program) =>
        Command.SearchPath.Split(':').Any(folder =>
            folder.Length > 0 && File.Exists(Path.Combine(folder, program)));

    private static bool CanOpen(string path)
    {
        try
        {
            using FileStream file = new(path, FileMode.Open, FileAccess.ReadWrite);
            return true;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }
}
