using System;
using System.IO;
using System.Net.Sockets;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Control.Contracts;
using DmRemap.Control.Protocol;
using DmRemap.Core.Abstractions;

namespace DmRemap.Control.Client;

/// <summary>
/// A connection to a device's control socket. Everything that goes wrong is a <see cref="RefusalException"/>
/// that says what to do. One command at a time.
/// </summary>
public sealed class ControlClient : IDisposable
{
    private static readonly TimeSpan s_attachTimeout = TimeSpan.FromSeconds(30);

    private readonly NetworkStream _stream;
    private readonly ControlLineReader _reader;
    private readonly string _device;
    private readonly TimeSpan _timeout;
    private readonly int? _process;
    private long _lastId;

    private ControlClient(Socket socket, string device, TimeSpan timeout)
    {
        _stream = new NetworkStream(socket, ownsSocket: true);
        _reader = new ControlLineReader(_stream);
        _device = device;
        _timeout = timeout;
        _process = PeerProcess.Of(socket);
    }

    /// <summary>The version of the daemon's program.</summary>
    public string DaemonVersion { get; private set; } = "";

    /// <summary>
    /// Null when the device is not running: no socket, or one that a dead daemon left behind.
    /// </summary>
    /// <param name="path">The control socket.</param>
    /// <param name="device">The name that the daemon must greet with.</param>
    /// <param name="timeout">How long the daemon may take for the greeting, and for each quick
    /// command.</param>
    /// <param name="cancellation">Ends the waiting.</param>
    public static async Task<ControlClient?> TryConnectAsync(
        string path, string device, TimeSpan timeout, CancellationToken cancellation)
    {
        Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        ControlClient? client = null;
        try
        {
            if (!await TryConnectSocketAsync(socket, path, device, timeout, cancellation))
            {
                return null;
            }
            ControlClient connected = new(socket, device, timeout);
            await connected.GreetAsync(cancellation);
            client = connected;
            return client;
        }
        finally
        {
            if (client is null)
            {
                socket.Dispose();
            }
        }
    }

    public async Task<PingReport> PingAsync(CancellationToken cancellation) => await QuickAsync(
        ControlCommands.Ping, null, ReportJson.Default.PingReport, cancellation);

    public async Task<DeviceStatus> GetStatusAsync(CancellationToken cancellation) => await QuickAsync(
        ControlCommands.Status, null, ReportJson.Default.DeviceStatus, cancellation);

    /// <summary>Logical blocks, both included. Takes as long as the disk does.</summary>
    public async Task<RemapReport> RemapAsync(
        BlockNumber first,
        BlockNumber last,
        Action<RemapProgress>? onProgress,
        CancellationToken cancellation) => await CallAsync(
            ControlCommands.Remap, Blocks(first, last), ReportJson.Default.RemapReport, onProgress,
            cancellation);

    /// <summary>As RemapAsync.</summary>
    public async Task<UnremapReport> UnremapAsync(
        BlockNumber first,
        BlockNumber last,
        Action<RemapProgress>? onProgress,
        CancellationToken cancellation) => await CallAsync(
            ControlCommands.Unremap, Blocks(first, last), ReportJson.Default.UnremapReport, onProgress,
            cancellation);

    /// <summary>As RemapAsync.</summary>
    public async Task<RetestReport> RetestAsync(
        BlockNumber first,
        BlockNumber last,
        Action<RemapProgress>? onProgress,
        CancellationToken cancellation) => await CallAsync(
            ControlCommands.Retest, Blocks(first, last), ReportJson.Default.RetestReport, onProgress,
            cancellation);

    /// <summary>As RemapAsync.</summary>
    public async Task<MarkLostReport> MarkLostAsync(
        BlockNumber first,
        BlockNumber last,
        Action<RemapProgress>? onProgress,
        CancellationToken cancellation) => await CallAsync(
            ControlCommands.MarkLost, Blocks(first, last), ReportJson.Default.MarkLostReport, onProgress,
            cancellation);

    /// <summary>A part of what is lost, from this block on.</summary>
    public async Task<LostPage> ListLostAsync(BlockNumber from, CancellationToken cancellation)
    {
        JsonElement arguments =
            Element(new LostArguments { From = from.Value }, ControlRequestJson.Default.LostArguments);
        return await QuickAsync(
            ControlCommands.Lost, arguments, ReportJson.Default.LostPage, cancellation);
    }

    public async Task AddFaultAsync(string rule, CancellationToken cancellation)
    {
        JsonElement arguments =
            Element(new FaultArguments { Rule = rule }, ControlRequestJson.Default.FaultArguments);
        await QuickAsync(ControlCommands.FaultsAdd, arguments, ReportJson.Default.EmptyReport, cancellation);
    }

    /// <summary>Null clears every rule.</summary>
    public async Task<FaultsCleared> ClearFaultsAsync(string? rule, CancellationToken cancellation)
    {
        JsonElement arguments = Element(
            new FaultsClearArguments { Rule = rule }, ControlRequestJson.Default.FaultsClearArguments);
        return await QuickAsync(
            ControlCommands.FaultsClear, arguments, ReportJson.Default.FaultsCleared, cancellation);
    }

    public async Task<FaultList> ListFaultsAsync(CancellationToken cancellation) => await QuickAsync(
        ControlCommands.FaultsList, null, ReportJson.Default.FaultList, cancellation);

    public async Task<ClearReport> ClearAsync(string condition, CancellationToken cancellation)
    {
        JsonElement arguments = Element(
            new ClearArguments { Condition = condition }, ControlRequestJson.Default.ClearArguments);
        return await QuickAsync(
            ControlCommands.Clear, arguments, ReportJson.Default.ClearReport, cancellation);
    }

    /// <param name="action">start, stop or status.</param>
    /// <param name="bytesPerSecond">Of a start; null: as before.</param>
    /// <param name="cancellation">Gives up waiting.</param>
    public async Task<ScrubReport> ScrubAsync(
        string action, long? bytesPerSecond, CancellationToken cancellation)
    {
        JsonElement arguments = Element(
            new ScrubArguments { Action = action, BytesPerSecond = bytesPerSecond },
            ControlRequestJson.Default.ScrubArguments);
        return await QuickAsync(
            ControlCommands.Scrub, arguments, ReportJson.Default.ScrubReport, cancellation);
    }

    /// <summary>Takes as long as writing the new spare does.</summary>
    public async Task<SpareAddReport> AddSpareAsync(
        string path, long? sizeBytes, bool force, CancellationToken cancellation)
    {
        JsonElement arguments = Element(
            new SpareAddArguments { Path = path, SizeBytes = sizeBytes, Force = force },
            ControlRequestJson.Default.SpareAddArguments);
        return await CallAsync(
            ControlCommands.SpareAdd, arguments, ReportJson.Default.SpareAddReport, null, cancellation);
    }

    /// <summary>Takes as long as moving what is on it does.</summary>
    public async Task<SpareRemoveReport> RemoveSpareAsync(
        string spare, bool acceptLoss, Action<RemapProgress>? onProgress, CancellationToken cancellation)
    {
        JsonElement arguments = Element(
            new SpareRemoveArguments { Spare = spare, AcceptLoss = acceptLoss },
            ControlRequestJson.Default.SpareRemoveArguments);
        return await CallAsync(
            ControlCommands.SpareRemove, arguments, ReportJson.Default.SpareRemoveReport, onProgress,
            cancellation);
    }

    public async Task<SpareStopReport> StopSpareRemovalAsync(CancellationToken cancellation) =>
        await QuickAsync(ControlCommands.SpareStop, null, ReportJson.Default.SpareStopReport, cancellation);

    public async Task<SuspendReport> SuspendAsync(TimeSpan deadline, CancellationToken cancellation) =>
        await ByDeadlineAsync(
            ControlCommands.Suspend, deadline, ReportJson.Default.SuspendReport, cancellation);

    public async Task<ResumeReport> ResumeAsync(CancellationToken cancellation) => await QuickAsync(
        ControlCommands.Resume, null, ReportJson.Default.ResumeReport, cancellation);

    /// <summary>The daemon has a limit of its own for what the kernel may take.</summary>
    public async Task<AttachReport> AttachAsync(CancellationToken cancellation) => await WithinAsync(
        CallAsync(
            ControlCommands.Attach, null, ReportJson.Default.AttachReport, null, cancellation),
        s_attachTimeout,
        ControlCommands.Attach);

    /// <summary>When this returns, the control socket is gone.</summary>
    public async Task<StopReport> StopAsync(TimeSpan deadline, CancellationToken cancellation) =>
        await ByDeadlineAsync(ControlCommands.Stop, deadline, ReportJson.Default.StopReport, cancellation);

    public void Dispose() => _stream.Dispose();

    private static async Task<bool> TryConnectSocketAsync(
        Socket socket, string path, string device, TimeSpan timeout, CancellationToken cancellation)
    {
        using CancellationTokenSource limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        limit.CancelAfter(timeout);
        try
        {
            await socket.ConnectAsync(new UnixDomainSocketEndPoint(path), limit.Token);
            return true;
        }
        catch (SocketException error) when (error.SocketErrorCode
            is SocketError.ConnectionRefused or SocketError.AddressNotAvailable)
        {
            return false;
        }
        catch (SocketException error) when (error.SocketErrorCode == SocketError.AccessDenied)
        {
            throw new RefusalException(ControlRefusals.Denied(device, path), error);
        }
        catch (SocketException error)
        {
            if (!File.Exists(path))
            {
                return false;
            }
            throw new RefusalException(
                ControlRefusals.NoAnswer(device, null, "its control socket", error.Message), error);
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            throw new RefusalException(
                ControlRefusals.NoAnswer(
                    device, null, "its control socket", $"no answer within {timeout.TotalSeconds} s"));
        }
    }

    private static JsonElement Blocks(BlockNumber first, BlockNumber last) => Element(
        new RemapArguments { First = first.Value, Last = last.Value },
        ControlRequestJson.Default.RemapArguments);

    internal static JsonElement Element<T>(T value, JsonTypeInfo<T> type) =>
        JsonSerializer.SerializeToElement(value, type);

    private async Task GreetAsync(CancellationToken cancellation)
    {
        ReadOnlyMemory<byte> line = await WithinAsync(ReadLineAsync(cancellation), _timeout, "connect");
        ControlReply? refused = TryParse(line, ControlReplyJson.Default.ControlReply);
        if (refused?.Error is not null)
        {
            throw new RefusalException(refused.Error.ToRefusal());
        }
        GreetingBody? greeting = TryParse(line, ControlReplyJson.Default.Greeting)?.Body;
        if (greeting is null)
        {
            throw new RefusalException(ControlRefusals.NotTheProtocol(_device));
        }
        if (greeting.Protocol != ControlProtocol.Version)
        {
            throw new RefusalException(ControlRefusals.VersionMismatch(_device, greeting));
        }
        if (greeting.Name != _device)
        {
            throw new RefusalException(ControlRefusals.OtherDevice(_device, greeting.Name));
        }
        DaemonVersion = greeting.Version;
    }

    private async Task<T> ByDeadlineAsync<T>(
        string command, TimeSpan deadline, JsonTypeInfo<T> type, CancellationToken cancellation)
        where T : class
    {
        JsonElement arguments = Element(
            new DeadlineArguments { DeadlineSeconds = deadline.TotalSeconds },
            ControlRequestJson.Default.DeadlineArguments);
        Task<T> call = CallAsync(command, arguments, type, null, cancellation);
        return await WithinAsync(call, deadline + _timeout, command);
    }

    internal async Task<T> QuickAsync<T>(
        string command, JsonElement? arguments, JsonTypeInfo<T> type, CancellationToken cancellation)
        where T : class => await WithinAsync(
            CallAsync(command, arguments, type, null, cancellation), _timeout, command);

    private async Task<T> CallAsync<T>(
        string command,
        JsonElement? arguments,
        JsonTypeInfo<T> type,
        Action<RemapProgress>? onProgress,
        CancellationToken cancellation)
        where T : class
    {
        _lastId++;
        ControlRequest request = new() { Id = _lastId, Command = command, Arguments = arguments };
        await SendAsync(ControlLineWriter.Request(request), command, cancellation);
        while (true)
        {
            ReadOnlyMemory<byte> line = await ReadLineAsync(cancellation);
            ControlReply? reply = TryParse(line, ControlReplyJson.Default.ControlReply);
            if (reply?.Error is not null)
            {
                throw new RefusalException(reply.Error.ToRefusal());
            }
            if (reply is null || reply.Id != request.Id)
            {
                throw new RefusalException(ControlRefusals.NotTheProtocol(_device));
            }
            if (reply.Return is JsonElement value)
            {
                return Parse(value, type);
            }
            if (reply.Progress is JsonElement progress)
            {
                onProgress?.Invoke(Parse(progress, ReportJson.Default.RemapProgress));
            }
        }
    }

    private async Task SendAsync(byte[] line, string command, CancellationToken cancellation)
    {
        try
        {
            await _stream.WriteAsync(line, cancellation);
        }
        catch (IOException error)
        {
            throw new RefusalException(
                ControlRefusals.NoAnswer(_device, _process, command, error.Message), error);
        }
    }

    private async Task<ReadOnlyMemory<byte>> ReadLineAsync(CancellationToken cancellation)
    {
        ControlLine line;
        try
        {
            line = await _reader.ReadAsync(cancellation);
        }
        catch (IOException error)
        {
            throw new RefusalException(
                ControlRefusals.NoAnswer(_device, _process, "a command", error.Message), error);
        }
        return line.Kind switch
        {
            ControlLineKind.Line => line.Bytes,
            ControlLineKind.End => throw new RefusalException(
                ControlRefusals.NoAnswer(
                    _device, _process, "a command", "the daemon closed the connection")),
            _ => throw new RefusalException(ControlRefusals.NotTheProtocol(_device)),
        };
    }

    /// <summary>
    /// A connection that timed out is not used again: the late answer would be taken for the next one's.
    /// </summary>
    private async Task<T> WithinAsync<T>(Task<T> call, TimeSpan limit, string command)
    {
        try
        {
            return await call.WaitAsync(limit);
        }
        catch (TimeoutException)
        {
            Dispose();
            throw new RefusalException(ControlRefusals.NoAnswer(
                _device, _process, command, $"no answer within {limit.TotalSeconds} s"));
        }
    }

    private T Parse<T>(JsonElement value, JsonTypeInfo<T> type)
        where T : class
    {
        try
        {
            return value.Deserialize(type)
                ?? throw new RefusalException(ControlRefusals.NotTheProtocol(_device));
        }
        catch (JsonException error)
        {
            throw new RefusalException(ControlRefusals.NotTheProtocol(_device), error);
        }
    }

    private static T? TryParse<T>(ReadOnlyMemory<byte> line, JsonTypeInfo<T> type)
        where T : class
    {
        try
        {
            return JsonSerializer.Deserialize(line.Span, type);
        }
        catch (JsonException)
        {
            return null;
        }
    }
}
