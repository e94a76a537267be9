using System;
using System.Diagnostics;
using System.IO;
using System.Threading.Tasks;
using Xunit;

namespace DmRemap.Interop.Tests.Support;

/// <summary>
/// A file whose I/O can be held in the kernel for as long as a test wants: it is served by nbdfuse, and a
/// stopped process answers nothing.
/// </summary>
internal sealed class SlowDisk : IAsyncDisposable
{
    private static readonly TimeSpan s_startMax = TimeSpan.FromSeconds(20);
    private readonly string _mount;
    private readonly RunningProgram _fuse;
    private bool _held;

    private SlowDisk(string mount, RunningProgram fuse)
    {
        _mount = mount;
        _fuse = fuse;
    }

    public string Path => System.IO.Path.Combine(_mount, "disk");

    public static async Task<SlowDisk> StartAsync(DeviceUnderTest device, long bytes)
    {
        string socket = System.IO.Path.Combine(device.Folder, "memory.sock");
        string mount = System.IO.Path.Combine(device.Folder, "mount");
        Directory.CreateDirectory(mount);
        device.StartBeside("nbdkit", "-f", "-U", socket, "memory", $"size={bytes}");
        await UntilAsync(() => File.Exists(socket));
        RunningProgram fuse = device.StartBeside(
            "nbdfuse", System.IO.Path.Combine(mount, "disk"), $"nbd+unix:///?socket={socket}");
        SlowDisk disk = new(mount, fuse);
        await UntilAsync(() =>
            fuse.HasEnded || (File.Exists(disk.Path) && new FileInfo(disk.Path).Length == bytes));
        Assert.False(fuse.HasEnded, fuse.Said);
        return disk;
    }

    /// <summary>From now on every request on the file stays in the kernel.</summary>
    public async Task HoldAsync()
    {
        _held = true;
        await _fuse.SignalAsync("STOP");
    }

    public async Task ReleaseAsync()
    {
        await _fuse.SignalAsync("CONT");
        _held = false;
    }

    public async ValueTask DisposeAsync()
    {
        if (_held)
        {
            await ReleaseAsync();
        }

        // Lazily: a killed server's last request may hold the file a moment longer.
        await Command.RunAsync("fusermount3", "-u", "-z", _mount);
    }

    /// <summary>There is no event for a file that appears under a mount: looked at every 20 ms.</summary>
    public static async Task UntilAsync(Func<bool> condition)
    {
        Stopwatch elapsed = Stopwatch.StartNew();
        while (!condition())
        {
            Assert.True(elapsed.Elapsed < s_startMax, $"not within {s_startMax.TotalSeconds} s");
            await Task.Delay(20);
        }
    }
}
