using System;
using System.IO;
using System.Threading.Tasks;
using Xunit;

namespace DmRemap.Interop.Tests.Support;

/// <summary>
/// A served device as a loop device: nbdfuse makes a file of it, losetup a disk of the file.
/// </summary>
internal sealed class LoopMount : IAsyncDisposable
{
    private readonly string _fuseFolder;
    private readonly RunningProgram _fuse;
    private bool _isMounted;

    private LoopMount(DeviceUnderTest device, RunningProgram fuse, string fuseFolder)
    {
        _fuse = fuse;
        _fuseFolder = fuseFolder;
        Folder = Path.Combine(device.Folder, "mnt");
        Directory.CreateDirectory(Folder);
    }

    /// <summary>/dev/loopN; empty while there is none.</summary>
    public string LoopDevice { get; private set; } = "";

    /// <summary>Where MountAsync mounts it.</summary>
    public string Folder { get; }

    public static Task<LoopMount> AttachAsync(DeviceUnderTest device) => AttachAsync(device, device.Uri);

    public static async Task<LoopMount> AttachAsync(DeviceUnderTest device, string uri)
    {
        string folder = Path.Combine(device.Folder, "fuse");
        Directory.CreateDirectory(folder);
        RunningProgram fuse = device.StartBeside("nbdfuse", folder, uri);
        LoopMount mount = new(device, fuse, folder);
        try
        {
            string file = Path.Combine(folder, "nbd");
            await SlowDisk.UntilAsync(() => fuse.HasEnded || File.Exists(file));
            Assert.False(fuse.HasEnded, fuse.Said);
            CommandResult loop = await Command.RunAsync("losetup", "-f", "--show", file);
            Assert.SkipUnless(loop.ExitCode == 0, "losetup is forbidden here: " + loop.Error.Trim());
            mount.LoopDevice = loop.Output.Trim();
            return mount;
        }
        catch
        {
            await mount.DisposeAsync();
            throw;
        }
    }

    public async Task MountAsync(string options)
    {
        (await Command.RunAsync("mount", "-o", options, LoopDevice, Folder)).Expect(0);
        _isMounted = true;
    }

    /// <summary>
    /// Everything undone in order; each step must succeed, for unmounting is what writes the last data.
    /// </summary>
    public async Task DetachAsync()
    {
        if (_isMounted)
        {
            (await Command.RunAsync("umount", Folder)).Expect(0);
            _isMounted = false;
        }

        (await Command.RunAsync("losetup", "-d", LoopDevice)).Expect(0);
        LoopDevice = "";
        (await Command.RunAsync("fusermount3", "-u", _fuseFolder)).Expect(0);
        await _fuse.WaitForEndAsync(Command.TimeMax);
    }

    /// <summary>What DetachAsync has not done, whatever happens.</summary>
    public async ValueTask DisposeAsync()
    {
        if (_isMounted)
        {
            await Command.RunAsync("umount", "-l", Folder);
        }

        if (LoopDevice.Length > 0)
        {
            await Command.RunAsync("losetup", "-d", LoopDevice);
        }

        if (!_fuse.HasEnded)
        {
            await Command.RunAsync("fusermount3", "-u", "-z", _fuseFolder);
        }
    }
}
