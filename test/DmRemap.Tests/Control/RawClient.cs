using System;
using System.IO;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using System.Threading;
using System.Threading.Tasks;

namespace DmRemap.Tests.Control;

/// <summary>Bytes on a control socket, without the product's client.</summary>
internal sealed class RawClient : IDisposable
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(30);

    private readonly Socket _socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
    private readonly NetworkStream _stream;
    private readonly StreamReader _reader;

    public RawClient(string path)
    {
        _socket.Connect(new UnixDomainSocketEndPoint(path));
        _stream = new NetworkStream(_socket, ownsSocket: true);
        _reader = new StreamReader(_stream, new UTF8Encoding(false));
    }

    public async Task SendAsync(string text) => await SendAsync(Encoding.UTF8.GetBytes(text));

    public async Task SendAsync(byte[] bytes)
    {
        using CancellationTokenSource limit = new(s_patience);
        await _stream.WriteAsync(bytes, limit.Token);
    }

    /// <summary>Null at the end of the stream, however it ended.</summary>
    public async Task<string?> ReadLineAsync()
    {
        using CancellationTokenSource limit = new(s_patience);
        try
        {
            return await _reader.ReadLineAsync(limit.Token);
        }
        catch (IOException)
        {
            return null;
        }
    }

    public async Task<JsonElement> ReadAsync()
    {
        string line =
            await ReadLineAsync() ?? throw new EndOfStreamException("the server closed the connection");
        using JsonDocument document = JsonDocument.Parse(line);
        return document.RootElement.Clone();
    }

    public async Task<JsonElement> CallAsync(string line)
    {
        await SendAsync(line + "\n");
        return await ReadAsync();
    }

    public void HalfClose() => _socket.Shutdown(SocketShutdown.Send);

    public void Dispose()
    {
        _reader.Dispose();
        _stream.Dispose();
        _socket.Dispose();
    }
}
