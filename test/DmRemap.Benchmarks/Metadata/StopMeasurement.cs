using System;
using System.Diagnostics;
using System.Globalization;
using System.IO;
using System.Net.Sockets;

namespace DmRemap.Benchmarks.Metadata;

/// <summary>
/// Sends `stop` to a control socket and prints, in milliseconds, when it was answered, without the start of a
/// program in it.
/// </summary>
internal static class StopMeasurement
{
    public static void Run(string socketPath, string deadlineSeconds)
    {
        using Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        socket.Connect(new UnixDomainSocketEndPoint(socketPath));
        using NetworkStream stream = new(socket);
        using StreamReader reader = new(stream);
        using StreamWriter writer = new(stream) { AutoFlush = true, NewLine = "\n" };
        string greeting = reader.ReadLine() ?? throw new InvalidDataException("no greeting");
        if (!greeting.Contains("dmremap", StringComparison.Ordinal))
        {
            throw new InvalidDataException(greeting);
        }
        // Once, so that compiling it is not measured.
        Ask(writer, reader, "{\"id\":1,\"command\":\"status\",\"arguments\":{}}");
        long began = Stopwatch.GetTimestamp();
        Ask(
            writer, reader,
            $"{{\"id\":2,\"command\":\"stop\",\"arguments\":{{\"deadlineSeconds\":{deadlineSeconds}}}}}");
        double elapsedMs = Stopwatch.GetElapsedTime(began).TotalMilliseconds;
        Console.Out.WriteLine(elapsedMs.ToString("f1", CultureInfo.InvariantCulture));
    }

    private static void Ask(StreamWriter writer, StreamReader reader, string line)
    {
        writer.WriteLine(line);
        string answer = reader.ReadLine() ?? throw new InvalidDataException("no answer");
        if (!answer.Contains("\"return\"", StringComparison.Ordinal))
        {
            throw new InvalidDataException(answer);
        }
    }
}
