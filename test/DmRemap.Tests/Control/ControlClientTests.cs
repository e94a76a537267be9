using System;
using System.Collections.Generic;
using System.IO;
using System.Net.Sockets;
using System.Text;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Control.Client;
using DmRemap.Control.Contracts;
using DmRemap.Control.Protocol;
using DmRemap.Control.Server;
using DmRemap.Core.Abstractions;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Control;

/// <summary>The client, against the real server and against daemons that misbehave.</summary>
public sealed class ControlClientTests : IDisposable
{
    private const string Greeting =
        "{\"dmremap\":{\"protocol\":1,\"version\":\"0.1.0\",\"name\":\"disk1\"}}\n";

    private readonly TemporaryDirectory _directory = new();

    private string SocketPath => _directory["disk1.sock"];

    private static CancellationToken Ended => TestContext.Current.CancellationToken;

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task Every_command_goes_through_the_real_server()
    {
        StubDevice device = new() { Status = Sample.Lost() };
        List<RemapProgress> steps = [];
        device.OnRemap = async (first, last, progress, _) =>
        {
            progress.Report(new RemapProgress(1, 2));
            await Task.Yield();
            return Sample.Remap(first.Value, last.Value);
        };
        await using ControlServer server = ControlServer.Start(SocketPath, device);
        using ControlClient? client = await ConnectAsync(TimeSpan.FromSeconds(30));
        Assert.NotNull(client);
        Assert.Equal(ControlProtocol.ProgramVersion, client.DaemonVersion);
        Assert.Equal(Environment.ProcessId, (await client.PingAsync(Ended)).Pid);
        DeviceStatus status = await client.GetStatusAsync(Ended);
        Assert.Equal(24, status.LostBlocks);
        Assert.Equal(new LostExtent(5000, 1), status.LostExtents[1]);
        RemapReport report =
            await client.RemapAsync(new BlockNumber(8), new BlockNumber(15), steps.Add, Ended);
        Assert.Equal(8, report.FirstBlock);
        Assert.Equal(15, report.LastBlock);
        Assert.Equal([new RemapProgress(1, 2)], steps);
        await client.AddFaultAsync("1-2 read", Ended);
        await client.AddFaultAsync("3-4 write", Ended);
        Assert.Equal(["1-2 read", "3-4 write"], (await client.ListFaultsAsync(Ended)).Rules);
        Assert.Equal(1, (await client.ClearFaultsAsync("1-2 read", Ended)).Cleared);
        Assert.Equal(1, (await client.ClearFaultsAsync(null, Ended)).Cleared);
        Assert.Empty((await client.ListFaultsAsync(Ended)).Rules);
    }

    [Fact]
    public async Task A_refusal_arrives_with_all_its_parts()
    {
        await using ControlServer server = ControlServer.Start(SocketPath, new StubDevice());
        using ControlClient? client = await ConnectAsync(TimeSpan.FromSeconds(30));
        RefusalException refused = await Assert.ThrowsAsync<RefusalException>(
            () => client!.AddFaultAsync("bad rule", Ended));
        Assert.Equal(
            new Refusal(
                "DMR-TEST-RULE", ExitCode.Usage, "disk1", "\"bad rule\" is no rule.", "Write a better one."),
            refused.Refusal);
    }

    [Fact]
    public async Task A_bug_in_the_daemon_is_an_answer_not_a_lost_connection()
    {
        StubDevice device = new() { OnRemap = (_, _, _, _) => throw new InvalidOperationException("oops") };
        await using ControlServer server = ControlServer.Start(SocketPath, device);
        using ControlClient? client = await ConnectAsync(TimeSpan.FromSeconds(30));
        RefusalException refused = await Assert.ThrowsAsync<RefusalException>(
            () => client!.RemapAsync(new BlockNumber(0), new BlockNumber(0), null, Ended));
        Assert.Equal("DMR-CONTROL-COMMAND-FAILED", refused.Id);
        Assert.Contains("oops", refused.Message, StringComparison.Ordinal);
        Assert.Equal("disk1", (await client!.PingAsync(Ended)).Name);
    }

    [Fact]
    public async Task A_status_too_long_for_a_line_is_an_error_not_half_a_line()
    {
        string path = "/" + new string('x', 70_000);
        StubDevice device = new() { Status = Sample.Status() with { Exports = [path] } };
        await using ControlServer server = ControlServer.Start(SocketPath, device);
        using ControlClient? client = await ConnectAsync(TimeSpan.FromSeconds(30));
        RefusalException refused =
            await Assert.ThrowsAsync<RefusalException>(() => client!.GetStatusAsync(Ended));
        Assert.Equal("DMR-CONTROL-REPLY-TOO-LONG", refused.Id);
    }

    [Fact]
    public async Task The_fullest_status_fits_a_line()
    {
        List<LostExtent> lost = [];
        List<SpareStatus> spares = [];
        for (int i = 0; i < DeviceStatus.LostExtentsMax; i++)
        {
            lost.Add(new LostExtent(long.MaxValue - i, long.MaxValue - i));
        }
        for (int i = 0; i < Limits.SparesMax; i++)
        {
            spares.Add(Sample.Status().Spares[0] with { Path = "/" + new string('p', 2000) });
        }
        StubDevice device = new()
        {
            Status =
                Sample.Status() with { LostExtents = lost, LostExtentsComplete = false, Spares = spares },
        };
        await using ControlServer server = ControlServer.Start(SocketPath, device);
        using ControlClient? client = await ConnectAsync(TimeSpan.FromSeconds(30));
        Assert.Equal(DeviceStatus.LostExtentsMax, (await client!.GetStatusAsync(Ended)).LostExtents.Count);
    }

    [Fact]
    public async Task Nothing_at_the_path_means_not_running() =>
        Assert.Null(await ConnectAsync(TimeSpan.FromSeconds(30)));

    [Theory]
    [InlineData(
        "{\"dmremap\":{\"protocol\":2,\"version\":\"9.0.0\",\"name\":\"disk1\"}}\n", "DMR-CONTROL-VERSION")]
    [InlineData("{\"dmremap\":{\"protocol\":1,\"version\":\"0.1.0\",\"name\":\"disk2\"}}\n",
        "DMR-CONTROL-NOT-THE-PROTOCOL")]
    [InlineData("{\"QMP\":{}}\n", "DMR-CONTROL-NOT-THE-PROTOCOL")]
    [InlineData("SSH-2.0-OpenSSH\n", "DMR-CONTROL-NOT-THE-PROTOCOL")]
    [InlineData("null\n", "DMR-CONTROL-NOT-THE-PROTOCOL")]
    [InlineData("{\"dmremap\":null}\n", "DMR-CONTROL-NOT-THE-PROTOCOL")]
    [InlineData("{\"dmremap\":{\"protocol\":1}}\n", "DMR-CONTROL-NOT-THE-PROTOCOL")]
    [InlineData("{\"dmremap\":{\"pro", "DMR-CONTROL-NO-ANSWER")]
    [InlineData("", "DMR-CONTROL-NO-ANSWER")]
    public async Task A_greeting_that_is_not_ours_is_refused(string greeting, string message)
    {
        using Socket listener = Listen();
        Task<Socket> daemon = SayAsync(listener, greeting);
        Task<ControlClient?> connecting = ConnectAsync(TimeSpan.FromSeconds(30));
        using Socket accepted = await daemon;
        accepted.Shutdown(SocketShutdown.Send);
        RefusalException refused = await Assert.ThrowsAsync<RefusalException>(() => connecting);
        Assert.Equal(message, refused.Id);
        Assert.Equal(ExitCode.Failed, refused.ExitCode);
    }

    [Fact]
    public async Task A_newer_daemon_is_named_with_its_version()
    {
        using Socket listener = Listen();
        Task<Socket> daemon =
            SayAsync(listener, "{\"dmremap\":{\"protocol\":2,\"version\":\"9.8.7\",\"name\":\"disk1\"}}\n");
        Task<ControlClient?> connecting = ConnectAsync(TimeSpan.FromSeconds(30));
        using Socket accepted = await daemon;
        RefusalException refused = await Assert.ThrowsAsync<RefusalException>(() => connecting);
        Assert.Contains("9.8.7", refused.Message, StringComparison.Ordinal);
        Assert.Contains(ControlProtocol.ProgramVersion, refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_daemon_that_hangs_is_reported_after_the_timeout()
    {
        using Socket listener = Listen();
        RefusalException silent = await Assert.ThrowsAsync<RefusalException>(
            () => ConnectAsync(TimeSpan.FromMilliseconds(100)));
        Assert.Equal("DMR-CONTROL-NO-ANSWER", silent.Id);
        Assert.Contains($"(process {Environment.ProcessId})", silent.Message, StringComparison.Ordinal);
        Assert.Contains($"`kill {Environment.ProcessId}`", silent.Refusal.Action, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_daemon_that_hangs_after_its_greeting_is_reported_too()
    {
        using Socket listener = Listen();
        Task<Socket> daemon = SayAsync(listener, Greeting);
        using ControlClient? client = await ConnectAsync(TimeSpan.FromSeconds(1));
        using Socket accepted = await daemon;
        RefusalException refused =
            await Assert.ThrowsAsync<RefusalException>(() => client!.GetStatusAsync(Ended));
        Assert.Equal("DMR-CONTROL-NO-ANSWER", refused.Id);
    }

    [Theory]
    [InlineData("{\"id\":1,\"return\":{\"future\":1}}\n", "DMR-CONTROL-NOT-THE-PROTOCOL")]
    [InlineData("{\"id\":2,\"return\":{}}\n", "DMR-CONTROL-NOT-THE-PROTOCOL")]
    [InlineData(
        "{\"id\":1,\"error\":{\"id\":\"X\",\"device\":\"d\",\"message\":\"m\",\"action\":\"a\","
            + "\"exitCode\":99}}\n",
        "X")]
    [InlineData(
        "{\"id\":1,\"error\":{\"id\":\"X\",\"device\":\"d\",\"message\":\"m\",\"action\":\"a\","
            + "\"exitCode\":0}}\n",
        "X")]
    [InlineData("garbage\n", "DMR-CONTROL-NOT-THE-PROTOCOL")]
    public async Task A_reply_that_is_not_ours_is_refused(string reply, string message)
    {
        using Socket listener = Listen();
        Task<Socket> daemon = SayAsync(listener, Greeting + reply);
        using ControlClient? client = await ConnectAsync(TimeSpan.FromSeconds(30));
        using Socket accepted = await daemon;
        RefusalException refused = await Assert.ThrowsAsync<RefusalException>(() => client!.PingAsync(Ended));
        Assert.Equal(message, refused.Id);
        Assert.Equal(ExitCode.Failed, refused.ExitCode);
    }

    [Fact]
    public async Task What_a_newer_daemon_adds_to_a_reply_is_ignored()
    {
        using Socket listener = Listen();
        const string Reply =
            "{\"id\":1,\"return\":{\"name\":\"disk1\",\"pid\":5,\"version\":\"9\",\"mood\":\"good\"}}\n";
        Task<Socket> daemon = SayAsync(listener, Greeting + Reply);
        using ControlClient? client = await ConnectAsync(TimeSpan.FromSeconds(30));
        using Socket accepted = await daemon;
        Assert.Equal(new PingReport("disk1", 5, "9"), await client!.PingAsync(Ended));
    }

    private static async Task<Socket> SayAsync(Socket listener, string text)
    {
        Socket socket = await listener.AcceptAsync(Ended);
        await socket.SendAsync(Encoding.UTF8.GetBytes(text), SocketFlags.None, Ended);
        return socket;
    }

    private Socket Listen()
    {
        Socket listener = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(new UnixDomainSocketEndPoint(SocketPath));
        listener.Listen();
        Assert.True(File.Exists(SocketPath));
        return listener;
    }

    private Task<ControlClient?> ConnectAsync(TimeSpan timeout) =>
        ControlClient.TryConnectAsync(SocketPath, "disk1", timeout, Ended);
}
