using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;

namespace DmRemap.Engine.Metadata;

/// <summary>Start, stop, cancel.</summary>
public sealed partial class MetadataStore
{
    private IMetadataStartOwner? _startOwner;
    private IMetadataStopOwner? _stopOwner;
    private StartStep _startStep;
    private StartCheckpoint _startCheckpoint;
    private bool _isStarted;
    private bool _isCleanWanted;
    private bool _areCopiesInStep;
    private bool _isCancelled;

    private enum StartStep : byte
    {
        None = 0,

        /// <summary>Superblocks of the new epoch, naming what was recovered where it lies.</summary>
        Superblocks = 1,

        /// <summary>The table anew, then superblocks that name it.</summary>
        Checkpoint = 2,
    }

    /// <summary>Commits are taken.</summary>
    public bool IsStarted => _isStarted;

    /// <summary>
    /// Finish what was committed, then write the clean-stop flag. The caller sees to it that all members are
    /// flushed and nothing else is outstanding, and sets its own deadline: while a write is stuck
    /// OnMetadataStopped does not come, and the next start recovers (F-31). A checkpoint in progress is
    /// dropped: the journal has it all.
    /// </summary>
    /// <param name="owner">Told of the end.</param>
    /// <param name="witness">What the primary's places hold now.</param>
    /// <param name="areCopiesInStep">Each second copy holds what the first does.</param>
    public void BeginStop(
        IMetadataStopOwner owner, PrimaryWitness witness = default, bool areCopiesInStep = false)
    {
        Invariant.Check(_stopOwner is null);
        Invariant.Check(!_isCancelled);
        _stopOwner = owner;
        _areCopiesInStep = areCopiesInStep;
        _state = _state with { PrimaryWitness = witness };
        Pump();
    }

    /// <summary>
    /// Wake everybody who waits for a commit, now: what is being written is Unknown, what waits has failed,
    /// and nothing more is written. What the kernel has stays with it.
    /// </summary>
    public void Cancel()
    {
        if (_isCancelled)
        {
            return;
        }
        _isCancelled = true;
        _loop.Cancel(_waitTimer);
        _loop.Cancel(_retryTimer);
        _journal.Abandon();
        _superblocks.Abandon();
        _checkpoint.Cancel();
        if (IsMembershipChanging)
        {
            EndChange(isDone: false);
        }
        if (_journalPhase != JournalPhase.Idle)
        {
            FinishGroup(CommitOutcome.Unknown);
        }
        CommitQueue waiting = _waiting;
        _waiting = default;
        waiting.CompleteAll(CommitOutcome.Failed);
        FailStartIfAny();
        if (_stopOwner is not null)
        {
            FinishStop(isClean: false);
        }
    }

    /// <summary>
    /// Begin the epoch that the state names: durable on every active member before the first commit, and
    /// before the first request is served (F-13).
    /// </summary>
    /// <param name="owner">Told of the end.</param>
    /// <param name="checkpoint">Whether the table is written anew, and when.</param>
    internal void Start(IMetadataStartOwner owner, StartCheckpoint checkpoint)
    {
        Invariant.Check(!_isStarted);
        _startOwner = owner;
        _startCheckpoint = checkpoint;
        if (checkpoint is StartCheckpoint.Fresh or StartCheckpoint.First)
        {
            BeginStartCheckpoint();
        }
        else
        {
            _startStep = StartStep.Superblocks;
            RequestSuperblocks();
        }
        Pump();
    }

    private void BeginStartCheckpoint()
    {
        _startStep = StartStep.Checkpoint;
        _isCheckpointWanted = true;
    }

    private void OnStartStepDurable()
    {
        if (_startStep == StartStep.Superblocks && _startCheckpoint != StartCheckpoint.None)
        {
            BeginStartCheckpoint();
        }
        else if (!_isFlipPending && !_isCheckpointWanted && !_checkpoint.IsRunning)
        {
            FinishStart(isDurable: true);
        }
    }

    private void OnStartCheckpointFailed()
    {
        if (_startOwner is not null && _startCheckpoint == StartCheckpoint.IfPossible)
        {
            _isCheckpointWanted = true;
            FinishStart(isDurable: true);
        }
        else
        {
            FailStartIfAny();
        }
    }

    private void FinishStart(bool isDurable)
    {
        IMetadataStartOwner owner = _startOwner!;
        _startOwner = null;
        _startStep = StartStep.None;
        _isStarted = isDurable;
        if (isDurable && _startCheckpoint != StartCheckpoint.Fresh && CountActive() > 1)
        {
            // Nobody waits for it: one that says that the first is settled, so that a spare put back to what
            // it held before this start is told from one that took part in it (F-16).
            RequestSuperblocks();
        }
        owner.OnMetadataStarted(isDurable);
    }

    private int CountActive()
    {
        int active = 0;
        foreach (MetadataMember? member in _members)
        {
            active += member is { IsActive: true } ? 1 : 0;
        }
        return active;
    }

    private void PumpStop()
    {
        if (_stopOwner is not null && _waiting.IsEmpty)
        {
            _checkpoint.Cancel();
        }
        bool isQuiet = _waiting.IsEmpty && _refused.IsEmpty && _journalPhase == JournalPhase.Idle
            && !_superblocks.IsWriting && Busy == 0;
        if (_stopOwner is null || _isCleanWanted || _isCancelled || !isQuiet)
        {
            return;
        }
        _isCleanWanted = true;
        _areSuperblocksStuck = false;
        RequestSuperblocks();
        _stopNeeds = _wanted;
        _isAgain = true;
    }

    private void FinishStop(bool isClean)
    {
        _isCleanWanted = false;
        _isCancelled = true;
        _loop.Cancel(_retryTimer);
        _loop.Cancel(_waitTimer);
        IMetadataStopOwner owner = _stopOwner!;
        owner.OnMetadataStopped(isClean);
    }
}
