using System;
using System.Diagnostics;
using System.IO;
using System.Linq;
using System.Threading.Tasks;
using DmRemap.Core.Abstractions;
using DmRemap.Interop.Tests.Support;
using DmRemap.Linux.Members;
using Xunit;

namespace DmRemap.Interop.Tests;

/// <summary>One after the other: they count what the whole machine has.</summary>
[CollectionDefinition(nameof(Attaching), DisableParallelization = true)]
public sealed class Attaching;

/// <summary>The way a device becomes /dev/loopN, and the way back.</summary>
[Collection(nameof(Attaching))]
public sealed class AttachTests
{
    private static readonly bool s_isLong = Environment.GetEnvironmentVariable("DMREMAP_LONG") == "1";

    [Fact]
    public async Task Attach_starts_a_server_prints_the_device_and_detach_leaves_nothing()
    {
        await AttachedDisk.SkipUnlessPossibleAsync();
        await using DeviceUnderTest device = await CreateAsync();
        await using AttachedDisk disk = await AttachedDisk.AttachAsync(device);
        string sysfs = "/sys/block/" + Path.GetFileName(disk.Path);
        Assert.Equal("1", Read(sysfs + "/loop/dio"));
        Assert.Equal("1024", Read(sysfs + "/queue/max_sectors_kb"));
        Assert.Equal(disk.Path, new FileInfo("/dev/dmremap/" + DeviceUnderTest.Name).LinkTarget);
        // Again: the same, and nothing new.
        CommandResult again = (await device.RunAsync("attach", DeviceUnderTest.Name)).Expect(0);
        Assert.Equal(disk.Path + "\n", again.Output);
        Assert.Single(AttachedDisk.LoopsOn(AttachedDisk.FileOf(device)));
        // As a file it is the same device.
        CommandResult file = (await device.RunAsync("attach", DeviceUnderTest.Name, "--file")).Expect(0);
        Assert.Equal(AttachedDisk.FileOf(device) + "\n", file.Output);
        int server = AttachedDisk.ServerOf(device)!.Value;
        await disk.DetachAsync();
        await SlowDisk.UntilAsync(() => !AttachedDisk.IsServing(server));
        CommandResult none = (await device.RunAsync("detach", DeviceUnderTest.Name)).Expect(0);
        Assert.Contains("is not attached", none.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_is_mounted_is_named_and_stays_attached()
    {
        await AttachedDisk.SkipUnlessPossibleAsync("mkfs.ext4");
        await using DeviceUnderTest device = await CreateAsync();
        await using AttachedDisk disk = await AttachedDisk.AttachAsync(device);
        (await Command.RunAsync("mkfs.ext4", "-q", "-F", disk.Path)).Expect(0);
        await disk.MountAsync();
        CommandResult refused = (await device.RunAsync("detach", DeviceUnderTest.Name)).Expect(4);
        Assert.Contains($"{disk.Path} is mounted at {disk.Folder}", refused.Error, StringComparison.Ordinal);
        Assert.Contains("DMR-ATTACH-IN-USE", refused.Error, StringComparison.Ordinal);
        refused = (await device.RunAsync("stop", DeviceUnderTest.Name)).Expect(4);
        Assert.Contains(disk.Path, refused.Error, StringComparison.Ordinal);
        await File.WriteAllTextAsync(
            Path.Combine(disk.Folder, "file"), "still there", TestContext.Current.CancellationToken);
        await disk.UnmountAsync();
        using (FileStream open = new(disk.Path, FileMode.Open, FileAccess.Read))
        {
            refused = (await device.RunAsync("detach", DeviceUnderTest.Name)).Expect(4);
            Assert.Contains($"process {Environment.ProcessId}", refused.Error, StringComparison.Ordinal);
        }
        await disk.DetachAsync();
    }

    /// <summary>
    /// Every n-th piece of large writes fails. Whoever writes learns it, directly or at fsync (F-10).
    /// </summary>
    [Theory]
    [InlineData(DeviceUnderTest.Uring)]
    [InlineData(DeviceUnderTest.Epoll)]
    public async Task A_failed_piece_of_a_large_write_reaches_the_writer(string backend)
    {
        const int Areas = 8;
        const int SectorsInArea = 2048;
        const int SectorsInPiece = 256;
        await AttachedDisk.SkipUnlessPossibleAsync();
        await using DeviceUnderTest device = await CreateAsync();
        device.Backend = backend;
        // What is no bad sector is not remapped: it stays an error.
        await device.ServeAsync([.. Enumerable.Range(0, Areas).Select(area =>
        {
            int sector = (area * SectorsInArea) + (area * SectorsInPiece);
            return $"{sector}-{sector} write errno=ETIMEDOUT";
        })]);
        await using AttachedDisk disk = await AttachedDisk.AttachAsync(device);
        for (int area = 0; area < Areas; area++)
        {
            foreach (string how in (string[])["oflag=direct", "conv=fsync"])
            {
                CommandResult failed = await Command.RunAsync(
                    "dd", "if=/dev/zero", "of=" + disk.Path, "bs=1M", "count=1", $"seek={area}", how);
                Assert.True(failed.ExitCode != 0, $"piece {area} with {how} was lost: {failed}");
                Assert.Contains("Input/output error", failed.Error, StringComparison.Ordinal);
            }
        }
        (await Command.RunAsync(
            "dd", "if=/dev/zero", "of=" + disk.Path, "bs=1M", "count=4", $"seek={Areas}", "oflag=direct"))
            .Expect(0);
        Assert.InRange(await device.StatusNumberAsync("counters", "clientErrors"), Areas, 1000);
        await disk.DetachAsync();
    }

    [Fact]
    public async Task A_killed_server_leaves_errors_and_no_hang_and_detach_cleans_up()
    {
        await AttachedDisk.SkipUnlessPossibleAsync("mkfs.ext4");
        await using DeviceUnderTest device = await CreateAsync();
        await using AttachedDisk disk = await AttachedDisk.AttachAsync(device);
        (await Command.RunAsync("mkfs.ext4", "-q", "-F", disk.Path)).Expect(0);
        await disk.MountAsync();
        await Command.SignalAsync("KILL", AttachedDisk.ServerOf(device)!.Value);
        CommandResult read = await Command.RunAsync(
            "dd", "if=" + disk.Path, "of=/dev/null", "bs=4k", "count=1", "skip=99", "iflag=direct");
        Assert.NotEqual(0, read.ExitCode);
        CommandResult refused = (await device.RunAsync("detach", DeviceUnderTest.Name)).Expect(4);
        Assert.Contains(disk.Folder, refused.Error, StringComparison.Ordinal);
        refused = (await device.RunAsync("attach", DeviceUnderTest.Name)).Expect(4);
        Assert.Contains("DMR-ATTACH-SERVER-GONE", refused.Error, StringComparison.Ordinal);
        await disk.UnmountAsync();
        await disk.DetachAsync();
        // And it can be attached anew.
        await using AttachedDisk after = await AttachedDisk.AttachAsync(device);
        (await Command.RunAsync("dd", "if=" + after.Path, "of=/dev/null", "bs=1M", "count=8")).Expect(0);
        await after.DetachAsync();
    }

    [Fact]
    public async Task What_a_killed_server_left_is_cleared_by_the_next_attach()
    {
        await AttachedDisk.SkipUnlessPossibleAsync();
        await using DeviceUnderTest device = await CreateAsync();
        await using AttachedDisk disk = await AttachedDisk.AttachAsync(device);
        await Command.SignalAsync("KILL", AttachedDisk.ServerOf(device)!.Value);
        await using AttachedDisk after = await AttachedDisk.AttachAsync(device);
        (await Command.RunAsync("dd", "if=" + after.Path, "of=/dev/null", "bs=1M", "count=8")).Expect(0);
        Assert.Single(AttachedDisk.LoopsOn(AttachedDisk.FileOf(device)));
        await after.DetachAsync();
    }

    /// <summary>The device that stands on the dead one must not get lost under a second one.</summary>
    [Fact]
    public async Task What_a_killed_server_left_is_cleared_also_when_the_device_is_served_again()
    {
        await AttachedDisk.SkipUnlessPossibleAsync("mkfs.ext4");
        await using DeviceUnderTest device = await CreateAsync();
        await using AttachedDisk disk = await AttachedDisk.AttachAsync(device);
        (await Command.RunAsync("mkfs.ext4", "-q", "-F", disk.Path)).Expect(0);
        await disk.MountAsync();
        await Command.SignalAsync("KILL", AttachedDisk.ServerOf(device)!.Value);
        CommandResult status = (await device.RunAsync("status", DeviceUnderTest.Name)).Expect(0);
        Assert.Contains($"{disk.Path} is still attached", status.Error, StringComparison.Ordinal);
        await device.ServeAsync();
        CommandResult refused = (await device.RunAsync("attach", DeviceUnderTest.Name)).Expect(4);
        Assert.Contains("DMR-ATTACH-SERVER-GONE", refused.Error, StringComparison.Ordinal);
        Assert.Single(AttachedDisk.LoopsOn(AttachedDisk.FileOf(device)));
        await disk.UnmountAsync();
        await using AttachedDisk after = await AttachedDisk.AttachAsync(device);
        (await Command.RunAsync("dd", "if=" + after.Path, "of=/dev/null", "bs=1M", "count=8")).Expect(0);
        Assert.Single(AttachedDisk.LoopsOn(AttachedDisk.FileOf(device)));
        await after.DetachAsync();
        Assert.Empty(AttachedDisk.LoopsOn("/"));
        await device.StopAsync();
    }

    /// <summary>The member that would wait for the device that waits for it (F-21).</summary>
    [Fact]
    public async Task A_member_that_lies_on_the_attached_device_is_refused()
    {
        await AttachedDisk.SkipUnlessPossibleAsync("mkfs.ext4");
        await using DeviceUnderTest device = await CreateAsync();
        await using AttachedDisk disk = await AttachedDisk.AttachAsync(device);
        (await Command.RunAsync("mkfs.ext4", "-q", "-F", disk.Path)).Expect(0);
        await disk.MountAsync();
        string inside = Path.Combine(disk.Folder, "spare");
        await File.WriteAllBytesAsync(inside, new byte[65_536], TestContext.Current.CancellationToken);
        foreach (string spare in (string[])[inside, disk.Path, AttachedDisk.FileOf(device)])
        {
            RefusalException refused = Assert.Throws<RefusalException>(
                () => MemberRules.RequireApart(device.MainPath, [spare]));
            Assert.Equal("DMR-MEMBER-OVERLAP", refused.Id);
        }
        MemberRules.RequireApart(device.MainPath, [device.SparePath]);
        string main = Path.Combine(device.Images, "other.img");
        await File.WriteAllBytesAsync(main, new byte[65_536], TestContext.Current.CancellationToken);
        string spareInside = Path.Combine(disk.Folder, "other-spare");
        CommandResult created = (await device.RunAsync(
            "create", "other", "--main", main, "--spare", spareInside, "--spare-size", "16M", "--yes"))
            .Expect(5);
        Assert.Contains("[DMR-MEMBER-REGISTERED]", created.Error, StringComparison.Ordinal);
        Assert.Contains($"{spareInside} lies on ", created.Error, StringComparison.Ordinal);
        Assert.DoesNotContain("dmremap delete", created.Error, StringComparison.Ordinal);
        await disk.UnmountAsync();
        await disk.DetachAsync();
    }

    [Fact]
    public async Task Cycles_leave_no_loop_no_mount_and_no_descriptor()
    {
        await AttachedDisk.SkipUnlessPossibleAsync();
        await using DeviceUnderTest device = await CreateAsync();
        await device.ServeAsync();
        string[] loops = AllLoops();
        int descriptors = 0;
        int cycles = s_isLong ? 1000 : 10;
        for (int i = 0; i < cycles; i++)
        {
            await using AttachedDisk disk = await AttachedDisk.AttachAsync(device);
            await disk.DetachAsync();
            if (i == 1)
            {
                descriptors = DescriptorsOf(device.Server.Id);
            }
        }
        // The last one is let go of by the data thread, after the unmount.
        await SlowDisk.UntilAsync(() => DescriptorsOf(device.Server.Id) <= descriptors);
        Assert.Equal(loops, AllLoops());
        await device.StopAsync();
    }

    [Fact]
    public async Task A_stop_by_signal_while_attached_ends_in_time_and_detach_cleans_up()
    {
        await AttachedDisk.SkipUnlessPossibleAsync();
        await using DeviceUnderTest device = await CreateAsync();
        await device.ServeAsync();
        await using AttachedDisk disk = await AttachedDisk.AttachAsync(device);
        long began = Stopwatch.GetTimestamp();
        await device.Server.SignalAsync("TERM");
        Assert.Equal(0, await device.Server.WaitForEndAsync(Command.TimeMax));
        Assert.InRange(Stopwatch.GetElapsedTime(began).TotalSeconds, 0, 10);
        await disk.DetachAsync();
    }

    [Fact]
    public async Task A_request_that_the_disk_never_answers_fails_by_the_deadline_of_the_stop()
    {
        await AttachedDisk.SkipUnlessPossibleAsync("nbdkit", "nbdfuse");
        await using DeviceUnderTest device = DeviceUnderTest.PrepareEmpty();
        await using SlowDisk main = await SlowDisk.ServeWithSlowMainAsync(device);
        await using AttachedDisk disk = await AttachedDisk.AttachAsync(device);
        await main.HoldMediumAsync();
        RunningProgram reader = device.StartBeside(
            "dd", "if=" + disk.Path, "of=/dev/null", "bs=4k", "count=1", "skip=200", "iflag=direct");
        await SlowDisk.UntilAsync(
            () => Read($"/sys/block/{Path.GetFileName(disk.Path)}/inflight")[0] != '0');
        await device.Server.SignalAsync("TERM");
        Assert.NotEqual(0, await reader.WaitForEndAsync(TimeSpan.FromSeconds(20)));
        await main.ReleaseMediumAsync();
        Assert.Equal(7, await device.Server.WaitForEndAsync(Command.TimeMax));
        await disk.DetachAsync();
    }

    [Theory]
    [InlineData("INT")]
    [InlineData("TERM")]
    public async Task An_interrupted_attach_ends_the_server_that_it_started(string signal)
    {
        await AttachedDisk.SkipUnlessPossibleAsync("nbdkit", "nbdfuse");
        await using DeviceUnderTest device = DeviceUnderTest.PrepareEmpty();
        (SlowDisk main, SlowDisk spare) = await SlowDisk.CreateWithSlowSpareAsync(device);
        await using SlowDisk disposedMain = main;
        await using SlowDisk disposedSpare = spare;
        await spare.HoldMediumAsync();
        RunningProgram attach = device.StartBeside(DeviceUnderTest.Program, "attach", DeviceUnderTest.Name);
        await SlowDisk.UntilAsync(() => AttachedDisk.FindServer(device) is not null);
        int server = AttachedDisk.FindServer(device)!.Value;
        await attach.SignalAsync(signal);
        Assert.Equal(1, await attach.WaitForEndAsync(Command.TimeMax));
        Assert.Contains("Interrupted", attach.Said, StringComparison.Ordinal);
        Assert.False(AttachedDisk.IsServing(server), "the server is still there");
        Assert.Null(AttachedDisk.ServerOf(device));
        AttachedDisk.AssertNothingLeft(device);
        // And it can be attached as if nothing had been.
        await spare.ReleaseMediumAsync();
        await using AttachedDisk disk = await AttachedDisk.AttachAsync(device);
        await disk.DetachAsync();
    }

    [Fact]
    public async Task Refusals_say_what_to_do()
    {
        await AttachedDisk.SkipUnlessPossibleAsync("setpriv");
        await using DeviceUnderTest device = await CreateAsync();
        CommandResult unknown = (await device.RunAsync("attach", "nosuch")).Expect(3);
        Assert.Contains("dmremap list", unknown.Error, StringComparison.Ordinal);
        (await device.RunAsync("attach", DeviceUnderTest.Name, "--via", "ublk")).Expect(2);
        string attach = $"exec {DeviceUnderTest.Program} attach {DeviceUnderTest.Name}";
        CommandResult noFuse = (await Command.RunAsync(
            "unshare", ["-m", "sh", "-c", "mount -t tmpfs none /dev && " + attach],
            device.Environment)).Expect(9);
        Assert.Contains("DMR-ATTACH-NO-FUSE", noFuse.Error, StringComparison.Ordinal);
        CommandResult noRights = (await Command.RunAsync(
            "setpriv", ["--bounding-set=-sys_admin", "--inh-caps=-sys_admin", "sh", "-c", attach],
            device.Environment)).Expect(8);
        Assert.Contains("DMR-ATTACH-NOT-PERMITTED", noRights.Error, StringComparison.Ordinal);
        AttachedDisk.AssertNothingLeft(device);
        Assert.Null(AttachedDisk.ServerOf(device));
    }

    /// <summary>Where /dev/fuse is root's alone, one that is not is put over it.</summary>
    [Fact]
    public async Task Without_root_the_device_is_a_file()
    {
        await AttachedDisk.SkipUnlessPossibleAsync(
            "fusermount3", "setpriv", "mknod", "mkfs.ext4", "e2fsck");
        await using DeviceUnderTest device = DeviceUnderTest.PrepareEmpty();
        string script = Path.Combine(device.Folder, "script");
        await File.WriteAllTextAsync(
            script, UnprivilegedScript, TestContext.Current.CancellationToken);
        CommandResult ran = await Command.RunAsync(
            "unshare",
            ["-m", "bash", "-euc",
                """
                mknod "$1/fuse" c 10 229 || exit 77
                chmod 666 "$1/fuse"
                mount --bind "$1/fuse" /dev/fuse || exit 77
                chmod 755 "$1"
                mkdir "$1/user"
                chown 65534:65534 "$1/user"
                exec setpriv --reuid=65534 --regid=65534 --clear-groups bash -eux "$1/script" "$1/user" "$2"
                """,
                "_", device.Folder, DeviceUnderTest.Program]);
        Assert.SkipWhen(
            ran.ExitCode is 77, "an ordinary user cannot run the program here: " + ran.Error.Trim());
        ran.Expect(0);
        Assert.Contains("all is well", ran.Output, StringComparison.Ordinal);
    }

    private const string UnprivilegedScript =
        """
        cd "$1"
        export HOME="$1" DMREMAP_CONFIG_DIR="$1/c" DMREMAP_RUN_DIR="$1/r"
        "$2" --version || exit 77
        head -c 32M /dev/zero >main.img
        "$2" create d --main main.img --spare spare.img --spare-size 24M
        code=0; "$2" attach d || code=$?
        [ $code = 8 ]
        [ "$("$2" attach d --file)" = "$1/r/d.disk" ]
        [ "$(stat -c %s r/d.disk)" = 33554432 ]
        mkfs.ext4 -q -F r/d.disk
        e2fsck -fn r/d.disk
        ! (echo truncated >r/d.disk)
        head -c 1000000 /dev/urandom >x
        dd if=x of=r/d.disk bs=512 conv=notrunc,sync status=none
        cmp -n 1000000 x r/d.disk
        exec 5<r/d.disk
        code=0; "$2" detach d || code=$?
        [ $code = 4 ]
        exec 5<&-
        "$2" detach d
        ! grep -q d.disk /proc/self/mountinfo
        cmp -n 1000000 x main.img
        echo all is well
        """;

    private static async Task<DeviceUnderTest> CreateAsync()
    {
        DeviceUnderTest device = DeviceUnderTest.Prepare(new byte[32 * DeviceUnderTest.MiB]);
        await device.CreateAsync();
        return device;
    }

    private static string Read(string attribute) => File.ReadAllText(attribute).Trim();

    private static string[] AllLoops() =>
        [
            .. Directory.GetDirectories("/sys/block", "loop*")
                .Where(loop => Directory.Exists(loop + "/loop")).Order(),
        ];

    private static int DescriptorsOf(int process) => Directory.GetFiles($"/proc/{process}/fd").Length;
}
