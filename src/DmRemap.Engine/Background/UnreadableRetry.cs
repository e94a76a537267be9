using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using DmRemap.Core.Remapping;
using DmRemap.Core.Scrubbing;
using DmRemap.Engine.Repair;

namespace DmRemap.Engine.Background;

/// <summary>
/// Tries again what did not read: suspect blocks when their retry is due, through the device's own front as a
/// client would; blocks that were given up in passes over the table, with pauses that grow from a minute to a
/// day. What reads is copied to a spare. One read at a time and behind clients; a person can ask for a range
/// at once. Loop thread only.
/// </summary>
public sealed class UnreadableRetry : IIoOwner, ITimerOwner, ILossRetryOwner
{
    private const long BytesPerSecond = ScrubPace.RateMin;

    /// <summary>
    /// Runs of the table looked at in one turn: well under a millisecond of the loop's time.
    /// </summary>
    private const int RunsMax = 1024;

    private static readonly Duration s_look = Duration.FromSeconds(1);
    private static readonly Duration s_storm = Duration.FromSeconds(10);

    private readonly RemapDevice _device;
    private readonly IEventLoop _loop;
    private readonly LossRetry _lossRetry;
    private readonly LoopTimer _timer;
    private readonly IoRequest _read = new();
    private readonly BufferSlice _buffer;
    private readonly long[] _suspects = new long[SuspectList.CapacityDefault];
    private readonly bool _isAutomatic;
    private ScrubPace _pace = new(BytesPerSecond);
    private LossRetryPace _passes;
    private RetestRequest? _asked;
    private UnitNumber _next;
    private Instant _passDue;
    private bool _isPassPlanned;
    private bool _isInPass;
    private bool _isBusy;
    private bool _isForAsked;
    private bool _isStopped;

    internal UnreadableRetry(RemapDevice device, IEventLoop loop, bool isAutomatic)
    {
        _device = device;
        _loop = loop;
        _isAutomatic = isAutomatic;
        _lossRetry = new LossRetry(device);
        _timer = new LoopTimer(this);
        _buffer = AlignedMemory.Allocate(System.Math.Max(device.Units.UnitBytes, AlignedMemory.Alignment));
    }

    /// <summary>Nothing of a range that a person asked for is left, and no unit is being tried.</summary>
    internal bool IsIdle => _lossRetry.IsIdle && _asked is null;

    internal bool IsAsked => _asked is not null;

    /// <summary>What an earlier life gave up is tried too.</summary>
    public void Begin()
    {
        if (_device.Tally.LostBlocks > 0)
        {
            OnLost();
        }
    }

    /// <summary>For good. A read under way ends as it will.</summary>
    internal void Stop()
    {
        _isStopped = true;
        _loop.Cancel(_timer);
        Abandon();
        _device.Patience.End();
    }

    /// <summary>End the range that a person asked for after the unit at hand.</summary>
    internal void Abandon()
    {
        _asked?.Abandon();
        if (_asked is not null && !_isBusy)
        {
            // It was between two looks at the table.
            _loop.Cancel(_timer);
            GoOn();
        }
    }

    internal void OnSuspect()
    {
        bool isLater = !_timer.IsSet || _loop.Now + s_look < _timer.Due;
        if (_isAutomatic && !_isStopped && !_isBusy && _asked is null && isLater)
        {
            Arm(s_look);
        }
    }

    internal void OnLost()
    {
        if (!_isAutomatic || _isStopped)
        {
            return;
        }
        Instant due = _loop.Now + _passes.OnLost();
        if (!_isInPass && (!_isPassPlanned || due < _passDue))
        {
            _passDue = due;
            _isPassPlanned = true;
        }
        OnSuspect();
    }

    /// <summary>At once, and without pauses. The caller has seen to it that nothing else is asked.</summary>
    internal void Begin(RetestRequest request)
    {
        Invariant.Check(_asked is null);
        _asked = request;
        request.SuspectsLeft = _device.Suspects.CopyUnits(request.First, request.Last, _suspects);
        request.Next = request.First;
        if (!_isBusy)
        {
            _loop.Cancel(_timer);
            GoOn();
        }
    }

    public void OnTimer(LoopTimer timer) => GoOn();

    public void OnCompleted(IoRequest request)
    {
        _isBusy = false;
        if (_isForAsked)
        {
            _asked!.OnSuspectTried(request.Status == IoStatus.Ok);
            GoOn();
            return;
        }
        UnitNumber unit = _device.Units.UnitOf(request.Extent.Start);
        if (_device.Suspects.TryGet(unit, out Suspect tried) && tried.NextRetry <= _loop.Now)
        {
            // Answered without the disk, which says nothing of the medium: a rule in doubt, a disk that has
            // enough to do. As due as before, it would be asked for again and again, without a pause.
            _device.Suspects.OnUndecided(unit, _loop.Now);
        }
        ArmForMore();
    }

    void ILossRetryOwner.OnLossRetried(int blocksBack)
    {
        _isBusy = false;
        if (_isForAsked)
        {
            _asked!.OnLossTried(blocksBack);
        }
        // Not from here: the job is not idle before this returns.
        ArmForMore();
    }

    private void ArmForMore()
    {
        if (_asked is not null || (_isAutomatic && !_isStopped))
        {
            Arm(_asked is not null ? Duration.Zero : _pace.Interval(_device.Units.UnitBytes));
        }
    }

    private void GoOn()
    {
        _isForAsked = _asked is not null;
        if (_asked is not null)
        {
            if (TryNextAsked())
            {
                return;
            }
            RetestRequest done = _asked;
            _asked = null;
            _device.Patience.End();
            done.OnFinished();
            _device.OnHandworkEnded();
            _isForAsked = false;
        }
        if (_isAutomatic && !_isStopped)
        {
            NextOfItsOwn();
        }
    }

    /// <summary>False: nothing of the range is left to be tried.</summary>
    private bool TryNextAsked()
    {
        RetestRequest asked = _asked!;
        if (asked.IsAbandoned || _isStopped)
        {
            return false;
        }
        while (asked.SuspectsTaken < asked.SuspectsLeft)
        {
            UnitNumber unit = new(_suspects[asked.SuspectsTaken]);
            asked.SuspectsTaken++;
            if (_device.Suspects.TryGet(unit, out Suspect suspect) && !suspect.IsBeingRetried)
            {
                _device.Suspects.Hasten(unit, _loop.Now);
                ReadSuspect(suspect);
                return true;
            }
        }
        if (TryFindLost(asked.Next, asked.Last, out UnitNumber lost, out UnitNumber next))
        {
            bool isFound = lost < next;
            bool mayRead = !isFound || MayTry(lost);
            asked.Next = mayRead ? next : lost;
            if (isFound && mayRead)
            {
                TryLost(lost);
            }
            else
            {
                Arm(mayRead ? Duration.Zero : s_look);
            }
            return true;
        }
        return false;
    }

    private void NextOfItsOwn()
    {
        if (_device.IsHolding || _device.Breaker.IsTripped || _device.Primary.IsGone)
        {
            // Nothing is read for the pass now, and clients' reads must not take so long meanwhile (F-35).
            _device.Patience.End();
            Arm(s_storm);
        }
        else if (!_pace.MayBegin(isDeviceBusy: _device.InFlight > 0))
        {
            Arm(_pace.Interval(_device.Units.UnitBytes));
        }
        else if (_device.Suspects.TryGetDue(_loop.Now, out Suspect due))
        {
            ReadSuspect(due);
        }
        else if (!TryNextOfPass())
        {
            ArmForNext();
        }
    }

    private bool TryNextOfPass()
    {
        if (_isPassPlanned && !_isInPass && _passDue <= _loop.Now)
        {
            _isInPass = true;
            _isPassPlanned = false;
            _next = default;
        }
        if (!_isInPass)
        {
            return false;
        }
        UnitNumber last = new(_device.Units.Units - 1);
        if (!TryFindLost(_next, last, out UnitNumber lost, out _next))
        {
            _isInPass = false;
            _device.Patience.End();
            _isPassPlanned = _device.Tally.LostBlocks > 0;
            _passDue = _loop.Now + _passes.OnPassEnded();
            return false;
        }
        if (lost == _next)
        {
            Arm(_pace.Interval(_device.Units.UnitBytes));
        }
        else if (!MayTry(lost))
        {
            _next = lost;
            Arm(s_look);
        }
        else
        {
            TryLost(lost);
        }
        return true;
    }

    /// <summary>
    /// The next unit that was given up as unreadable, and where to look from then on: behind it, or (the two
    /// are equal) behind all that was looked at in vain. False: the table has no more in this range.
    /// </summary>
    private bool TryFindLost(UnitNumber from, UnitNumber last, out UnitNumber lost, out UnitNumber next)
    {
        next = lost = from;
        for (int run = 0; run < RunsMax; run++)
        {
            if (next > last || !_device.Table.TryGetNextRun(next, out RemapEntry entry, out int count)
                || entry.Unit > last)
            {
                return false;
            }
            ulong places = _device.Units.FullMask(entry.Unit);
            if (entry.State == UnitState.LostUnreadable
                && (entry.Blocks.MaskOf(BlockState.Lost) & places) != 0)
            {
                lost = entry.Unit;
                next = new UnitNumber(lost.Value + 1);
                return true;
            }
            next = lost = new UnitNumber(entry.Unit.Value + count);
        }
        return true;
    }

    /// <summary>Where it could not be copied it is not read, and nobody's patience is asked for.</summary>
    private bool MayTry(UnitNumber lost) =>
        !_device.MayCopyWeak(lost) || _device.Patience.MayRead(_loop.Now);

    private void ReadSuspect(in Suspect suspect)
    {
        Extent blocks = _device.BlocksOf(suspect.Unit, suspect.BadBlocks);
        int bytes = (int)blocks.Count.ToBytes(_device.Units.BlockSize).Value;
        _isBusy = true;
        _read.Prepare(this, IoOperation.Read, blocks, _buffer.Slice(0, bytes), IoFlags.Background);
        _device.Submit(_read);
    }

    private void TryLost(UnitNumber unit)
    {
        _isBusy = true;
        _lossRetry.Begin(unit, this);
        _device.Pump();
    }

    private void ArmForNext()
    {
        if (_device.Suspects.Count > 0)
        {
            Arm(s_look);
        }
        else if (_isPassPlanned)
        {
            _loop.Schedule(_timer, _passDue);
        }
    }

    private void Arm(Duration after) => _loop.Schedule(_timer, _loop.Now + after);
}
