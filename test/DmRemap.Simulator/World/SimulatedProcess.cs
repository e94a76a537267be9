using System.Collections.Generic;
using DmRemap.Core.Abstractions;

namespace DmRemap.Simulator.World;

/// <summary>
/// One instance of the program: its loop, with timers and deliveries of its own. A kill takes all of it away;
/// what its requests do at the disks goes on in the world.
/// </summary>
internal sealed class SimulatedProcess(Universe universe) : IEventLoop
{
    private readonly Queue<ILoopMessage> _messages = new();
    private readonly List<LoopTimer> _timers = [];
    private IoRequest? _firstDelivery;
    private IoRequest? _lastDelivery;

    public Instant Now => new(universe.Now);

    public bool IsDead { get; private set; }

    public int TimersSet => _timers.Count;

    public bool HasWork => _firstDelivery is not null || _messages.Count > 0;

    public void Die() => IsDead = true;

    public void DeliverLater(IoRequest request)
    {
        Invariant.Check(!IsDead);
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
            timer.HeapIndex = _timers.Count;
            _timers.Add(timer);
        }
    }

    public void Cancel(LoopTimer timer)
    {
        if (timer.IsSet)
        {
            int index = timer.HeapIndex;
            LoopTimer last = _timers[^1];
            _timers[index] = last;
            last.HeapIndex = index;
            _timers.RemoveAt(_timers.Count - 1);
            timer.HeapIndex = -1;
        }
    }

    public bool Post(ILoopMessage message)
    {
        _messages.Enqueue(message);
        return true;
    }

    public LoopTimer? EarliestTimer()
    {
        LoopTimer? earliest = null;
        foreach (LoopTimer timer in _timers)
        {
            if (earliest is null || timer.Due < earliest.Due)
            {
                earliest = timer;
            }
        }
        return earliest;
    }

    public void Fire(LoopTimer timer)
    {
        Cancel(timer);
        timer.Owner.OnTimer(timer);
    }

    /// <summary>One delivery or message.</summary>
    public void RunOne()
    {
        if (_firstDelivery is not null)
        {
            IoRequest request = _firstDelivery;
            _firstDelivery = request.Next;
            _lastDelivery = _firstDelivery is null ? null : _lastDelivery;
            request.Deliver();
        }
        else
        {
            _messages.Dequeue().Run();
        }
    }
}
