using System.Runtime.CompilerServices;
using DmRemap.Core.Abstractions;
using DmRemap.Linux.Native;
using DmRemap.Nbd;

namespace DmRemap.Devices;

/// <summary>
/// An export of an NBD server as a device, over one connection that is made again when it is lost.
/// <code>
///   connecting → handshaking (→ identifying) → ready → closing → waiting → connecting …
/// </code>
/// Only in `ready` are requests sent; in every other state they complete at once as *gone* (ENOTCONN), and
/// what was under way does so when the stream is closed: not before, because until then its buffers may be
/// with the kernel. Gone is never an error of the medium. A server that never answers keeps its requests, and
/// nothing else; when to give up is decided above.
///
/// No claim exists for an export, and no fence (F-1): a write that was not answered when the connection was
/// lost may still land. So after such a loss nothing is sent on a new connection before the fence delay has
/// passed; that the server closed the old one proves nothing about writes that it has handed on.
///
/// A server with a cache (it offers FLUSH) may have lost what it acknowledged since the last successful
/// flush when it is met again (F-8): that counts as a loss, for whoever promises what flushes cover. A server
/// that does not offer FLUSH says by that that it has no cache, and its flushes succeed without being sent;
/// where it offers FUA nevertheless, every write carries it.
/// </summary>
public sealed partial class NbdClient : IMemberDevice, IOutstandingIo, ICacheLossSource, IStreamConnectOwner,
    ITimerOwner
{
    private readonly IEventLoop _loop;
    private readonly IStreamConnector _connector;
    private readonly INbdClientWatcher? _watcher;
    private readonly ClientHandshake _handshake;
    private readonly LoopTimer _timer;
    private readonly long _sizeBytes;
    private readonly int _blockBytes;
    private readonly IoRequest _openingFlush = new();
    private ClientExport _export;
    private IByteStream? _stream;
    private Life _life;
    private bool _isRetired;
    private bool _wasConnected;
    private Duration _pause = Duration.FromMilliseconds(Limits.NbdRetryMsMin);
    private Instant _fenceUntil;

    // F-8: writes acknowledged without FUA, and how many of them the last good flush covers. They begin
    // apart: a former instance may have acknowledged writes that still sit in the server's cache (F-7).
    private long _acknowledgedWrites = 1;
    private long _flushedWrites;

    /// <summary>On the loop's thread, or before it runs. Connects when it is started.</summary>
    /// <param name="loop">On whose thread everything happens.</param>
    /// <param name="connector">This client's alone.</param>
    /// <param name="options">What it is.</param>
    /// <param name="watcher">Told of connections and losses.</param>
    public NbdClient(
        IEventLoop loop, IStreamConnector connector, NbdClientOptions options, INbdClientWatcher? watcher)
    {
        _loop = loop;
        _connector = connector;
        _watcher = watcher;
        _handshake = new ClientHandshake(options.ExportName);
        _timer = new LoopTimer(this);
        _export = options.Export;
        _sizeBytes = options.Export.SizeBytes;
        Name = options.Name;
        Geometry = options.Geometry;
        _blockBytes = Geometry.LogicalBlockSize.Bytes;
        Invariant.Check(Geometry.TransferBytesMax <= Limits.SliceBytes);
        Invariant.Check(ReceiveBytes >= ClientHandshake.InputBytesMax);
        BufferSlice memory = AlignedMemory.Allocate(ReceiveBytes + OutputBytes + (Slots * HeaderStride));
        _received = memory.Slice(0, ReceiveBytes);
        _output = memory.Slice(ReceiveBytes, OutputBytes);
        for (int i = 0; i < Slots; i++)
        {
            BufferSlice header = memory.Slice(
                ReceiveBytes + OutputBytes + (i * HeaderStride), ClientTransmission.HeaderBytes);
            _slots[i] = new Slot(i, header);
            Free(_slots[i]);
        }
    }

    private enum Life : byte
    {
        Made = 0,
        Connecting = 1,
        Handshaking = 2,
        Ready = 3,

        /// <summary>Close was called; the kernel may still hold buffers.</summary>
        Closing = 4,

        /// <summary>For the next attempt.</summary>
        Waiting = 5,

        /// <summary>DISC is being sent.</summary>
        Leaving = 6,

        Retired = 7,

        /// <summary>Is it the member that was opened?</summary>
        Identifying = 8,
    }

    public DeviceGeometry Geometry { get; }

    public string Name { get; }

    public bool IsConnected => _life == Life.Ready;

    /// <summary>Why there is no connection, or why the last one ended: "the server …".</summary>
    public string Problem { get; private set; } = string.Empty;

    /// <summary>Connections that reached the end of the handshake.</summary>
    public int Connections { get; private set; }

    /// <summary>
    /// How often acknowledged writes may have gone with the server's cache (F-8). Whoever promises that they
    /// are durable has to look before: a flush of the next connection succeeds, and says nothing of them.
    /// </summary>
    public long CacheLosses { get; private set; }

    public bool IsLossOfFlush { get; private set; }

    /// <summary>Writes that were not answered when a connection was lost may still be on their way.</summary>
    public bool MayStillWrite => _loop.Now < _fenceUntil;

    public int InFlight { get; private set; }

    public int Outstanding => _commands.Outstanding;

    /// <summary>What we ask for ourselves keeps nobody waiting.</summary>
    public bool IsIdle =>
        InFlight == (_openingFlush.IsSubmitted ? 1 : 0) + (_identityRead.IsSubmitted ? 1 : 0);

    /// <summary>Nothing of a connection is left.</summary>
    public bool IsClosed => _stream is null && _life is Life.Made or Life.Waiting or Life.Retired;

    /// <summary>On the loop's thread, once. The watcher hears how it ends.</summary>
    public void Start()
    {
        Invariant.Check(_life == Life.Made);
        Connect();
    }

    public void Retire()
    {
        Invariant.Check(IsIdle);
        Invariant.Check(!_isRetired);
        _isRetired = true;
        _connector.Retire();
        _loop.Cancel(_timer);
        switch (_life)
        {
            case Life.Ready:
                _life = Life.Leaving;
                Leave();
                break;
            case Life.Handshaking:
            case Life.Identifying:
                Close();
                break;
            case Life.Made:
            case Life.Waiting:
                _life = Life.Retired;
                break;
            case Life.Connecting:
            case Life.Closing:
            case Life.Leaving:
            case Life.Retired:
            default:
                // It ends when what is under way has ended.
                break;
        }
    }

    /// <summary>The connection is the loop's to close; there is nothing else.</summary>
    public void Dispose() => Invariant.Check(IsIdle);

    public void OnConnected(IByteStream stream)
    {
        Invariant.Check(_life == Life.Connecting);
        _stream = stream;
        ResetTransfer();
        if (_isRetired)
        {
            Close();
            return;
        }
        _life = Life.Handshaking;
        _handshake.Start();
        _loop.Schedule(_timer, _loop.Now + Duration.FromMilliseconds(Limits.NbdHandshakeMs));
        ReceiveMore();
    }

    public void OnConnectFailed(int errno)
    {
        Invariant.Check(_life == Life.Connecting);
        if (_isRetired)
        {
            _life = Life.Retired;
            return;
        }
        IsStranger = false;
        Problem = $"it cannot be reached ({Errno.Name(errno)})";
        WaitForRetry();
        _watcher?.OnDisconnected(this);
    }

    public void OnTimer(LoopTimer timer)
    {
        if (_life == Life.Waiting)
        {
            Connect();
        }
        else if (_life == Life.Handshaking)
        {
            Lose("the server accepted the connection and then said nothing that would begin it");
        }
        else if (_life == Life.Identifying)
        {
            Lose("the server does not answer what would tell the member from another export");
        }
    }

    public void OnClosed()
    {
        Invariant.Check(_life == Life.Closing);
        _stream = null;
        if (_isRetired)
        {
            _life = Life.Retired;
        }
        else
        {
            WaitForRetry();
        }
        FailAll();
    }

    private void Connect()
    {
        _life = Life.Connecting;
        _connector.Connect(this);
    }

    private void WaitForRetry()
    {
        _life = Life.Waiting;
        Instant due = _loop.Now + _pause;
        _loop.Schedule(_timer, due > _fenceUntil ? due : _fenceUntil);
        long longer = _pause.Nanoseconds * 2;
        Duration most = Duration.FromMilliseconds(Limits.NbdRetryMsMax);
        _pause = longer < most.Nanoseconds ? new Duration(longer) : most;
    }

    /// <summary>A server that answers again is asked again soon when it is lost again.</summary>
    private void NoteAnswer() => _pause = Duration.FromMilliseconds(Limits.NbdRetryMsMin);

    private void Close()
    {
        _life = Life.Closing;
        _loop.Cancel(_timer);
        _stream!.Close();
    }

    /// <summary>The connection is of no use any more, or there is none: everything is gone.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private void Lose(string problem, bool isStranger = false)
    {
        Problem = problem;
        IsStranger = isStranger;
        if (_life == Life.Ready)
        {
            if (HasUnansweredChanges())
            {
                _fenceUntil = _loop.Now + Duration.FromMilliseconds(Limits.NbdFenceMs);
            }
            // Without FLUSH there is no cache that could be lost with the server.
            if (_export.CanFlush && _acknowledgedWrites != _flushedWrites)
            {
                NoteCacheLoss(isOfFlush: false);
            }
        }
        Close();
        if (!_isRetired)
        {
            _watcher?.OnDisconnected(this);
        }
    }

    /// <summary>Once for each write.</summary>
    private void NoteCacheLoss(bool isOfFlush)
    {
        CacheLosses++;
        IsLossOfFlush = isOfFlush;
        _flushedWrites = _acknowledgedWrites;
    }

    private void FinishHandshake()
    {
        ClientExport export = _handshake.Export!;
        string problem = ProblemWith(export);
        if (problem.Length > 0)
        {
            Lose(problem);
            return;
        }
        if (_identity is not null && _wasConnected)
        {
            Identify();
        }
        else
        {
            BecomeReady();
        }
    }

    private void BecomeReady()
    {
        // Not before it is known for the member's: what it offers says what a flush has to do.
        _export = _handshake.Export!;
        _loop.Cancel(_timer);
        _life = Life.Ready;
        Problem = string.Empty;
        Connections++;
        _watcher?.OnConnected(this);
        if (!_wasConnected)
        {
            _wasConnected = true;
            FlushFormerWrites();
        }
    }

    /// <summary>What would make another device of it than the one that is served.</summary>
    private string ProblemWith(ClientExport export)
    {
        if (export.SizeBytes != _sizeBytes)
        {
            return $"the export has {export.SizeBytes} bytes now, and had {_sizeBytes}";
        }
        if (export.IsReadOnly && !Geometry.IsReadOnly)
        {
            return "the export has become read-only";
        }
        return export.FindProblem(_blockBytes);
    }

    /// <summary>
    /// What a former instance had acknowledged becomes durable now, so that a server that goes away later,
    /// with nothing written since, does not count as a lost cache.
    /// </summary>
    private void FlushFormerWrites()
    {
        if (_export.CanFlush && !Geometry.IsReadOnly)
        {
            _openingFlush.Prepare(new OpeningFlushOwner(this), IoOperation.Flush, default, default);
            Submit(_openingFlush);
        }
    }

    private sealed class OpeningFlushOwner(NbdClient client) : IIoOwner
    {
        /// <summary>
        /// A server tells of a write that it has lost once. A later flush would succeed over what a former
        /// instance had acknowledged.
        /// </summary>
        public void OnCompleted(IoRequest request)
        {
            // Where the connection was lost with it, that has counted already.
            if (request.Status == IoStatus.DeviceError && client._acknowledgedWrites != client._flushedWrites)
            {
                client.NoteCacheLoss(isOfFlush: false);
            }
        }
    }
}
