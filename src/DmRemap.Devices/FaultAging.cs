using System;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults.Injection.Models;

namespace DmRemap.Devices;

/// <summary>Lets a disk age: what its schedule says happens when it is due. On the loop's thread.</summary>
public sealed class FaultAging : ITimerOwner
{
    /// <summary>Errors of a burst that come closer than this, on a fast clock, come together.</summary>
    private static readonly Duration s_stepLeast = Duration.FromMilliseconds(10);

    private readonly IEventLoop _loop;
    private readonly FaultSchedule _schedule;
    private readonly Action _onDefectsRefused;
    private readonly LoopTimer _timer;

    public FaultAging(IEventLoop loop, FaultSchedule schedule, Action onDefectsRefused)
    {
        _loop = loop;
        _schedule = schedule;
        _onDefectsRefused = onDefectsRefused;
        _timer = new LoopTimer(this);
    }

    public int ArrivalsLeft => _schedule.ArrivalsLeft;

    public Duration Age => _schedule.AgeAt(_loop.Now);

    public void Begin() => Wait();

    public void End() => _loop.Cancel(_timer);

    public void OnTimer(LoopTimer timer)
    {
        if (!_schedule.Advance(_loop.Now))
        {
            _onDefectsRefused();
        }
        Wait();
    }

    private void Wait()
    {
        if (_schedule.NextAt is Instant next)
        {
            Instant soon = _loop.Now + s_stepLeast;
            _loop.Schedule(_timer, next < soon ? soon : next);
        }
    }
}
