using System.Collections.Generic;
using System.Linq;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults.Injection.Models;
using DmRemap.Core.Scrubbing;
using DmRemap.Engine;
using DmRemap.Engine.Background;

namespace DmRemap.Benchmarks.Year;

/// <summary>
/// The product's scrub at its default rate, begun once a week. Steps over sectors that stay good all year
/// change nothing: they are passed over, at the time that they would have taken, so that a pass over 1 TiB
/// costs as many steps as there are places with errors.
/// </summary>
internal sealed class YearScrub : ITimerOwner
{
    private static readonly Duration s_week = Duration.FromSeconds(7 * 24 * 3600);

    private readonly IEventLoop _loop;
    private readonly Scrubber _scrubber;
    private readonly LoopTimer _timer;
    private readonly long[] _steps;
    private readonly Duration _interval;
    private Instant _passBegan;
    private int _next;
    private bool _isAt;

    public YearScrub(RemapDevice device, IEventLoop loop, IReadOnlyList<FaultArrival> errors)
    {
        _loop = loop;
        _scrubber = new Scrubber(device, loop);
        _timer = new LoopTimer(this);
        _interval = new ScrubPace(ScrubPace.RateDefault).Interval(ScrubOrder.StepBytes);
        _steps =
        [
            .. errors.Select(one => StepOf(one.Defect.Physical * YearDisk.PhysicalBytes)).Distinct().Order(),
        ];
    }

    public void Begin() => BeginPass(_loop.Now + s_week);

    public void OnTimer(LoopTimer timer)
    {
        if (!_isAt)
        {
            _isAt = true;
            _scrubber.Start(_steps[_next], 0, ScrubPace.RateDefault);
            Look(_interval);
            return;
        }
        if (_scrubber.IsRunning && _scrubber.Step == _steps[_next])
        {
            // The drive tries, or the scrub waits.
            Look(Duration.FromSeconds(1));
            return;
        }
        _scrubber.Stop();
        _isAt = false;
        _next++;
        if (_next == _steps.Length)
        {
            BeginPass(_passBegan + s_week);
            return;
        }
        ScheduleNext();
    }

    /// <summary>The inverse of the order in which a scrub reads.</summary>
    private long StepOf(long at)
    {
        long regions = ((YearPlan.DiskBytes - 1) / ScrubOrder.RegionBytes) + 1;
        long region = at / ScrubOrder.RegionBytes;
        long segment = at % ScrubOrder.RegionBytes / ScrubOrder.SegmentBytes;
        long inSegment = at % ScrubOrder.SegmentBytes / ScrubOrder.StepBytes;
        long step = (((segment * regions) + region) * (ScrubOrder.SegmentBytes / ScrubOrder.StepBytes))
            + inSegment;
        Extent extent = _scrubber.Order.At(step);
        Invariant.Check(extent.Start.Value * YearDisk.BlockBytes <= at);
        Invariant.Check(at < extent.End.Value * YearDisk.BlockBytes);
        return step;
    }

    private void BeginPass(Instant at)
    {
        _passBegan = at > _loop.Now ? at : _loop.Now;
        _next = 0;
        ScheduleNext();
    }

    private void ScheduleNext()
    {
        Instant due = _passBegan + new Duration(_steps[_next] * _interval.Nanoseconds);
        _loop.Schedule(_timer, due > _loop.Now ? due : _loop.Now);
    }

    private void Look(Duration after) =>
        _loop.Schedule(_timer, _loop.Now + new Duration(after.Nanoseconds / 2));
}
