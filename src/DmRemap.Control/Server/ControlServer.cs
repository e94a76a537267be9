using System;
using System.Collections.Generic;
using System.Net.Sockets;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Control.Contracts;
using DmRemap.Control.Protocol;
using DmRemap.Core.Abstractions;

namespace DmRemap.Control.Server;

/// <summary>
/// Serves a device's control socket on pool threads, away from the data path. Sessions do not wait for one
/// another, and there are never more than SessionsMax.
/// </summary>
public sealed class ControlServer : IAsyncDisposable
{
    private static readonly TimeSpan s_acceptPause = TimeSpan.FromMilliseconds(100);

    private readonly Lock _gate = new();

    /// <summary>Taken by who closes the listener, and by nobody whom the listener calls.</summary>
    private readonly Lock _closing = new();
    private readonly List<ControlSession> _sessions = [];
    private readonly List<Task> _running = [];
    private readonly CancellationTokenSource _stopping = new();
    private readonly TaskCompletionSource<StopReport> _stopAnswered =
        new(TaskCreationOptions.RunContinuationsAsynchronously);

    private readonly IControlled _device;
    private readonly ControlServerOptions _options;
    private readonly ControlSocket _socket;
    private readonly CommandRunner _runner;
    private readonly Task _accepting;
    private StopReport? _stopReport;
    private volatile bool _isClosed;

    private ControlServer(IControlled device, ControlServerOptions options, ControlSocket socket)
    {
        _device = device;
        _options = options;
        _socket = socket;
        EndTimeout = options.SendTimeout;
        _runner = device is ILabControl lab
            ? new LabCommandRunner(lab, StopDeviceAsync)
            : new ControlCommandRunner((IDeviceControl)device, options, StopDeviceAsync);
        _accepting = AcceptAsync();
    }

    /// <summary>
    /// Completes when a client's `stop` has been carried out and answered: the process may end. Never faults.
    /// </summary>
    public Task<StopReport> StopAnswered => _stopAnswered.Task;

    /// <summary>
    /// How long DisposeAsync waits for commands to end: SendTimeout, but for a device that hangs, whose
    /// commands will not.
    /// </summary>
    public TimeSpan EndTimeout { get; set; }

    /// <summary>
    /// Call this when I/O can be served: the socket appears at once, ready and with mode 0600.
    /// </summary>
    /// <exception cref="RefusalException">The socket is served by somebody else, or cannot be
    /// made.</exception>
    public static ControlServer Start(
        string path, IDeviceControl device, ControlServerOptions? options = null) =>
        StartAny(path, device, options);

    /// <inheritdoc cref="Start(string, IDeviceControl, ControlServerOptions?)"/>
    public static ControlServer Start(string path, ILabControl lab, ControlServerOptions? options = null) =>
        StartAny(path, lab, options);

    /// <summary>
    /// Removes the socket, ends idle sessions, tells running commands to end, and waits for their answers,
    /// but for no longer than EndTimeout.
    /// </summary>
    public async ValueTask DisposeAsync()
    {
        CloseListener();
        await _stopping.CancelAsync();
        Task[] running;
        lock (_gate)
        {
            running = [.. _running, _accepting];
        }
        Task ended = Task.WhenAll(running);
        Task first = await Task.WhenAny(ended, Task.Delay(EndTimeout, _options.Time));
        ControlSession[] left;
        lock (_gate)
        {
            left = [.. _sessions];
        }
        foreach (ControlSession session in left)
        {
            session.Dispose();
        }
        if (first == ended)
        {
            // A fault here is a bug of ours: it must not end unseen.
            await ended;
        }
    }

    private static ControlServer StartAny(
        string path, IControlled controlled, ControlServerOptions? options)
    {
        ControlSocket socket = ControlSocket.Listen(path, controlled.Name);
        return new ControlServer(controlled, options ?? new ControlServerOptions(), socket);
    }

    private async Task AcceptAsync()
    {
        while (!_stopping.IsCancellationRequested)
        {
            try
            {
                Admit(await _socket.Listener.AcceptAsync(_stopping.Token));
            }
            catch (Exception error) when (error is OperationCanceledException or ObjectDisposedException)
            {
                return;
            }
            catch (SocketException)
            {
                if (!await PauseAsync())
                {
                    return;
                }
            }
        }
    }

    /// <summary>
    /// Too many open files fails every accept until one is closed: without a pause that would spin.
    /// </summary>
    private async Task<bool> PauseAsync()
    {
        if (_isClosed)
        {
            return false;
        }
        await Task.Delay(s_acceptPause, _options.Time);
        return true;
    }

    private void Admit(Socket socket)
    {
        if (!MakeRoom())
        {
            Refuse(socket);
            return;
        }
        ControlSession session = new(socket, _runner, _device.Name, _options, _stopping.Token);
        lock (_gate)
        {
            _sessions.Add(session);
            _running.RemoveAll(task => task.IsCompletedSuccessfully);
            _running.Add(RunAsync(session));
        }
    }

    private async Task RunAsync(ControlSession session)
    {
        // The caller holds the gate.
        await Task.Yield();
        try
        {
            await session.RunAsync(OnAnswered);
        }
        finally
        {
            Forget(session);
        }
    }

    /// <summary>
    /// Not inside the finally of an async method: the trimmer (.NET 10.0.12) drops the release of a lock
    /// that is taken there, and the next to want it waits for ever.
    /// </summary>
    private void Forget(ControlSession session)
    {
        lock (_gate)
        {
            _sessions.Remove(session);
        }
    }

    /// <summary>
    /// True when there is a place. A client that holds a connection and asks nothing gives way to one that
    /// comes.
    /// </summary>
    private bool MakeRoom()
    {
        while (true)
        {
            ControlSession? oldest;
            lock (_gate)
            {
                if (_sessions.Count < _options.SessionsMax)
                {
                    return true;
                }
                oldest = LongestIdle();
            }
            if (oldest is null)
            {
                return false;
            }
            // With no lock held: a socket that is closed waits for whoever still has it.
            if (oldest.TryClose())
            {
                Forget(oldest);
            }
        }
    }

    private ControlSession? LongestIdle()
    {
        ControlSession? oldest = null;
        long since = long.MaxValue;
        foreach (ControlSession session in _sessions)
        {
            if (session.IdleSince < since)
            {
                oldest = session;
                since = session.IdleSince;
            }
        }
        return oldest;
    }

    private void Refuse(Socket socket)
    {
        using (socket)
        {
            Refusal refusal = new(
                MessageIds.TooManyClients,
                ExitCode.Failed,
                _device.Name,
                $"{_options.SessionsMax} control clients have commands running; there is no place for "
                    + "another.",
                "Wait for one of them to end, or stop the device with SIGTERM.");
            try
            {
                socket.Blocking = false;
                _ = socket.Send(ControlLineWriter.Error(null, refusal));
            }
            catch (SocketException)
            {
                // It is refused either way.
            }
        }
    }

    /// <summary>Answers by deadline and grace even if the device never does.</summary>
    private async Task<StopReport> StopDeviceAsync(TimeSpan deadline)
    {
        StopReport report;
        try
        {
            report =
                await _device.StopAsync(deadline).WaitAsync(deadline + _options.StopGrace, _options.Time);
        }
        catch (TimeoutException)
        {
            report = new StopReport
            {
                Clean = false,
                Left = "the device did not answer by the deadline; its next start recovers",
            };
        }
        // Before the answer: whoever reads it may start the device again at once.
        CloseListener();
        lock (_gate)
        {
            _stopReport ??= report;
        }
        return report;
    }

    private void OnAnswered(string command)
    {
        StopReport? report;
        lock (_gate)
        {
            report = _stopReport;
        }
        if (command == ControlCommands.Stop && report is not null)
        {
            _stopAnswered.TrySetResult(report);
        }
    }

    /// <summary>
    /// A file is removed here, and a socket waits for whoever still has it; so not with the gate held. Who
    /// comes second waits for the first.
    /// </summary>
    private void CloseListener()
    {
        lock (_closing)
        {
            if (_isClosed)
            {
                return;
            }
            _isClosed = true;
            _socket.Dispose();
        }
    }
}
