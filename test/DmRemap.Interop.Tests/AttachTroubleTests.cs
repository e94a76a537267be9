using System;
using System.IO;
using System.Linq;
using System.Threading.Tasks;
using DmRemap.Interop.Tests.Support;
using Xunit;

namespace DmRemap.Interop.Tests;

/// <summary>`attach` and `detach` where the server, or a disk behind it, does not answer.</summary>
[Collection(nameof(Attaching))]
public sealed class AttachTroubleTests
{
    private const string LinkPath = "/dev/dmremap/" + DeviceUnderTest.Name;

    /// <summary>Longer than any of them may take.</summary>
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(45);

    /// <summary>Its control socket is gone when it says that it is ready.</summary>
    [Fact]
    public async Task An_attach_that_cannot_reach_the_server_that_it_started_ends_it()
    {
        await AttachedDisk.SkipUnlessPossibleAsync("nbdkit", "nbdfuse");
        await using DeviceUnderTest device = DeviceUnderTest.PrepareEmpty();
        (SlowDisk main, SlowDisk spare) = await SlowDisk.CreateWithSlowSpareAsync(device);
        await using SlowDisk disposedMain = main;
        await using SlowDisk disposedSpare = spare;
        await using Leftovers leftovers = new(device);
        await spare.HoldMediumAsync();
        RunningProgram attach = device.StartBeside(DeviceUnderTest.Program, "attach", DeviceUnderTest.Name);
        await SlowDisk.UntilAsync(() => File.Exists(ControlSocketOf(device)));
        int server = AttachedDisk.FindServer(device)!.Value;
        File.Delete(ControlSocketOf(device));
        await spare.ReleaseMediumAsync();
        Assert.Equal(1, await attach.WaitForEndAsync(s_patience));
        Assert.False(AttachedDisk.IsServing(server), "the server is still there");
        Assert.Null(AttachedDisk.ServerOf(device));
        AttachedDisk.AssertNothingLeft(device);
    }

    /// <summary>/dev/fuse is a file that hangs when the server opens it: it gets 30 seconds.</summary>
    [Fact]
    public async Task An_attach_that_its_server_does_not_answer_ends_it()
    {
        await AttachedDisk.SkipUnlessPossibleAsync("nbdkit", "nbdfuse");
        await using DeviceUnderTest device = DeviceUnderTest.PrepareEmpty();
        (SlowDisk main, SlowDisk spare) = await SlowDisk.CreateWithSlowSpareAsync(device);
        await using SlowDisk disposedMain = main;
        await using SlowDisk disposedSpare = spare;
        await using SlowDisk fuse = await SlowDisk.StartAsync(device, DeviceUnderTest.MiB, "fuse");
        await using Leftovers leftovers = new(device);
        await spare.HoldMediumAsync();
        RunningProgram attach = device.StartBeside(
            "unshare", "-m", "sh", "-c", "mount --bind \"$1\" /dev/fuse && exec \"$2\" attach \"$3\"", "_",
            fuse.Path, DeviceUnderTest.Program, DeviceUnderTest.Name);
        await SlowDisk.UntilAsync(() => AttachedDisk.FindServer(device) is not null);
        int server = AttachedDisk.FindServer(device)!.Value;
        await fuse.HoldAsync();
        await spare.ReleaseMediumAsync();
        Assert.Equal(1, await attach.WaitForEndAsync(s_patience));
        Assert.Contains("does not answer", Words(attach.Said), StringComparison.Ordinal);
        Assert.DoesNotContain("bug", attach.Said, StringComparison.Ordinal);
        // Its own stop takes 7 seconds then. On a slow machine it is noted as left, and ends a moment later.
        await SlowDisk.UntilAsync(() => !AttachedDisk.IsServing(server));
        await fuse.ReleaseAsync();
        (await device.RunAsync("detach", DeviceUnderTest.Name)).Expect(0);
        Assert.Null(AttachedDisk.ServerOf(device));
        AttachedDisk.AssertNothingLeft(device);
    }

    /// <summary>
    /// The kernel flushes the file of the new block device, and looks for partitions, on a disk that is
    /// stuck. As udev would, somebody else looks too, and has it open when it is to be let go.
    /// </summary>
    [Fact]
    public async Task An_attach_that_is_interrupted_at_a_stuck_disk_takes_back_what_it_made()
    {
        await AttachedDisk.SkipUnlessPossibleAsync("nbdkit", "nbdfuse");
        await using DeviceUnderTest device = DeviceUnderTest.PrepareEmpty();
        await using SlowDisk main = await SlowDisk.ServeWithSlowMainAsync(device);
        await using Leftovers leftovers = new(device);
        await main.HoldMediumAsync();
        RunningProgram attach = device.StartBeside(DeviceUnderTest.Program, "attach", DeviceUnderTest.Name);
        await SlowDisk.UntilAsync(() => IsConfiguringLoop(attach.Id));
        RunningProgram other = device.StartBeside(
            "sh", "-c", "exec 5<\"$1\" && exec sleep 1", "_", LoopOpenIn(attach.Id));
        await attach.SignalAsync("INT");
        Assert.Equal(1, await attach.WaitForEndAsync(s_patience));
        Assert.Contains("Interrupted", attach.Said, StringComparison.Ordinal);
        AttachedDisk.AssertNothingLeft(device);
        Assert.Null(new FileInfo(LinkPath).LinkTarget);
        await other.WaitForEndAsync(s_patience);
        // And it can be attached as if nothing had been.
        await main.ReleaseMediumAsync();
        await using AttachedDisk disk = await AttachedDisk.AttachAsync(device);
        await disk.DetachAsync();
        await device.StopAsync();
    }

    [Fact]
    public async Task A_server_that_hangs_keeps_neither_detach_nor_the_other_devices()
    {
        await AttachedDisk.SkipUnlessPossibleAsync();
        await using DeviceUnderTest device = await CreateAsync();
        await using AttachedDisk disk = await AttachedDisk.AttachAsync(device);
        await using Leftovers leftovers = new(device);
        (await Command.RunAsync(
            "dd", "if=/dev/zero", "of=" + disk.Path, "bs=1M", "count=4", "oflag=direct")).Expect(0);
        int server = AttachedDisk.ServerOf(device)!.Value;
        await Command.SignalAsync("STOP", server);
        string main = Path.Combine(device.Images, "other.img");
        await File.WriteAllBytesAsync(
            main, new byte[DeviceUnderTest.MiB], TestContext.Current.CancellationToken);
        (await device.RunAsync(
            "create", "other", "--main", main, "--spare", main + ".spare", "--spare-size", "16M", "--yes"))
            .Expect(0);
        RunningProgram detach = device.StartBeside(DeviceUnderTest.Program, "detach", DeviceUnderTest.Name);
        Assert.Equal(7, await detach.WaitForEndAsync(s_patience));
        Assert.Contains($"process {server}", Words(detach.Said), StringComparison.Ordinal);
        Assert.Contains("cut off", detach.Said, StringComparison.Ordinal);
        AttachedDisk.AssertNothingLeft(device);
        Assert.Equal(server, AttachedDisk.ServerOf(device));
        await Command.SignalAsync("CONT", server);
        await SlowDisk.UntilAsync(() => !AttachedDisk.IsServing(server));
        await disk.DetachAsync();
        Assert.Null(AttachedDisk.ServerOf(device));
    }

    [Fact]
    public async Task A_server_whose_control_socket_is_gone_is_ended_by_detach()
    {
        await AttachedDisk.SkipUnlessPossibleAsync();
        await using DeviceUnderTest device = await CreateAsync();
        await using AttachedDisk disk = await AttachedDisk.AttachAsync(device);
        await using Leftovers leftovers = new(device);
        int server = AttachedDisk.ServerOf(device)!.Value;
        File.Delete(ControlSocketOf(device));
        CommandResult detached = (await device.RunAsync("detach", DeviceUnderTest.Name)).Expect(0);
        Assert.Contains("its server had no control socket", detached.Output, StringComparison.Ordinal);
        Assert.False(AttachedDisk.IsServing(server), "the server is still there");
        Assert.Null(AttachedDisk.ServerOf(device));
        AttachedDisk.AssertNothingLeft(device);
    }

    /// <summary>As of one that an interrupted attach has left starting.</summary>
    [Fact]
    public async Task A_control_socket_that_opens_a_moment_later_is_waited_for()
    {
        await AttachedDisk.SkipUnlessPossibleAsync();
        await using DeviceUnderTest device = await CreateAsync();
        await using AttachedDisk disk = await AttachedDisk.AttachAsync(device);
        await using Leftovers leftovers = new(device);
        int server = AttachedDisk.ServerOf(device)!.Value;
        string socket = ControlSocketOf(device);
        File.Move(socket, socket + ".later");
        RunningProgram detach = device.StartBeside(DeviceUnderTest.Program, "detach", DeviceUnderTest.Name);
        await SlowDisk.UntilAsync(() => !AttachedDisk.LoopsOn(AttachedDisk.FileOf(device)).Any());
        File.Move(socket + ".later", socket);
        Assert.Equal(0, await detach.WaitForEndAsync(s_patience));
        Assert.Contains("its server was stopped", detach.Said, StringComparison.Ordinal);
        Assert.False(AttachedDisk.IsServing(server), "the server is still there");
        AttachedDisk.AssertNothingLeft(device);
    }

    /// <summary>The ioctl LOOP_CONFIGURE, in one of its threads.</summary>
    private static bool IsConfiguringLoop(int process) => Directory.GetDirectories($"/proc/{process}/task")
        .Any(thread => File.ReadAllText(thread + "/syscall").Contains(" 0x4c0a ", StringComparison.Ordinal));

    private static string LoopOpenIn(int process) => Directory.GetFiles($"/proc/{process}/fd")
        .Select(descriptor => new FileInfo(descriptor).LinkTarget ?? "")
        .Single(target => target.StartsWith("/dev/loop", StringComparison.Ordinal)
            && !target.EndsWith("-control", StringComparison.Ordinal));

    private static string ControlSocketOf(DeviceUnderTest device) =>
        Path.Combine(device.RunFolder, DeviceUnderTest.Name + ".sock");

    /// <summary>As it was before it was wrapped, and marked as an error.</summary>
    private static string Words(string text) =>
        string.Join(' ', text.Split((char[])[' ', '\n', '!'], StringSplitOptions.RemoveEmptyEntries));

    private static async Task<DeviceUnderTest> CreateAsync()
    {
        DeviceUnderTest device = DeviceUnderTest.Prepare(new byte[32 * DeviceUnderTest.MiB]);
        await device.CreateAsync();
        return device;
    }

    /// <summary>Whatever a test that fails has left, also of a server that hangs.</summary>
    private sealed class Leftovers(DeviceUnderTest device) : IAsyncDisposable
    {
        public async ValueTask DisposeAsync()
        {
            if (AttachedDisk.FindServer(device) is int server)
            {
                await Command.SignalAsync("KILL", server);
            }
            await AttachedDisk.CleanUpAsync(device);
        }
    }
}
