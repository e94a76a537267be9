using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;
using DmRemap.Simulator.World;

namespace DmRemap.Simulator.Checkers;

/// <summary>
/// Stands between one process's engine and its log, and tells the history of the table what is committed and
/// how that ended.
/// </summary>
internal sealed class CommitWatch(Universe universe, TableHistory history, IMetadataLog log)
    : IMetadataLog, ICommitOwner
{
    public int Pending { get; private set; }

    public void Commit(CommitRequest request)
    {
        request.MarkPending();
        Pending++;
        CommitRequest own = new(System.Math.Max(1, request.Count)) { Context = request };
        own.Prepare(this);
        foreach (TableChange change in request.Changes)
        {
            own.Add(change);
        }
        universe.Trace.Add(
            TraceKind.Commit, universe.Now, request.Count, 0, 0,
            universe.Trace.IsPrinting ? Describe(request) : null);
        history.Begin(own);
        log.Commit(own);
    }

    public void OnCommitted(CommitRequest own)
    {
        Pending--;
        universe.Trace.Add(TraceKind.Commit, universe.Now, own.Count, (long)own.Outcome);
        history.End(own);
        ((CommitRequest)own.Context!).Complete(own.Outcome);
    }

    public void Checkpoint(ICheckpointWaiter waiter) =>
        log.Checkpoint(new Waiter(history, history.ListGivenBack(), waiter));

    private static string Describe(CommitRequest request)
    {
        string all = "";
        foreach (TableChange change in request.Changes)
        {
            all += $" {change.Kind} {TableHistory.Describe(change.Entry)};";
        }
        return all;
    }

    private sealed class Waiter(TableHistory history, SpareLocation[] freed, ICheckpointWaiter waiter)
        : ICheckpointWaiter
    {
        public void OnCheckpointDurable()
        {
            history.OnCheckpoint(freed);
            waiter.OnCheckpointDurable();
        }
    }
}
