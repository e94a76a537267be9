using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Text.Json;
using System.Threading;
using System.Threading.Tasks;
using Xunit;

namespace DmRemap.Interop.Tests.Support;

/// <summary>
/// A device in folders of its own, driven through the real program as a user would: main image, spare images,
/// configuration, sockets. Nothing it starts or makes outlives it.
/// </summary>
internal sealed class DeviceUnderTest : IAsyncDisposable
{
    public const string Name = "dev";

    /// <summary>Of `--backend`.</summary>
    public const string Uring = "io_uring";

    public const string Epoll = "epoll";

    public const int UnitBytes = 4096;
    public const long MiB = 1024 * 1024;
    public const long SpareBytesDefault = 24 * MiB;

    private static readonly TimeSpan s_startMax = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan s_untilMax = TimeSpan.FromSeconds(60);
    private readonly List<RunningProgram> _started = [];
    private RunningProgram? _server;

    private DeviceUnderTest(string images, string folder)
    {
        Images = images;
        Folder = folder;
        Environment = new Dictionary<string, string>
        {
            ["DMREMAP_CONFIG_DIR"] = ConfigFolder,
            ["DMREMAP_RUN_DIR"] = RunFolder,
        };
    }

    /// <summary>The program as the build left it, beside these tests.</summary>
    public static string Program { get; } = FindProgram();

    /// <summary>
    /// A folder on the file system of the checkout: /tmp may be one that cannot do direct I/O.
    /// </summary>
    public string Images { get; }

    /// <summary>A folder with a short path, for sockets and mounts.</summary>
    public string Folder { get; }

    public string ConfigFolder => Path.Combine(Folder, "config");

    public string RunFolder => Path.Combine(Folder, "run");

    public string MainPath => Path.Combine(Images, "main.img");

    public string SparePath => Path.Combine(Images, "spare.img");

    public string SocketPath => Path.Combine(RunFolder, Name + ".nbd");

    public string Uri => $"nbd+unix:///{Name}?socket={SocketPath}";

    public IReadOnlyDictionary<string, string> Environment { get; }

    /// <summary>How `serve` is told to reach the kernel; null: as it likes.</summary>
    public string? Backend { get; set; } = System.Environment.GetEnvironmentVariable("DMREMAP_TEST_BACKEND");

    /// <summary>The process that serves now.</summary>
    public RunningProgram Server => _server ?? throw new InvalidOperationException("nothing is served");

    /// <summary>The folders and images, nothing created with the program yet.</summary>
    public static DeviceUnderTest Prepare(byte[] mainContent, long spareBytes = SpareBytesDefault)
    {
        DeviceUnderTest device = PrepareEmpty();
        File.WriteAllBytes(device.MainPath, mainContent);
        WriteZeros(device.SparePath, spareBytes);
        return device;
    }

    public static DeviceUnderTest PrepareEmpty()
    {
        string parent = Path.Combine(Path.GetDirectoryName(Program)!, "../../../interop");
        string images = Path.GetFullPath(Path.Combine(parent, Path.GetRandomFileName()));
        Directory.CreateDirectory(images);
        DeviceUnderTest device = new(images, Directory.CreateTempSubdirectory("dmr-").FullName);
        Directory.CreateDirectory(device.ConfigFolder);
        Directory.CreateDirectory(
            device.RunFolder, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        return device;
    }

    /// <summary>Prepared, created, and served.</summary>
    public static Task<DeviceUnderTest> StartAsync(byte[] mainContent, params string[] faults) =>
        StartOnAsync(null, mainContent, faults);

    /// <summary>As <see cref="StartAsync"/>, with this backend.</summary>
    public static async Task<DeviceUnderTest> StartOnAsync(
        string? backend, byte[] mainContent, params string[] faults)
    {
        DeviceUnderTest device = Prepare(mainContent);
        device.Backend = backend ?? device.Backend;
        try
        {
            await device.CreateAsync();
            await device.ServeAsync(faults);
            return device;
        }
        catch
        {
            await device.DisposeAsync();
            throw;
        }
    }

    /// <summary>Every byte written: a spare file must have no holes.</summary>
    public static void WriteZeros(string path, long bytes)
    {
        using FileStream file = new(path, FileMode.CreateNew);
        byte[] zeros = new byte[MiB];
        for (long done = 0; done < bytes; done += zeros.Length)
        {
            file.Write(zeros.AsSpan(0, (int)Math.Min(zeros.Length, bytes - done)));
        }
    }

    public Task<CommandResult> RunAsync(params string[] arguments) =>
        Command.RunAsync(Program, arguments, Environment);

    public async Task CreateAsync(params string[] more) =>
        (await RunAsync(
            ["create", Name, "--main", MainPath, "--spare", SparePath, "--yes", .. more])).Expect(0);

    /// <summary>Starts `serve` with these fault rules and waits until it says that it can be used.</summary>
    public Task ServeAsync(params string[] faults) => ServeAsync([], faults);

    /// <param name="options">Of `serve`.</param>
    /// <param name="faults">Rules, one each.</param>
    public async Task ServeAsync(IReadOnlyList<string> options, params string[] faults)
    {
        string rules = Path.Combine(Folder, "faults");
        await File.WriteAllLinesAsync(rules, faults);
        RunningProgram server =
            StartServe([.. options, .. faults.Length > 0 ? (string[])["--faults", rules] : []]);
        string line = await WaitUntilReadyAsync(server);
        Assert.Equal($"ready {Uri}", line);
    }

    public RunningProgram StartServe(params string[] more)
    {
        string[] backend = Backend is null ? [] : ["--backend", Backend];
        RunningProgram server = RunningProgram.Start(
            Program, ["serve", Name, .. backend, .. more], Environment);
        _started.Add(server);
        _server = server;
        return server;
    }

    public static Task<string> WaitUntilReadyAsync(RunningProgram server) =>
        server.WaitForLineAsync(line => line.StartsWith("ready ", StringComparison.Ordinal), s_startMax);

    public static async Task UntilAsync(Func<Task<bool>> condition)
    {
        using CancellationTokenSource patience = new(s_untilMax);
        while (!await condition())
        {
            await Task.Delay(50, patience.Token);
        }
    }

    /// <summary>Any other program, ended with this device.</summary>
    public RunningProgram StartBeside(string program, params string[] arguments)
    {
        RunningProgram running = RunningProgram.Start(program, arguments, Environment);
        _started.Add(running);
        return running;
    }

    /// <summary>`stop`, which must be clean, and the end of the serving process.</summary>
    public async Task StopAsync()
    {
        (await RunAsync("stop", Name)).Expect(0);
        Assert.Equal(0, await Server.WaitForEndAsync(s_startMax));
        Assert.False(File.Exists(SocketPath), "the socket is still there after stop");
        _server = null;
    }

    /// <summary>
    /// SIGKILL, and the end of the process: every member's kernel I/O must have come back for that.
    /// </summary>
    public async Task KillAsync()
    {
        Server.KillNow();
        await Server.WaitForEndAsync(s_startMax);
        _server = null;
    }

    public async Task<JsonElement> StatusAsync()
    {
        CommandResult result = (await RunAsync("status", Name, "--json")).Expect(0, 7);
        using JsonDocument document = JsonDocument.Parse(result.Output);
        return document.RootElement.Clone();
    }

    /// <summary>
    /// A number of the status by its path; of a list, the first: "spares", "units", "used".
    /// </summary>
    public async Task<long> StatusNumberAsync(params string[] path)
    {
        JsonElement element = await StatusAsync();
        foreach (string part in path)
        {
            element = (element.ValueKind == JsonValueKind.Array ? element[0] : element).GetProperty(part);
        }

        return element.GetInt64();
    }

    public async Task<string> ConditionsAsync() =>
        string.Join(' ', (await StatusAsync()).GetProperty("conditions").EnumerateArray()
            .Select(condition => condition.GetString()));

    /// <summary>Trouble with a disk as a whole is no reason to remap or to suspect a unit.</summary>
    public async Task AssertNothingMovedAsync()
    {
        Assert.Equal(0, await StatusNumberAsync("remaps"));
        Assert.Equal(0, await StatusNumberAsync("lostBlocks"));
        Assert.Equal(0, await StatusNumberAsync("suspectUnits"));
    }

    public Task<long> SpareUnitsUsedAsync() => StatusNumberAsync("spares", "units", "used");

    public async Task AddFaultAsync(string rule) => (await RunAsync("faults", Name, "add", rule)).Expect(0);

    public Task<NbdTestClient> ConnectAsync() => NbdTestClient.OpenAsync(SocketPath, Name);

    public async ValueTask DisposeAsync()
    {
        // In the order of their dependence: who uses the device was started after it.
        foreach (RunningProgram running in Enumerable.Reverse(_started))
        {
            await running.DisposeAsync();
        }

        Directory.Delete(Images, recursive: true);
        Directory.Delete(Folder, recursive: true);
    }

    private static string FindProgram()
    {
        // artifacts/bin/DmRemap.Interop.Tests/release: a release build is what users run, compiled ahead.
        DirectoryInfo configuration = new(AppContext.BaseDirectory.TrimEnd('/'));
        DirectoryInfo bin = configuration.Parent!.Parent!;
        bool isRelease = configuration.Name == "release";
        string outputs = isRelease ? Path.Combine(bin.Parent!.FullName, "publish") : bin.FullName;
        return Path.Combine(outputs, "DmRemap.Cli", configuration.Name, "dmremap");
    }
}
