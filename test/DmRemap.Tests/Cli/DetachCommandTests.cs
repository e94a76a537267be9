using System;
using System.Globalization;
using System.IO;
using System.Text.Json;
using System.Threading.Tasks;
using DmRemap.Control.Contracts;
using DmRemap.Control.Server;
using DmRemap.Tests.Control;
using Xunit;

namespace DmRemap.Tests.Cli;

/// <summary>
/// What `detach` does about the server that an attach has started, with a real control socket between: this
/// process is that server.
/// </summary>
public sealed class DetachCommandTests : IAsyncDisposable
{
    private readonly CliRun _cli = new() { CanAttach = true };
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

    [Fact]
    public async Task A_clean_stop_of_the_server_is_said_and_forgotten()
    {
        Start(Environment.ProcessId);
        CliResult result = await _cli.RunAsync("detach", "disk1");
        Assert.Equal(0, result.ExitCode);
        Assert.EndsWith("; its server was stopped\n", result.Output, StringComparison.Ordinal);
        Assert.Equal("", Noted);
    }

    [Fact]
    public async Task A_stop_of_the_server_that_was_not_clean_exits_7_and_says_what_was_left()
    {
        _device.OnStop = _ => Task.FromResult(new StopReport { Clean = false, Left = "a flush failed" });
        Start(Environment.ProcessId);
        CliResult result = await _cli.RunAsync("detach", "disk1");
        Assert.Equal(7, result.ExitCode);
        Assert.EndsWith(
            "; its server was stopped, but not cleanly: a flush failed\n", result.Output,
            StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_report_of_the_stop_is_in_the_document()
    {
        _device.OnStop = _ => Task.FromResult(new StopReport
        {
            Clean = false,
            ByDeadline = true,
            OperationsOutstanding = 2,
            OutstandingOn = ["/dev/sdb"],
        });
        Start(Environment.ProcessId);
        CliResult result = await _cli.RunAsync("detach", "disk1", "--json");
        Assert.Equal(7, result.ExitCode);
        JsonElement report = result.Json.GetProperty("stopReport");
        Assert.False(report.GetProperty("clean").GetBoolean());
        Assert.Equal(2, report.GetProperty("operationsOutstanding").GetInt64());
        Assert.True(result.Json.GetProperty("stopped").GetBoolean());
        Assert.Equal(JsonValueKind.Null, result.Json.GetProperty("serverLeft").ValueKind);
    }

    /// <summary>Its number is another program's by now: this one's, which SIGTERM would end.</summary>
    [Fact]
    public async Task A_process_that_is_no_server_any_more_is_left_alone_and_forgotten()
    {
        _cli.Register("disk1");
        Note(Environment.ProcessId);
        CliResult result = await _cli.RunAsync("detach", "disk1", "--json");
        Assert.Equal(0, result.ExitCode);
        Assert.False(result.Json.GetProperty("stopped").GetBoolean());
        Assert.Equal("", Noted);
    }

    [Fact]
    public async Task A_server_that_nobody_attached_is_not_stopped()
    {
        bool isStopped = false;
        _device.OnStop = _ =>
        {
            isStopped = true;
            return Task.FromResult(new StopReport { Clean = true });
        };
        Start(int.MaxValue);
        CliResult result = await _cli.RunAsync("detach", "disk1", "--json");
        Assert.Equal(0, result.ExitCode);
        Assert.False(isStopped, "somebody else's server was stopped");
        Assert.False(result.Json.GetProperty("stopped").GetBoolean());
        Assert.Equal("", Noted);
    }

    private string Noted => File.ReadAllText(_cli.Directories.AttachPath("disk1"));

    private void Note(int process) => File.WriteAllText(
        _cli.Directories.AttachPath("disk1"), process.ToString(CultureInfo.InvariantCulture) + "\n");

    private void Start(int noted)
    {
        _cli.Register("disk1");
        Note(noted);
        _server = ControlServer.Start(_cli.Directories.ControlSocketPath("disk1"), _device);
    }
}
