using System;
using DmRemap.Core.Abstractions;
using DmRemap.Nbd;

namespace DmRemap.FrontEnds.Nbd;

/// <summary>
/// Serves one block device to NBD clients over the streams that an acceptor brings. Everything runs on the
/// loop's thread; only <see cref="Counters"/> may be read from others. The pool is this server's alone.
/// Nothing is allocated after the constructor.
/// </summary>
public sealed class NbdServer : IStreamAcceptor, ITimerOwner, IReadDeadlineOwner
{
    /// <summary>In one chunk of an answer to BLOCK_STATUS; a client asks again for the rest.</summary>
    public const int StatusRunsMax = 256;

    private readonly NbdServerOptions _options;
    private readonly DeviceQueue _queue;
    private readonly ReplyBatch _replies;
    private readonly NbdConnection[] _connections;
    private readonly NbdConnection[] _idle;
    private readonly LoopTimer _stallTimer;
    private readonly LoopTimer _crowdTimer;
    private readonly IBlockHealthSource? _health;
    private readonly HealthRun[] _runs = new HealthRun[StatusRunsMax];
    private ILoopMessage? _whenClosed;
    private int _idleCount;
    private int _openCount;
    private bool _isCutOff;

    public NbdServer(IEventLoop loop, BufferPool pool, IBlockDevice device, NbdServerOptions options)
    {
        int connections = Math.Min(options.ConnectionsMax, pool.Slices / 2);
        int pieceBytes = Math.Min(pool.SliceBytes, device.Geometry.TransferBytesMax);
        pieceBytes -= pieceBytes % device.Geometry.LogicalBlockSize.Bytes;
        Invariant.Check(connections > 0);
        Invariant.Check(pieceBytes > 0);
        Loop = loop;
        _options = options;
        _health = device as IBlockHealthSource;
        FlushErrors = device as IFlushErrorSource;
        Export = new NbdExport(options.ExportName, options.Description, device.Geometry, options.Access)
        {
            Contexts = _health is null ? NbdContexts.Allocation : NbdContexts.All,
        };
        bool hasDeadline = options.ReadDeadline > Duration.Zero;
        Buffers = new NbdBuffers(pool, connections, options.LargeReadsMax, NbdExport.PayloadBytesMax,
            pieceBytes, hasDeadline ? pool.Slices : 0);
        int abandonedMax = hasDeadline ? options.DeviceQueueDepth : 0;
        _queue = new DeviceQueue(this, device, options.DeviceQueueDepth, pieceBytes, abandonedMax);
        Deadlines = hasDeadline ? new ReadDeadlines(loop, options.ReadDeadline, this) : null;
        _replies = new ReplyBatch(loop, connections);
        _stallTimer = new LoopTimer(this);
        _crowdTimer = new LoopTimer(this);
        _connections = new NbdConnection[connections];
        _idle = new NbdConnection[connections];
        for (int i = 0; i < connections; i++)
        {
            _connections[i] = new NbdConnection(this, _queue, _replies, options.HandshakeDeadline);
            _idle[i] = _connections[i];
        }
        _idleCount = connections;
    }

    public NbdCounters Counters { get; } = new();

    /// <summary>Connections whose stream is not closed yet.</summary>
    public int OpenConnections => _openCount;

    /// <summary>
    /// Requests that the device has not completed. Their buffers are not free, whoever has gone.
    /// </summary>
    public int RequestsAtDevice => _queue.InFlight;

    internal NbdExport Export { get; }

    internal NbdBuffers Buffers { get; }

    internal IEventLoop Loop { get; }

    /// <summary>Null where reads wait for as long as it takes.</summary>
    internal ReadDeadlines? Deadlines { get; }

    /// <summary>Null where the device does not remember who was told of a failed flush.</summary>
    internal IFlushErrorSource? FlushErrors { get; }

    internal NbdTlsMode Tls => _options.Tls;

    internal bool IsStopping { get; private set; }

    public IByteStreamOwner? OnAccepted(IByteStream stream)
    {
        if (IsStopping || _isCutOff || _idleCount == 0)
        {
            Counters.ConnectionRefused();
            return null;
        }
        _idleCount--;
        NbdConnection connection = _idle[_idleCount];
        _openCount++;
        Counters.ConnectionOpened();
        connection.Open(stream);
        WatchCrowd();
        return connection;
    }

    /// <summary>
    /// Hand nothing to the device until Release: what has not gone there yet is held, and new clients are
    /// let in and held too. What is there already ends and is answered.
    /// </summary>
    public void Hold() => _queue.IsHeld = true;

    /// <summary>Hand over what was held, in the order in which it came.</summary>
    public void Release()
    {
        foreach (NbdConnection connection in _connections)
        {
            connection.CloseIfGoneWhileHeld();
        }
        _queue.IsHeld = false;
        Deadlines?.Restart();
        Settle();
    }

    /// <summary>
    /// Stop in good order: what has been asked is answered, what comes from now on is answered ESHUTDOWN, and
    /// each connection is closed as soon as nothing of it is in flight. The message (optional) is run,
    /// through the loop, when the last one is closed. Calling it again changes the message only. What was
    /// held is handed to the device, which refuses it when it was suspended.
    /// </summary>
    public void Shutdown(ILoopMessage? whenClosed)
    {
        IsStopping = true;
        _queue.IsHeld = false;
        _whenClosed = whenClosed;
        foreach (NbdConnection connection in _connections)
        {
            connection.OnShutdown();
        }
        Settle();
        TellWhenClosed();
    }

    /// <summary>
    /// The deadline has come: accept nobody and close every connection now, answered or not. Requests at the
    /// device stay there until it completes them.
    /// </summary>
    public void AbortAll()
    {
        IsStopping = true;
        foreach (NbdConnection connection in _connections)
        {
            connection.Abort();
        }
    }

    /// <summary>
    /// Close every connection now, answered or not, and accept nobody until LetIn: what clients see when the
    /// machine of a server has gone.
    /// </summary>
    public void CutOff()
    {
        _isCutOff = true;
        foreach (NbdConnection connection in _connections)
        {
            connection.Abort();
        }
    }

    public void LetIn() => _isCutOff = false;

    /// <summary>
    /// Look for clients that take no replies while others wait for the buffers these fill, and for those that
    /// do not come in while others may find no place.
    /// </summary>
    public void OnTimer(LoopTimer timer)
    {
        if (timer == _crowdTimer)
        {
            ThinOut();
            return;
        }
        if (Buffers.HasWaiters)
        {
            foreach (NbdConnection connection in _connections)
            {
                if (Buffers.HasWaitersBeside(connection) && connection.HasStalled(_options.StallDeadline))
                {
                    Counters.ConnectionStalled();
                    connection.Abort();
                }
            }
            WatchForStalls();
        }
    }

    /// <summary>
    /// Called at the end of each event: let everybody go on who waits for the room or the buffers that it
    /// freed. Never from inside itself: what it calls only adds to the lines.
    /// </summary>
    internal void Settle()
    {
        while (true)
        {
            if (_queue.TrySubmitNext(out ClientRequest? submitted))
            {
                submitted.Connection.OnSubmitted(submitted);
            }
            else if (Buffers.TryServeNext(out NbdConnection? served))
            {
                served.OnServed();
            }
            else
            {
                break;
            }
        }
        if (Buffers.HasWaiters && !_stallTimer.IsSet)
        {
            WatchForStalls();
        }
    }

    /// <summary>
    /// What a context says from the extent's start on; valid until the next call. All of the export is
    /// allocated: a file behind it that has holes is none of the clients' business, and a write never finds
    /// the space gone.
    /// </summary>
    internal ReadOnlySpan<HealthRun> StatusOf(NbdContexts context, Extent blocks, int runsMax)
    {
        if (context == NbdContexts.State)
        {
            return _runs.AsSpan(0, _health!.ListHealth(blocks, _runs.AsSpan(0, runsMax)));
        }
        _runs[0] = new HealthRun(BlockHealth.Healthy, blocks.Count);
        return _runs.AsSpan(0, 1);
    }

    bool IReadDeadlineOwner.TryGiveUp(AwaitedRead read)
    {
        ClientRequest request = (ClientRequest)read;
        // What a suspended device holds is not late: the clients see a pause.
        bool isDone = !_queue.IsHeld && request.Connection.TryGiveUp(request);
        if (isDone)
        {
            Settle();
        }
        return isDone;
    }

    internal bool TryStartTls(IByteStream stream) => _options.StartTls!(stream);

    internal void OnStreamClosed()
    {
        _openCount--;
        Counters.ConnectionClosed();
        if (_openCount == 0)
        {
            _options.LastClosed?.Invoke();
        }
        TellWhenClosed();
    }

    /// <summary>Nothing of the connection is left anywhere: it may serve another client.</summary>
    internal void Recycle(NbdConnection connection)
    {
        Invariant.Check(connection.SlicesHeld == 0);
        _idle[_idleCount] = connection;
        _idleCount++;
    }

    private bool IsCrowded()
    {
        int shaking = 0;
        foreach (NbdConnection connection in _connections)
        {
            shaking += connection.IsInHandshake ? 1 : 0;
        }
        return _idleCount < shaking && _idleCount * 4 < _connections.Length;
    }

    private void ThinOut()
    {
        if (!IsCrowded())
        {
            return;
        }
        foreach (NbdConnection connection in _connections)
        {
            if (connection.HasShakenFor(_options.CrowdedHandshakeDeadline))
            {
                connection.CutOffHandshake();
            }
        }
        WatchCrowd();
    }

    private void WatchCrowd()
    {
        if (!_crowdTimer.IsSet && !IsStopping && IsCrowded())
        {
            Loop.Schedule(
                _crowdTimer, Loop.Now + new Duration(_options.CrowdedHandshakeDeadline.Nanoseconds / 4));
        }
    }

    private void WatchForStalls() =>
        Loop.Schedule(_stallTimer, Loop.Now + new Duration(_options.StallDeadline.Nanoseconds / 2));

    private void TellWhenClosed()
    {
        if (IsStopping && _openCount == 0 && _whenClosed is not null)
        {
            ILoopMessage message = _whenClosed;
            _whenClosed = null;
            if (!Loop.Post(message))
            {
                // The loop's queue is full or it ends: the news must not be lost.
                message.Run();
            }
        }
    }
}
