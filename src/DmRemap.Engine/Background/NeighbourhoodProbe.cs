using System.Collections.Generic;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Scrubbing;

namespace DmRemap.Engine.Background;

/// <summary>
/// Reads around each unit of the primary that turns out bad, before anybody asks for what lies there: weak
/// units are found and moved while they still read. Slow, one read at a time, and behind clients, like a
/// scrub. Bounded: what does not fit the line is found by whoever reads it, or by a scrub. Loop thread only.
/// </summary>
public sealed class NeighbourhoodProbe : IIoOwner, ITimerOwner
{
    private const int WaitingMax = 64;
    private const int RecentMax = 64;
    private const long BytesPerSecond = 4L << 20;

    /// <summary>How long what was probed is not probed again.</summary>
    private static readonly Duration s_recently = Duration.FromSeconds(3600);

    private static readonly Duration s_retryAfter = Duration.FromSeconds(1);

    private readonly IEventLoop _loop;
    private readonly RemapDevice _device;
    private readonly LoopTimer _timer;
    private readonly IoRequest _read = new();
    private readonly BufferSlice _buffer = AlignedMemory.Allocate(ProbeWindow.ChunkBytes);
    private readonly Queue<UnitNumber> _waiting = new(WaitingMax);
    private readonly Queue<(Extent Covered, Instant At)> _recent = new(RecentMax);
    private ScrubPace _pace = new(BytesPerSecond);
    private ProbeWindow _window;
    private Extent _chunk;
    private bool _hasWindow;
    private bool _isReading;
    private bool _isStopped;
    private long _weakBefore;

    internal NeighbourhoodProbe(RemapDevice device, IEventLoop loop)
    {
        _device = device;
        _loop = loop;
        _timer = new LoopTimer(this);
    }

    /// <summary>Bad units whose neighbourhood was read since the start, or is being read.</summary>
    public long Windows { get; private set; }

    /// <summary>Chunks in which something more was bad.</summary>
    public long Found { get; private set; }

    /// <summary>
    /// A unit of the primary is bad: it did not read, read only after failing, or took no write.
    /// </summary>
    internal void OnBadUnit(UnitNumber unit)
    {
        Extent blocks = _device.Units.ExtentOf(unit);
        if (_isStopped || _waiting.Count == WaitingMax || IsCovered(blocks))
        {
            return;
        }
        _waiting.Enqueue(unit);
        if (!_timer.IsSet && !_isReading)
        {
            Arm(_pace.Interval(ProbeWindow.ChunkBytes));
        }
    }

    /// <summary>For good. A read under way ends as it will.</summary>
    internal void Stop()
    {
        _isStopped = true;
        _loop.Cancel(_timer);
    }

    public void OnTimer(LoopTimer timer)
    {
        if (_device.IsHolding || _device.Breaker.IsTripped)
        {
            Arm(s_retryAfter);
            return;
        }
        if (!_pace.MayBegin(isDeviceBusy: _device.InFlight > 0))
        {
            Arm(_pace.Interval(ProbeWindow.ChunkBytes));
            return;
        }
        if (TryNextChunk())
        {
            _isReading = true;
            _weakBefore = _device.Counters.WeakUnits;
            int bytes = (int)_chunk.Count.ToBytes(_device.Units.BlockSize).Value;
            _read.Prepare(this, IoOperation.Read, _chunk, _buffer.Slice(0, bytes), IoFlags.Background);
            _device.Submit(_read);
        }
    }

    public void OnCompleted(IoRequest request)
    {
        _isReading = false;
        if (_isStopped)
        {
            return;
        }
        bool isBad = request.Status != IoStatus.Ok;
        if (isBad && !_device.IsKnownBad(request))
        {
            // The disk is away, or fails as a whole: there is nothing to be learnt of single places.
            EndWindow();
        }
        else if (isBad || _device.Counters.WeakUnits != _weakBefore)
        {
            Found++;
            _window.OnFound();
        }
        Arm(_pace.Interval(ProbeWindow.ChunkBytes));
    }

    /// <summary>Of the window, or of the next one; false: nothing is left to do.</summary>
    private bool TryNextChunk()
    {
        while (true)
        {
            if (_hasWindow && _window.TryNext(out _chunk))
            {
                return true;
            }
            EndWindow();
            if (!_waiting.TryDequeue(out UnitNumber unit))
            {
                return false;
            }
            Extent blocks = _device.Units.ExtentOf(unit);
            if (!IsCovered(blocks))
            {
                _window = new ProbeWindow(blocks, new Extent(new BlockNumber(0), _device.Units.Blocks),
                    _device.Units.BlockSize);
                _hasWindow = true;
                Windows++;
            }
        }
    }

    private void EndWindow()
    {
        if (_hasWindow)
        {
            Forget(RecentMax - 1);
            _recent.Enqueue((_window.Covered, _loop.Now));
            _hasWindow = false;
        }
    }

    private bool IsCovered(Extent blocks)
    {
        Forget(RecentMax);
        foreach ((Extent covered, Instant _) in _recent)
        {
            if (covered.Overlaps(blocks))
            {
                return true;
            }
        }
        return _hasWindow && _window.Covered.Overlaps(blocks);
    }

    /// <summary>What is long ago, and what there is no room for.</summary>
    private void Forget(int countMax)
    {
        while (_recent.Count > 0 && (_recent.Count > countMax || _loop.Now - _recent.Peek().At > s_recently))
        {
            _recent.Dequeue();
        }
    }

    private void Arm(Duration after) => _loop.Schedule(_timer, _loop.Now + after);
}
