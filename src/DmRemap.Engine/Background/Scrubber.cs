using DmRemap.Core.Abstractions;
using DmRemap.Core.Scrubbing;

namespace DmRemap.Engine.Background;

/// <summary>
/// Reads the whole device as a client would, slowly and when nobody else does, so that weak sectors are found
/// and moved while they still read, and lost ones are known before they are needed. It goes through the
/// device's own front: what is remapped is read on its spare, and what fails is rescued like any other read.
/// One read at a time; nothing waits for it. Loop thread only.
/// </summary>
public sealed class Scrubber : IIoOwner, ITimerOwner
{
    /// <summary>
    /// A step of which it is not known why it failed is tried so often; then the scrub goes on behind it, and
    /// counts it. A drive that tries a sector for half a minute says no more than a disk that is away.
    /// </summary>
    private const int TriesMax = 3;

    /// <summary>So many such steps in a row are passed, and no more: then the disk is away.</summary>
    private const int PassedInARowMax = 16;

    private const int BackOffLog2Max = 6;

    private static readonly Duration s_retryAfter = Duration.FromSeconds(10);

    private readonly IEventLoop _loop;
    private readonly RemapDevice _device;
    private readonly LoopTimer _timer;
    private readonly IoRequest _read = new();
    private readonly BufferSlice _buffer = AlignedMemory.Allocate(ScrubOrder.StepBytes);
    private ScrubPace _pace;
    private Extent _extent;
    private Instant _begunAt;
    private int _tries;
    private int _passedInARow;
    private int _undecided;
    private bool _isReading;

    public Scrubber(RemapDevice device, IEventLoop loop)
    {
        _device = device;
        _loop = loop;
        _timer = new LoopTimer(this);
        Order = new ScrubOrder(device.Units.Blocks, device.Units.BlockSize);
    }

    public ScrubOrder Order { get; }

    public bool IsRunning { get; private set; }

    /// <summary>In bytes a second, of the last start.</summary>
    public long Rate { get; private set; } = ScrubPace.RateDefault;

    /// <summary>The next step of this pass; Order.Steps when it has come to its end.</summary>
    public long Step { get; private set; }

    /// <summary>Blocks of this pass that did not read.</summary>
    public long BlocksFailed { get; private set; }

    /// <summary>
    /// It waits, and reads nothing: the breaker is tripped, or the disk failed for another reason than a bad
    /// sector.
    /// </summary>
    public bool IsWaiting { get; private set; }

    /// <summary>Begin, or go on, from this step. One that is running takes the new rate.</summary>
    /// <param name="step">0 to Order.Steps.</param>
    /// <param name="blocksFailed">Of the steps before.</param>
    /// <param name="bytesPerSecond">ScrubPace.RateMin to RateMax.</param>
    public void Start(long step, long blocksFailed, long bytesPerSecond)
    {
        Invariant.Check(step >= 0 && step <= Order.Steps);
        Invariant.Check(bytesPerSecond is >= ScrubPace.RateMin and <= ScrubPace.RateMax);
        _pace = new ScrubPace(bytesPerSecond);
        Rate = bytesPerSecond;
        if (IsRunning)
        {
            return;
        }
        Step = Order.NextFrom(step);
        BlocksFailed = blocksFailed;
        IsRunning = Step < Order.Steps;
        if (IsRunning && !_isReading)
        {
            Arm(Duration.Zero);
        }
    }

    /// <summary>What is known of an earlier life; it does not run.</summary>
    public void Restore(long step, long blocksFailed, long bytesPerSecond)
    {
        Invariant.Check(!IsRunning);
        Step = step;
        BlocksFailed = blocksFailed;
        Rate = bytesPerSecond;
    }

    /// <summary>A read under way ends as it will; its step is read again after the next start.</summary>
    public void Stop()
    {
        IsRunning = false;
        IsWaiting = false;
        _loop.Cancel(_timer);
    }

    public void OnTimer(LoopTimer timer)
    {
        if (_device.IsStopping)
        {
            Stop();
            return;
        }
        if (_device.Breaker.IsTripped || _device.IsHolding)
        {
            IsWaiting = _device.Breaker.IsTripped;
            Arm(s_retryAfter);
            return;
        }
        _extent = Order.At(Step);
        if (!_pace.MayBegin(isDeviceBusy: _device.InFlight > 0))
        {
            Arm(IntervalOf(_extent));
            return;
        }
        _isReading = true;
        _begunAt = _loop.Now;
        int bytes = (int)_extent.Count.ToBytes(_device.Units.BlockSize).Value;
        _read.Prepare(this, IoOperation.Read, _extent, _buffer.Slice(0, bytes), IoFlags.Background);
        _device.Submit(_read);
    }

    public void OnCompleted(IoRequest request)
    {
        _isReading = false;
        if (!IsRunning)
        {
            return;
        }
        bool isDecided = request.Status == IoStatus.Ok || _device.IsKnownBad(request);
        if (!isDecided && !MustPass())
        {
            IsWaiting = true;
            Arm(new Duration(s_retryAfter.Nanoseconds << System.Math.Min(_undecided, BackOffLog2Max)));
            _undecided++;
            return;
        }
        if (isDecided)
        {
            _passedInARow = 0;
            _undecided = 0;
        }
        IsWaiting = false;
        _tries = 0;
        for (int i = 0; i < request.Failed.Count; i++)
        {
            BlocksFailed += request.Failed[i].Count.Value;
        }
        Step = Order.NextFrom(Step + 1);
        if (Step == Order.Steps)
        {
            Stop();
            return;
        }
        ArmAt(_begunAt + IntervalOf(_extent));
    }

    private bool MustPass()
    {
        _tries++;
        if (_tries < TriesMax || _passedInARow == PassedInARowMax)
        {
            return false;
        }
        _passedInARow++;
        return true;
    }

    private Duration IntervalOf(Extent extent) =>
        _pace.Interval(extent.Count.ToBytes(_device.Units.BlockSize).Value);

    private void Arm(Duration after) => ArmAt(_loop.Now + after);

    private void ArmAt(Instant due) => _loop.Schedule(_timer, due);
}
