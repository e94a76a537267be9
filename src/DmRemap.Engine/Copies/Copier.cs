using System.Collections.Generic;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Remapping;
using DmRemap.Core.Scrubbing;

namespace DmRemap.Engine.Copies;

/// <summary>
/// Makes second copies, in passes over the table that begin when there is something to do: one unit at a
/// time, behind clients. A pass that leaves nothing out ends all doubt that there was when it began. Loop
/// thread only.
/// </summary>
public sealed class Copier : ITimerOwner, IUnitCopyOwner
{
    /// <summary>Runs of the table looked at in one turn.</summary>
    private const int RunsMax = 1024;

    /// <summary>Units whose first copy has failed readers, remembered.</summary>
    private const int FailingMax = 64;

    private static readonly Duration s_soon = Duration.FromMilliseconds(100);
    private static readonly Duration s_obstacle = Duration.FromSeconds(10);

    /// <summary>A first that is away for longer is replaced by the second: it may never come back.</summary>
    private static readonly Duration s_patience = Duration.FromSeconds(60);

    /// <summary>So many in a row that spares did not take end a pass.</summary>
    private const int FailuresMax = 2;

    private readonly RemapDevice _device;
    private readonly IEventLoop _loop;
    private readonly UnitCopy _copy;
    private readonly LoopTimer _timer;
    private readonly HashSet<long> _failing = [];
    private ScrubPace _pace = new(ScrubPace.RateDefault);
    private UnitNumber _next;
    private long _doubts;
    private bool _isInPass;
    private bool _isWantedAgain;
    private bool _hasLeftOut;
    private uint _doubtLeft;
    private int _failures;
    private bool _hasBegun;
    private bool _isStopped;

    internal Copier(RemapDevice device, IEventLoop loop)
    {
        _device = device;
        _loop = loop;
        _copy = new UnitCopy(device);
        _timer = new LoopTimer(this);
    }

    /// <summary>No unit is being copied.</summary>
    internal bool IsIdle => _copy.IsIdle;

    /// <summary>Once, when the device serves.</summary>
    public void Begin()
    {
        _hasBegun = _device.SecondCopies.AreKept && !_device.Geometry.IsReadOnly && !_isStopped;
        Wake();
    }

    /// <summary>For good. A unit at hand ends as it will.</summary>
    internal void Stop()
    {
        _isStopped = true;
        _loop.Cancel(_timer);
    }

    /// <summary>A unit lacks its second copy, or there is doubt.</summary>
    internal void Wake()
    {
        if (!_hasBegun || _isStopped)
        {
            return;
        }
        if (_isInPass)
        {
            _isWantedAgain = true;
        }
        else
        {
            _isInPass = true;
            StartPass();
            Arm(s_soon);
        }
    }

    /// <summary>The first copy of this unit did not read, and the second did.</summary>
    internal void NoteFailing(UnitNumber unit)
    {
        if (_failing.Count < FailingMax)
        {
            _failing.Add(unit.Value);
        }
        Wake();
    }

    public void OnTimer(LoopTimer timer)
    {
        if (!_device.MayCopyUnits)
        {
            Arm(s_obstacle);
        }
        else if (!_pace.MayBegin(isDeviceBusy: _device.InFlight > 0))
        {
            Arm(_pace.Interval(_device.Units.UnitBytes));
        }
        else if (TryFind(out UnitNumber unit))
        {
            _copy.Begin(unit, this);
            _device.Pump();
        }
    }

    void IUnitCopyOwner.OnUnitCopied(UnitCopyResult result)
    {
        _hasLeftOut |= result is UnitCopyResult.Postponed or UnitCopyResult.Failed;
        _doubtLeft |= _copy.DoubtLeft;
        _failures = result == UnitCopyResult.Failed ? _failures + 1 : 0;
        if (!_isStopped)
        {
            // Not from here: the job is not idle before this returns.
            Duration pause =
                result == UnitCopyResult.Settled ? Duration.Zero : _pace.Interval(_device.Units.UnitBytes);
            Arm(_device.IsMetadataUnavailable ? s_obstacle : pause);
        }
    }

    private void StartPass()
    {
        _isWantedAgain = false;
        _hasLeftOut = false;
        _failures = 0;
        _doubtLeft = 0;
        _next = default;
        _doubts = _device.SecondCopies.Doubts;
    }

    private bool TryFind(out UnitNumber unit)
    {
        foreach (long failing in _failing)
        {
            _failing.Remove(failing);
            unit = new UnitNumber(failing);
            return true;
        }
        unit = default;
        for (int run = 0; run < RunsMax; run++)
        {
            bool isOver = !_device.Table.TryGetNextRun(_next, out RemapEntry entry, out int count);
            if (isOver || _failures >= FailuresMax)
            {
                _doubtLeft |= isOver ? 0 : uint.MaxValue;
                EndPass();
                return false;
            }
            if (NeedsCopy(entry))
            {
                unit = entry.Unit;
                _next = new UnitNumber(entry.Unit.Value + 1);
                return true;
            }
            // Doubt is of single units, also inside a run.
            bool isEachAsked = !entry.Second.IsNone && _device.SecondCopies.AreUnitsInDoubt;
            _next = new UnitNumber(entry.Unit.Value + (isEachAsked ? 1 : count));
        }
        Arm(Duration.Zero);
        return false;
    }

    private bool NeedsCopy(in RemapEntry entry)
    {
        if (entry.Location.IsNone)
        {
            return false;
        }
        Member first = _device.Spare(entry.Location.Spare);
        if (!entry.Second.IsNone && _device.HasSecondInStep(entry))
        {
            _hasLeftOut |= first.IsGone;
            return RemapDevice.IsAway(first)
                && (!first.IsGone || _loop.Now - first.GoneSince > s_patience);
        }
        if (!entry.Second.IsNone)
        {
            return true;
        }
        bool hasContent =
            (entry.Blocks.MaskOf(BlockState.OnSpare) & _device.Units.FullMask(entry.Unit)) != 0;
        bool canBeMade =
            !RemapDevice.IsAway(first) && _device.Allocator.HasRoomForSecond(entry.Location.Spare);
        _hasLeftOut |= hasContent && !canBeMade;
        return hasContent && canBeMade;
    }

    private void EndPass()
    {
        _device.SecondCopies.EndDoubt(_doubts, _doubtLeft);
        _device.GivenBack.Settle();
        if (_isWantedAgain || _hasLeftOut)
        {
            Duration pause = _hasLeftOut ? s_obstacle : s_soon;
            StartPass();
            Arm(pause);
            return;
        }
        _isInPass = false;
    }

    private void Arm(Duration after) => _loop.Schedule(_timer, _loop.Now + after);
}
