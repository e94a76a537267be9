using System;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Remapping;

namespace DmRemap.Core.Metadata;

/// <summary>How a commit ended. Unknown is not failed: it may still reach the disk (F-2).</summary>
public enum CommitOutcome : byte
{
    Pending = 0,

    /// <summary>Durable on every active member.</summary>
    Done = 1,

    /// <summary>Not durable, and no crash can make it appear.</summary>
    Failed = 2,

    /// <summary>
    /// Not durable everywhere, but a crash may make it win. A later Done of any commit supersedes it.
    /// </summary>
    Unknown = 3,
}

public enum TableChangeKind : byte
{
    /// <summary>Entry becomes the unit's rule.</summary>
    Set = 1,

    /// <summary>The unit has no rule any more. Only Entry.Unit counts.</summary>
    Remove = 2,

    /// <summary>A spare unit that failed is never used again. Only Entry.Location counts.</summary>
    RetireSpareUnit = 3,
}

public readonly record struct TableChange(TableChangeKind Kind, RemapEntry Entry);

public interface ICommitOwner
{
    /// <summary>
    /// Called once for each commit, on the loop's thread, never from inside Commit. When it is Done its
    /// changes are in the table before this returns: what the log reads the table for (a checkpoint) must
    /// find everything that is durable.
    /// </summary>
    void OnCommitted(CommitRequest request);
}

/// <summary>
/// A batch of changes that become durable together: a slot that its owner uses again after OnCommitted.
/// </summary>
public sealed class CommitRequest
{
    private readonly TableChange[] _changes;

    public CommitRequest(int changesMax)
    {
        Invariant.Check(changesMax > 0);
        Invariant.Check(changesMax <= Limits.CommitChangesMax);
        _changes = new TableChange[changesMax];
    }

    public ICommitOwner? Owner { get; private set; }

    public object? Context { get; set; }

    public CommitOutcome Outcome { get; private set; }

    public bool IsPending { get; private set; }

    public int Count { get; private set; }

    public bool IsFull => Count == _changes.Length;

    public ReadOnlySpan<TableChange> Changes => _changes.AsSpan(0, Count);

    /// <summary>The log's own: when it took the request.</summary>
    public Instant QueuedAt { get; set; }

    /// <summary>Link for the log's queue.</summary>
    public CommitRequest? Next { get; set; }

    public void Prepare(ICommitOwner owner)
    {
        Invariant.Check(!IsPending);
        Owner = owner;
        Outcome = CommitOutcome.Pending;
        Count = 0;
        Next = null;
    }

    public void Add(TableChange change)
    {
        Invariant.Check(!IsPending);
        Invariant.Check(Count < _changes.Length);
        _changes[Count] = change;
        Count++;
    }

    /// <summary>By the log, on taking the request.</summary>
    public void MarkPending()
    {
        Invariant.Check(!IsPending);
        Invariant.Check(Owner is not null);
        IsPending = true;
    }

    /// <summary>By the log, once, from the loop.</summary>
    public void Complete(CommitOutcome outcome)
    {
        Invariant.Check(IsPending);
        Invariant.Check(outcome != CommitOutcome.Pending);
        IsPending = false;
        Outcome = outcome;
        Owner!.OnCommitted(this);
    }
}

/// <summary>Told of a checkpoint that it asked for.</summary>
public interface ICheckpointWaiter
{
    /// <summary>
    /// Once, on the loop's thread: no table from before the asking can be recovered any more.
    /// </summary>
    void OnCheckpointDurable();
}

/// <summary>
/// Makes changes of the table durable on the spares. Commits complete in the order in which they were made;
/// those that arrive while one is being written share the next. The caller's table holds everything that is
/// Done; it may also hold what is not durable yet, if a crash may as well make it so (blocks given up as
/// lost).
/// </summary>
public interface IMetadataLog
{
    void Commit(CommitRequest request);

    /// <summary>
    /// Write the table anew, as soon as may be, and tell the waiter when that is durable. One waiter at a
    /// time; it is never told by a log that stops first.
    /// </summary>
    void Checkpoint(ICheckpointWaiter waiter);
}
