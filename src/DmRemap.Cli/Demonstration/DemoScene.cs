using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.IO;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Control.Client;
using DmRemap.Control.Contracts;

namespace DmRemap.Cli.Demonstration;

/// <summary>The demonstration's directory and daemon: made in a temporary place, gone afterwards.</summary>
internal sealed class DemoScene : IDisposable
{
    public const string Name = "demo";

    private static readonly TimeSpan s_answerTimeout = TimeSpan.FromSeconds(20);

    private readonly bool _keep;
    private Process? _daemon;

    public DemoScene(bool keep)
    {
        _keep = keep;
        Directory = System.IO.Directory.CreateTempSubdirectory("dmremap-demo-").FullName;
    }

    public string Directory { get; }

    public string Main => Path.Combine(Directory, "main.img");

    public string Spare => Path.Combine(Directory, "spare.img");

    public string Faults => Path.Combine(Directory, "bad-sectors.txt");

    public string NewContent => Path.Combine(Directory, "new-content.img");

    public string Socket => Path.Combine(Directory, "run", $"{Name}.nbd");

    public string Uri => $"nbd+unix:///{Name}?socket={Socket}";

    /// <summary>
    /// The directories of `dmremap`, as its environment names them; and what keeps a killed daemon from
    /// leaving the runtime's own sockets behind.
    /// </summary>
    public IReadOnlyDictionary<string, string> Environment => new Dictionary<string, string>
    {
        ["DOTNET_EnableDiagnostics"] = "0",
        ["DMREMAP_CONFIG_DIR"] = Path.Combine(Directory, "config"),
        ["DMREMAP_RUN_DIR"] = Path.Combine(Directory, "run"),
    };

    /// <summary>Start `dmremap serve` as a process of its own and wait until it serves.</summary>
    public async Task ServeAsync(CancellationToken cancellation)
    {
        _daemon = Start(System.Environment.ProcessPath!, "serve", Name, "--faults", Faults);
        string? line = await _daemon.StandardOutput.ReadLineAsync(cancellation);
        if (line is null || !line.StartsWith("ready ", StringComparison.Ordinal))
        {
            string error = await _daemon.StandardError.ReadToEndAsync(cancellation);
            throw new IOException($"serve did not start: {line} {error}");
        }
        // Events are printed by the daemon; nobody reading them must not stop it.
        _ = _daemon.StandardError.ReadToEndAsync(CancellationToken.None);
    }

    /// <summary>SIGKILL: it has no chance to do anything.</summary>
    public async Task KillAsync(CancellationToken cancellation)
    {
        _daemon!.Kill();
        await _daemon.WaitForExitAsync(cancellation);
        _daemon.Dispose();
        _daemon = null;
    }

    public async Task<StopReport> StopAsync(CancellationToken cancellation)
    {
        using ControlClient client = await ConnectAsync(cancellation);
        StopReport report = await client.StopAsync(TimeSpan.FromSeconds(10), cancellation);
        await _daemon!.WaitForExitAsync(cancellation);
        _daemon.Dispose();
        _daemon = null;
        return report;
    }

    public async Task<DeviceStatus> GetStatusAsync(CancellationToken cancellation)
    {
        using ControlClient client = await ConnectAsync(cancellation);
        return await client.GetStatusAsync(cancellation);
    }

    public async Task AddFaultAsync(string rule, CancellationToken cancellation)
    {
        await File.AppendAllTextAsync(Faults, rule + "\n", cancellation);
        using ControlClient client = await ConnectAsync(cancellation);
        await client.AddFaultAsync(rule, cancellation);
    }

    /// <summary>Run a program from the PATH to its end. Null: it is not installed.</summary>
    public async Task<(int ExitCode, string Output)?> RunAsync(
        string program, string[] arguments, CancellationToken cancellation)
    {
        Process process;
        try
        {
            process = Start(program, arguments);
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return null;
        }
        using (process)
        {
            // Closing its pipes would not end it: it is stopped, and then they end by themselves.
            await using CancellationTokenRegistration ending = cancellation.Register(process.Kill);
            Task<string> error = process.StandardError.ReadToEndAsync(CancellationToken.None);
            string output = await process.StandardOutput.ReadToEndAsync(CancellationToken.None);
            await process.WaitForExitAsync(CancellationToken.None);
            cancellation.ThrowIfCancellationRequested();
            return (process.ExitCode, output + await error);
        }
    }

    public void Dispose()
    {
        if (_daemon is not null)
        {
            _daemon.Kill();
            _daemon.WaitForExit();
            _daemon.Dispose();
        }
        if (!_keep)
        {
            System.IO.Directory.Delete(Directory, recursive: true);
        }
    }

    private async Task<ControlClient> ConnectAsync(CancellationToken cancellation)
    {
        string path = Path.Combine(Directory, "run", $"{Name}.sock");
        return await ControlClient.TryConnectAsync(path, Name, s_answerTimeout, cancellation)
            ?? throw new IOException("the daemon is not running");
    }

    private Process Start(string program, params string[] arguments)
    {
        ProcessStartInfo start = new(program, arguments)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = Directory,
        };
        foreach ((string name, string value) in Environment)
        {
            start.Environment[name] = value;
        }
        return Process.Start(start)!;
    }
}
