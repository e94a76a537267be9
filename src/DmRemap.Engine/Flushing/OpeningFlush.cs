using DmRemap.Core.Abstractions;

namespace DmRemap.Engine.Flushing;

/// <summary>Who must not call a spare flushed before its start has.</summary>
internal interface IOpeningFlushWaiter
{
    /// <summary>Called once, on the loop's thread.</summary>
    void OnOpeningFlushReturned(int member);
}

/// <summary>
/// The flush of a spare that its start made. A cache tells of a write that it has lost once, at the next
/// flush: were that the start's, and nobody remembered, a client's flush after it would succeed over writes
/// of the time before that are gone. So a spare whose opening flush failed has lost a flush from the
/// beginning, and while it is still out, as on a disk that hangs, the flushes of clients wait for it.
/// </summary>
public sealed class OpeningFlush
{
    private IOpeningFlushWaiter? _waiter;
    private int _member;

    public bool IsOut { get; private set; }

    public bool HasFailed { get; private set; }

    internal void Begin()
    {
        Invariant.Check(!IsOut);
        IsOut = true;
    }

    internal void End(bool isOk)
    {
        Invariant.Check(IsOut);
        IsOut = false;
        HasFailed |= !isOk;
        IOpeningFlushWaiter? waiter = _waiter;
        _waiter = null;
        waiter?.OnOpeningFlushReturned(_member);
    }

    /// <summary>While it is out; one waiter.</summary>
    internal void Await(IOpeningFlushWaiter waiter, int member)
    {
        Invariant.Check(IsOut);
        Invariant.Check(_waiter is null);
        _waiter = waiter;
        _member = member;
    }
}
