using System;
using System.Collections.Generic;
using System.IO;
using System.Threading.Tasks;
using DmRemap.Cli.Tls;
using DmRemap.Core.Abstractions;
using DmRemap.FrontEnds.Nbd;
using DmRemap.Linux.Native;
using DmRemap.Linux.Sockets;
using DmRemap.Nbd;
using Microsoft.Win32.SafeHandles;

namespace DmRemap.Cli.Composition;

/// <summary>The NBD server and the sockets that lead to it.</summary>
internal sealed class FrontDoor : IDisposable
{
    private readonly List<ListeningSocket> _sockets = [];
    private readonly List<SocketListener> _listeners = [];
    private readonly List<string> _exports = [];
    private readonly TaskCompletionSource _listenersClosed =
        new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _clientLeft =
        new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly string _name;
    private readonly SafeFileHandle? _client;
    private readonly TlsDoor? _tls;
    private NbdServer? _server;
    private int _listenersOpen;

    private FrontDoor(string name, WaysIn ways)
    {
        _name = name;
        _client = ways.Client;
        _tls = ways.Tls;
    }

    /// <summary>Once it is open.</summary>
    public NbdServer Server => _server!;

    /// <summary>URIs, the Unix socket's first; none for a client that is here already.</summary>
    public IReadOnlyList<string> Exports => _exports;

    /// <summary>Completes when the client that is served alone has gone; else never.</summary>
    public Task ClientLeft => _clientLeft.Task;

    /// <summary>
    /// Before a set is taken over: an address that cannot be had ends the start while it has changed nothing.
    /// Nobody can find the door yet. May block.
    /// </summary>
    /// <exception cref="RefusalException">Somebody serves there, or nobody can.</exception>
    public static FrontDoor Prepare(string name, WaysIn ways)
    {
        FrontDoor door = new(name, ways);
        string subject = $"socket {ways.SocketPath}";
        try
        {
            foreach (ListeningSocket passed in ways.Passed)
            {
                door.Add(passed);
            }
            if (ways.SocketPath is not null)
            {
                door.Add(ListeningSocket.PrepareUnix(ways.SocketPath));
            }
            if (ways.Listen is not null)
            {
                subject = $"address {ways.Listen}";
                door.Add(ListeningSocket.PrepareTcp(ways.Listen));
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            door.Dispose();
            throw new RefusalException(NotOpened(name, subject, e), e);
        }
        return door;
    }

    /// <summary>Sockets appear only now, when requests can be served.</summary>
    /// <exception cref="RefusalException">
    /// Another came first. Nobody has been served; the door is to be disposed of.
    /// </exception>
    public async Task OpenAsync(
        LoopHost host, IBlockDevice device, string description, Duration readDeadline)
    {
        _server = await host.RunAsync(() => new NbdServer(
            host.Loop,
            new BufferPool(Limits.PoolSlices, Limits.SliceBytes),
            device,
            new NbdServerOptions
            {
                ExportName = _name,
                Description = description,
                ReadDeadline = readDeadline,
                Tls = _tls?.Mode ?? NbdTlsMode.Off,
                StartTls = _tls is null ? null : _tls.TryStart,
                LastClosed = _client is null ? null : () => _clientLeft.TrySetResult(),
                Access = device.Geometry.IsReadOnly ? NbdAccess.ReadOnly : NbdAccess.ReadWrite,
            }));
        foreach (ListeningSocket socket in _sockets)
        {
            try
            {
                socket.Listen();
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                string subject = socket.Path is null ? $"port {socket.Port}" : $"socket {socket.Path}";
                throw new RefusalException(NotOpened(_name, subject, e), e);
            }
        }
        await host.RunAsync(() =>
        {
            StreamPool pool = new(host.Loop);
            if (_client is not null)
            {
                pool.TryServe(_client, _server);
            }
            foreach (ListeningSocket socket in _sockets)
            {
                SocketListener listener = new(pool, socket, _server);
                _listeners.Add(listener);
                listener.Start();
            }
        });
    }

    /// <summary>
    /// Completes when the kernel has let go of the listening sockets: they may be disposed of.
    /// </summary>
    public Task ListenersClosed => _listenersClosed.Task;

    /// <summary>Completes when the last replies inside TLS are on their way.</summary>
    public Task TlsEnded => _tls?.EndAsync() ?? Task.CompletedTask;

    /// <summary>Nobody finds the way in any more. May block, so not on the loop's thread.</summary>
    public void RemoveFiles()
    {
        foreach (ListeningSocket socket in _sockets)
        {
            socket.RemoveFile();
        }
    }

    /// <summary>Accept nobody any more. On the loop's thread.</summary>
    public void CloseListeners()
    {
        _listenersOpen = _listeners.Count;
        foreach (SocketListener listener in _listeners)
        {
            listener.Close(OnListenerClosed);
        }
        _listeners.Clear();
        if (_listenersOpen == 0)
        {
            _listenersClosed.TrySetResult();
        }
    }

    /// <summary>
    /// Closes the sockets and removes their files; whoever was not accepted yet is told so. After
    /// ListenersClosed, after the loop has ended, or before it listens. From any thread, and more than once.
    /// </summary>
    public void Dispose()
    {
        foreach (ListeningSocket socket in _sockets)
        {
            socket.Dispose();
        }
        _client?.Dispose();
    }

    private static Refusal NotOpened(string name, string subject, Exception error)
    {
        if (error is SystemCallException { Errno: Errno.EEXIST })
        {
            return new Refusal(
                "DMR-NBD-SOCKET-FAILED",
                ExitCode.Failed,
                name,
                $"The NBD {subject} is there and is not a socket; it was left as it is.",
                "Give another path with --socket.");
        }
        bool isInUse = error is SystemCallException { Errno: Errno.EADDRINUSE };
        return new Refusal(
            isInUse ? "DMR-NBD-SOCKET-IN-USE" : "DMR-NBD-SOCKET-FAILED",
            isInUse ? ExitCode.InUse : ExitCode.Failed,
            name,
            $"The NBD {subject} cannot be opened: {error.Message.TrimEnd('.')}.",
            "Stop whoever serves there, or choose another path with --socket or another address with "
                + "--listen.");
    }

    private void OnListenerClosed()
    {
        _listenersOpen--;
        if (_listenersOpen == 0)
        {
            _listenersClosed.SetResult();
        }
    }

    private void Add(ListeningSocket socket)
    {
        _sockets.Add(socket);
        string scheme = _tls is { Mode: NbdTlsMode.Require } ? "nbds" : "nbd";
        if (socket.Path is not null)
        {
            string place = socket.Path.StartsWith('@') ? socket.Path : Path.GetFullPath(socket.Path);
            string path = Uri.EscapeDataString(place);
            _exports.Add(
                $"{scheme}+unix:///{_name}?socket={path.Replace("%2F", "/", StringComparison.Ordinal)}");
        }
        else
        {
            _exports.Add($"{scheme}://{socket.EndPoint}/{_name}");
        }
    }
}
