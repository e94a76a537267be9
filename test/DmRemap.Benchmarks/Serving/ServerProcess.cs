using System;
using System.Diagnostics;
using System.Globalization;
using System.IO;
using System.Net.Sockets;
using System.Text;

namespace DmRemap.Benchmarks.Serving;

/// <summary>A server that was started for one turn, on a Unix socket of its own.</summary>
internal sealed class ServerProcess : IDisposable
{
    private const int TicksPerSecond = 100;
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(30);

    private readonly Process _process;

    private ServerProcess(Process process, string socketPath)
    {
        _process = process;
        SocketPath = socketPath;
    }

    public string SocketPath { get; }

    /// <summary>Processor time that it has had so far, all threads, with the kernel's for it.</summary>
    public TimeSpan CpuTime
    {
        get
        {
            string stat = File.ReadAllText($"/proc/{_process.Id}/stat");
            string[] fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
            long ticks = long.Parse(fields[11], CultureInfo.InvariantCulture)
                + long.Parse(fields[12], CultureInfo.InvariantCulture);
            return TimeSpan.FromSeconds(ticks / (double)TicksPerSecond);
        }
    }

    /// <summary>Returns when a client can connect.</summary>
    public static ServerProcess Start(ServerKind kind, string socketPath)
    {
        File.Delete(socketPath);
        ProcessStartInfo start = new(kind.Program, kind.Arguments(socketPath))
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        Process process = Process.Start(start)
            ?? throw new InvalidDataException($"{kind.Name} did not start");
        process.OutputDataReceived += (_, _) => { };
        process.BeginOutputReadLine();
        // Servers complain of whoever only tries whether they are there; it is said where one does not start.
        StringBuilder said = new();
        process.ErrorDataReceived += (_, line) => said.AppendLine(line.Data);
        process.BeginErrorReadLine();
        ServerProcess server = new(process, socketPath);
        long began = Stopwatch.GetTimestamp();
        while (!server.CanConnect())
        {
            if (process.WaitForExit(20) || Stopwatch.GetElapsedTime(began) > s_patience)
            {
                server.Dispose();
                throw new InvalidDataException($"{kind.Name} cannot be connected to: {said}");
            }
        }
        if (kind.Settles > TimeSpan.Zero && process.WaitForExit(kind.Settles))
        {
            server.Dispose();
            throw new InvalidDataException($"{kind.Name} has ended: {said}");
        }
        return server;
    }

    public void Dispose()
    {
        if (!_process.HasExited)
        {
            using Process kill = Process.Start(
                "kill", ["-TERM", _process.Id.ToString(CultureInfo.InvariantCulture)]);
            kill.WaitForExit();
            if (!_process.WaitForExit(s_patience))
            {
                _process.Kill();
            }
        }
        _process.Dispose();
    }

    private bool CanConnect()
    {
        try
        {
            using Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            socket.Connect(new UnixDomainSocketEndPoint(SocketPath));
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }
}

/// <summary>How one of the compared servers is started.</summary>
/// <param name="Name">For the table's head.</param>
/// <param name="Program">Found on the path, or a path.</param>
/// <param name="Arguments">For a socket.</param>
internal sealed record ServerKind(string Name, string Program, Func<string, string[]> Arguments)
{
    /// <summary>
    /// How long it is left alone after its start, which may go on beside its first clients.
    /// </summary>
    public TimeSpan Settles { get; init; }

    /// <summary>The others write to its image between its turns; it would refuse to go on.</summary>
    public static ServerKind Dmremap(string program, string device, string name = "dmremap") => new(
        name, program, socket => ["serve", device, "--socket", socket, "--accept-changed-main"]);

    public static ServerKind NbdkitFile(string image, bool isOneThread) => new(
        isOneThread ? "nbdkit -t 1" : "nbdkit",
        "nbdkit",
        socket => ["-f", .. (isOneThread ? (string[])["-t", "1"] : []), "-U", socket, "file", image]);

    public static ServerKind NbdkitMemory(string size, bool isOneThread) => new(
        isOneThread ? "nbdkit -t 1" : "nbdkit",
        "nbdkit",
        socket => ["-f", .. (isOneThread ? (string[])["-t", "1"] : []), "-U", socket, "memory", size]);

    public static ServerKind QemuNbd(string image, string aio, string cache) => new(
        $"qemu-nbd {aio}",
        "qemu-nbd",
        socket => ["-f", "raw", "-t", "-e", "8", $"--cache={cache}", $"--aio={aio}", "-k", socket, image]);
}
