using System;
using System.Collections.Generic;
using System.IO;
using System.Text.Json;
using System.Threading.Tasks;
using Xunit;

namespace DmRemap.Interop.Tests.Support;

/// <summary>A disk of the lab, served by the real program in folders of its own.</summary>
internal sealed class LabUnderTest : IAsyncDisposable
{
    public const string Name = "bad";

    private static readonly TimeSpan s_startMax = TimeSpan.FromSeconds(30);

    private readonly Dictionary<string, string> _environment;
    private RunningProgram? _server;

    private LabUnderTest()
    {
        string parent = Path.Combine(Path.GetDirectoryName(DeviceUnderTest.Program)!, "../../../interop");
        Images = Path.GetFullPath(Path.Combine(parent, Path.GetRandomFileName()));
        Directory.CreateDirectory(Images);
        Folder = Directory.CreateTempSubdirectory("dml-").FullName;
        _environment = new Dictionary<string, string>
        {
            ["DMREMAP_CONFIG_DIR"] = Path.Combine(Folder, "config"),
            ["DMREMAP_RUN_DIR"] = Path.Combine(Folder, "run"),
        };
    }

    /// <summary>On a file system that can do direct I/O.</summary>
    public string Images { get; }

    public string Folder { get; }

    public string SocketPath => Path.Combine(Folder, "run", "lab", Name + ".nbd");

    public string Uri => $"nbd+unix:///{Name}?socket={SocketPath}";

    public RunningProgram Server => _server!;

    public static LabUnderTest Prepare() => new();

    public static async Task<LabUnderTest> StartAsync(params string[] options)
    {
        LabUnderTest lab = new();
        try
        {
            await lab.ServeAsync(options);
            return lab;
        }
        catch
        {
            await lab.DisposeAsync();
            throw;
        }
    }

    public async Task ServeAsync(params string[] options)
    {
        string[] place = Array.IndexOf(options, "--file") < 0 ? ["--in", Images] : [];
        _server = RunningProgram.Start(
            DeviceUnderTest.Program, ["lab", "serve", Name, .. place, .. options], _environment);
        Assert.Equal($"ready {Uri}", await DeviceUnderTest.WaitUntilReadyAsync(_server));
    }

    /// <summary>`dmremap lab COMMAND NAME ...`.</summary>
    public Task<CommandResult> RunAsync(string command, params string[] more) =>
        Command.RunAsync(DeviceUnderTest.Program, ["lab", command, Name, .. more], _environment);

    public Task<CommandResult> RunAnyAsync(params string[] arguments) =>
        Command.RunAsync(DeviceUnderTest.Program, arguments, _environment);

    public async Task TellAsync(string command, params string[] more) =>
        (await RunAsync(command, more)).Expect(0);

    public async Task<JsonElement> StatusAsync()
    {
        CommandResult result = (await RunAsync("status", "--json")).Expect(0);
        using JsonDocument document = JsonDocument.Parse(result.Output);
        return document.RootElement.Clone();
    }

    public async Task<long> CounterAsync(string name) =>
        (await StatusAsync()).GetProperty("counters").GetProperty(name).GetInt64();

    public async Task<string[]> ListAsync() =>
        (await RunAsync("list")).Expect(0).Output.Split('\n', StringSplitOptions.RemoveEmptyEntries);

    public Task<NbdTestClient> ConnectAsync() => NbdTestClient.OpenAsync(SocketPath, Name);

    public async Task StopAsync()
    {
        await TellAsync("stop");
        Assert.Equal(0, await Server.WaitForEndAsync(s_startMax));
        Assert.False(File.Exists(SocketPath), "the socket is still there after stop");
    }

    public async ValueTask DisposeAsync()
    {
        if (_server is not null)
        {
            await _server.DisposeAsync();
        }
        Directory.Delete(Images, recursive: true);
        Directory.Delete(Folder, recursive: true);
    }
}
