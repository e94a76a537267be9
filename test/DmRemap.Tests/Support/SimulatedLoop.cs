using System;
using System.Collections.Concurrent;
using DmRemap.Core.Abstractions;

namespace DmRemap.Tests.Support;

/// <summary>
/// An event loop whose time stands still until there is nothing left to do, then jumps to the next timer.
/// Everything that runs on it is a function of its inputs. Allocates nothing in steady state, so that
/// allocation tests can use it.
/// </summary>
internal sealed class SimulatedLoop : IEventLoop
{
    private readonly ConcurrentQueue<ILoopMessage> _messages = new();
    private readonly LoopTimer[] _timers = new LoopTimer[Limits.TimersMax];
    private int _timerCount;
    private IoRequest? _firstDelivery;
    private IoRequest? _lastDelivery;

    public Instant Now { get; private set; } = new(1_000_000_000);

    /// <summary>Deliveries, timers and messages so far.</summary>
    public long Events { get; private set; }

    /// <summary>When set and true before an event, the run stops there: a crash point.</summary>
    public Func<long, bool>? StopBefore { get; set; }

    public bool IsStopped { get; private set; }

    public void DeliverLater(IoRequest request)
    {
        Invariant.Check(request.Status != IoStatus.Pending);
        request.Next = null;
        if (_lastDelivery is null)
        {
            _firstDelivery = request;
        }
        else
        {
            _lastDelivery.Next = request;
        }
        _lastDelivery = request;
    }

    public void Schedule(LoopTimer timer, Instant due)
    {
        timer.Due = due;
        if (!timer.IsSet)
        {
            timer.HeapIndex = _timerCount;
            _timers[_timerCount] = timer;
            _timerCount++;
        }
    }

    public void Cancel(LoopTimer timer)
    {
        if (timer.IsSet)
        {
            int index = timer.HeapIndex;
            _timerCount--;
            _timers[index] = _timers[_timerCount];
            _timers[index].HeapIndex = index;
            timer.HeapIndex = -1;
        }
    }

    public bool Post(ILoopMessage message)
    {
        _messages.Enqueue(message);
        return true;
    }

    /// <summary>
    /// One event; false when there is none (timers in the future count: time jumps to them).
    /// </summary>
    public bool Step() => Step(new Instant(long.MaxValue));

    /// <summary>Until nothing is left to do, timers included. Throws when it does not end.</summary>
    public void RunUntilIdle(long eventsMax = 10_000_000)
    {
        for (long i = 0; i < eventsMax; i++)
        {
            if (!Step())
            {
                return;
            }
        }
        throw new InvalidOperationException($"still busy after {eventsMax} events");
    }

    /// <summary>Until the condition holds; throws when the loop runs dry before that.</summary>
    public void RunUntil(Func<bool> condition)
    {
        while (!condition())
        {
            if (!Step())
            {
                throw new InvalidOperationException("the loop ran dry before the condition held");
            }
        }
    }

    /// <summary>Everything due within this time; the clock then stands at its end.</summary>
    public void RunFor(Duration duration)
    {
        Instant end = Now + duration;
        while (Step(end))
        {
        }
        if (!IsStopped)
        {
            Now = end;
        }
    }

    private bool Step(Instant until)
    {
        if (IsStopped)
        {
            return false;
        }
        LoopTimer? timer = null;
        bool hasWork = _firstDelivery is not null || !_messages.IsEmpty;
        if (!hasWork)
        {
            timer = EarliestTimer();
            if (timer is null || timer.Due > until)
            {
                return false;
            }
        }
        if (StopBefore is not null && StopBefore(Events))
        {
            IsStopped = true;
            return false;
        }
        Events++;
        if (timer is not null)
        {
            Now = timer.Due > Now ? timer.Due : Now;
            Cancel(timer);
            timer.Owner.OnTimer(timer);
        }
        else if (_firstDelivery is not null)
        {
            IoRequest request = _firstDelivery;
            _firstDelivery = request.Next;
            _lastDelivery = _firstDelivery is null ? null : _lastDelivery;
            request.Deliver();
        }
        else if (_messages.TryDequeue(out ILoopMessage? message))
        {
            message.Run();
        }
        return true;
    }

    private LoopTimer? EarliestTimer()
    {
        LoopTimer? earliest = null;
        for (int i = 0; i < _timerCount; i++)
        {
            if (earliest is null || _timers[i].Due < earliest.Due)
            {
                earliest = _timers[i];
            }
        }
        return earliest;
    }
}
