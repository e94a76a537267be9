using System;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;

namespace DmRemap.Engine.Metadata;

/// <summary>Commits: grouped into records, written, and answered.</summary>
public sealed partial class MetadataStore
{
    /// <summary>A record that a bad slot refused is written anew this often, each time further on.</summary>
    private const int AttemptsMax = 3;

    private CommitQueue _waiting;
    private CommitQueue _writing;
    private CommitQueue _refused;
    private TableGrowth _finishing;
    private JournalPhase _journalPhase;
    private JournalLink _head;
    private JournalLink _written;
    private ulong _nextSequence;
    private ulong _headEnd;
    private int _attempts;

    private enum JournalPhase : byte
    {
        Idle = 0,
        Writing = 1,

        /// <summary>The record is durable, but not everywhere: who lacks it is recorded first.</summary>
        Demoting = 2,
    }

    /// <inheritdoc/>
    public void Commit(CommitRequest request)
    {
        request.MarkPending();
        request.QueuedAt = _loop.Now;
        bool isFull = IsTooMuch(request);
        if (_stopOwner is not null || _isCancelled || isFull)
        {
            // Nothing of it is written: it has failed. Not said from inside Commit.
            IsTableFull |= isFull;
            _refused.Add(request);
            _loop.Schedule(_refuseTimer, _loop.Now);
            return;
        }
        IsTableFull &= isFull;
        _waiting.Add(request);
        Pump();
    }

    void IJournalWriterOwner.OnJournalPlaceFree() => Pump();

    void IJournalWriterOwner.OnRecordWritten()
    {
        Invariant.Check(_journalPhase == JournalPhase.Writing);
        if (!IsRecordEverywhere())
        {
            if (_journal.HasFailed)
            {
                MetadataFailure first = _journal.FirstFailure;
                NoteFailure(first with { Target = first.Target / SpareLayout.Places });
            }
            OnRecordLacking();
        }
        else if (_membershipNeeds > _durable)
        {
            // A member was given up, and the others do not say so durably yet: this record must not count
            // before they do, or a start from that member alone would not know of it (F-14).
            AwaitMembership(_membershipNeeds);
        }
        else
        {
            FinishGroup(CommitOutcome.Done);
        }
        Pump();
    }

    /// <summary>
    /// The table with this, and with all that is on its way to it, would not fit the smallest spare.
    /// </summary>
    private bool IsTooMuch(CommitRequest request)
    {
        TableGrowth own = TableGrowth.Of(request);
        TableGrowth all = own + _waiting.Growth + _writing.Growth + _finishing;
        long runs = Math.Min(_table.RunCount + (2L * all.Entries), _table.Geometry.Units);
        long cells = runs + _retired.Count + all.RetiredUnits;
        bool isTooLong = cells > EntriesMax - Limits.CommitChangesMax
            || _table.Count + all.Entries > SpareLayout.TableEntriesMax;
        return !own.IsNone && isTooLong;
    }

    /// <summary>
    /// Each place that is not given up, of each member that is active now, has the record. Not counted:
    /// what another writer gave up while the record was on its way may have it and does not matter.
    /// </summary>
    private bool IsRecordEverywhere()
    {
        for (int i = 0; i < _members.Length; i++)
        {
            for (int place = 0; place < SpareLayout.Places; place++)
            {
                bool isWanted = _members[i] is { IsActive: true } member
                    && (member.BadJournals & (1 << place)) == 0;
                if (isWanted && _journal.OutcomeAt(i, place) != TargetOutcome.Ok)
                {
                    return false;
                }
            }
        }
        return true;
    }

    private bool IsRecordAnywhere()
    {
        bool isAnywhere = false;
        for (int i = 0; i < _members.Length; i++)
        {
            isAnywhere |= _members[i] is { IsActive: true } && HasRecord(i);
        }
        return isAnywhere;
    }

    private bool HasRecord(int member)
    {
        bool hasIt = false;
        for (int place = 0; place < SpareLayout.Places; place++)
        {
            hasIt |= _journal.OutcomeAt(member, place) == TargetOutcome.Ok;
        }
        return hasIt;
    }

    private void OnRecordLacking()
    {
        // A slot that does not take the record is left behind: the record goes further on in the ring, and
        // its successor's link skips what this attempt has left.
        bool mayRewrite = !_journal.HasTimedOut && _journal.Busy == 0 && _attempts < AttemptsMax;
        if (mayRewrite && TryWriteRecord())
        {
            return;
        }
        if (!IsRecordAnywhere())
        {
            FinishGroup(CommitOutcome.Unknown);
            return;
        }
        GiveUpLackingPlaces();
        RequestSuperblocks();
        AwaitMembership(_wanted);
    }

    private void AwaitMembership(ulong needs)
    {
        _journalPhase = JournalPhase.Demoting;
        _groupNeeds = needs;
    }

    /// <summary>
    /// Whoever lacks the record is recorded as such before the commit is Done: otherwise a start from that
    /// place alone would find a history without it (F-14).
    /// </summary>
    private void GiveUpLackingPlaces()
    {
        for (int i = 0; i < _members.Length; i++)
        {
            if (_members[i] is not { IsActive: true } member)
            {
                continue;
            }
            bool hasIt = false;
            bool isHung = false;
            for (int place = 0; place < SpareLayout.Places; place++)
            {
                bool isOk = _journal.OutcomeAt(i, place) == TargetOutcome.Ok;
                hasIt |= isOk;
                isHung |= _journal.OutcomeAt(i, place) == TargetOutcome.TimedOut;
                member.BadJournals |= (byte)(isOk ? 0 : 1 << place);
                _isMembershipChanged |= !isOk;
            }
            if (!hasIt || (isHung && HasAnotherTheRecord(i)))
            {
                Demote(i);
            }
        }
    }

    private bool HasAnotherTheRecord(int member)
    {
        for (int i = 0; i < _members.Length; i++)
        {
            for (int place = 0; place < SpareLayout.Places; place++)
            {
                bool isOther = i != member && _members[i] is { IsActive: true };
                if (isOther && _journal.OutcomeAt(i, place) == TargetOutcome.Ok)
                {
                    return true;
                }
            }
        }
        return false;
    }

    private void PumpJournal()
    {
        bool mayBegin = _journalPhase == JournalPhase.Idle && !IsGrowing;
        if (!mayBegin || _waiting.IsEmpty || !_isStarted || _isCancelled)
        {
            return;
        }
        if (!_journal.IsAnyUsable())
        {
            ArmWaitTimer();
            return;
        }
        _attempts = 0;
        int requests = ComposeRecord();
        if (!TryWriteRecord())
        {
            ArmWaitTimer();
            return;
        }
        for (int i = 0; i < requests; i++)
        {
            _writing.Add(_waiting.TakeFirst());
        }
    }

    /// <summary>As many of the waiting commits as fit one record: they share its write.</summary>
    private int ComposeRecord()
    {
        _record.Begin();
        int requests = 0;
        for (CommitRequest? request = _waiting.First;
            request is not null && request.Count <= _record.RoomFor;
            request = request.Next)
        {
            foreach (ref readonly TableChange change in request.Changes)
            {
                _record.Add(change);
            }
            requests++;
        }
        Invariant.Check(requests > 0);
        return requests;
    }

    /// <summary>False: the ring has no room for it until a checkpoint is done.</summary>
    private bool TryWriteRecord()
    {
        bool hasRoom = _ring.TryFit(
            _nextSequence, _record.Slots, _firstNeeded, NeededEnd, out ulong sequence);
        if (!hasRoom)
        {
            return false;
        }
        _attempts++;
        _nextSequence = sequence + (ulong)_record.Slots;
        int buffer = _journal.TakeBuffer(out BufferSlice bytes);
        bytes = bytes.Slice(0, _record.Slots * _ring.SlotBytes);
        _written = _record.Finish(bytes.Span, _set.SetUuid, _state.Epoch, sequence, _head, _head.Sequence);
        _journalPhase = JournalPhase.Writing;
        _journal.Write(buffer, bytes, sequence, _deadline);
        return true;
    }

    private void FinishGroup(CommitOutcome outcome)
    {
        GroupsDone += outcome == CommitOutcome.Done ? 1 : 0;
        GroupsUnknown += outcome == CommitOutcome.Unknown ? 1 : 0;
        if (outcome == CommitOutcome.Done)
        {
            _head = _written;
            _headEnd = _nextSequence;
            RetireUnitsOfGroup();
        }
        // Commits that the owners make now wait in line, so that they share the next record.
        CommitQueue finished = _writing;
        _writing = default;
        _finishing = finished.Growth;
        bool wasPumping = _isPumping;
        _isPumping = true;
        finished.CompleteAll(outcome);
        _isPumping = wasPumping;
        _finishing = default;
        _journalPhase = JournalPhase.Idle;
    }

    private void RetireUnitsOfGroup()
    {
        for (CommitRequest? request = _writing.First; request is not null; request = request.Next)
        {
            foreach (ref readonly TableChange change in request.Changes)
            {
                if (change.Kind == TableChangeKind.RetireSpareUnit)
                {
                    _retired.Add(change.Entry.Location);
                }
            }
        }
    }

    private void Refuse()
    {
        CommitQueue refused = _refused;
        _refused = default;
        GroupsFailed += refused.IsEmpty ? 0 : 1;
        refused.CompleteAll(CommitOutcome.Failed);
    }

    private void ArmWaitTimer()
    {
        if (!_waitTimer.IsSet)
        {
            _loop.Schedule(_waitTimer, _waiting.First!.QueuedAt + _deadline);
        }
    }

    /// <summary>
    /// Nothing of these was written, and they have waited long enough for a place that is stuck: they have
    /// failed.
    /// </summary>
    private void FailOverdue()
    {
        CommitQueue overdue = default;
        while (!_waiting.IsEmpty && _waiting.First!.QueuedAt + _deadline <= _loop.Now)
        {
            overdue.Add(_waiting.TakeFirst());
        }
        if (!overdue.IsEmpty)
        {
            GroupsFailed++;
            TimeOuts++;
            overdue.CompleteAll(CommitOutcome.Failed);
        }
        if (!_waiting.IsEmpty)
        {
            ArmWaitTimer();
        }
    }
}
