using System;
using System.Diagnostics;
using System.IO;
using System.Linq;
using System.Text.Json;
using System.Threading.Tasks;
using DmRemap.Interop.Tests.Support;
using Xunit;

namespace DmRemap.Interop.Tests;

/// <summary>`dmremap lab`: a disk that fails on purpose, for clients of other projects.</summary>
public sealed class LabTests
{
    private const long MiB = DeviceUnderTest.MiB;

    [Fact]
    public async Task A_tebibyte_takes_no_room_and_a_model_is_the_same_disk_each_time()
    {
        await using LabUnderTest lab = await LabUnderTest.StartAsync(
            "--size", "1T", "--model", "nearline", "--seed", "12", "--delays", "0");
        JsonElement status = await lab.StatusAsync();
        Assert.Equal(1L << 40, status.GetProperty("sizeBytes").GetInt64());
        string[] defects = await lab.ListAsync();
        Assert.NotEmpty(defects);
        using (NbdTestClient client = await lab.ConnectAsync())
        {
            Assert.Equal(1L << 40, client.SizeBytes);
            long far = (1L << 40) - 4096;
            Assert.Equal(0u, await client.WriteAsync(far, Enumerable.Repeat((byte)7, 4096).ToArray()));
            byte[] buffer = new byte[4096];
            Assert.Equal(0u, await client.ReadAsync(far, buffer));
            Assert.All(buffer, value => Assert.Equal(7, value));
        }
        // Its file has no name any more, so that it goes with the process however that ends.
        Assert.Empty(Directory.GetFileSystemEntries(lab.Images));
        await lab.StopAsync();
        await lab.ServeAsync("--size", "1T", "--model", "nearline", "--seed", "12", "--delays", "0");
        Assert.Equal(defects, await lab.ListAsync());
        await lab.StopAsync();
    }

    [Fact]
    public async Task Sectors_go_bad_and_are_healed_while_it_runs()
    {
        await using LabUnderTest lab = await LabUnderTest.StartAsync("--size", "64M");
        using NbdTestClient client = await lab.ConnectAsync();
        byte[] block = new byte[4096];
        Assert.Equal(0u, await client.ReadAsync(MiB, block));
        await lab.TellAsync("add-bad", "2048-2055", "dead");
        Assert.Equal(NbdTestClient.ErrorIo, await client.ReadAsync(MiB, block));
        Assert.Equal(NbdTestClient.ErrorIo, await client.WriteAsync(MiB, block));
        Assert.Equal(0u, await client.ReadAsync(MiB + 4096, block));
        Assert.Equal(["2048-2055 dead"], await lab.ListAsync());
        await lab.TellAsync("heal", "2048");
        Assert.Equal(0u, await client.ReadAsync(MiB, block));

        await lab.TellAsync("add-bad", "2048", "weak", "tries=2");
        uint[] reads = [.. Enumerable.Repeat(0u, 3)];
        for (int i = 0; i < reads.Length; i++)
        {
            reads[i] = await client.ReadAsync(MiB, block);
        }
        Assert.Equal([NbdTestClient.ErrorIo, NbdTestClient.ErrorIo, 0u], reads);

        await lab.TellAsync("add-bad", "2048", "unflushable");
        Assert.Equal(0u, await client.WriteAsync(MiB, block));
        Assert.Equal(NbdTestClient.ErrorIo, await client.FlushAsync());
        Assert.Equal(0u, await client.FlushAsync());
        Assert.Equal(NbdTestClient.ErrorIo, await client.ReadAsync(MiB, block));
        Assert.Equal(1, await lab.CounterAsync("flushesFailed"));

        (await lab.RunAsync("add-bad", "131072")).Expect(2);
        (await lab.RunAsync("add-bad", "1", "sleepy")).Expect(2);
        await lab.TellAsync("heal");
        Assert.Empty(await lab.ListAsync());
        await lab.StopAsync();
    }

    [Fact]
    public async Task A_stalled_disk_answers_its_control_socket_at_once_and_its_clients_when_it_is_over()
    {
        await using LabUnderTest lab = await LabUnderTest.StartAsync("--size", "64M");
        using NbdTestClient client = await lab.ConnectAsync();
        await lab.TellAsync("stall");
        Task<uint> read = client.ReadAsync(0, new byte[512]);
        Assert.Equal("stall", (await lab.StatusAsync()).GetProperty("state").GetString());
        Assert.Equal(1, await lab.CounterAsync("stalled"));
        Assert.False(read.IsCompleted);
        await lab.TellAsync("return");
        Assert.Equal(0u, await read);

        Stopwatch elapsed = Stopwatch.StartNew();
        await lab.TellAsync("reset", "1");
        Assert.Equal(NbdTestClient.ErrorIo, await client.ReadAsync(0, new byte[512]));
        Assert.True(elapsed.Elapsed >= TimeSpan.FromSeconds(0.9), $"{elapsed.Elapsed}");
        Assert.Equal(0u, await client.ReadAsync(0, new byte[512]));
        await lab.TellAsync("stall");
        Task<uint> held = client.ReadAsync(0, new byte[512]);
        await lab.StopAsync();
        Assert.Equal(0u, await held);
    }

    [Fact]
    public async Task A_disk_that_vanishes_cuts_its_clients_off_until_it_returns_with_what_it_had()
    {
        await using LabUnderTest lab = await LabUnderTest.StartAsync("--size", "64M");
        byte[] written = [.. Enumerable.Range(0, 512).Select(i => (byte)(i & 0xFF))];
        using (NbdTestClient client = await lab.ConnectAsync())
        {
            Assert.Equal(0u, await client.WriteAsync(0, written));
            await lab.TellAsync("vanish");
            Assert.True(await client.IsClosedByServerAsync());
        }
        await Assert.ThrowsAnyAsync<Exception>(lab.ConnectAsync);
        Assert.Equal("vanish", (await lab.StatusAsync()).GetProperty("state").GetString());
        await lab.TellAsync("return");
        using NbdTestClient again = await lab.ConnectAsync();
        byte[] read = new byte[512];
        Assert.Equal(0u, await again.ReadAsync(0, read));
        Assert.Equal(written, read);
        await lab.StopAsync();
    }

    [Fact]
    public async Task Disks_are_listed_and_one_that_is_not_there_is_said_to_be_none()
    {
        await using LabUnderTest lab = await LabUnderTest.StartAsync(
            "--size", "64M", "--bad-count", "10", "--bad-percent", "1", "--bad-kind", "dead");
        // 10 and 1 % of 16,384.
        Assert.Equal(174, (await lab.StatusAsync()).GetProperty("defects").GetProperty("dead").GetInt64());
        CommandResult listed = (await lab.RunAnyAsync("lab", "list")).Expect(0);
        Assert.StartsWith("bad  64 MiB  by hand  174 bad  answers  nbd+unix", listed.Output);
        Assert.Contains("174 physical sectors: 174 dead", (await lab.RunAsync("status")).Output);
        CommandResult none = (await lab.RunAnyAsync("lab", "status", "other")).Expect(3);
        Assert.Contains("DMR-LAB-NOT-RUNNING", none.Error);
        // A second one of the name would be met by nobody.
        (await lab.RunAnyAsync("lab", "serve", LabUnderTest.Name, "--size", "1M")).Expect(4);
        Assert.DoesNotContain(
            (await lab.RunAnyAsync("list")).Expect(0).Output.Split('\n'),
            line => line.StartsWith("bad", StringComparison.Ordinal));
        await lab.Server.SignalAsync("TERM");
        Assert.Equal(0, await lab.Server.WaitForEndAsync(TimeSpan.FromSeconds(30)));
        Assert.Contains("no disk in the lab", (await lab.RunAnyAsync("lab", "list")).Expect(0).Output);
    }

    [Theory]
    [InlineData("--size", "1000")]
    [InlineData("--size", "1M", "--clock", "5")]
    [InlineData("--size", "1M", "--bad-count", "257")]
    [InlineData("--size", "1M", "--model", "quantum")]
    [InlineData("--size", "1M", "--listen", "0.0.0.0:0")]
    [InlineData("--file", "/dev/null")]
    [InlineData("--file", "/nowhere/x", "--size", "1M")]
    [InlineData("--size", "1M", "--mapfile", "/dev/null")]
    public async Task What_cannot_be_served_is_refused_and_leaves_nothing(params string[] options)
    {
        await using LabUnderTest lab = LabUnderTest.Prepare();
        CommandResult refused = await lab.RunAsync("serve", options);
        Assert.True(refused.ExitCode is 1 or 2 or 5, refused.ToString());
        Assert.Contains("DMR-", refused.Error, StringComparison.Ordinal);
        string run = Path.Combine(lab.Folder, "run", "lab");
        Assert.True(!Directory.Exists(run) || Directory.GetFileSystemEntries(run).Length == 0);
    }

    /// <summary>What ddrescue finds of a disk is what it was made with; its mapfile makes the next.</summary>
    [Fact]
    public async Task Ddrescue_rescues_what_is_good_and_its_mapfile_makes_the_same_disk_again()
    {
        RequiredTools.SkipUnless("ddrescue", "nbdfuse", "fusermount3");
        RequiredTools.SkipUnlessFuse();
        await using LabUnderTest lab = LabUnderTest.Prepare();
        string image = Path.Combine(lab.Images, "disk.img");
        byte[] content = Content.Of(8 * MiB);
        await File.WriteAllBytesAsync(image, content, TestContext.Current.CancellationToken);
        await lab.ServeAsync("--file", image);
        foreach (string run in (string[])["0-7", "2048-2063", "9000-9007", "16376-16383"])
        {
            await lab.TellAsync("add-bad", run);
        }
        string[] defects = await lab.ListAsync();
        string rescued = Path.Combine(lab.Images, "rescued.img");
        string map = Path.Combine(lab.Images, "rescue.map");
        string folder = Path.Combine(lab.Folder, "fuse");
        Directory.CreateDirectory(folder);
        await using (RunningProgram fuse = RunningProgram.Start("nbdfuse", [folder, lab.Uri]))
        {
            string file = Path.Combine(folder, "nbd");
            await SlowDisk.UntilAsync(() => fuse.HasEnded || File.Exists(file));
            Assert.False(fuse.HasEnded, fuse.Said);
            (await Command.RunAsync("ddrescue", "-q", "-d", "-b", "4096", file, rescued, map)).Expect(0);
            (await Command.RunAsync("fusermount3", "-u", folder)).Expect(0);
            Assert.Equal(0, await fuse.WaitForEndAsync(TimeSpan.FromSeconds(30)));
        }
        await lab.StopAsync();
        byte[] copy = await File.ReadAllBytesAsync(rescued, TestContext.Current.CancellationToken);
        Array.Resize(ref copy, content.Length);
        foreach (string run in defects)
        {
            string[] ends = run.Split(' ')[0].Split('-');
            (int first, int last) = (int.Parse(ends[0]) * 512, (int.Parse(ends[1]) + 1) * 512);
            content.AsSpan(first, last - first).CopyTo(copy.AsSpan(first));
        }
        Assert.True(content.AsSpan().SequenceEqual(copy), "what is good was not copied right");
        await lab.ServeAsync("--size", "8M", "--mapfile", map);
        Assert.Equal(defects, await lab.ListAsync());
        await lab.StopAsync();
    }

    [Fact]
    public async Task Clients_of_other_projects_see_a_disk_and_its_errors()
    {
        RequiredTools.SkipUnless("nbdinfo", "nbdcopy", "qemu-io", "fio");
        await using LabUnderTest lab = await LabUnderTest.StartAsync("--size", "64M");
        (await Command.RunAsync("nbdinfo", lab.Uri)).Expect(0);
        string image = Path.Combine(lab.Images, "in.img");
        byte[] content = Content.Of(64 * MiB);
        await File.WriteAllBytesAsync(image, content, TestContext.Current.CancellationToken);
        (await Command.RunAsync("nbdcopy", "--flush", image, lab.Uri)).Expect(0);
        string back = Path.Combine(lab.Images, "out.img");
        (await Command.RunAsync("nbdcopy", lab.Uri, back)).Expect(0);
        Assert.Equal(content, await File.ReadAllBytesAsync(back, TestContext.Current.CancellationToken));
        string[] fio =
        [
            "--name=x", "--ioengine=nbd", "--uri=" + lab.Uri, "--rw=randwrite", "--bs=4k", "--size=16M",
            "--verify=crc32c", "--verify_fatal=1", "--iodepth=8",
        ];
        (await Command.RunAsync("fio", fio)).Expect(0);
        await lab.TellAsync("add-bad", "80000-80007");
        CommandResult failed = await Command.RunAsync("nbdcopy", lab.Uri, "null:");
        Assert.NotEqual(0, failed.ExitCode);
        CommandResult read = await Command.RunAsync(
            "qemu-io", "-f", "raw", "-c", "read 40960000 4k", "-c", "read 40964096 4k", lab.Uri);
        Assert.Contains("read failed: Input/output error", read.ToString(), StringComparison.Ordinal);
        Assert.Contains("read 4096/4096 bytes at offset 40964096", read.Output, StringComparison.Ordinal);
        await lab.TellAsync("add-bad", "100", "corrupt");
        CommandResult compared = await Command.RunAsync(
            "qemu-img", "compare", "-f", "raw", "-F", "raw", image, lab.Uri);
        Assert.NotEqual(0, compared.ExitCode);
        await lab.StopAsync();
    }

    /// <summary>A year in seconds: everything that the plan has in it comes, and no more.</summary>
    [Fact]
    public async Task A_year_passes_in_seconds_when_the_clock_says_so()
    {
        string[] disk = ["--size", "1T", "--model", "scratch", "--seed", "4", "--delays", "0"];
        await using LabUnderTest lab = await LabUnderTest.StartAsync(disk);
        string[] old = await lab.ListAsync();
        await lab.StopAsync();
        Assert.NotEmpty(old);
        await lab.ServeAsync([.. disk, "--clock", "7884000"]);
        while ((await lab.StatusAsync()).GetProperty("ageDays").GetDouble() < 366)
        {
        }
        Assert.Equal(old, await lab.ListAsync());
        await lab.StopAsync();
    }
}
