using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Threading.Tasks;
using Xunit;

namespace DmRemap.Interop.Tests.Support;

/// <summary>A device attached as /dev/loopN by the program itself, and what is mounted from it.</summary>
internal sealed class AttachedDisk : IAsyncDisposable
{
    private readonly DeviceUnderTest _device;
    private bool _isMounted;

    private AttachedDisk(DeviceUnderTest device, string path)
    {
        _device = device;
        Path = path;
        Folder = System.IO.Path.Combine(device.Folder, "mnt");
        Directory.CreateDirectory(Folder);
    }

    /// <summary>/dev/loopN.</summary>
    public string Path { get; }

    /// <summary>Where MountAsync mounts it.</summary>
    public string Folder { get; }

    /// <summary>Not where the images lie on a file system that cannot make holes or zeros cheaply.</summary>
    public bool CanDiscard => File.ReadAllText(Queue("discard_max_bytes")).Trim() != "0";

    /// <summary>The file below the loop device.</summary>
    public static string FileOf(DeviceUnderTest device) =>
        System.IO.Path.Combine(device.RunFolder, DeviceUnderTest.Name + ".disk");

    public static async Task SkipUnlessPossibleAsync(params string[] programs)
    {
        Assert.SkipUnless(Environment.UserName == "root", "attaching a block device needs root");
        RequiredTools.SkipUnless(["losetup", "mount", "umount", "unshare", "dd", .. programs]);
        RequiredTools.SkipUnlessKernelFuse();
        CommandResult mounts = await Command.RunAsync("unshare", "-m", "true");
        Assert.SkipUnless(mounts.ExitCode == 0, "mounting is forbidden here: " + mounts.Error.Trim());
        CommandResult free = await Command.RunAsync("losetup", "-f");
        Assert.SkipUnless(free.ExitCode == 0, "no loop device to be had: " + free.Error.Trim());
    }

    /// <summary>Skips where the machine does not let it.</summary>
    public static async Task<AttachedDisk> AttachAsync(DeviceUnderTest device)
    {
        CommandResult attached = await device.RunAsync("attach", DeviceUnderTest.Name);
        Assert.SkipWhen(attached.ExitCode is 8 or 9, "not possible here: " + attached.Error.Trim());
        attached.Expect(0);
        Assert.Matches("^/dev/loop[0-9]+\n$", attached.Output);
        return new AttachedDisk(device, attached.Output.Trim());
    }

    public async Task MountAsync(string options = "rw")
    {
        (await Command.RunAsync("mount", "-o", options, Path, Folder)).Expect(0);
        _isMounted = true;
    }

    public async Task UnmountAsync()
    {
        (await Command.RunAsync("umount", Folder)).Expect(0);
        _isMounted = false;
    }

    public async Task DetachAsync()
    {
        (await _device.RunAsync("detach", DeviceUnderTest.Name)).Expect(0);
        AssertNothingLeft(_device);
    }

    /// <summary>No loop device on the file, no mount of it, no link.</summary>
    public static void AssertNothingLeft(DeviceUnderTest device)
    {
        string file = FileOf(device);
        Assert.DoesNotContain(file, File.ReadAllText("/proc/self/mountinfo"), StringComparison.Ordinal);
        Assert.Empty(LoopsOn(file));
        Assert.False(File.Exists(file), "the file is still there");
    }

    public static IEnumerable<string> LoopsOn(string file) =>
        Directory.GetDirectories("/sys/block", "loop*").Where(loop =>
        {
            string backing = System.IO.Path.Combine(loop, "loop/backing_file");
            try
            {
                return File.ReadAllText(backing).Trim() == file;
            }
            catch (IOException)
            {
                return false;
            }
        });

    /// <summary>The process that serves this device, also while an attach is at work.</summary>
    public static int? FindServer(DeviceUnderTest device)
    {
        foreach (string directory in Directory.GetDirectories("/proc", "*"))
        {
            if (int.TryParse(
                    System.IO.Path.GetFileName(directory), NumberStyles.None, CultureInfo.InvariantCulture,
                    out int process)
                && IsServing(process)
                && TryRead($"{directory}/environ").Contains(
                    $"DMREMAP_RUN_DIR={device.RunFolder}\0", StringComparison.Ordinal))
            {
                return process;
            }
        }
        return null;
    }

    /// <summary>
    /// The process that `attach` started for this device; null: it started none, or is at work just now.
    /// </summary>
    public static int? ServerOf(DeviceUnderTest device)
    {
        string path = System.IO.Path.Combine(device.RunFolder, DeviceUnderTest.Name + ".attach");
        return int.TryParse(
            TryRead(path).Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out int id)
            ? id
            : null;
    }

    /// <summary>Whether this process serves; not one that has ended, and is to be waited for.</summary>
    public static bool IsServing(int process) =>
        TryRead($"/proc/{process}/cmdline").Contains(
            $"dmremap\0serve\0{DeviceUnderTest.Name}\0", StringComparison.Ordinal);

    private static string TryRead(string path)
    {
        try
        {
            return File.ReadAllText(path);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return "";
        }
    }

    private string Queue(string attribute) =>
        $"/sys/block/{System.IO.Path.GetFileName(Path)}/queue/{attribute}";

    /// <summary>Whatever the test has left.</summary>
    public async ValueTask DisposeAsync()
    {
        if (_isMounted)
        {
            await Command.RunAsync("umount", "-l", Folder);
        }
        await CleanUpAsync(_device);
    }

    public static async Task CleanUpAsync(DeviceUnderTest device)
    {
        if (ServerOf(device) is null && !File.Exists(FileOf(device)))
        {
            return;
        }
        CommandResult detached = await device.RunAsync("detach", DeviceUnderTest.Name);
        if (detached.ExitCode is not (0 or 7))
        {
            await Command.RunAsync("umount", "-l", FileOf(device));
            if (ServerOf(device) is int server)
            {
                await Command.SignalAsync("KILL", server);
            }
        }
    }
}
