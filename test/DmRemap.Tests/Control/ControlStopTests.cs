using System;
using System.IO;
using System.Net.Sockets;
using System.Text.Json;
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

/// <summary>Stop answers by its deadline, once the socket is gone; and what else ends a server.</summary>
public sealed class ControlStopTests : IDisposable
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(30);

    private readonly TemporaryDirectory _directory = new();
    private readonly StubDevice _device = new();

    private string SocketPath => _directory["disk1.sock"];

    private static CancellationToken Ended => TestContext.Current.CancellationToken;

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task Stop_answers_after_the_socket_is_gone_and_tells_the_server()
    {
        TimeSpan asked = default;
        _device.OnStop = deadline =>
        {
            asked = deadline;
            Assert.True(File.Exists(SocketPath));
            return Task.FromResult(new StopReport { Clean = true });
        };
        await using ControlServer server = ControlServer.Start(SocketPath, _device);
        using ControlClient client = await ConnectAsync();
        Assert.False(server.StopAnswered.IsCompleted);
        StopReport report = await client.StopAsync(TimeSpan.FromSeconds(2.5), Ended);
        Assert.False(File.Exists(SocketPath));
        Assert.True(report.Clean);
        Assert.Equal(TimeSpan.FromSeconds(2.5), asked);
        Assert.True((await server.StopAnswered.WaitAsync(s_patience, Ended)).Clean);
        Assert.Null(await ControlClient.TryConnectAsync(SocketPath, "disk1", s_patience, Ended));
    }

    [Fact]
    public async Task Stop_without_a_deadline_has_the_documented_one()
    {
        TimeSpan asked = default;
        _device.OnStop = deadline =>
        {
            asked = deadline;
            return Task.FromResult(new StopReport { Clean = true });
        };
        await using ControlServer server = ControlServer.Start(SocketPath, _device);
        using RawClient client = new(SocketPath);
        Assert.NotNull(await client.ReadLineAsync());
        await client.SendAsync("{\"id\":1,\"command\":\"stop\",\"arguments\":{}}\n");
        Assert.NotNull(await client.ReadLineAsync());
        Assert.Equal(TimeSpan.FromSeconds(ControlProtocol.DeadlineSecondsDefault), asked);
    }

    [Fact]
    public async Task Suspend_without_a_deadline_has_the_documented_one_and_a_bad_one_is_refused()
    {
        TimeSpan asked = default;
        _device.OnSuspend = deadline =>
        {
            asked = deadline;
            return Task.FromResult(new SuspendReport { Suspended = true, Flushed = true });
        };
        await using ControlServer server = ControlServer.Start(SocketPath, _device);
        using RawClient client = new(SocketPath);
        await client.ReadAsync();
        await client.CallAsync("{\"id\":1,\"command\":\"suspend\"}");
        Assert.Equal(TimeSpan.FromSeconds(ControlProtocol.DeadlineSecondsDefault), asked);
        string[] wrong = ["{\"deadlineSeconds\":-1}", "{\"deadlineSeconds\":86401}", "{\"x\":1}"];
        foreach (string bad in wrong)
        {
            JsonElement reply = await client.CallAsync(
                $"{{\"id\":2,\"command\":\"suspend\",\"arguments\":{bad}}}");
            Assert.Equal(
                "DMR-CONTROL-BAD-ARGUMENTS", reply.GetProperty("error").GetProperty("id").GetString());
        }
        JsonElement resumed = await client.CallAsync("{\"id\":3,\"command\":\"resume\"}");
        Assert.True(resumed.GetProperty("return").GetProperty("wasSuspended").GetBoolean());
    }

    [Fact]
    public async Task Stop_answers_by_its_deadline_even_if_the_device_never_does()
    {
        _device.OnStop = _ => new TaskCompletionSource<StopReport>().Task;
        ControlServerOptions options = new() { StopGrace = TimeSpan.FromMilliseconds(50) };
        await using ControlServer server = ControlServer.Start(SocketPath, _device, options);
        using ControlClient client = await ConnectAsync();
        StopReport report = await client.StopAsync(TimeSpan.FromMilliseconds(100), Ended);
        Assert.False(report.Clean);
        Assert.NotNull(report.Left);
        Assert.False((await server.StopAnswered.WaitAsync(s_patience, Ended)).Clean);
    }

    [Fact]
    public async Task A_stop_that_is_refused_leaves_the_server_serving()
    {
        _device.OnStop = _ => throw new RefusalException(
            new Refusal("DMR-TEST", ExitCode.InUse, "disk1", "Not now.", "Later."));
        await using ControlServer server = ControlServer.Start(SocketPath, _device);
        using ControlClient client = await ConnectAsync();
        RefusalException refused = await Assert.ThrowsAsync<RefusalException>(
            () => client.StopAsync(TimeSpan.FromSeconds(1), Ended));
        Assert.Equal(ExitCode.InUse, refused.ExitCode);
        Assert.False(server.StopAnswered.IsCompleted);
        Assert.Equal("disk1", (await client.PingAsync(Ended)).Name);
        using ControlClient another = await ConnectAsync();
    }

    [Fact]
    public async Task Status_is_answered_while_a_stop_waits()
    {
        TaskCompletionSource<StopReport> stop = new(TaskCreationOptions.RunContinuationsAsynchronously);
        TaskCompletionSource called = new(TaskCreationOptions.RunContinuationsAsynchronously);
        _device.OnStop = _ =>
        {
            called.SetResult();
            return stop.Task;
        };
        await using ControlServer server = ControlServer.Start(SocketPath, _device);
        using ControlClient stopping = await ConnectAsync();
        Task<StopReport> answer = stopping.StopAsync(TimeSpan.FromSeconds(20), Ended);
        await called.Task.WaitAsync(s_patience, Ended);
        using ControlClient other = await ConnectAsync();
        Assert.Equal("disk1", (await other.GetStatusAsync(Ended)).Name);
        stop.SetResult(new StopReport { Clean = true });
        Assert.True((await answer).Clean);
    }

    [Fact]
    public async Task Disposing_ends_a_running_command_with_an_answer()
    {
        TaskCompletionSource started = new(TaskCreationOptions.RunContinuationsAsynchronously);
        _device.OnRemap = async (_, _, _, cancellation) =>
        {
            started.SetResult();
            await Task.Delay(Timeout.Infinite, cancellation);
            return Sample.Remap(0, 0);
        };
        ControlServer server = ControlServer.Start(SocketPath, _device);
        using ControlClient client = await ConnectAsync();
        Task<RemapReport> remap = client.RemapAsync(new BlockNumber(0), new BlockNumber(7), null, Ended);
        await started.Task.WaitAsync(s_patience, Ended);
        await server.DisposeAsync();
        RefusalException refused = await Assert.ThrowsAsync<RefusalException>(() => remap);
        Assert.Equal("DMR-DEVICE-STOPPING", refused.Id);
        Assert.False(File.Exists(SocketPath));
    }

    [Fact]
    public async Task Disposing_waits_no_longer_than_told_for_a_command_that_hangs()
    {
        TaskCompletionSource started = new(TaskCreationOptions.RunContinuationsAsynchronously);
        _device.OnRemap = (_, _, _, _) =>
        {
            started.SetResult();
            return new TaskCompletionSource<RemapReport>().Task;
        };
        ControlServerOptions options = new() { SendTimeout = TimeSpan.FromHours(1) };
        ControlServer server = ControlServer.Start(SocketPath, _device, options);
        Assert.Equal(options.SendTimeout, server.EndTimeout);
        using ControlClient client = await ConnectAsync();
        Task<RemapReport> remap = client.RemapAsync(new BlockNumber(0), new BlockNumber(7), null, Ended);
        await started.Task.WaitAsync(s_patience, Ended);
        server.EndTimeout = TimeSpan.FromMilliseconds(50);
        await server.DisposeAsync().AsTask().WaitAsync(s_patience, Ended);
        await Assert.ThrowsAsync<RefusalException>(() => remap);
    }

    [Fact]
    public async Task A_remap_whose_client_goes_away_is_told_to_end()
    {
        TaskCompletionSource ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
        _device.OnRemap = async (_, _, progress, cancellation) =>
        {
            using CancellationTokenRegistration end = cancellation.Register(ended.SetResult);
            for (long unit = 0; !ended.Task.IsCompleted; unit++)
            {
                progress.Report(new RemapProgress(unit, long.MaxValue));
                await Task.Delay(1, CancellationToken.None);
            }
            throw new OperationCanceledException(cancellation);
        };
        ControlServerOptions options = new() { ProgressInterval = TimeSpan.Zero };
        await using ControlServer server = ControlServer.Start(SocketPath, _device, options);
        using (RawClient client = new(SocketPath))
        {
            await client.ReadAsync();
            await client.CallAsync("{\"id\":1,\"command\":\"remap\",\"arguments\":{\"first\":0,\"last\":7}}");
        }
        await ended.Task.WaitAsync(s_patience, Ended);
    }

    [Fact]
    public async Task A_socket_that_a_dead_daemon_left_is_replaced()
    {
        using (Socket dead = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified))
        {
            dead.Bind(new UnixDomainSocketEndPoint(SocketPath + "x"));
            dead.Listen();
            File.Move(SocketPath + "x", SocketPath);
        }
        Assert.True(File.Exists(SocketPath));
        Assert.Null(await ControlClient.TryConnectAsync(SocketPath, "disk1", s_patience, Ended));
        await using ControlServer server = ControlServer.Start(SocketPath, _device);
        using ControlClient client = await ConnectAsync();
    }

    [Fact]
    public async Task A_socket_that_answers_is_never_taken_over()
    {
        await using ControlServer server = ControlServer.Start(SocketPath, _device);
        RefusalException refused =
            Assert.Throws<RefusalException>(() => ControlServer.Start(SocketPath, _device));
        Assert.Equal(ExitCode.InUse, refused.ExitCode);
        using ControlClient client = await ConnectAsync();
    }

    [Fact]
    public void A_file_with_content_is_never_replaced()
    {
        File.WriteAllText(SocketPath, "precious");
        RefusalException refused =
            Assert.Throws<RefusalException>(() => ControlServer.Start(SocketPath, _device));
        Assert.Equal("DMR-CONTROL-SOCKET-IN-USE", refused.Id);
        Assert.Equal("precious", File.ReadAllText(SocketPath));
    }

    [Fact]
    public void A_path_too_long_for_a_socket_or_without_a_directory_is_refused()
    {
        string[] paths = [_directory[new string('x', 120)], _directory["no/disk1.sock"]];
        foreach (string path in paths)
        {
            RefusalException refused =
                Assert.Throws<RefusalException>(() => ControlServer.Start(path, _device));
            Assert.Equal("DMR-CONTROL-SOCKET-FAILED", refused.Id);
        }
    }

    private async Task<ControlClient> ConnectAsync()
    {
        ControlClient? client = await ControlClient.TryConnectAsync(SocketPath, "disk1", s_patience, Ended);
        Assert.NotNull(client);
        return client;
    }
}
