using System;
using System.Collections.Generic;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using DmRemap.Core.Healing;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;

namespace DmRemap.Engine.Repair;

/// <summary>Told when a unit has been looked at.</summary>
internal interface IUnitHealingOwner
{
    /// <param name="wasAtDisk">Anything was read or written.</param>
    void OnUnitLookedAt(bool wasAtDisk);
}

/// <summary>
/// One step of healing one unit (P8), all of it under the unit's hold (F-5):
/// <code>
///   rewrite:  read the spare → write the primary, forced → read back, equal → record: probation → published
///   verify:   read the spare → read the primary, equal → record: one more, or the rule dissolved → published
/// </code>
/// The spare decides until the dissolution is durable; from then on only the primary is written, and the
/// spare unit is lent again after a checkpoint (F-4).
/// </summary>
internal sealed class UnitHealing(RemapDevice device) : RepairJob(device, 1)
{
    /// <summary>EILSEQ: it reads, but not what was written.</summary>
    private const int DiffersErrno = 84;

    private readonly BufferSlice _readBack =
        AlignedMemory.Allocate(Math.Max(device.Units.UnitBytes, AlignedMemory.Alignment));

    private static readonly ControlRound s_noControl = new(0);

    private IUnitHealingOwner? _owner;
    private ControlPlaces _places;
    private ControlRound _control = s_noControl;
    private int _place;
    private RemapEntry _entry;
    private UnitNumber _unit;
    private HealStep _step;
    private long _pass;
    private ulong _copied;
    private ulong _toRead;
    private ulong _toWrite;
    private ulong _toCompare;
    private int _index;
    private int _count;
    private int _errno;
    private bool _isUndecided;
    private bool _wasAtDisk;

    /// <param name="unit">To be looked at.</param>
    /// <param name="pass">Of healing.</param>
    /// <param name="owner">Told once.</param>
    public void Begin(UnitNumber unit, long pass, IUnitHealingOwner owner)
    {
        Invariant.Check(IsIdle);
        _unit = unit;
        _pass = pass;
        _owner = owner;
        Resume();
    }

    protected override bool IsWaitedFor => false;

    /// <summary>
    /// What the unit reads does not change here: a disk that takes its time holds up no reader.
    /// </summary>
    public override bool LetsReadsPass => true;

    protected override IEnumerator<Wait> Script()
    {
        while (true)
        {
            yield return Wait.Work;
            Device.Holds.Acquire(_unit, this);
            yield return Wait.Hold;
            StartUnit();
            while (TakeSparePiece())
            {
                SubmitToSpare(IoOperation.Read, _entry.Location, _index, _count, ScratchAt(_index, _count));
                yield return Wait.Io;
                TakeSpareRead();
            }
            while (TakeRunOf(ref _toWrite, out _index, out _count))
            {
                SubmitCopy(IoOperation.Write, Blocks(), ScratchAt(_index, _count));
                yield return Wait.Io;
                TakeWrite();
            }
            while (TakePieceOf(ref _toCompare, Device.Primary, out _index, out _count))
            {
                SubmitToPrimary(IoOperation.Read, Blocks(), ReadBackAt());
                yield return Wait.Io;
                TakeReadBack();
            }
            while (_control.Verdict == ReadVerdict.NeedsControl)
            {
                SubmitControl();
                yield return Wait.Io;
                TakeControl();
            }
            if (HasChange())
            {
                SubmitChanges();
                yield return Wait.Commit;
                TakeCommit();
            }
            Device.ReleaseHold(_unit);
            IUnitHealingOwner owner = _owner!;
            _owner = null;
            owner.OnUnitLookedAt(_wasAtDisk);
        }
    }

    private void StartUnit()
    {
        _toRead = _toWrite = _toCompare = _copied = 0;
        _errno = 0;
        _control = s_noControl;
        _isUndecided = _wasAtDisk = false;
        _step = HealStep.None;
        if (!Device.MayHeal || Device.IsInDoubt(_unit) || !Device.Table.TryGet(_unit, out _entry))
        {
            return;
        }
        ulong places = Units.FullMask(_unit);
        _step = HealRule.StepFor(_entry, places, Device.HealingBlocks, _pass);
        if (!IsTime())
        {
            _step = HealStep.None;
        }
        if (_step is HealStep.Rewrite or HealStep.Verify)
        {
            PlanUnit(places);
        }
    }

    private bool IsTime() => _step switch
    {
        HealStep.Rewrite => Device.Tally.ProbationUnits < HealRule.ProbationMax,
        HealStep.Verify =>
            Device.Copies.MayVerify(_unit, Device.Primary.BytesTransferred, Device.HealingTransfer),
        _ => true,
    };

    private void PlanUnit(ulong places)
    {
        _wasAtDisk = true;
        _copied = HealRule.PlacesToCopy(_entry, places);
        ulong zeroes = places & _entry.Blocks.MaskOf(BlockState.Zero);
        _toRead = _copied & ~zeroes;
        _toWrite = _step == HealStep.Rewrite ? _copied : 0;
        _toCompare = _copied;
        while (TakeRunOf(ref zeroes, out int index, out int count))
        {
            ScratchAt(index, count).Span.Clear();
        }
        if (_step == HealStep.Rewrite)
        {
            // From here until it is whole the primary's place holds neither.
            Device.Copies.Forget(_unit);
        }
    }

    private bool TakeSparePiece() =>
        _toRead != 0 && TakePieceOf(ref _toRead, Device.Spare(_entry.Location.Spare), out _index, out _count);

    private void TakeSpareRead()
    {
        Member spare = Device.Spare(_entry.Location.Spare);
        if (IoSucceeded)
        {
            spare.Reads++;
            return;
        }
        // The spare's trouble: it says nothing of the primary.
        spare.ReadErrors++;
        EndUndecided();
    }

    private void TakeWrite()
    {
        if (IoSucceeded)
        {
            // Not one of those that tell whether the disk takes writes: it is at a place that had failed.
            Device.Primary.Writes++;
            return;
        }
        Device.Primary.WriteErrors++;
        NoteFailure(IoOperation.Write);
    }

    private void TakeReadBack()
    {
        if (!IoSucceeded)
        {
            Device.Primary.ReadErrors++;
            NoteFailure(IoOperation.Read);
            return;
        }
        Device.Primary.Reads++;
        Device.NoteReadSuccess(Device.Primary, Blocks());
        if (ReadBackAt().Span.SequenceEqual(ScratchAt(_index, _count).Span))
        {
            return;
        }
        if (_step == HealStep.Verify && !Device.Copies.IsInStep(_unit))
        {
            // An earlier life wrote one of the two only, or a cache was lost: that is not the place's fault.
            _step = HealStep.EndProbation;
            _toCompare = 0;
            return;
        }
        EndFailed(DiffersErrno);
    }

    /// <summary>
    /// Only a confirmed error of the medium counts against the place (F-17): a disk that stalls, or is away,
    /// is asked again in the next pass.
    /// </summary>
    private void NoteFailure(IoOperation operation)
    {
        ErrorClass kind = RemapDevice.Classify(Device.Primary, operation, IoStatus, IoErrno, IoElapsed);
        int errno = IoErrno;
        bool mayBeMedium = kind is ErrorClass.Medium or ErrorClass.Ambiguous;
        if (mayBeMedium)
        {
            EndFailed(errno);
        }
        else
        {
            EndUndecided();
        }
        if (mayBeMedium && operation == IoOperation.Write)
        {
            // A disk that takes no write at all is found out by this, too, and no place is blamed for it.
            bool wasRejected = Device.AreWritesRejected;
            Device.WriteControl.OnFailure(_unit, Units.ExtentOf(_unit));
            Device.NoteRejection(wasRejected, errno);
            _isUndecided = Device.AreWritesRejected || Device.WriteControl.NeedsControl;
        }
        if (mayBeMedium && !_isUndecided)
        {
            // An error that a whole disk makes too: does it read elsewhere, now?
            _places = Device.ReadControlOf(Device.Primary)!.PlacesFor(
                _unit, Device.Now, isNamed: kind == ErrorClass.Medium);
            _control = new ControlRound(_places.Count);
            _place = 0;
            _isUndecided = _places.Count == 0;
        }
        if (_isUndecided)
        {
            Device.Publish(
                EngineEventKind.MemberError, Device.Primary, Units.ExtentOf(_unit), _entry.Location, errno);
        }
    }

    private void SubmitControl()
    {
        Extent unit = Units.ExtentOf(_places[_place]);
        int count = (int)Math.Min(unit.Count.Value, PieceAt(Device.Primary, 0, Units.BlocksPerUnit));
        SubmitToPrimary(
            IoOperation.Read, new Extent(unit.Start, new BlockCount(count)), _readBack.Slice(
                0, count * Units.BlockSize.Bytes));
    }

    private void TakeControl()
    {
        if (IoSucceeded)
        {
            Device.NoteReadSuccess(Device.Primary, Units.ExtentOf(_places[_place]));
        }
        _place++;
        ReadVerdict verdict =
            _control.OnControlRead(IoSucceeded ? ControlOutcome.Read : ControlOutcome.Failed);
        if (verdict == ReadVerdict.NotMedium)
        {
            Device.Publish(
                EngineEventKind.MemberError, Device.Primary, Units.ExtentOf(_unit), _entry.Location, _errno);
            EndUndecided();
        }
    }

    private void EndFailed(int errno)
    {
        _errno = errno;
        _toWrite = _toCompare = 0;
    }

    private void EndUndecided()
    {
        _isUndecided = true;
        _toRead = _toWrite = _toCompare = 0;
    }

    private bool HasChange()
    {
        if (_step == HealStep.None || _isUndecided)
        {
            return false;
        }
        Changes.Prepare(this);
        if (_step == HealStep.EndProbation || _errno != 0)
        {
            Changes.Add(new TableChange(TableChangeKind.Set, Refused()));
        }
        else if (_step == HealStep.Rewrite)
        {
            Changes.Add(new TableChange(TableChangeKind.Set, _entry with
            {
                State = UnitState.Probation,
                Trials = new HealTrials(0, _entry.Trials.Failed),
            }));
        }
        else
        {
            Changes.Add(Passed());
        }
        return true;
    }

    /// <summary>What was verified of content that has been overwritten since does not count.</summary>
    private TableChange Passed()
    {
        int before = Device.Copies.IsNew(_unit) ? 0 : _entry.Trials.Passed;
        return before + 1 < HealRule.PassesNeeded
            ? new TableChange(
                TableChangeKind.Set,
                _entry with { Trials = new HealTrials(before + 1, _entry.Trials.Failed) })
            : new TableChange(TableChangeKind.Remove, _entry);
    }

    private RemapEntry Refused()
    {
        RemapEntry rule = _entry.AsRemapped();
        return _errno == 0 ? rule : rule with
        {
            Trials = rule.Trials.WithFailure(),
            LastErrno = (ushort)Math.Clamp(_errno, 0, ushort.MaxValue),
            LastErrorDay = Device.Today,
        };
    }

    private void TakeCommit()
    {
        if (Changes.Outcome != CommitOutcome.Done)
        {
            // Either rule shows the same, until the unit is written; and which of them a crash leaves is not
            // known, so the copy counts no more.
            Device.Copies.Forget(_unit);
            Device.NoteUncommitted(_unit, SpareLocation.None, Changes.Outcome, isSameContent: true);
            return;
        }
        TableChange change = Changes.Changes[0];
        if (change.Kind == TableChangeKind.Remove)
        {
            TakeDissolution();
            return;
        }
        Device.PublishRule(change.Entry);
        if (change.Entry.State == UnitState.Probation)
        {
            NoteInStep();
        }
        else if (_errno != 0)
        {
            Device.Counters.HealsFailed++;
            Device.Publish(
                EngineEventKind.HealFailed, Device.Primary, Units.ExtentOf(_unit), _entry.Location, _errno);
        }
    }

    private void NoteInStep()
    {
        if (_step == HealStep.Rewrite)
        {
            Device.Counters.UnitsRewritten++;
            Device.Copies.NoteWritten(_unit, Device.Primary.BytesTransferred);
        }
        else
        {
            Device.Copies.NoteCompared(_unit, Device.Primary.BytesTransferred);
        }
    }

    private void TakeDissolution()
    {
        Device.RemoveEntry(_unit);
        Device.Losses.Settle(_unit);
        Device.Suspects.Clear(_unit, _copied);
        Device.GivenBack.Add(_unit, _entry.Location);
        Device.Counters.UnitsHealed++;
        Device.Publish(
            EngineEventKind.Healed, Device.Primary, Units.ExtentOf(_unit), _entry.Location, 0);
    }

    private BufferSlice ReadBackAt()
    {
        int size = Units.BlockSize.Bytes;
        return _readBack.Slice(_index * size, _count * size);
    }

    private Extent Blocks() => Units.ExtentAt(_unit, _index, _count);
}
