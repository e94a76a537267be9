using System;
using System.IO;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using System.Threading.Tasks;
using DmRemap.Control.Contracts;
using DmRemap.Control.Server;
using DmRemap.Tests.Control;
using Xunit;

namespace DmRemap.Tests.Cli;

/// <summary>The commands that talk to a running device, with a real control socket between.</summary>
public sealed class ClientCommandTests : IAsyncDisposable
{
    private readonly CliRun _cli = new();
    private readonly StubDevice _device = new();
    private ControlServer? _server;

    public async ValueTask DisposeAsync()
    {
        if (_server is not null)
        {
            await _server.DisposeAsync();
        }
        _cli.Dispose();
    }

    [Theory]
    [InlineData("status disk1")]
    [InlineData("remap disk1 5")]
    [InlineData("faults disk1 list")]
    [InlineData("stop disk1")]
    [InlineData("suspend disk1")]
    [InlineData("resume disk1")]
    [InlineData("delete disk1 --yes")]
    public async Task A_device_that_nobody_knows_exits_3(string line)
    {
        CliResult result = await _cli.RunAsync($"{line} --json".Split(' '));
        Assert.Equal(3, result.ExitCode);
        Assert.Equal("disk1", result.Json.GetProperty("error").GetProperty("device").GetString());
    }

    [Theory]
    [InlineData("remap disk1 5")]
    [InlineData("faults disk1 list")]
    [InlineData("suspend disk1")]
    [InlineData("resume disk1")]
    public async Task A_device_that_is_registered_but_not_running_exits_1(string line)
    {
        _cli.Register("disk1");
        CliResult result = await _cli.RunAsync(line.Split(' '));
        Assert.Equal(1, result.ExitCode);
        Assert.Contains("dmremap serve disk1", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_stale_socket_means_not_running()
    {
        _cli.Register("disk1");
        string path = _cli.Directories.ControlSocketPath("disk1");
        using (Socket dead = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified))
        {
            dead.Bind(new UnixDomainSocketEndPoint(path + "x"));
            File.Move(path + "x", path);
        }
        CliResult result = await _cli.RunAsync("status", "disk1", "--json");
        Assert.Equal(0, result.ExitCode);
        Assert.Equal("stopped", result.Json.GetProperty("state").GetString());
        Assert.Equal("disk1: is not running\n", (await _cli.RunAsync("stop", "disk1")).Output);
    }

    [Fact]
    public async Task A_damaged_registry_entry_is_exit_6_for_status_and_listed_as_unreadable()
    {
        await File.WriteAllTextAsync(
            Path.Combine(_cli.Directories.ConfigurationPath, "disk1.json"),
            "{\"format\":1,",
            TestContext.Current.CancellationToken);
        Assert.Equal(6, (await _cli.RunAsync("status", "disk1")).ExitCode);
        Assert.Equal(6, (await _cli.RunAsync("status")).ExitCode);
        CliResult words = await _cli.RunAsync("list");
        Assert.Equal(6, words.ExitCode);
        Assert.Contains("disk1: ", words.Output, StringComparison.Ordinal);
        CliResult list = await _cli.RunAsync("list", "--json");
        Assert.Equal(6, list.ExitCode);
        JsonElement device = list.Json.GetProperty("devices")[0];
        Assert.Equal("unreadable", device.GetProperty("state").GetString());
        Assert.Equal("DMR-REGISTRY-DAMAGED", device.GetProperty("problem").GetProperty("id").GetString());
    }

    [Fact]
    public async Task A_damaged_registry_entry_does_not_keep_a_running_device_from_being_stopped()
    {
        await File.WriteAllTextAsync(
            Path.Combine(_cli.Directories.ConfigurationPath, "disk1.json"),
            "",
            TestContext.Current.CancellationToken);
        Start();
        Assert.Equal(0, (await _cli.RunAsync("status", "disk1")).ExitCode);
        Assert.Equal("disk1: stopped\n", (await _cli.RunAsync("stop", "disk1")).Output);
    }

    [Fact]
    public async Task Status_json_has_what_scripts_rely_on()
    {
        Start();
        CliResult result = await _cli.RunAsync("status", "disk1", "--json");
        Assert.Equal(0, result.ExitCode);
        foreach (string name in new[]
        {
            "name", "uuid", "state", "conditions", "backend", "primary", "spares", "remaps", "lostBlocks",
            "counters",
        })
        {
            Assert.True(result.Json.TryGetProperty(name, out JsonElement value), name);
            Assert.NotEqual(JsonValueKind.Null, value.ValueKind);
        }
    }

    [Fact]
    public async Task Status_and_list_show_running_and_stopped_devices_in_the_order_of_names()
    {
        _cli.Register("zeta");
        _cli.Register("disk1");
        Start();
        CliResult status = await _cli.RunAsync("status", "--json");
        Assert.Equal(0, status.ExitCode);
        JsonElement devices = status.Json.GetProperty("devices");
        Assert.Equal("running", devices[0].GetProperty("state").GetString());
        Assert.Equal("stopped", devices[1].GetProperty("state").GetString());
        Assert.Equal(JsonValueKind.Null, devices[1].GetProperty("remaps").ValueKind);
        CliResult list = await _cli.RunAsync("list");
        Assert.Equal(
            "NAME   STATE         SIZE  REMAPS    LOST  SPARE  MAIN\n"
            + "disk1  running    256 MiB     120       0   <1 %  /dev/sdb\n"
            + "zeta   stopped      1 TiB       -       -      -  "
            + "/dev/disk/by-id/ata-EXAMPLE_DISK_0123456789\n",
            list.Output);
    }

    [Fact]
    public async Task Without_devices_status_and_list_say_how_to_make_one()
    {
        Assert.Contains("dmremap create", (await _cli.RunAsync("list")).Output, StringComparison.Ordinal);
        Assert.Contains("dmremap create", (await _cli.RunAsync("status")).Output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("remap disk1 8-15", 8, 15)]
    [InlineData("remap disk1 8", 8, 8)]
    [InlineData("remap disk1 4096-8191 --bytes", 8, 15)]
    [InlineData("remap disk1 4095-8192 --bytes", 7, 16)]
    [InlineData("remap disk1 0 --bytes", 0, 0)]
    public async Task Remap_takes_blocks_or_bytes_both_ends_included(string line, long first, long last)
    {
        Start();
        CliResult result = await _cli.RunAsync($"{line} --json".Split(' '));
        Assert.Equal(0, result.ExitCode);
        Assert.Equal(first, result.Json.GetProperty("firstBlock").GetInt64());
        Assert.Equal(last, result.Json.GetProperty("lastBlock").GetInt64());
    }

    [Fact]
    public async Task Remap_says_what_did_not_read_and_exits_7()
    {
        _device.OnRemap = (first, last, _, _) => Task.FromResult(Sample.Remap(first.Value, last.Value) with
        {
            BlocksCopied = 14,
            BlocksUnread = 2,
            UnreadExtents = [new LostExtent(10, 2)],
        });
        Start();
        CliResult result = await _cli.RunAsync("remap", "disk1", "8-23");
        Assert.Equal(7, result.ExitCode);
        Assert.Equal(
            "disk1: blocks 8-23: 2 units moved to a spare; 14 blocks copied\n"
            + "2 blocks did not read: they stay where they are, and fail until they read or are "
                + "written\n  10-11\n",
            result.Output);
    }

    [Theory]
    [InlineData(0, 2, 1)]
    [InlineData(1, 1, 7)]
    public async Task Remap_that_fails_exits_1_and_in_part_7(long moved, long failed, int exitCode)
    {
        _device.OnRemap = (first, last, _, _) => Task.FromResult(Sample.Remap(first.Value, last.Value) with
        {
            UnitsRemapped = moved,
            UnitsFailed = failed,
            Failure = "no spare unit is free",
        });
        Start();
        CliResult result = await _cli.RunAsync("remap", "disk1", "8-23");
        Assert.Equal(exitCode, result.ExitCode);
        Assert.Contains("no spare unit is free", result.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Remap_beyond_the_device_is_usage()
    {
        Start();
        Assert.Equal(0, (await _cli.RunAsync("remap", "disk1", "524287")).ExitCode);
        CliResult result = await _cli.RunAsync("remap", "disk1", "524288");
        Assert.Equal(2, result.ExitCode);
        Assert.Contains(
            "Block 524288 lies beyond the end of disk1 (size 268435456 bytes: blocks 0 to 524287",
            result.Error, StringComparison.Ordinal);
        Assert.Contains("[DMR-BLOCKS-BEYOND-END]", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Faults_are_added_listed_and_cleared()
    {
        Start();
        Assert.Equal(0, (await _cli.RunAsync("faults", "disk1", "add", "100-107 read after=3")).ExitCode);
        Assert.Equal(
            0, (await _cli.RunAsync("faults", "disk1", "add", "200", "write", "errno=EIO")).ExitCode);
        Assert.Equal(
            "100-107 read after=3\n200 write errno=EIO\n",
            (await _cli.RunAsync("faults", "disk1", "list")).Output);
        Assert.Equal(
            "disk1: 1 rule cleared\n",
            (await _cli.RunAsync("faults", "disk1", "clear", "200 write errno=EIO")).Output);
        CliResult none = await _cli.RunAsync("faults", "disk1", "clear", "200 write errno=EIO");
        Assert.Equal(1, none.ExitCode);
        Assert.Equal("", none.Output);
        Assert.Contains("no such rule", none.Error, StringComparison.Ordinal);
        Assert.Contains("dmremap faults disk1 list", none.Error, StringComparison.Ordinal);
        CliResult all = await _cli.RunAsync("faults", "disk1", "clear", "--json");
        Assert.Equal(1, all.Json.GetProperty("cleared").GetInt32());
        Assert.Equal("disk1: no fault rules\n", (await _cli.RunAsync("faults", "disk1", "list")).Output);
        Assert.Equal("disk1: 0 rules cleared\n", (await _cli.RunAsync("faults", "disk1", "clear")).Output);
        Assert.Equal(2, (await _cli.RunAsync("faults", "disk1", "add", "bad")).ExitCode);
    }

    [Fact]
    public async Task Stop_that_was_not_clean_for_another_reason_does_not_name_the_deadline()
    {
        _device.OnStop = _ => Task.FromResult(new StopReport { Clean = false, Left = "a flush failed" });
        Start();
        CliResult result = await _cli.RunAsync("stop", "disk1");
        Assert.Equal(7, result.ExitCode);
        Assert.Equal("disk1: stopped, but not cleanly: a flush failed\n", result.Output);
    }

    [Fact]
    public async Task Stop_by_the_deadline_exits_7_and_says_what_was_left()
    {
        TimeSpan asked = default;
        _device.OnStop = deadline =>
        {
            asked = deadline;
            return Task.FromResult(new StopReport
            {
                Clean = false,
                ByDeadline = true,
                OperationsOutstanding = 3,
                OutstandingOn = ["/dev/sdb"],
                RequestsFailed = 1,
                Left = "the next start recovers",
            });
        };
        Start();
        CliResult result = await _cli.RunAsync("stop", "disk1", "--deadline", "2.5");
        Assert.Equal(7, result.ExitCode);
        Assert.Equal(TimeSpan.FromSeconds(2.5), asked);
        Assert.Equal(
            "disk1: stopped by the deadline: the next start recovers; 3 operations not answered by "
                + "/dev/sdb; 1 request cut off without an answer\n",
            result.Output);
        Assert.False(File.Exists(_cli.Directories.ControlSocketPath("disk1")));
    }

    [Fact]
    public async Task Suspend_and_resume_say_what_is_so_now()
    {
        Start();
        Assert.Equal("disk1: suspended\n", (await _cli.RunAsync("suspend", "disk1")).Output);
        Assert.Equal("disk1: resumed\n", (await _cli.RunAsync("resume", "disk1")).Output);
        CliResult again = await _cli.RunAsync("resume", "disk1");
        Assert.Equal("disk1: was not suspended\n", again.Output);
        Assert.Equal(0, again.ExitCode);
        JsonElement json = (await _cli.RunAsync("suspend", "disk1", "--json")).Json;
        Assert.True(json.GetProperty("suspended").GetBoolean());
        Assert.True(json.GetProperty("flushed").GetBoolean());
    }

    [Fact]
    public async Task Suspend_by_the_deadline_exits_7_and_says_what_is_outstanding()
    {
        TimeSpan asked = default;
        _device.OnSuspend = deadline =>
        {
            asked = deadline;
            return Task.FromResult(new SuspendReport
            {
                Suspended = false,
                RequestsInFlight = 2,
                OperationsOutstanding = 3,
                OutstandingOn = ["/dev/sdb", "/dev/sdc1"],
                Left = "it goes on",
            });
        };
        Start();
        CliResult result = await _cli.RunAsync("suspend", "disk1");
        Assert.Equal(7, result.ExitCode);
        Assert.Equal(TimeSpan.FromSeconds(5), asked);
        Assert.Equal(
            "disk1: not suspended: it goes on; 2 requests in flight; 3 operations not answered by /dev/sdb, "
                + "/dev/sdc1\n",
            result.Output);
        _device.OnSuspend = _ => Task.FromResult(
            new SuspendReport { Suspended = true, Left = "a flush failed" });
        CliResult unflushed = await _cli.RunAsync("suspend", "disk1", "--deadline", "60");
        Assert.Equal(7, unflushed.ExitCode);
        Assert.Equal("disk1: suspended: a flush failed\n", unflushed.Output);
    }

    [Fact]
    public async Task Remap_that_was_ended_early_exits_7_and_says_so()
    {
        _device.OnRemap = (first, last, _, _) => Task.FromResult(
            Sample.Remap(first.Value, last.Value) with { Failure = "it was ended before the last unit" });
        Start();
        CliResult result = await _cli.RunAsync("remap", "disk1", "0-99");
        Assert.Equal(7, result.ExitCode);
        Assert.EndsWith("not all of it was done: it was ended before the last unit\n", result.Output,
            StringComparison.Ordinal);
    }

    [Fact]
    public async Task Stop_json_tells_running_from_stopped()
    {
        _cli.Register("disk1");
        JsonElement stopped = (await _cli.RunAsync("stop", "disk1", "--json")).Json;
        Assert.False(stopped.GetProperty("wasRunning").GetBoolean());
        Start();
        JsonElement running = (await _cli.RunAsync("stop", "disk1", "--json")).Json;
        Assert.True(running.GetProperty("wasRunning").GetBoolean());
        Assert.True(running.GetProperty("report").GetProperty("clean").GetBoolean());
    }

    [Fact]
    public async Task Delete_refuses_a_running_device_asks_and_then_forgets()
    {
        _cli.Register("disk1");
        Start();
        Assert.Equal(4, (await _cli.RunAsync("delete", "disk1", "--yes")).ExitCode);
        await _server!.DisposeAsync();
        Assert.Equal(2, (await _cli.RunAsync("delete", "disk1")).ExitCode);
        Assert.Equal(0, (await _cli.RunAsync("delete", "disk1", "--yes")).ExitCode);
        Assert.Equal(3, (await _cli.RunAsync("status", "disk1")).ExitCode);
    }

    [Theory]
    [InlineData("/dev/sdb", "/dev/sdb is the main device of disk1")]
    [InlineData("/dev/sdc1", "/dev/sdc1 is a spare of disk1 already")]
    public async Task A_member_is_no_new_spare_and_nobody_is_asked_for_consent(string path, string says)
    {
        Start();
        CliResult result = await _cli.RunAsync("spare", "add", "disk1", path);
        Assert.Equal(5, result.ExitCode);
        Assert.Contains(says, result.Error, StringComparison.Ordinal);
        Assert.Contains("[DMR-SPARE-MEMBER]", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_daemon_of_another_protocol_is_named_with_its_version()
    {
        using Socket listener = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(new UnixDomainSocketEndPoint(_cli.Directories.ControlSocketPath("disk1")));
        listener.Listen();
        Task<CliResult> running = _cli.RunAsync("status", "disk1", "--json");
        using Socket accepted = await listener.AcceptAsync(TestContext.Current.CancellationToken);
        byte[] greeting = Encoding.UTF8.GetBytes(
            "{\"dmremap\":{\"protocol\":2,\"version\":\"9.8.7\",\"name\":\"disk1\"}}\n");
        await accepted.SendAsync(greeting, TestContext.Current.CancellationToken);
        CliResult result = await running;
        Assert.Equal(1, result.ExitCode);
        Assert.Equal("DMR-CONTROL-VERSION", result.Json.GetProperty("error").GetProperty("id").GetString());
        Assert.Contains("9.8.7", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_daemon_of_another_version_but_the_same_protocol_is_noted()
    {
        _device.Status = Sample.Status() with { Version = "9.8.7" };
        Start();
        CliResult result = await _cli.RunAsync("status", "disk1");
        Assert.Equal(0, result.ExitCode);
        Assert.Contains("9.8.7", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Control_characters_of_a_name_do_not_reach_the_terminal()
    {
        CliResult result = await _cli.RunAsync("status", "a\u001b[2Jb");
        Assert.Equal(2, result.ExitCode);
        Assert.DoesNotContain("\u001b", result.Error, StringComparison.Ordinal);
    }

    private void Start() =>
        _server = ControlServer.Start(_cli.Directories.ControlSocketPath("disk1"), _device);
}
