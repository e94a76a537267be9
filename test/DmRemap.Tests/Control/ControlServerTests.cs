using System;
using System.Collections.Generic;
using System.IO;
using System.Text;
using System.Text.Json;
using System.Threading.Tasks;
using DmRemap.Control.Contracts;
using DmRemap.Control.Protocol;
using DmRemap.Control.Server;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Control;

/// <summary>
/// What a control server answers, to clients that keep to the protocol and to those that do not.
/// </summary>
public sealed class ControlServerTests : IAsyncDisposable
{
    private const string Ping = "{\"id\":1,\"command\":\"ping\"}";

    private readonly TemporaryDirectory _directory = new();
    private readonly StubDevice _device = new();
    private ControlServer? _server;

    private string SocketPath => _directory["disk1.sock"];

    public async ValueTask DisposeAsync()
    {
        if (_server is not null)
        {
            await _server.DisposeAsync();
        }
        _directory.Dispose();
    }

    [Fact]
    public async Task A_client_is_greeted_with_protocol_version_and_name()
    {
        Start();
        using RawClient client = new(SocketPath);
        Assert.Equal(
            $"{{\"dmremap\":{{\"protocol\":1,\"version\":\"{ControlProtocol.ProgramVersion}\","
                + "\"name\":\"disk1\"}}",
            await client.ReadLineAsync());
    }

    [Fact]
    public void The_socket_is_its_owners_alone()
    {
        Start();
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(SocketPath));
        string lockPath = _directory["disk1.lock"];
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(lockPath));
        Assert.Equal(2, Directory.GetFileSystemEntries(_directory.Path).Length);
    }

    [Theory]
    [InlineData("{\"\\ud800\":1}")]
    [InlineData("{\"id\":1,\"\\ud800\":1}")]
    [InlineData("{\"id\":1,\"command\":\"\\ud800\"}")]
    [InlineData("{\"id\":1,\"command\":\"ping\",\"arguments\":{\"\\ud800\":1}}")]
    [InlineData("{\"id\":1,\"command\":\"faults-add\",\"arguments\":{\"rule\":\"\\ud800\"}}")]
    public async Task Half_a_surrogate_pair_is_an_error_and_the_server_goes_on(string line)
    {
        Start();
        using RawClient client = await ConnectAsync();
        Assert.True((await client.CallAsync(line)).TryGetProperty("error", out _));
        Assert.True((await client.CallAsync(Ping)).TryGetProperty("return", out _));
    }

    [Fact]
    public async Task Replies_come_in_the_order_of_requests_with_their_ids()
    {
        Start();
        using RawClient client = await ConnectAsync();
        StringBuilder lines = new();
        for (int id = 100; id < 200; id++)
        {
            lines.Append($"{{\"id\":{id},\"command\":\"{(id % 3 == 0 ? "status" : "ping")}\"}}\n");
        }
        await client.SendAsync(lines.ToString());
        for (int id = 100; id < 200; id++)
        {
            JsonElement reply = await client.ReadAsync();
            Assert.Equal(id, reply.GetProperty("id").GetInt32());
            Assert.True(reply.TryGetProperty("return", out _));
        }
    }

    [Fact]
    public async Task A_request_that_comes_byte_by_byte_is_answered_once()
    {
        Start();
        using RawClient client = await ConnectAsync();
        foreach (byte letter in Encoding.UTF8.GetBytes(" \n\r\n" + Ping + "\r\n"))
        {
            await client.SendAsync([letter]);
        }
        Assert.Equal(1, (await client.ReadAsync()).GetProperty("id").GetInt32());
        JsonElement next = await client.CallAsync("{\"id\":2,\"command\":\"ping\"}");
        Assert.Equal(2, next.GetProperty("id").GetInt32());
    }

    [Theory]
    [InlineData("garbage", "DMR-CONTROL-BAD-LINE", null)]
    [InlineData("{", "DMR-CONTROL-BAD-LINE", null)]
    [InlineData("[]", "DMR-CONTROL-BAD-LINE", null)]
    [InlineData("null", "DMR-CONTROL-BAD-LINE", null)]
    [InlineData("7", "DMR-CONTROL-BAD-LINE", null)]
    [InlineData("{}", "DMR-CONTROL-BAD-LINE", null)]
    [InlineData("{\"id\":7}", "DMR-CONTROL-BAD-LINE", 7)]
    [InlineData("{\"id\":-7,\"command\":\"ping\"}", "DMR-CONTROL-BAD-LINE", null)]
    [InlineData("{\"id\":1.5,\"command\":\"ping\"}", "DMR-CONTROL-BAD-LINE", null)]
    [InlineData("{\"id\":\"7\",\"command\":\"ping\"}", "DMR-CONTROL-BAD-LINE", null)]
    [InlineData("{\"id\":99999999999999999999,\"command\":\"ping\"}", "DMR-CONTROL-BAD-LINE", null)]
    [InlineData("{\"id\":7,\"command\":null}", "DMR-CONTROL-BAD-LINE", 7)]
    [InlineData("{\"id\":7,\"command\":[\"ping\"]}", "DMR-CONTROL-BAD-LINE", 7)]
    [InlineData("{\"id\":7,\"command\":\"ping\",\"extra\":1}", "DMR-CONTROL-BAD-LINE", 7)]
    [InlineData("{\"id\":7,\"command\":\"ping\",\"command\":\"stop\"}", "DMR-CONTROL-BAD-LINE", null)]
    [InlineData(
        "{\"id\":7,\"command\":\"ping\"} {\"id\":8,\"command\":\"ping\"}", "DMR-CONTROL-BAD-LINE", null)]
    [InlineData("{\"id\":7,\"command\":\"PING\"}", "DMR-CONTROL-UNKNOWN-COMMAND", 7)]
    [InlineData("{\"id\":7,\"command\":\"\"}", "DMR-CONTROL-UNKNOWN-COMMAND", 7)]
    [InlineData("{\"id\":7,\"command\":\"ping\",\"arguments\":{\"a\":1}}", "DMR-CONTROL-BAD-ARGUMENTS", 7)]
    [InlineData("{\"id\":7,\"command\":\"remap\"}", "DMR-CONTROL-BAD-ARGUMENTS", 7)]
    [InlineData("{\"id\":7,\"command\":\"remap\",\"arguments\":[1,2]}", "DMR-CONTROL-BAD-ARGUMENTS", 7)]
    [InlineData(
        "{\"id\":7,\"command\":\"remap\",\"arguments\":{\"first\":0}}", "DMR-CONTROL-BAD-ARGUMENTS", 7)]
    [InlineData("{\"id\":7,\"command\":\"remap\",\"arguments\":{\"first\":5,\"last\":4}}",
        "DMR-CONTROL-BAD-ARGUMENTS", 7)]
    [InlineData("{\"id\":7,\"command\":\"remap\",\"arguments\":{\"first\":-1,\"last\":4}}",
        "DMR-CONTROL-BAD-ARGUMENTS", 7)]
    [InlineData("{\"id\":7,\"command\":\"remap\",\"arguments\":{\"first\":0,\"last\":524288}}",
        "DMR-BLOCKS-BEYOND-END", 7)]
    [InlineData("{\"id\":7,\"command\":\"remap\",\"arguments\":{\"first\":0,\"last\":1,\"x\":0}}",
        "DMR-CONTROL-BAD-ARGUMENTS", 7)]
    [InlineData("{\"id\":7,\"command\":\"faults-add\",\"arguments\":{\"rule\":null}}",
        "DMR-CONTROL-BAD-ARGUMENTS", 7)]
    [InlineData("{\"id\":7,\"command\":\"faults-add\",\"arguments\":{\"rule\":\"\"}}",
        "DMR-CONTROL-BAD-ARGUMENTS", 7)]
    [InlineData("{\"id\":7,\"command\":\"faults-add\",\"arguments\":{\"rule\":\"1 read\\n2 read\"}}",
        "DMR-CONTROL-BAD-ARGUMENTS", 7)]
    [InlineData("{\"id\":7,\"command\":\"faults-add\",\"arguments\":{\"rule\":\"bad\"}}", "DMR-TEST-RULE", 7)]
    [InlineData("{\"id\":7,\"command\":\"stop\",\"arguments\":{\"deadlineSeconds\":-1}}",
        "DMR-CONTROL-BAD-ARGUMENTS", 7)]
    [InlineData("{\"id\":7,\"command\":\"stop\",\"arguments\":{\"deadlineSeconds\":1e99}}",
        "DMR-CONTROL-BAD-ARGUMENTS", 7)]
    public async Task A_bad_line_gets_an_error_and_the_connection_lives_on(
        string line, string message, int? id)
    {
        Start();
        using RawClient client = await ConnectAsync();
        JsonElement reply = await client.CallAsync(line);
        JsonElement error = reply.GetProperty("error");
        Assert.Equal(message, error.GetProperty("id").GetString());
        Assert.NotEqual("", error.GetProperty("message").GetString());
        Assert.NotEqual("", error.GetProperty("action").GetString());
        Assert.Equal("disk1", error.GetProperty("device").GetString());
        JsonElement replyId = reply.GetProperty("id");
        Assert.Equal(id, replyId.ValueKind == JsonValueKind.Null ? null : replyId.GetInt32());
        Assert.Equal(1, (await client.CallAsync(Ping)).GetProperty("id").GetInt32());
        Assert.Equal(0, _device.StopCalls);
    }

    [Fact]
    public async Task A_line_that_is_too_deep_or_not_UTF8_is_an_error()
    {
        Start();
        using RawClient client = await ConnectAsync();
        string deep = new string('[', 1000) + new string(']', 1000);
        JsonElement reply = await client.CallAsync($"{{\"id\":1,\"command\":\"ping\",\"arguments\":{deep}}}");
        Assert.Equal("DMR-CONTROL-BAD-LINE", ErrorOf(reply));
        await client.SendAsync([0xff, 0xfe, 0x00, (byte)'\n']);
        Assert.Equal("DMR-CONTROL-BAD-LINE", ErrorOf(await client.ReadAsync()));
    }

    [Fact]
    public async Task The_longest_line_is_answered_and_one_byte_more_ends_the_connection()
    {
        Start();
        using RawClient client = await ConnectAsync();
        int padding = ControlProtocol.LineBytesMax - Ping.Length - 1;
        JsonElement longest = await client.CallAsync(Ping + new string(' ', padding));
        Assert.True(longest.TryGetProperty("return", out _));
        await client.SendAsync(Ping + new string(' ', padding + 1));
        Assert.Equal("DMR-CONTROL-LINE-TOO-LONG", ErrorOf(await client.ReadAsync()));
        Assert.Null(await client.ReadLineAsync());
    }

    [Fact]
    public async Task Half_a_command_is_never_carried_out()
    {
        Start();
        const string Line = "{\"id\":1,\"command\":\"stop\"}";
        for (int length = 0; length <= Line.Length; length++)
        {
            using RawClient client = await ConnectAsync();
            await client.SendAsync(Line[..length]);
            client.HalfClose();
            Assert.Null(await client.ReadLineAsync());
        }
        Assert.Equal(0, _device.StopCalls);
    }

    [Fact]
    public async Task A_client_that_ends_its_sending_still_gets_its_answers()
    {
        Start();
        using RawClient client = await ConnectAsync();
        await client.SendAsync(Ping + "\n" + Ping + "\n");
        client.HalfClose();
        Assert.True((await client.ReadAsync()).TryGetProperty("return", out _));
        Assert.True((await client.ReadAsync()).TryGetProperty("return", out _));
        Assert.Null(await client.ReadLineAsync());
    }

    [Fact]
    public async Task Damaged_requests_get_one_reply_each_and_never_stop_the_device()
    {
        Start();
        using RawClient client = await ConnectAsync();
        int seed = Environment.ProcessId;
        Random random = new(seed);
        string[] requests =
        [
            Ping,
            "{\"id\":3,\"command\":\"status\",\"arguments\":{}}",
            "{\"id\":4,\"command\":\"remap\",\"arguments\":{\"first\":8,\"last\":15}}",
            "{\"id\":5,\"command\":\"faults-clear\",\"arguments\":{\"rule\":\"1-2 read\"}}",
        ];
        for (int i = 0; i < 2000; i++)
        {
            byte[] line = Encoding.UTF8.GetBytes(requests[random.Next(requests.Length)] + "\n");
            int damages = random.Next(4);
            for (int damage = 0; damage < damages; damage++)
            {
                byte value = (byte)random.Next(1, 256);
                // The first byte stays, so that a line never becomes blank and unanswered.
                line[random.Next(1, line.Length - 1)] = value == (byte)'\n' ? (byte)'x' : value;
            }
            await client.SendAsync(line);
            JsonElement reply = await client.ReadAsync();
            bool isOne = reply.TryGetProperty("return", out _) != reply.TryGetProperty("error", out _);
            Assert.True(isOne, $"seed={seed} step={i} line={Encoding.Latin1.GetString(line)}");
        }
        Assert.Equal(0, _device.StopCalls);
    }

    [Fact]
    public async Task A_client_that_never_reads_is_disconnected_and_delays_nobody()
    {
        Start(new ControlServerOptions { SendTimeout = TimeSpan.FromMilliseconds(300) });
        using RawClient deaf = new(SocketPath);
        Task flood = FloodAsync(deaf);
        using RawClient other = await ConnectAsync();
        for (int i = 0; i < 100; i++)
        {
            Assert.True((await other.CallAsync(Ping)).TryGetProperty("return", out _));
        }
        await Assert.ThrowsAsync<IOException>(() => flood);
    }

    [Fact]
    public async Task Idle_connections_give_way_to_a_new_one()
    {
        Start(new ControlServerOptions { SessionsMax = 3 });
        List<RawClient> clients = [];
        for (int i = 0; i < 30; i++)
        {
            RawClient client = await ConnectAsync();
            Assert.True((await client.CallAsync(Ping)).TryGetProperty("return", out _));
            clients.Add(client);
        }
        // Which three are left is not said: a server that answers late may see them idle in another order.
        List<Task<string?>> open = clients.ConvertAll(client => client.ReadLineAsync());
        while (open.Count > 3)
        {
            Task<string?> closed = await Task.WhenAny(open);
            Assert.Null(await closed);
            open.Remove(closed);
        }
        foreach (RawClient client in clients)
        {
            client.Dispose();
        }
    }

    [Fact]
    public async Task When_every_connection_works_a_new_one_is_told_so()
    {
        TaskCompletionSource<RemapReport> remap = new(TaskCreationOptions.RunContinuationsAsynchronously);
        _device.OnRemap = (_, _, progress, _) =>
        {
            progress.Report(new RemapProgress(0, 1));
            return remap.Task;
        };
        Start(new ControlServerOptions { SessionsMax = 2 });
        using RawClient first = await ConnectAsync();
        using RawClient second = await ConnectAsync();
        const string Remap = "{\"id\":9,\"command\":\"remap\",\"arguments\":{\"first\":8,\"last\":15}}";
        Assert.True((await first.CallAsync(Remap)).TryGetProperty("progress", out _));
        Assert.True((await second.CallAsync(Remap)).TryGetProperty("progress", out _));
        using (RawClient third = new(SocketPath))
        {
            Assert.Equal("DMR-CONTROL-TOO-MANY-CLIENTS", ErrorOf(await third.ReadAsync()));
            Assert.Null(await third.ReadLineAsync());
        }
        remap.SetResult(Sample.Remap(8, 15));
        Assert.True((await first.ReadAsync()).TryGetProperty("return", out _));
        Assert.True((await second.ReadAsync()).TryGetProperty("return", out _));
    }

    [Fact]
    public async Task A_thousand_connections_in_a_row_leave_no_descriptor_behind()
    {
        Start();
        for (int i = 0; i < 50; i++)
        {
            using RawClient client = await ConnectAsync();
        }
        int before = await SettledDescriptorsAsync(int.MaxValue);
        for (int i = 0; i < 1000; i++)
        {
            using RawClient client = new(SocketPath);
            await client.SendAsync("{\"id\":1,");
        }
        // Other tests of this process open files too: one leaked descriptor a connection would be a thousand.
        Assert.InRange(await SettledDescriptorsAsync(before + 400), 0, before + 400);
    }

    private static async Task<int> SettledDescriptorsAsync(int enough)
    {
        int count = int.MaxValue;
        for (int i = 0; i < 100; i++)
        {
            count = Directory.GetFileSystemEntries("/proc/self/fd").Length;
            if (count <= enough)
            {
                break;
            }
            await Task.Delay(50, TestContext.Current.CancellationToken);
        }
        return count;
    }

    private static string? ErrorOf(JsonElement reply) =>
        reply.GetProperty("error").GetProperty("id").GetString();

    private static async Task FloodAsync(RawClient client)
    {
        byte[] lines = Encoding.UTF8.GetBytes(string.Concat(System.Linq.Enumerable.Repeat(
            "{\"id\":1,\"command\":\"status\"}\n", 1000)));
        for (int i = 0; i < 10_000; i++)
        {
            await client.SendAsync(lines);
        }
    }

    private void Start(ControlServerOptions? options = null) =>
        _server = ControlServer.Start(SocketPath, _device, options);

    private async Task<RawClient> ConnectAsync()
    {
        RawClient client = new(SocketPath);
        Assert.True((await client.ReadAsync()).TryGetProperty("dmremap", out _));
        return client;
    }
}
