using DmRemap.Core.Abstractions;

namespace DmRemap.Linux.Epoll;

/// <summary>
/// The threads of one owner: a member, so that a stuck one delays no other (F-19). What takes long by its
/// nature (flushes, zeroings, closing) has threads of its own, one for each that a member may have at once:
/// it never waits behind transfers, and no transfer behind it.
/// </summary>
internal sealed class OwnerThreads
{
    /// <summary>One flush, and the zeroings.</summary>
    public const int SlowThreadsMax = 1 + Limits.MemberZeroingDepth;

    public OwnerThreads(IThreadWork work, ThreadStarter starter)
    {
        Transfers = new ThreadLane(work, starter, Limits.MemberTransferThreads);
        Slow = new ThreadLane(work, starter, SlowThreadsMax);
        starter.Add(Transfers);
        starter.Add(Slow);
    }

    public ThreadLane Transfers { get; }

    public ThreadLane Slow { get; }

    public ThreadLane LaneOf(OperationKind kind) =>
        kind is OperationKind.Read or OperationKind.Write or OperationKind.DurableWrite ? Transfers : Slow;

    public void Announce()
    {
        Transfers.Announce();
        Slow.Announce();
    }

    public void End()
    {
        Transfers.End();
        Slow.End();
    }

    public void Join()
    {
        Transfers.Join();
        Slow.Join();
    }
}
