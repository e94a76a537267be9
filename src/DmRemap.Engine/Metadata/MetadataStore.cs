using System;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;

namespace DmRemap.Engine.Metadata;

public interface IMetadataStopOwner
{
    /// <summary>
    /// Called once, on the loop's thread, never from inside BeginStop. False: a write failed; recovery does
    /// the rest.
    /// </summary>
    void OnMetadataStopped(bool isClean);
}

/// <summary>
/// The log of table changes on the spares, in its first form: every commit writes the whole table as a
/// checkpoint.
/// <code>
///   commit:  [settle]  →  table into the idle area, both places, all members, FUA
///                      →  superblocks of generation + 1: half of the copies, FUA; then the other half, FUA
///                      →  Done
/// </code>
/// Two rules keep one valid table on disk at every instant.
/// First: the idle area is written only while every superblock copy of every member names the other one
/// (`settled`). A failure before the first superblock write leaves that so: the commit has Failed, and the
/// idle area may be written again.
/// Second: a failure among the superblocks leaves copies of either kind: the commit is Unknown, and both
/// areas are valid and must stay so. The next attempt first settles: superblocks that name the last Done
/// table, on all copies. Only then is the other area idle again. So a later Done holds the changes of all
/// Done commits and of no other.
/// Superblocks are written half by half, and after a failure the half that failed goes first: the other half
/// is whole at every instant.
/// A write that never returns keeps its commit, and those that wait behind it, waiting; nothing else waits. A
/// deadline belongs in front of FinishBatch: answer Unknown, go on only when the write has returned (F-2).
/// </summary>
public sealed class MetadataStore : IMetadataLog, IMetadataWriterOwner, ITimerOwner
{
    private readonly IEventLoop _loop;
    private readonly MetadataWriter _writer;
    private readonly ChangeBatch _batch = new();
    private readonly SpareUnitClaims _claims = new();
    private readonly LoopTimer _refuseTimer;
    private readonly long _entriesMax;
    private TableImage _durable;
    private TableImage _next;
    private SuperblockState _state;
    private CheckpointPointer _pointer;
    private CommitQueue _waiting;
    private CommitQueue _writing;
    private CommitQueue _refused;
    private IMetadataStopOwner? _stopOwner;
    private Phase _phase;
    private bool _isSettled;
    private int _firstParity;

    /// <summary>Made by formatting and by recovery only.</summary>
    /// <param name="loop">On whose thread everything happens.</param>
    /// <param name="set">What all superblocks say.</param>
    /// <param name="members">By member index.</param>
    /// <param name="durable">The table that the state's checkpoint holds; the store's own from here
    /// on.</param>
    /// <param name="state">The epoch to write, the highest generation seen, the checkpoint that is valid
    /// now.</param>
    /// <param name="isSettled">True when no superblock on disk names another checkpoint than that.</param>
    /// <param name="firstParity">The half of the superblock copies that is written first.</param>
    internal MetadataStore(
        IEventLoop loop,
        SetDescription set,
        MetadataMember[] members,
        TableImage durable,
        in SuperblockState state,
        bool isSettled,
        int firstParity)
    {
        _loop = loop;
        _writer = new MetadataWriter(set, members, this);
        _refuseTimer = new LoopTimer(this);
        _durable = durable;
        _next = new TableImage();
        _state = state;
        _pointer = state.Checkpoint;
        _isSettled = isSettled;
        _firstParity = firstParity;
        _entriesMax = long.MaxValue;
        foreach (MetadataMember member in members)
        {
            _entriesMax = Math.Min(_entriesMax, member.Layout.EntriesMax);
        }
    }

    private enum Phase : byte
    {
        Idle = 0,
        Settling = 1,
        WritingCheckpoint = 2,
        WritingSuperblocks = 3,
        Refusing = 4,
        Completing = 5,
        WritingCleanStop = 6,
        Stopped = 7,
    }

    /// <summary>Entries that the table can have on the smallest spare; a commit beyond it fails.</summary>
    public long EntriesMax => _entriesMax;

    /// <summary>Entries of the durable table.</summary>
    public int EntryCount => _durable.Count;

    public ulong Epoch => _state.Epoch;

    /// <summary>The last generation attempted.</summary>
    public ulong Generation => _state.Generation;

    /// <summary>A write is with the kernel.</summary>
    public bool IsWriting => _writer.IsWriting;

    /// <summary>False after an Unknown commit, until a later one has settled which table is valid.</summary>
    public bool IsSettled => _isSettled;

    /// <summary>The last commit failed because the table did not fit (condition `table-full`).</summary>
    public bool IsTableFull { get; private set; }

    /// <summary>Groups of commits, by outcome.</summary>
    public long GroupsDone { get; private set; }

    public long GroupsFailed { get; private set; }

    public long GroupsUnknown { get; private set; }

    /// <summary>Meaningful when GroupsFailed or GroupsUnknown counted a write error.</summary>
    public MetadataFailure LastFailure => _writer.LastFailure;

    /// <inheritdoc/>
    public void Commit(CommitRequest request)
    {
        request.MarkPending();
        if (_stopOwner is not null || _phase == Phase.Stopped)
        {
            // Nothing of it is written: it has failed. Not said from inside Commit, nor before earlier ones.
            _refused.Add(request);
            if (_phase is Phase.WritingCleanStop or Phase.Stopped)
            {
                _loop.Schedule(_refuseTimer, _loop.Now);
            }
            return;
        }
        _waiting.Add(request);
        if (_phase == Phase.Idle)
        {
            BeginBatch();
        }
    }

    /// <summary>
    /// Finish what was committed, then write the clean-stop flag. The caller sees to it that all members are
    /// flushed and nothing else is outstanding, and sets its own deadline: when a write never returns,
    /// OnMetadataStopped does not come, and the next start recovers (F-31).
    /// </summary>
    public void BeginStop(IMetadataStopOwner owner)
    {
        Invariant.Check(_stopOwner is null);
        Invariant.Check(_phase != Phase.Stopped);
        _stopOwner = owner;
        if (_phase == Phase.Idle)
        {
            WriteCleanStop();
        }
    }

    /// <summary>Copy the durable table. For checks and dumps, between commits or during one.</summary>
    public RemapEntry[] CopyEntries() => _durable.Entries.ToArray();

    /// <summary>Copy the retired spare units of the durable table.</summary>
    public SpareLocation[] CopyRetired() => _durable.Retired.ToArray();

    void IMetadataWriterOwner.OnCheckpointWritten(bool isDurable)
    {
        Invariant.Check(_phase == Phase.WritingCheckpoint);
        if (!isDurable)
        {
            // No superblock names the idle area: what is in it now cannot win, and it may be written again.
            FinishBatch(CommitOutcome.Failed);
            return;
        }

        // Table before superblock: else a power cut leaves superblocks that name a table that is not there.
        _phase = Phase.WritingSuperblocks;
        WriteSuperblocks(_writer.Checkpoint, isCleanStop: false);
    }

    void IMetadataWriterOwner.OnSuperblocksWritten(bool isDurable)
    {
        _isSettled = isDurable;
        if (!isDurable)
        {
            _firstParity = _writer.FailedParity;
        }
        switch (_phase)
        {
            case Phase.Settling when isDurable:
                WriteCheckpoint();
                break;
            case Phase.Settling:
                // Nothing of this batch was written.
                FinishBatch(CommitOutcome.Failed);
                break;
            case Phase.WritingSuperblocks:
                OnGenerationWritten(isDurable);
                break;
            case Phase.WritingCleanStop:
                _phase = Phase.Stopped;
                _stopOwner!.OnMetadataStopped(isDurable);
                break;
            default:
                Invariant.Unreachable("no superblocks are written in this phase");
                break;
        }
    }

    void ITimerOwner.OnTimer(LoopTimer timer)
    {
        if (_phase == Phase.Refusing)
        {
            FinishBatch(CommitOutcome.Failed);
        }
        else
        {
            Refuse();
        }
    }

    private void BeginBatch()
    {
        _writing = _waiting;
        _waiting = default;
        _batch.Clear();
        for (CommitRequest? request = _writing.First; request is not null; request = request.Next)
        {
            _batch.Add(request.Changes);
        }
        _next.BecomeMerge(_durable, _batch);
        _claims.Check(_next, _batch);
        IsTableFull = _next.Count + _next.RetiredCount > _entriesMax;
        if (IsTableFull)
        {
            // Finished by the timer: this may run inside Commit.
            _phase = Phase.Refusing;
            _loop.Schedule(_refuseTimer, _loop.Now);
        }
        else if (_isSettled)
        {
            WriteCheckpoint();
        }
        else
        {
            _phase = Phase.Settling;
            WriteSuperblocks(_pointer, isCleanStop: false);
        }
    }

    private void WriteCheckpoint()
    {
        Invariant.Check(_isSettled);
        _phase = Phase.WritingCheckpoint;
        CheckpointArea idle = _pointer.Area == CheckpointArea.A ? CheckpointArea.B : CheckpointArea.A;
        _writer.WriteCheckpoint(_next, idle, _state.Epoch, _state.Generation + 1);
    }

    /// <summary>
    /// A generation is used once, whether it becomes durable or not: two superblocks that differ never share
    /// one.
    /// </summary>
    private void WriteSuperblocks(in CheckpointPointer checkpoint, bool isCleanStop)
    {
        _state = _state with
        {
            Generation = _state.Generation + 1,
            Checkpoint = checkpoint,
            IsCleanStop = isCleanStop,
        };

        // From here until the last copy is durable, copies may name either checkpoint.
        _isSettled = false;
        _writer.WriteSuperblocks(_state, _firstParity);
    }

    private void OnGenerationWritten(bool isDurable)
    {
        if (isDurable)
        {
            _pointer = _state.Checkpoint;
            (_durable, _next) = (_next, _durable);
            FinishBatch(CommitOutcome.Done);
        }
        else
        {
            FinishBatch(CommitOutcome.Unknown);
        }
    }

    private void FinishBatch(CommitOutcome outcome)
    {
        GroupsDone += outcome == CommitOutcome.Done ? 1 : 0;
        GroupsFailed += outcome == CommitOutcome.Failed ? 1 : 0;
        GroupsUnknown += outcome == CommitOutcome.Unknown ? 1 : 0;

        // Commits that the owners make now wait in line, so that they share the next write.
        _phase = Phase.Completing;
        CommitQueue finished = _writing;
        _writing = default;
        finished.CompleteAll(outcome);
        _phase = Phase.Idle;
        if (!_waiting.IsEmpty)
        {
            BeginBatch();
        }
        else if (_stopOwner is not null)
        {
            Refuse();
            WriteCleanStop();
        }
    }

    private void Refuse()
    {
        CommitQueue refused = _refused;
        _refused = default;
        refused.CompleteAll(CommitOutcome.Failed);
    }

    private void WriteCleanStop()
    {
        Invariant.Check(_waiting.IsEmpty);
        _phase = Phase.WritingCleanStop;
        WriteSuperblocks(_pointer, isCleanStop: true);
    }
}
