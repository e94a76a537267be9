using DmRemap.Core.Abstractions;

namespace DmRemap.FrontEnds;

/// <summary>A read that somebody waits for: a link of the list, and since when.</summary>
internal abstract class AwaitedRead
{
    internal AwaitedRead? Earlier { get; set; }

    internal AwaitedRead? Later { get; set; }

    internal Instant AwaitedSince { get; set; }

    internal bool IsAwaited { get; set; }
}

internal interface IReadDeadlineOwner
{
    /// <summary>
    /// It has waited for too long: answer it with an error now; it has left the list. False: it cannot be
    /// given up at the moment, and waits as long again.
    /// </summary>
    bool TryGiveUp(AwaitedRead read);
}

/// <summary>
/// Reads in the order in which they came, with one timer for all of them: set for the first of the list, and
/// looked at when it fires, by when that one has usually been answered and another is first.
/// </summary>
internal sealed class ReadDeadlines : ITimerOwner
{
    private readonly IEventLoop _loop;
    private readonly IReadDeadlineOwner _owner;
    private readonly Duration _deadline;
    private readonly LoopTimer _timer;
    private AwaitedRead? _first;
    private AwaitedRead? _last;

    public ReadDeadlines(IEventLoop loop, Duration deadline, IReadDeadlineOwner owner)
    {
        Invariant.Check(deadline > Duration.Zero);
        _loop = loop;
        _deadline = deadline;
        _owner = owner;
        _timer = new LoopTimer(this);
    }

    public void Add(AwaitedRead read)
    {
        Invariant.Check(!read.IsAwaited);
        read.IsAwaited = true;
        read.AwaitedSince = _loop.Now;
        read.Earlier = _last;
        read.Later = null;
        if (_last is null)
        {
            _first = read;
        }
        else
        {
            _last.Later = read;
        }
        _last = read;
        if (!_timer.IsSet)
        {
            _loop.Schedule(_timer, read.AwaitedSince + _deadline);
        }
    }

    /// <summary>It is answered, or nobody waits for it any more. Harmless for one that is not here.</summary>
    public void Remove(AwaitedRead read)
    {
        if (!read.IsAwaited)
        {
            return;
        }
        read.IsAwaited = false;
        if (read.Earlier is null)
        {
            _first = read.Later;
        }
        else
        {
            read.Earlier.Later = read.Later;
        }
        if (read.Later is null)
        {
            _last = read.Earlier;
        }
        else
        {
            read.Later.Earlier = read.Earlier;
        }
        read.Earlier = null;
        read.Later = null;
    }

    /// <summary>The device was suspended: the time until now does not count.</summary>
    public void Restart()
    {
        for (AwaitedRead? read = _first; read is not null; read = read.Later)
        {
            read.AwaitedSince = _loop.Now;
        }
    }

    public void OnTimer(LoopTimer timer)
    {
        while (_first is AwaitedRead read)
        {
            Instant due = read.AwaitedSince + _deadline;
            if (due > _loop.Now)
            {
                _loop.Schedule(_timer, due);
                return;
            }
            if (!_owner.TryGiveUp(read))
            {
                // Behind the others: it must not keep those from being told that can be.
                Remove(read);
                Add(read);
            }
        }
    }
}
