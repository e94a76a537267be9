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
    private readonly RunningProgram _medium;
    private readonly RunningProgram _fuse;
    private bool _held;
    private bool _mediumHeld;

    private SlowDisk(string mount, RunningProgram medium, RunningProgram fuse)
    {
        _mount = mount;
        _medium = medium;
        _fuse = fuse;
    }

    public string Path => System.IO.Path.Combine(_mount, "disk");

    /// <summary>Of the program behind the file.</summary>
    public int MediumId => _medium.Id;

    public static async Task<SlowDisk> StartAsync(
        DeviceUnderTest device, long bytes, string name = "slow", string? writesTake = null)
    {
        string socket = System.IO.Path.Combine(device.Folder, name + ".sock");
        string mount = System.IO.Path.Combine(device.Folder, name);
        Directory.CreateDirectory(mount);
        RunningProgram medium = device.StartBeside(
            "nbdkit",
            ["-f", "-U", socket, .. writesTake is null ? Array.Empty<string>() : ["--filter=delay"], "memory",
                $"size={bytes}", .. writesTake is null ? Array.Empty<string>() : [$"wdelay={writesTake}"]]);
        await UntilAsync(() => File.Exists(socket));
        RunningProgram fuse = device.StartBeside(
            "nbdfuse", System.IO.Path.Combine(mount, "disk"), $"nbd+unix:///?socket={socket}");
        SlowDisk disk = new(mount, medium, fuse);
        await UntilAsync(() =>
            fuse.HasEnded || (File.Exists(disk.Path) && new FileInfo(disk.Path).Length == bytes));
        Assert.False(fuse.HasEnded, fuse.Said);
        return disk;
    }

    /// <summary>Created and served: the main device can be held, the spare is an ordinary file.</summary>
    public static async Task<SlowDisk> ServeWithSlowMainAsync(DeviceUnderTest device)
    {
        DeviceUnderTest.WriteZeros(device.SparePath, DeviceUnderTest.SpareBytesDefault);
        SlowDisk main = await StartAsync(device, DeviceUnderTest.MiB);
        (await device.RunAsync(
            "create", DeviceUnderTest.Name, "--main", main.Path, "--spare", device.SparePath,
            "--yes")).Expect(0);
        await device.ServeAsync();
        return main;
    }

    /// <summary>
    /// The main device and the spare of a device that is created and not served. Both alike: a spare behind
    /// the page cache is refused where the main device is not.
    /// </summary>
    public static async Task<(SlowDisk Main, SlowDisk Spare)> CreateWithSlowSpareAsync(
        DeviceUnderTest device)
    {
        SlowDisk main = await StartAsync(device, DeviceUnderTest.MiB, "main");
        SlowDisk spare = await StartAsync(device, DeviceUnderTest.SpareBytesDefault, "spare");
        (await device.RunAsync(
            "create", DeviceUnderTest.Name, "--main", main.Path, "--spare", spare.Path, "--yes",
            "--force")).Expect(0);
        return (main, spare);
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

    /// <summary>As a stuck disk: it can still be opened, but what is read or written stays out.</summary>
    public async Task HoldMediumAsync()
    {
        _mediumHeld = true;
        await _medium.SignalAsync("STOP");
    }

    public async Task ReleaseMediumAsync()
    {
        await _medium.SignalAsync("CONT");
        _mediumHeld = false;
    }

    public async ValueTask DisposeAsync()
    {
        if (_mediumHeld)
        {
            await ReleaseMediumAsync();
        }

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
