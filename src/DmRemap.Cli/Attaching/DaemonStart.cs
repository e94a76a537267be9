using System;
using System.Collections.Generic;
using System.IO;
using System.Text.Json;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Output;
using DmRemap.Control.Protocol;
using DmRemap.Control.Registry;
using DmRemap.Core.Abstractions;
using DmRemap.Linux.Processes;
using Microsoft.Win32.SafeHandles;

namespace DmRemap.Cli.Attaching;

/// <summary>
/// Starts `serve` as a process of its own session, and waits until it says that it is ready, or why it is
/// not. Who started it can end it, also where its control socket does not answer.
/// </summary>
internal sealed class DaemonStart
{
    private static readonly TimeSpan s_endTimeout = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan s_pause = TimeSpan.FromMilliseconds(50);

    private readonly SpawnedProcess _daemon;
    private readonly SafeFileHandle _output;
    private readonly HostDirectories _directories;
    private readonly string _name;

    /// <exception cref="RefusalException">It cannot be started.</exception>
    public DaemonStart(HostDirectories directories, string name)
    {
        _directories = directories;
        _name = name;
        _daemon = Start(out _output);
    }

    public int ProcessId => _daemon.Id;

    /// <exception cref="RefusalException">The daemon's own reason, or that it took too long.</exception>
    public async Task WaitUntilReadyAsync(TimeSpan wait, CancellationToken cancellation)
    {
        using FileStream answer = new(_output, FileAccess.Read, bufferSize: 0, isAsync: false);
        // A blocking read: the pipe ends with the daemon, whose own end is bounded.
        Task<string> reading = Task.Run(() => ReadAnswer(answer), CancellationToken.None);
        try
        {
            RequireReady(await reading.WaitAsync(wait, cancellation));
        }
        catch (TimeoutException e)
        {
            throw new RefusalException(
                AttachRefusals.NotReady(_name, wait.TotalSeconds, _directories.LogPath(_name)), e);
        }
    }

    /// <summary>
    /// SIGTERM, which is a clean stop, and its end. One that has said why it cannot serve is just ending.
    /// False: a disk that is stuck keeps it.
    /// </summary>
    public async Task<bool> EndAsync()
    {
        _daemon.Terminate();
        using CancellationTokenSource limit = new(s_endTimeout);
        while (_daemon.TryGetExit() is null && !limit.IsCancellationRequested)
        {
            await Task.Delay(s_pause, CancellationToken.None);
        }
        return _daemon.TryGetExit() is not null;
    }

    /// <summary>This program, also where it is run by `dotnet dmremap.dll`.</summary>
    public static (string Program, List<string> Arguments) Self()
    {
        string program = Environment.ProcessPath ?? "dmremap";
        return Path.GetFileNameWithoutExtension(program) == "dotnet"
            ? (program, [Path.GetFullPath(Environment.GetCommandLineArgs()[0])])
            : (program, []);
    }

    private SpawnedProcess Start(out SafeFileHandle output)
    {
        try
        {
            (SafeFileHandle reading, SafeFileHandle writing) = SpawnedProcess.Pipe();
            output = reading;
            using (writing)
            using (SafeFileHandle nothing = File.OpenHandle("/dev/null"))
            using (FileStream log = OpenLog())
            {
                (string program, List<string> arguments) = Self();
                return SpawnedProcess.Start(new ProcessPlan
                {
                    Program = program,
                    Arguments = [.. arguments, "serve", _name, "--json"],
                    Descriptors = [(0, nothing), (1, writing), (2, log.SafeFileHandle)],
                    IsOwnSession = true,
                });
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new RefusalException(AttachRefusals.Failed(_name, e.Message.TrimEnd('.')), e);
        }
    }

    private FileStream OpenLog() => new(_directories.LogPath(_name), new FileStreamOptions
    {
        Mode = FileMode.Create,
        Access = FileAccess.Write,
        Share = FileShare.ReadWrite,
        UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
    });

    /// <summary>The line that says "ready", or all there is.</summary>
    private static string ReadAnswer(FileStream answer)
    {
        using StreamReader reader = new(answer, leaveOpen: true);
        string first = reader.ReadLine() ?? "";
        return first.StartsWith("{\"", StringComparison.Ordinal) ? first : first + "\n" + reader.ReadToEnd();
    }

    private void RequireReady(string text)
    {
        try
        {
            if (text.StartsWith("{\"", StringComparison.Ordinal)
                && JsonSerializer.Deserialize(text, PlainJson.Lines.ReadyDocument) is { Ready: true })
            {
                return;
            }
            if (JsonSerializer.Deserialize(text, PlainJson.Types.ErrorDocument) is ErrorDocument document)
            {
                throw new RefusalException(document.Error.ToRefusal());
            }
        }
        catch (JsonException)
        {
            // It ended without a word that can be read: what it printed is in its log.
        }
        throw new RefusalException(
            AttachRefusals.Failed(_name, $"its server ended at once; see {_directories.LogPath(_name)}"));
    }
}
