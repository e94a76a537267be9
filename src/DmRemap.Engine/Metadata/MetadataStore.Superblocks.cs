using DmRemap.Core.Metadata;

namespace DmRemap.Engine.Metadata;

/// <summary>
/// Superblocks: whoever changes what they say counts `wanted` up and notes its value; a generation that has
/// become durable everywhere settles all that was wanted when it was made. A change that comes while one is
/// being written is not lost: it makes the next.
/// </summary>
public sealed partial class MetadataStore
{
    private ulong _wanted;
    private ulong _making;
    private ulong _durable;
    private ulong _settledGeneration;
    private ulong _membershipNeeds;
    private ulong _groupNeeds;
    private ulong _flipNeeds;
    private ulong _stopNeeds;
    private bool _isFlipPending;
    private bool _isMembershipChanged;
    private bool _areSuperblocksStuck;

    void ISuperblockWriterOwner.OnSuperblockPlaceFree()
    {
        _areSuperblocksStuck = false;
        Pump();
    }

    void ISuperblockWriterOwner.OnSuperblocksWritten()
    {
        if (_superblocks.HasFailed)
        {
            NoteFailure(_superblocks.FirstFailure);
        }
        if (!IsAnyFit())
        {
            OnGenerationFailed();
        }
        else if (AreLackingCopiesNamed())
        {
            bool isOfMembership = _membershipNeeds > _durable && _membershipNeeds <= _making;
            _durable = _making;
            NoteSettled();
            NoteHealedCopies();
            OnGenerationDurable();
            if (isOfMembership && CountActive() > 1)
            {
                // Nobody waits for it: one that says that this one is settled, so that a spare put back to
                // what it held before is told from one that took part in what followed (F-16).
                RequestSuperblocks();
            }
        }
        else
        {
            // The superblocks themselves must say which copies lack them before anything may rely on this
            // generation (F-15).
            GiveUpLackingCopies();
            RequestSuperblocks();
            MoveNeeds();
        }
        Pump();
    }

    private void RequestSuperblocks()
    {
        _wanted++;
        _membershipNeeds = _isMembershipChanged ? _wanted : _membershipNeeds;
        _isMembershipChanged = false;
    }

    /// <summary>
    /// What waits for the generation just made now waits for the one that names the bad copies.
    /// </summary>
    private void MoveNeeds()
    {
        _membershipNeeds = _membershipNeeds > _durable && _membershipNeeds <= _making
            ? _wanted
            : _membershipNeeds;
        _groupNeeds = _groupNeeds <= _making ? _wanted : _groupNeeds;
        _flipNeeds = _flipNeeds <= _making ? _wanted : _flipNeeds;
        _stopNeeds = _stopNeeds <= _making ? _wanted : _stopNeeds;
        _changeNeeds = _changeNeeds <= _making ? _wanted : _changeNeeds;
    }

    private void PumpSuperblocks()
    {
        if (_superblocks.IsWriting || _durable == _wanted || _areSuperblocksStuck || _isCancelled)
        {
            return;
        }
        RefreshSet();
        _making = _wanted;

        // A generation is used once, whether it becomes durable or not: two superblocks that differ never
        // share one.
        _state = _state with
        {
            Generation = _state.Generation + 1,
            SettledGeneration = _settledGeneration,
            JournalHead = _head,
            IsCleanStop = _isCleanWanted,
            AreCopiesInStep = _isCleanWanted && _areCopiesInStep,
        };
        _superblocks.Write(_set, _state, _deadline);
    }

    private bool IsAnyFit()
    {
        bool isAny = false;
        for (int i = 0; i < _members.Length; i++)
        {
            isAny |= IsFit(i);
        }
        return isAny;
    }

    /// <summary>It has the generation, and was not given up while that was written.</summary>
    private bool IsFit(int member) =>
        _members[member] is { IsActive: true }
        && _superblocks.TookPart(member)
        && _superblocks.HasAny(member);

    private bool AreLackingCopiesNamed()
    {
        bool areNamed = true;
        for (int i = 0; i < _members.Length; i++)
        {
            byte unnamed = (byte)(_superblocks.LackingCopies(i) & ~_set.Members[i].BadCopies);
            areNamed &= !_superblocks.TookPart(i) || (_superblocks.HasAny(i) && unnamed == 0);
        }
        return areNamed;
    }

    /// <summary>
    /// Name what lacks the generation as bad; a member that has no copy of it, or that hangs while another
    /// does not, as inactive.
    /// </summary>
    private void GiveUpLackingCopies()
    {
        for (int i = 0; i < _members.Length; i++)
        {
            if (!_superblocks.TookPart(i) || _members[i] is not { IsActive: true } member)
            {
                continue;
            }
            member.BadCopies |= _superblocks.LackingCopies(i);
            if (!IsFit(i) || (_superblocks.HasHung(i) && IsAnotherFit(i)))
            {
                Demote(i);
            }
        }
    }

    private bool IsAnotherFit(int member)
    {
        bool isAnother = false;
        for (int i = 0; i < _members.Length; i++)
        {
            isAnother |= i != member && IsFit(i) && !_superblocks.HasHung(i);
        }
        return isAnother;
    }

    /// <summary>All that took part have this generation.</summary>
    private void NoteSettled()
    {
        _settledGeneration = _state.Generation;
        for (int i = 0; i < _members.Length; i++)
        {
            if (_superblocks.TookPart(i) && _members[i] is MetadataMember member)
            {
                member.SettledGeneration = 0;
            }
        }
    }

    /// <summary>What was named as bad and took this generation is good again, for the next one.</summary>
    private void NoteHealedCopies()
    {
        for (int i = 0; i < _members.Length; i++)
        {
            if (_superblocks.TookPart(i) && _members[i] is MetadataMember member)
            {
                member.BadCopies = _superblocks.LackingCopies(i);
            }
        }
    }

    private void OnGenerationDurable()
    {
        if (_isFlipPending && _flipNeeds <= _durable)
        {
            // Every copy names the new checkpoint: what only the old one needed may be overwritten.
            _isFlipPending = false;
            _firstNeeded = _state.FirstJournalSequence;
            CheckpointsDone++;
            TellCheckpointWaiter();
        }
        if (_journalPhase == JournalPhase.Demoting && _groupNeeds <= _durable)
        {
            FinishGroup(CommitOutcome.Done);
        }
        if (_startOwner is not null)
        {
            OnStartStepDurable();
        }
        if (_isCleanWanted && _stopNeeds <= _durable)
        {
            // A member given up in this very step may have left writes with the kernel (F-31).
            FinishStop(isClean: Busy == 0);
        }
    }

    private void OnGenerationFailed()
    {
        _areSuperblocksStuck = true;
        ScheduleRetry();
        if (_journalPhase == JournalPhase.Demoting)
        {
            FinishGroup(CommitOutcome.Unknown);
        }
        if (_startOwner is not null)
        {
            FinishStart(isDurable: false);
        }
        if (_isCleanWanted)
        {
            FinishStop(isClean: false);
        }
    }
}
