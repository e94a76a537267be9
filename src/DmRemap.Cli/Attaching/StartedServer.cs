using System;
using System.Collections.Generic;
using System.IO;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Devices;
using DmRemap.Control.Client;
using DmRemap.Control.Contracts;
using DmRemap.Core.Abstractions;
using DmRemap.Linux.Processes;

namespace DmRemap.Cli.Attaching;

/// <summary>How a server that an attach had started was stopped.</summary>
/// <param name="Report">Its own word; null: it was ended by a signal.</param>
/// <param name="Left">The process, where it had not ended when it was waited for long enough.</param>
internal sealed record ServerEnd(StopReport? Report, int? Left);

/// <summary>
/// The server that an attach starts, and the detach stops. The lock's file names its process from before it
/// is ready until it has gone: whatever becomes of the attach, or of its control socket, the next detach
/// finds it.
/// </summary>
internal sealed class StartedServer(CliServices services, string name, AttachLock at)
{
    private static readonly TimeSpan s_stopDeadline = TimeSpan.FromSeconds(10);

    /// <summary>A process that was started a moment ago has yet to open its control socket.</summary>
    private static readonly TimeSpan s_socketPatience = TimeSpan.FromSeconds(5);

    /// <summary>After SIGTERM a server takes 5 s at most for its requests, and 2 s to give them up.</summary>
    private static readonly TimeSpan s_endPatience = TimeSpan.FromSeconds(10);

    private static readonly TimeSpan s_pause = TimeSpan.FromMilliseconds(50);

    private DaemonStart? _start;

    /// <summary>By this call.</summary>
    public bool IsStarted => _start is not null;

    /// <exception cref="RefusalException">It did not become ready, and was ended.</exception>
    public async Task StartAsync(TimeSpan wait, CancellationToken cancellation)
    {
        DaemonStart start = new(services.FindDirectories(), name);
        _start = start;
        // Noted before it is ready: should this program be killed meanwhile, a detach stops it.
        at.StartedProcess = start.ProcessId;
        try
        {
            await start.WaitUntilReadyAsync(wait, cancellation);
        }
        catch
        {
            await EndStartedAsync();
            throw;
        }
    }

    /// <summary>
    /// Of one that this call started. By a signal: its control socket may be what did not answer. Null: it
    /// has ended; else the process, which a disk that is stuck keeps.
    /// </summary>
    public async Task<int?> EndStartedAsync()
    {
        int? left = _start is DaemonStart start && !await start.EndAsync() ? start.ProcessId : null;
        at.StartedProcess = left;
        return left;
    }

    /// <summary>Null: no attach started one, or it has gone, and its number is somebody else's.</summary>
    public async Task<ServerEnd?> StopAsync(CancellationToken cancellation)
    {
        if (at.StartedProcess is not int process)
        {
            return null;
        }
        ServerEnd? end = await StopAsync(process, cancellation);
        // The next detach tries again.
        at.StartedProcess = end?.Left;
        return end;
    }

    private async Task<ServerEnd?> StopAsync(int process, CancellationToken cancellation)
    {
        bool wasServing = IsServing(process);
        StopReport? unanswered = null;
        try
        {
            using ControlClient? client = await ConnectAsync(process, cancellation);
            if (client is not null && (await client.PingAsync(cancellation)).Pid != process)
            {
                return null; // Somebody has served it since.
            }
            if (client is not null)
            {
                StopReport report = await client.StopAsync(s_stopDeadline, cancellation);
                return new ServerEnd(report, await WaitForEndAsync(process));
            }
        }
        catch (RefusalException)
        {
            // What hangs can still be ended; how it stopped is not to be known.
            unanswered = Unanswered();
        }
        if (!IsServing(process))
        {
            return wasServing && unanswered is not null ? new ServerEnd(unanswered, null) : null;
        }
        OtherProcess.Terminate(process);
        int? left = await WaitForEndAsync(process);
        return new ServerEnd(left is null ? unanswered : null, left);
    }

    /// <summary>Null: it has no control socket, as it has not opened one, or its file was removed.</summary>
    private async Task<ControlClient?> ConnectAsync(int process, CancellationToken cancellation)
    {
        DeviceLookup lookup = new(services);
        long began = services.Time.GetTimestamp();
        while (true)
        {
            ControlClient? client = await lookup.TryConnectAsync(name, cancellation);
            if (client is not null
                || !IsServing(process)
                || services.Time.GetElapsedTime(began) >= s_socketPatience)
            {
                return client;
            }
            await Task.Delay(s_pause, services.Time, cancellation);
        }
    }

    private async Task<int?> WaitForEndAsync(int process)
    {
        long began = services.Time.GetTimestamp();
        while (IsServing(process))
        {
            if (services.Time.GetElapsedTime(began) >= s_endPatience)
            {
                return process;
            }
            await Task.Delay(s_pause, services.Time);
        }
        return null;
    }

    /// <summary>Whether the number still is this program, serving this device.</summary>
    private bool IsServing(int process)
    {
        (string program, List<string> arguments) = DaemonStart.Self();
        string own = Path.GetFileNameWithoutExtension(arguments.Count > 0 ? arguments[^1] : program);
        IReadOnlyList<string> line = OtherProcess.CommandLineOf(process);
        for (int i = 1; i < line.Count - 1; i++)
        {
            if (line[i] == "serve" && line[i + 1] == name)
            {
                return Path.GetFileNameWithoutExtension(line[i - 1]) == own;
            }
        }
        return false;
    }

    private StopReport Unanswered() => new()
    {
        Clean = false,
        Left = $"it did not answer; see {services.FindDirectories().LogPath(name)}",
    };
}
