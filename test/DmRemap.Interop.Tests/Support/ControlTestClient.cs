using System;
using System.Diagnostics;
using System.IO;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using System.Threading;
using System.Threading.Tasks;
using Xunit;

namespace DmRemap.Interop.Tests.Support;

/// <summary>
/// A client of the control socket of our own, written from docs/control-protocol.md: without the start of a
/// program around it, so that times can be measured.
/// </summary>
internal sealed class ControlTestClient : IDisposable
{
    private static readonly TimeSpan s_answerMax = TimeSpan.FromSeconds(60);
    private readonly NetworkStream _stream;
    private readonly StreamReader _reader;
    private int _id;

    private ControlTestClient(Socket socket)
    {
        _stream = new NetworkStream(socket, ownsSocket: true);
        _reader = new StreamReader(_stream);
    }

    public static async Task<ControlTestClient> ConnectAsync(DeviceUnderTest device)
    {
        Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        string path = Path.Combine(device.RunFolder, DeviceUnderTest.Name + ".sock");
        await socket.ConnectAsync(
            new UnixDomainSocketEndPoint(path), TestContext.Current.CancellationToken);
        ControlTestClient client = new(socket);
        Assert.Contains("dmremap", await client.ReadLineAsync(), StringComparison.Ordinal);
        return client;
    }

    /// <summary>The whole line of the answer: it has "return" or "error".</summary>
    public async Task<JsonElement> AskAsync(string command, string arguments = "{}")
    {
        _id++;
        string line = $"{{\"id\":{_id},\"command\":\"{command}\",\"arguments\":{arguments}}}\n";
        await _stream.WriteAsync(Encoding.UTF8.GetBytes(line), TestContext.Current.CancellationToken);
        using JsonDocument document = JsonDocument.Parse(await ReadLineAsync());
        return document.RootElement.Clone();
    }

    /// <summary>The answer's "return", and how long it took.</summary>
    public async Task<(JsonElement Value, TimeSpan Elapsed)> MeasureAsync(
        string command, string arguments = "{}")
    {
        Stopwatch elapsed = Stopwatch.StartNew();
        JsonElement answer = await AskAsync(command, arguments);
        TimeSpan time = elapsed.Elapsed;
        Assert.True(answer.TryGetProperty("return", out JsonElement value), answer.ToString());
        return (value, time);
    }

    public void Dispose()
    {
        _reader.Dispose();
        _stream.Dispose();
    }

    private async Task<string> ReadLineAsync()
    {
        using CancellationTokenSource deadline = new(s_answerMax);
        string? line = await _reader.ReadLineAsync(deadline.Token);
        Assert.NotNull(line);
        return line;
    }
}
