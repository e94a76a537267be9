using System;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Healing;
using DmRemap.Core.Remapping;
using DmRemap.Core.Scrubbing;
using DmRemap.Engine.Repair;

namespace DmRemap.Engine.Background;

/// <summary>
/// Gives places that failed another chance (P8), in passes over the table with a pause between them: one unit
/// at a time, behind clients. A unit that was rewritten in one pass is read in later ones, and back on the
/// primary when it has been found right three times. Loop thread only.
/// </summary>
public sealed class Healer : ITimerOwner, IUnitHealingOwner
{
    /// <summary>
    /// Runs of the table looked at in one turn: well under a millisecond of the loop's time.
    /// </summary>
    private const int RunsMax = 1024;

    /// <summary>What stands in the way of all healing is looked at again after so long.</summary>
    private static readonly Duration s_obstacle = Duration.FromSeconds(10);

    private readonly RemapDevice _device;
    private readonly IEventLoop _loop;
    private readonly HealPolicy _policy;
    private readonly UnitHealing _healing;
    private readonly LoopTimer _timer;
    private ScrubPace _pace;
    private UnitNumber _next;
    private long _pass = -1;
    private bool _isInPass;
    private bool _isStopped;

    internal Healer(RemapDevice device, IEventLoop loop, HealPolicy policy)
    {
        _device = device;
        _loop = loop;
        _policy = policy;
        _pace = new ScrubPace(Math.Max(ScrubPace.RateMin, policy.BytesPerSecond));
        _healing = new UnitHealing(device);
        _timer = new LoopTimer(this);
    }

    public bool IsOn => _policy.IsOn;

    /// <summary>From the end of one pass to the next.</summary>
    public Duration Interval => _policy.Interval;

    internal ByteCount Transfer => _policy.Transfer;

    /// <summary>Passes that have come to their end since the start.</summary>
    public long PassesDone { get; private set; }

    /// <summary>No unit is being looked at.</summary>
    internal bool IsIdle => _healing.IsIdle;

    /// <summary>The first pass comes after one interval: a start has better things to do.</summary>
    public void Begin()
    {
        if (_policy.IsOn && !_isStopped)
        {
            Arm(_policy.Interval);
        }
    }

    /// <summary>For good. A unit at hand ends as it will.</summary>
    internal void Stop()
    {
        _isStopped = true;
        _loop.Cancel(_timer);
    }

    public void OnTimer(LoopTimer timer)
    {
        if (!_isInPass)
        {
            _isInPass = true;
            _pass++;
            _next = default;
        }
        Step();
    }

    void IUnitHealingOwner.OnUnitLookedAt(bool wasAtDisk)
    {
        if (!_isStopped)
        {
            // Not from here: the job is not idle before this returns.
            Duration pause = wasAtDisk ? _pace.Interval(_device.Units.UnitBytes) : Duration.Zero;
            Arm(_device.IsMetadataUnavailable ? Shorter(s_obstacle, _policy.Interval) : pause);
        }
    }

    private void Step()
    {
        if (!_device.MayHeal)
        {
            // What has healed waits no longer for the rest.
            _device.GivenBack.Settle();
            Arm(Shorter(s_obstacle, _policy.Interval));
        }
        else if (!_pace.MayBegin(isDeviceBusy: _device.InFlight > 0))
        {
            Arm(_pace.Interval(_device.Units.UnitBytes));
        }
        else if (TryFind(out UnitNumber unit))
        {
            _next = new UnitNumber(unit.Value + 1);
            _healing.Begin(unit, _pass, this);
            _device.Pump();
        }
    }

    /// <summary>
    /// The next unit that has something to be done. False: the pass is over, or goes on in another turn.
    /// </summary>
    private bool TryFind(out UnitNumber unit)
    {
        unit = default;
        int physical = _device.HealingBlocks;
        for (int run = 0; run < RunsMax; run++)
        {
            if (!_device.Table.TryGetNextRun(_next, out RemapEntry entry, out int count))
            {
                EndPass();
                return false;
            }
            if (HealRule.StepFor(entry, _device.Units.FullMask(entry.Unit), physical, _pass) != HealStep.None)
            {
                unit = entry.Unit;
                return true;
            }
            _next = new UnitNumber(entry.Unit.Value + count);
        }
        Arm(Duration.Zero);
        return false;
    }

    private void EndPass()
    {
        _isInPass = false;
        PassesDone++;
        _device.GivenBack.Settle();
        Arm(_policy.Interval);
    }

    private static Duration Shorter(Duration one, Duration other) => one < other ? one : other;

    private void Arm(Duration after) => _loop.Schedule(_timer, _loop.Now + after);
}
