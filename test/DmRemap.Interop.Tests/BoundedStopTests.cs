using System;
using System.Diagnostics;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Text.Json;
using System.Threading.Tasks;
using DmRemap.Interop.Tests.Support;
using Xunit;

namespace DmRemap.Interop.Tests;

/// <summary>
/// `stop` answers by its deadline whatever the device is at: idle, claiming, recovering, committing,
/// repairing an error, with a spare that hangs and with a main device that hangs. And while something hangs,
/// `status` answers at once and says what.
/// </summary>
public sealed class BoundedStopTests
{
    private const string Name = DeviceUnderTest.Name;
    private const int Unit = DeviceUnderTest.UnitBytes;
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan s_while = TimeSpan.FromSeconds(1);

    [Fact]
    public async Task Idle_device_stops_long_before_its_deadline_and_a_second_stop_joins()
    {
        await using DeviceUnderTest device =
            await DeviceUnderTest.StartAsync(Content.Of(DeviceUnderTest.MiB));
        using ControlTestClient first = await ControlTestClient.ConnectAsync(device);
        using ControlTestClient second = await ControlTestClient.ConnectAsync(device);
        Task<JsonElement> joined = second.AskAsync("stop", "{\"deadlineSeconds\":30}");
        (JsonElement report, TimeSpan elapsed) = await first.MeasureAsync("stop");
        Assert.True(report.GetProperty("clean").GetBoolean(), report.ToString());
        Assert.InRange(elapsed, TimeSpan.Zero, TimeSpan.FromSeconds(4));
        // The same report; or the process has gone by the time that the second line arrives, which is said.
        Assert.True((await joined).GetProperty("return").GetProperty("clean").GetBoolean());
        Assert.Equal(0, await device.Server.WaitForEndAsync(s_patience));
        Assert.Contains("is not running", (await device.RunAsync("stop", Name)).Expect(0).Output,
            StringComparison.Ordinal);
    }

    [Fact]
    public async Task Start_that_waits_for_a_claim_says_so_and_is_ended_by_stop()
    {
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(Content.Of(DeviceUnderTest.MiB));
        await device.CreateAsync();
        // A claim held by a process that is no dmremap is refused at once; one of an ending instance is
        // waited for. Such an instance is what its command line says: `serve`.
        RunningProgram holder = HoldClaim(device);
        await holder.WaitForLineAsync(line => line == "held", s_patience);
        RunningProgram server = device.StartServe();
        await server.WaitForLineAsync(
            line => line.Contains("waiting for", StringComparison.Ordinal), s_patience);
        using ControlTestClient control = await ControlTestClient.ConnectAsync(device);
        (JsonElement status, _) = await control.MeasureAsync("status");
        Assert.Equal("starting", status.GetProperty("state").GetString());
        Assert.Equal("claiming", status.GetProperty("phase").GetString());
        await AssertStartingAsync(control, "suspend");
        await AssertStartingAsync(control, "resume");
        await AssertStartingAsync(control, "faults-list");
        await AssertStartingAsync(control, "remap", "{\"first\":0,\"last\":7}");
        (JsonElement report, _) = await control.MeasureAsync("stop");
        Assert.True(report.GetProperty("clean").GetBoolean());
        Assert.Equal(0, await server.WaitForEndAsync(s_patience));
        holder.KillNow();
        await holder.WaitForEndAsync(s_patience);
        await device.ServeAsync();
        await device.StopAsync();
    }

    [Fact]
    public async Task Start_whose_spare_hangs_answers_stop_by_the_deadline()
    {
        RequiredTools.SkipUnlessFuse();
        RequiredTools.SkipUnless("nbdkit");
        await using DeviceUnderTest device = DeviceUnderTest.PrepareEmpty();
        (SlowDisk main, SlowDisk spare) = await SlowDisk.CreateWithSlowSpareAsync(device);
        await using SlowDisk mainEnd = main;
        await using SlowDisk spareEnd = spare;
        await spare.HoldMediumAsync();
        RunningProgram server = device.StartServe();
        await UntilPhaseAsync(device, "recovering");
        using (ControlTestClient control = await ControlTestClient.ConnectAsync(device))
        {
            JsonElement status = await AssertStatusIsQuickAsync(control);
            JsonElement io = status.GetProperty("spares")[0].GetProperty("io");
            Assert.InRange(io.GetProperty("inFlight").GetInt64(), 1, 10);
            await AssertStopAtDeadlineAsync(control, spare.Path);
        }
        await spare.ReleaseMediumAsync();
        Assert.Equal(7, await server.WaitForEndAsync(s_patience));
        Assert.DoesNotContain("ready", server.Said, StringComparison.Ordinal);
        await device.ServeAsync();
        await device.StopAsync();
    }

    [Fact]
    public async Task Start_that_is_slow_but_not_stuck_ends_within_the_deadline_and_well()
    {
        RequiredTools.SkipUnlessFuse();
        RequiredTools.SkipUnless("nbdkit");
        await using DeviceUnderTest device = DeviceUnderTest.PrepareEmpty();
        (SlowDisk main, SlowDisk spare) = await SlowDisk.CreateWithSlowSpareAsync(device);
        await using SlowDisk mainEnd = main;
        await using SlowDisk spareEnd = spare;
        await spare.HoldMediumAsync();
        RunningProgram server = device.StartServe();
        await UntilPhaseAsync(device, "recovering");
        Task<CommandResult> stop = device.RunAsync("stop", Name, "--deadline", "30");
        await Task.Delay(s_while, TestContext.Current.CancellationToken);
        Assert.False(stop.IsCompleted, "it did not wait for the start");
        await spare.ReleaseMediumAsync();
        Assert.Contains("stopped", (await stop).Expect(0).Output, StringComparison.Ordinal);
        Assert.Equal(0, await server.WaitForEndAsync(s_patience));
        await device.ServeAsync();
        await device.StopAsync();
    }

    [Theory]
    [InlineData(DeviceUnderTest.Uring)]
    [InlineData(DeviceUnderTest.Epoll)]
    public async Task Spare_that_hangs_in_a_remap_is_named_by_status_and_stop_answers_in_time(string backend)
    {
        RequiredTools.SkipUnlessFuse();
        RequiredTools.SkipUnless("nbdkit");
        await using DeviceUnderTest device = DeviceUnderTest.PrepareEmpty();
        device.Backend = backend;
        (SlowDisk main, SlowDisk spare) = await SlowDisk.CreateWithSlowSpareAsync(device);
        await using SlowDisk mainEnd = main;
        await using SlowDisk spareEnd = spare;
        await device.ServeAsync("800-807 write");
        RunningProgram old = device.Server;
        using NbdTestClient stuck = await device.ConnectAsync();
        using NbdTestClient other = await device.ConnectAsync();
        await spare.HoldMediumAsync();
        await SendWriteAsync(stuck, 800 * 512);
        Assert.True(await stuck.IsSilentForAsync(TimeSpan.FromSeconds(2)), "the spare was not held");
        // What does not depend on the spare goes on.
        Assert.Equal(0u, await other.WriteAsync(0, Content.Of(Unit, version: 5)));
        await AssertMemberIsStuckAsync(device, "spares", spare.Path);
        using (ControlTestClient control = await ControlTestClient.ConnectAsync(device))
        {
            await AssertStopAtDeadlineAsync(control, spare.Path);
        }
        await spare.ReleaseMediumAsync();
        Assert.Equal(7, await old.WaitForEndAsync(s_patience));
        await device.ServeAsync();
        using NbdTestClient next = await device.ConnectAsync();
        byte[] read = new byte[Unit];
        Assert.Equal(0u, await next.ReadAsync(0, read));
        Content.AssertEqual(Content.Of(Unit, version: 5), read, "what was acknowledged beside the stuck one");
        await device.StopAsync();
    }

    [Theory]
    [InlineData("stop", DeviceUnderTest.Uring)]
    [InlineData("TERM", DeviceUnderTest.Uring)]
    [InlineData("stop", DeviceUnderTest.Epoll)]
    [InlineData("TERM", DeviceUnderTest.Epoll)]
    public async Task Main_that_hangs_is_named_by_status_and_the_end_comes_in_time(string how, string backend)
    {
        RequiredTools.SkipUnlessFuse();
        RequiredTools.SkipUnless("nbdkit");
        await using DeviceUnderTest device = DeviceUnderTest.PrepareEmpty();
        device.Backend = backend;
        await using SlowDisk main = await SlowDisk.ServeWithSlowMainAsync(device);
        using NbdTestClient client = await device.ConnectAsync();
        await main.HoldMediumAsync();
        await SendWriteAsync(client, 0);
        Assert.True(await client.IsSilentForAsync(TimeSpan.FromSeconds(2)), "the disk was not held");
        await AssertMemberIsStuckAsync(device, "primary", main.Path);
        if (how == "stop")
        {
            using ControlTestClient control = await ControlTestClient.ConnectAsync(device);
            await AssertStopAtDeadlineAsync(control, main.Path);
        }
        else
        {
            Stopwatch elapsed = Stopwatch.StartNew();
            await device.Server.SignalAsync("TERM");
            Assert.True(await client.IsClosedByServerAsync(), "the client was left waiting");
            Assert.InRange(elapsed.Elapsed, TimeSpan.FromSeconds(4.5), TimeSpan.FromSeconds(7));
        }
        await main.ReleaseMediumAsync();
        Assert.Equal(7, await device.Server.WaitForEndAsync(s_patience));
    }

    [Fact]
    public async Task Read_error_under_repair_is_cut_short_by_the_deadline_and_its_repair_is_not()
    {
        await using DeviceUnderTest device = await DeviceUnderTest.StartAsync(
            Content.Of(DeviceUnderTest.MiB), "800-807 read delay=1500");
        using (NbdTestClient client = await device.ConnectAsync())
        {
            await client.SendAsync(
                NbdTestClient.Request(NbdTestClient.CommandRead, 0, 1, 800 * 512, Unit));
            Assert.True(await client.IsSilentForAsync(TimeSpan.FromSeconds(2)), "the read was quick");
            using ControlTestClient control = await ControlTestClient.ConnectAsync(device);
            await AssertStopAtDeadlineAsync(control, null, deadlineSeconds: 0.5);
        }
        Assert.Equal(7, await device.Server.WaitForEndAsync(s_patience));
        await device.ServeAsync();
        await device.StopAsync();
    }

    /// <summary>
    /// A spare that takes its time: the stop comes at some moment of data, commit and clean-stop record, and
    /// finds one of two ends, none or a durable entry.
    /// </summary>
    [Fact]
    public async Task Stop_while_a_remap_commits_leaves_a_durable_entry()
    {
        RequiredTools.SkipUnlessFuse();
        RequiredTools.SkipUnless("nbdkit");
        await using DeviceUnderTest device = DeviceUnderTest.PrepareEmpty();
        await using SlowDisk main = await SlowDisk.StartAsync(device, DeviceUnderTest.MiB, "main");
        await using SlowDisk spare = await SlowDisk.StartAsync(
            device, DeviceUnderTest.SpareBytesDefault, "spare", writesTake: "30ms");
        (await device.RunAsync(
            "create", Name, "--main", main.Path, "--spare", spare.Path, "--yes", "--force")).Expect(0);
        for (int round = 0; round < 4; round++)
        {
            await device.ServeAsync("800-807 write", "1600-1647 write");
            using NbdTestClient client = await device.ConnectAsync();
            long offset = (1600 + (8 * round)) * 512L;
            await SendWriteAsync(client, offset);
            await Task.Delay(round * 60, TestContext.Current.CancellationToken);
            CommandResult stop = (await device.RunAsync("stop", Name, "--deadline", "20")).Expect(0);
            Assert.Equal(0u, BitConverter.ToUInt32((await client.ReceiveAsync(16)).AsSpan(4, 4)));
            Assert.Equal(0, await device.Server.WaitForEndAsync(s_patience));
            await device.ServeAsync();
            using NbdTestClient next = await device.ConnectAsync();
            byte[] read = new byte[Unit];
            Assert.Equal(0u, await next.ReadAsync(offset, read));
            Content.AssertEqual(Content.Of(Unit, version: 7), read, $"round {round}: {stop}");
            Assert.Equal(round + 1, await device.SpareUnitsUsedAsync());
            await device.StopAsync();
        }
    }

    /// <summary>At moments of claims, recovery and sockets.</summary>
    [Fact]
    public async Task Stop_at_any_moment_of_a_start_is_safe()
    {
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(Content.Of(DeviceUnderTest.MiB));
        await device.CreateAsync();
        bool isLong = Environment.GetEnvironmentVariable("DMREMAP_LONG") == "1";
        string control = Path.Combine(device.RunFolder, Name + ".sock");
        for (int round = 0; round < (isLong ? 100 : 12); round++)
        {
            RunningProgram server = device.StartServe();
            await SlowDisk.UntilAsync(() => File.Exists(control) || server.HasEnded);
            await Task.Delay(round % 12 * 10, TestContext.Current.CancellationToken);
            CommandResult stop = (await device.RunAsync("stop", Name)).Expect(0);
            int exit = await server.WaitForEndAsync(s_patience);
            Assert.True(exit == 0, $"round {round}: {stop} {server.Said}");
            Assert.Empty(Directory.GetFileSystemEntries(device.RunFolder));
        }
        await device.ServeAsync();
        await device.StopAsync();
    }

    [Fact]
    public async Task Stop_with_a_remap_under_way_ends_it_after_the_unit_at_hand()
    {
        await using DeviceUnderTest device = await DeviceUnderTest.StartAsync(
            Content.Of(DeviceUnderTest.MiB), "0-2047 read errno=OK delay=50");
        Task<CommandResult> remap = device.RunAsync("remap", Name, "0-2047");
        while (await device.SpareUnitsUsedAsync() == 0)
        {
            Assert.False(remap.IsCompleted, "the remap had ended before anything moved");
        }
        (await device.RunAsync("stop", Name)).Expect(0);
        CommandResult ended = await remap;
        ended.Expect(7, 1);
        Assert.Equal(0, await device.Server.WaitForEndAsync(s_patience));
        await device.ServeAsync();
        Assert.InRange(await device.SpareUnitsUsedAsync(), 1, 255);
        await device.StopAsync();
    }

    private static async Task AssertStartingAsync(
        ControlTestClient control, string command, string arguments = "{}")
    {
        JsonElement answer = await control.AskAsync(command, arguments);
        Assert.Equal("DMR-DEVICE-STARTING", answer.GetProperty("error").GetProperty("id").GetString());
    }

    private static async Task AssertMemberIsStuckAsync(DeviceUnderTest device, string member, string path)
    {
        using ControlTestClient control = await ControlTestClient.ConnectAsync(device);
        JsonElement status = await AssertStatusIsQuickAsync(control);
        JsonElement element = status.GetProperty(member);
        element = element.ValueKind == JsonValueKind.Array ? element[0] : element;
        Assert.Equal(path, element.GetProperty("path").GetString());
        Assert.InRange(element.GetProperty("io").GetProperty("inFlight").GetInt64(), 1, 10);
        Assert.InRange(element.GetProperty("io").GetProperty("oldestMs").GetInt64(), 1000, 60_000);
        string text = (await device.RunAsync("status", Name)).Expect(0).Output;
        Assert.Matches(@"waits for 1 operation, oldest I/O: [0-9]+ s", text);
    }

    /// <summary>The best of a few: the machine may be busy with something else.</summary>
    private static async Task<JsonElement> AssertStatusIsQuickAsync(ControlTestClient control)
    {
        TimeSpan best = TimeSpan.MaxValue;
        JsonElement status = default;
        for (int i = 0; i < 10; i++)
        {
            (status, TimeSpan elapsed) = await control.MeasureAsync("status");
            best = elapsed < best ? elapsed : best;
        }
        Assert.InRange(best, TimeSpan.Zero, TimeSpan.FromMilliseconds(100));
        return status;
    }

    /// <summary>
    /// At the deadline, and at most 50 ms after it; a machine with more to do than it has processors gets a
    /// second, since the programs of a test wait for their turn there.
    /// </summary>
    private static async Task AssertStopAtDeadlineAsync(
        ControlTestClient control, string? path, double deadlineSeconds = 1)
    {
        TimeSpan deadline = TimeSpan.FromSeconds(deadlineSeconds);
        string arguments =
            string.Create(CultureInfo.InvariantCulture, $"{{\"deadlineSeconds\":{deadlineSeconds}}}");
        (JsonElement report, TimeSpan elapsed) = await control.MeasureAsync("stop", arguments);
        TimeSpan most = deadline + TimeSpan.FromMilliseconds(IsMachineBusy() ? 1000 : 50);
        Assert.InRange(elapsed, deadline - TimeSpan.FromMilliseconds(50), most);
        Assert.False(report.GetProperty("clean").GetBoolean());
        Assert.NotNull(report.GetProperty("left").GetString());
        if (path is not null)
        {
            Assert.InRange(report.GetProperty("operationsOutstanding").GetInt64(), 1, 10);
            JsonElement names = report.GetProperty("outstandingOn");
            Assert.Equal([path], names.EnumerateArray().Select(name => name.GetString()));
        }
    }

    /// <summary>By the kernel's average over a minute; this test alone does not fill one processor.</summary>
    private static bool IsMachineBusy()
    {
        string average = File.ReadAllText("/proc/loadavg").Split(' ')[0];
        return double.Parse(average, CultureInfo.InvariantCulture) >= Environment.ProcessorCount;
    }

    private static async Task UntilPhaseAsync(DeviceUnderTest device, string phase)
    {
        string control = Path.Combine(device.RunFolder, Name + ".sock");
        await SlowDisk.UntilAsync(() => File.Exists(control));
        using ControlTestClient client = await ControlTestClient.ConnectAsync(device);
        Stopwatch elapsed = Stopwatch.StartNew();
        while (true)
        {
            (JsonElement status, _) = await client.MeasureAsync("status");
            JsonElement io = status.GetProperty("spares")[0].GetProperty("io");
            bool isWaiting =
                io.ValueKind == JsonValueKind.Object && io.GetProperty("inFlight").GetInt64() > 0;
            if (status.GetProperty("phase").GetString() == phase && isWaiting)
            {
                Assert.Equal("starting", status.GetProperty("state").GetString());
                return;
            }
            Assert.True(elapsed.Elapsed < s_patience, $"it was never {phase}: {status}");
        }
    }

    /// <summary>A process named as an instance of ours that is ending, with the main image's claim.</summary>
    private static RunningProgram HoldClaim(DeviceUnderTest device)
    {
        string program = Path.Combine(device.Folder, "dmremap");
        File.Copy("/bin/bash", program);
        File.WriteAllText(
            Path.Combine(device.Folder, "serve"), "exec 9<>\"$2\"; flock -x 9; echo held; read -r line");
        return device.StartBeside("env", "-C", device.Folder, program, "serve", Name, device.MainPath);
    }

    private static async Task SendWriteAsync(NbdTestClient client, long offset)
    {
        await client.SendAsync(NbdTestClient.Request(NbdTestClient.CommandWrite, 0, 1, offset, Unit));
        await client.SendAsync(Content.Of(Unit, version: 7));
    }
}
