using DmRemap.Core.Abstractions;
using DmRemap.Linux.Loop;

namespace DmRemap.Linux.Epoll;

/// <summary>
/// The threads of one owner: a member, so that a stuck one delays no other (F-19). What takes long by its
/// nature (flushes, zeroings, closing) has threads of its own, one for each that a member may have at once:
/// it never waits behind transfers, and no transfer behind it. Only of a file behind the page cache, durable
/// writes and flushes follow each other.
/// </summary>
internal sealed class OwnerThreads
{
    /// <summary>One flush, and the zeroings.</summary>
    public const int SlowThreadsMax = 1 + Limits.MemberZeroingDepth;

    private readonly ThreadLane? _oneByOne;

    public OwnerThreads(IThreadWork work, ThreadStarter starter, WriteErrors writeErrors)
    {
        Transfers = new ThreadLane(work, starter, Limits.MemberTransferThreads);
        Slow = new ThreadLane(work, starter, SlowThreadsMax);
        starter.Add(Transfers);
        starter.Add(Slow);
        if (writeErrors == WriteErrors.OfWhoLooksFirst)
        {
            _oneByOne = new ThreadLane(work, starter, 1);
            starter.Add(_oneByOne);
        }
    }

    public ThreadLane Transfers { get; }

    public ThreadLane Slow { get; }

    public ThreadLane LaneOf(OperationKind kind) => kind switch
    {
        OperationKind.Read => Transfers,
        OperationKind.Write or OperationKind.DurableWrite => _oneByOne ?? Transfers,
        OperationKind.SyncData => _oneByOne ?? Slow,
        _ => Slow,
    };

    public void Announce()
    {
        Transfers.Announce();
        Slow.Announce();
        _oneByOne?.Announce();
    }

    public void End()
    {
        Transfers.End();
        Slow.End();
        _oneByOne?.End();
    }

    public void Join()
    {
        Transfers.Join();
        Slow.Join();
        _oneByOne?.Join();
    }
}
