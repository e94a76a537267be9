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
/// not.
/// </summary>
internal sealed class DaemonStart(HostDirectories directories, string name)
{
    private static readonly TimeSpan s_endTimeout = TimeSpan.FromSeconds(8);
    private static readonly TimeSpan s_pause = TimeSpan.FromMilliseconds(50);

    private SpawnedProcess? _daemon;
    private SafeFileHandle? _output;

    /// <summary>Returns the process.</summary>
    /// <exception cref="RefusalException">It cannot be started.</exception>
    public int Begin()
    {
        _daemon = Start(out _output);
        return _daemon.Id;
    }

    /// <exception cref="RefusalException">The daemon's own reason, or that it took too long.</exception>
    public async Task WaitUntilReadyAsync(TimeSpan wait, CancellationToken cancellation)
    {
        SpawnedProcess daemon = _daemon!;
        using FileStream answer = new(_output!, FileAccess.Read, bufferSize: 0, isAsync: false);
        // A blocking read: the pipe ends with the daemon, whose own end is bounded.
        Task<string> reading = Task.Run(() => ReadAnswer(answer), CancellationToken.None);
        try
        {
            string text = await reading.WaitAsync(wait, cancellation);
            RequireReady(text);
        }
        catch (Exception e)
        {
            // One that has said why it cannot serve is just ending.
            await EndAsync(daemon);
            if (e is TimeoutException)
            {
                throw new RefusalException(
                    AttachRefusals.NotReady(name, wait.TotalSeconds, directories.LogPath(name)), e);
            }
            throw;
        }
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
                    Arguments = [.. arguments, "serve", name, "--json"],
                    Descriptors = [(0, nothing), (1, writing), (2, log.SafeFileHandle)],
                    IsOwnSession = true,
                });
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new RefusalException(AttachRefusals.Failed(name, e.Message.TrimEnd('.')), e);
        }
    }

    private FileStream OpenLog() => new(directories.LogPath(name), new FileStreamOptions
    {
        Mode = FileMode.Create,
        Access = FileAccess.Write,
        Share = FileShare.ReadWrite,
        UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
    });

    /// <summary>This program, also where it is run by `dotnet dmremap.dll`.</summary>
    private static (string Program, List<string> Arguments) Self()
    {
        string program = Environment.ProcessPath ?? "dmremap";
        return Path.GetFileNameWithoutExtension(program) == "dotnet"
            ? (program, [Path.GetFullPath(Environment.GetCommandLineArgs()[0])])
            : (program, []);
    }

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
            AttachRefusals.Failed(name, $"its server ended at once; see {directories.LogPath(name)}"));
    }

    private static async Task EndAsync(SpawnedProcess daemon)
    {
        daemon.Terminate();
        using CancellationTokenSource limit = new(s_endTimeout);
        while (daemon.TryGetExit() is null && !limit.IsCancellationRequested)
        {
            await Task.Delay(s_pause, CancellationToken.None);
        }
    }
}
