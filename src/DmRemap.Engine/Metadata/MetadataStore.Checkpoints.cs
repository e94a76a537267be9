using System;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;

namespace DmRemap.Engine.Metadata;

/// <summary>Checkpoints: when the ring is half full, beside everything else.</summary>
public sealed partial class MetadataStore
{
    private ulong _firstNeeded;
    private ulong _checkpointFirst;
    private long _runsTooLong = long.MaxValue;
    private bool _isCheckpointWanted;
    private bool _isCheckpointStuck;
    private ICheckpointWaiter? _checkpointWaiter;
    private bool _isWaiterCovered;

    /// <inheritdoc/>
    public void Checkpoint(ICheckpointWaiter waiter)
    {
        Invariant.Check(_checkpointWaiter is null);
        _checkpointWaiter = waiter;
        _isCheckpointWanted = true;
        Pump();
    }

    void ICheckpointOwner.OnCheckpointIdle() => Pump();

    void ICheckpointOwner.OnCheckpointEnded()
    {
        if (_checkpoint.IsTooLong)
        {
            _runsTooLong = _table.RunCount;
            IsTableFull = true;
            OnStartCheckpointFailed();
        }
        else if (IsCheckpointAnywhere())
        {
            TakeCheckpoint();
        }
        else
        {
            // No superblock names the idle area: what is in it now cannot win, and it may be written again.
            NoteFailure(_checkpoint.FirstFailure);
            _isCheckpointStuck = true;
            _isCheckpointWanted |= _checkpointWaiter is not null;
            ScheduleRetry();
            OnStartCheckpointFailed();
        }
        Pump();
    }

    private void PumpCheckpoint()
    {
        bool isWanted = _isCheckpointWanted || JournalSlotsUsed >= _ring.Slots / 2;
        bool isIdle = !_checkpoint.IsRunning && _checkpoint.Busy == 0 && !_isFlipPending;
        // During a stop only when commits wait for room.
        bool isAllowed = !_isCheckpointStuck && !_isCancelled && (_stopOwner is null || !_waiting.IsEmpty)
            && _table.RunCount < _runsTooLong;
        // The new epoch is durable before anything is written for it.
        bool isOpen = (_isStarted || _startStep == StartStep.Checkpoint) && !IsGrowing;
        if (!isWanted || !isIdle || !isAllowed || !isOpen)
        {
            return;
        }
        _isCheckpointWanted = false;
        // One that is under way when somebody asks may have written the old rules already: it does not count.
        _isWaiterCovered = _checkpointWaiter is not null;
        _runsTooLong = long.MaxValue;
        // Everything up to the head is in the table; later changes are in records that are replayed over it.
        _checkpointFirst = _head.Sequence + 1;
        CheckpointPointer start = new()
        {
            Area = _state.Checkpoint.Area == CheckpointArea.A ? CheckpointArea.B : CheckpointArea.A,
            Generation = _state.Generation + 1,
            Epoch = _state.Epoch,
        };
        _checkpoint.Begin(_set, _table, _retired, start, _checkpointFirst, _deadline);
    }

    private bool IsCheckpointAnywhere()
    {
        for (int i = 0; i < _members.Length; i++)
        {
            if (_members[i] is { IsActive: true } && IsCheckpointOn(i))
            {
                return true;
            }
        }
        return false;
    }

    private bool IsCheckpointOn(int member)
    {
        bool isSound = false;
        for (int place = 0; place < SpareLayout.Places; place++)
        {
            isSound |= _checkpoint.IsSoundAt(member, place);
        }
        return isSound;
    }

    /// <summary>
    /// The checkpoint is whole on disk; now the superblocks may name it. A member that does not have it in
    /// any place is inactive with the same generation.
    /// </summary>
    private void TakeCheckpoint()
    {
        for (int i = 0; i < _members.Length; i++)
        {
            if (_members[i] is not MetadataMember member || member.Role == MemberRole.Absent)
            {
                continue;
            }
            if (!IsCheckpointOn(i))
            {
                NoteFailure(_checkpoint.FirstFailure);
                MakeInactive(i);
                continue;
            }
            byte bad = 0;
            for (int place = 0; place < SpareLayout.Places; place++)
            {
                bad |= (byte)(_checkpoint.IsSoundAt(i, place) ? 0 : 1 << place);
            }
            member.BadCheckpoints = bad;
            if (member.Role == MemberRole.Joining)
            {
                // What is settled among the others is not on it before the generation that is made now: a
                // start between must neither take it for an old image, nor forget what the others have had.
                member.SettledGeneration = Math.Max(member.SettledGeneration, 1);
                member.Role = MemberRole.Active;
            }
        }
        _state = _state with { Checkpoint = _checkpoint.Pointer, FirstJournalSequence = _checkpointFirst };
        _isFlipPending = true;
        RequestSuperblocks();
        _flipNeeds = _wanted;
    }

    private void TellCheckpointWaiter()
    {
        if (_isWaiterCovered)
        {
            ICheckpointWaiter waiter = _checkpointWaiter!;
            _checkpointWaiter = null;
            _isWaiterCovered = false;
            waiter.OnCheckpointDurable();
        }
    }

    private void FailStartIfAny()
    {
        if (_startOwner is not null)
        {
            FinishStart(isDurable: false);
        }
    }
}
