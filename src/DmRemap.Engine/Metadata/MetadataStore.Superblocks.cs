using System;
using DmRemap.Core.Abstractions;
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
    private ulong _groupNeeds;
    private ulong _flipNeeds;
    private ulong _stopNeeds;
    private bool _isFlipPending;
    private bool _areSuperblocksStuck;
    private int _firstParity;

    void ISuperblockWriterOwner.OnSuperblockPlaceFree()
    {
        _areSuperblocksStuck = false;
        Pump();
    }

    void ISuperblockWriterOwner.OnSuperblocksWritten()
    {
        if (!AreAnyLacking())
        {
            _durable = _making;
            OnGenerationDurable();
        }
        else
        {
            NoteFailure(_superblocks.FirstFailure);
            _firstParity = _superblocks.FailedParity;
            if (TryGiveUpLackingCopies())
            {
                // The others must say so before anything may rely on this generation (F-15).
                RequestSuperblocks();
                MoveNeeds();
            }
            else
            {
                OnGenerationFailed();
            }
        }
        Pump();
    }

    private void RequestSuperblocks() => _wanted++;

    /// <summary>What waits for the generation just made now waits for the one that names the bad copies.</summary>
    private void MoveNeeds()
    {
        _groupNeeds = _groupNeeds <= _making ? _wanted : _groupNeeds;
        _flipNeeds = _flipNeeds <= _making ? _wanted : _flipNeeds;
        _stopNeeds = _stopNeeds <= _making ? _wanted : _stopNeeds;
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
            JournalHead = _head,
            IsCleanStop = _isCleanWanted,
        };
        _superblocks.Write(_set, _state, _firstParity, _deadline);
    }

    private bool AreAnyLacking()
    {
        for (int i = 0; i < _members.Length; i++)
        {
            for (int copy = 0; copy < SpareLayout.SuperblockCopies; copy++)
            {
                if (_superblocks.TookPart(i) && _superblocks.LacksCopy(i, copy))
                {
                    return true;
                }
            }
        }
        return false;
    }

    /// <summary>
    /// Mark what lacks the generation as bad, a member that hangs or has no good copy left as inactive.
    /// False, and nothing marked, when that would leave no member.
    /// </summary>
    private bool TryGiveUpLackingCopies()
    {
        Span<byte> before = stackalloc byte[Limits.SparesMax];
        int fit = 0;
        for (int i = 0; i < _members.Length; i++)
        {
            before[i] = _members[i]?.BadCopies ?? 0;
            fit += _superblocks.TookPart(i) && MarkLackingCopies(i) ? 1 : 0;
        }
        if (fit == 0)
        {
            for (int i = 0; i < _members.Length; i++)
            {
                if (_members[i] is MetadataMember member)
                {
                    member.BadCopies = before[i];
                }
            }
            return false;
        }
        for (int i = 0; i < _members.Length; i++)
        {
            bool isActive = _members[i] is { IsActive: true };
            if (isActive && _superblocks.TookPart(i) && !IsFit(i))
            {
                Demote(i);
            }
        }
        return true;
    }

    private bool MarkLackingCopies(int member)
    {
        for (int copy = 0; copy < SpareLayout.SuperblockCopies; copy++)
        {
            if (_superblocks.LacksCopy(member, copy))
            {
                _members[member]!.BadCopies |= (byte)(1 << copy);
            }
        }
        return IsFit(member);
    }

    private bool IsFit(int member) => _members[member]!.HasGoodCopy && !_superblocks.HasHung(member);

    private void OnGenerationDurable()
    {
        if (_isFlipPending && _flipNeeds <= _durable)
        {
            // Every copy names the new checkpoint: what only the old one needed may be overwritten.
            _isFlipPending = false;
            _firstNeeded = _state.FirstJournalSequence;
            CheckpointsDone++;
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
            FinishStop(isClean: true);
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
