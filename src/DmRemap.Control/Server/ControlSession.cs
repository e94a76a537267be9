using System;
using System.IO;
using System.Net.Sockets;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Control.Contracts;
using DmRemap.Control.Protocol;
using DmRemap.Core.Abstractions;

namespace DmRemap.Control.Server;

/// <summary>
/// One connection. Its life: Idle (also while it is greeted) ⇄ Busy (a command) → Closed. Only an idle
/// session may be closed by the server to make room, which the exchange of states decides: a command that was
/// taken is carried to its end.
/// </summary>
internal sealed class ControlSession : IControlLineSink, IDisposable
{
    private const int Idle = 0;
    private const int Busy = 1;
    private const int Closed = 2;

    private readonly Socket _socket;
    private readonly NetworkStream _stream;
    private readonly ControlLineReader _reader;
    private readonly CommandRunner _runner;
    private readonly string _device;
    private readonly ControlServerOptions _options;
    private readonly CancellationToken _stopping;
    private int _state = Idle;
    private long _idleSince;

    public ControlSession(
        Socket socket,
        CommandRunner runner,
        string device,
        ControlServerOptions options,
        CancellationToken stopping)
    {
        _socket = socket;
        _stream = new NetworkStream(socket, ownsSocket: true);
        _reader = new ControlLineReader(_stream);
        _runner = runner;
        _device = device;
        _options = options;
        _stopping = stopping;
        _idleSince = options.Time.GetTimestamp();
    }

    /// <summary>When it became idle; long.MaxValue while it is not.</summary>
    public long IdleSince =>
        Volatile.Read(ref _state) == Idle ? Volatile.Read(ref _idleSince) : long.MaxValue;

    /// <summary>Ends when the connection does; throws only a broken invariant.</summary>
    public async Task RunAsync(Action<string> onAnswered)
    {
        try
        {
            if (await SendAsync(ControlLineWriter.Greeting(_device)))
            {
                await ServeAsync(onAnswered);
            }
        }
        catch (Exception error) when (IsDisconnect(error))
        {
            // The client is gone, or the server made room: nobody is left to tell.
        }
        catch (Exception error) when (error is not InvariantException)
        {
            // Whatever one client sent must not end the server, nor the device behind it. The client sees
            // its connection closed.
        }
        finally
        {
            Volatile.Write(ref _state, Closed);
            Dispose();
        }
    }

    /// <summary>Close it if it is idle. False when it is busy or closed already.</summary>
    public bool TryClose()
    {
        if (Interlocked.CompareExchange(ref _state, Closed, Idle) != Idle)
        {
            return false;
        }
        Dispose();
        return true;
    }

    public async Task<bool> SendAsync(ReadOnlyMemory<byte> line)
    {
        using CancellationTokenSource timeout = new(_options.SendTimeout, _options.Time);
        try
        {
            await _stream.WriteAsync(line, timeout.Token);
            return true;
        }
        catch (Exception error) when (IsDisconnect(error))
        {
            return false;
        }
    }

    public void Dispose() => _stream.Dispose();

    private static bool IsDisconnect(Exception error) => error is
        IOException or SocketException or ObjectDisposedException or OperationCanceledException;

    private async Task ServeAsync(Action<string> onAnswered)
    {
        while (!_stopping.IsCancellationRequested)
        {
            ControlLine line = await _reader.ReadAsync(_stopping);
            bool isOurs = Interlocked.CompareExchange(ref _state, Busy, Idle) == Idle;
            if (!isOurs || line.Kind == ControlLineKind.End)
            {
                return;
            }
            if (line.Kind == ControlLineKind.TooLong)
            {
                await SendAsync(ControlLineWriter.Error(null, LineTooLong()));
                return;
            }
            if (!await AnswerAsync(line.Bytes, onAnswered))
            {
                return;
            }
            // Only the session itself leaves Busy, so no exchange is needed.
            Volatile.Write(ref _idleSince, _options.Time.GetTimestamp());
            Volatile.Write(ref _state, Idle);
        }
    }

    private async Task<bool> AnswerAsync(ReadOnlyMemory<byte> line, Action<string> onAnswered)
    {
        ControlRequest? request =
            ControlRequestParser.Parse(line, _device, out long? id, out Refusal? refusal);
        if (request is null)
        {
            return await SendAsync(ControlLineWriter.Error(id, refusal!));
        }
        byte[] reply = await _runner.RunAsync(request, this, _stopping);
        bool isSent = await SendAsync(reply);
        onAnswered(request.Command);
        return isSent;
    }

    private Refusal LineTooLong() => new(
        MessageIds.LineTooLong,
        ExitCode.Usage,
        _device,
        $"A line is longer than {ControlProtocol.LineBytesMax} bytes; the connection is closed.",
        "Send shorter lines, each ended by a newline.");
}
