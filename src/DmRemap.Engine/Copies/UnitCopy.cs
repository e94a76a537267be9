using System.Collections.Generic;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;
using DmRemap.Engine.Repair;

namespace DmRemap.Engine.Copies;

/// <summary>Told when a unit has been looked at.</summary>
internal interface IUnitCopyOwner
{
    void OnUnitCopied(UnitCopyResult result);
}

internal enum UnitCopyResult : byte
{
    /// <summary>There is nothing to be done for it any more.</summary>
    Settled = 0,

    /// <summary>It has been read and written, and is as it should be.</summary>
    Done = 1,

    /// <summary>It could not be done now.</summary>
    Postponed = 2,

    /// <summary>A spare did not take it.</summary>
    Failed = 3,
}

/// <summary>
/// Makes the second copy of one unit, or makes it anew, or puts it in the first's place; all of it under the
/// unit's hold (F-5):
/// <code>
///   make:     read the first → write another spare durably → record that names it → publish
///   renew:    read the first → write the second durably; where that fails, record without it → publish
///   promote:  the first does not read, or stays away → read the second, whole → record it as the first
///             → publish
/// </code>
/// A crash before the record leaves a unit without a second copy; the unit that was to hold it is free then.
/// </summary>
internal sealed class UnitCopy(RemapDevice device) : RepairJob(device, 2)
{
    private IUnitCopyOwner? _owner;
    private RemapEntry _entry;
    private RemapEntry _rule;
    private UnitNumber _unit;
    private SpareLocation _target;
    private Step _step;
    private long _doubts;
    private long _losses;
    private bool _isFirstBad;
    private ulong _toRead;
    private ulong _toWrite;
    private int _index;
    private int _count;

    private enum Step : byte
    {
        None = 0,
        Make = 1,
        Renew = 2,

        /// <summary>The first has failed readers; does it still?</summary>
        Check = 3,
        Promote = 4,
        GivenUp = 5,
        Refused = 6,
    }

    /// <summary>
    /// Of the unit that was looked at last. Bit by spare: what is on it is in doubt as before.
    /// </summary>
    public uint DoubtLeft { get; private set; }

    /// <param name="unit">To be looked at.</param>
    /// <param name="owner">Told once.</param>
    public void Begin(UnitNumber unit, IUnitCopyOwner owner)
    {
        Invariant.Check(IsIdle);
        _unit = unit;
        _owner = owner;
        Resume();
    }

    /// <summary>What the unit reads does not change here.</summary>
    public override bool LetsReadsPass => true;

    protected override bool IsWaitedFor => false;

    protected override IEnumerator<Wait> Script()
    {
        while (true)
        {
            yield return Wait.Work;
            Device.Holds.Acquire(_unit, this);
            yield return Wait.Hold;
            StartUnit();
            while (TakePiece())
            {
                SubmitToSpare(IoOperation.Read, From, _index, _count, ScratchAt(_index, _count));
                yield return Wait.Io;
                TakeRead();
            }
            while (TakeRunOf(ref _toWrite, out _index, out _count))
            {
                // Forced: the record that names the copy is written when it is durable, and a clean stop
                // vouches for it without another look.
                SubmitToSpare(
                    IoOperation.Write, _target, _index, _count, ScratchAt(_index, _count),
                    IoFlags.ForceUnitAccess);
                yield return Wait.Io;
                TakeWrite();
            }
            if (HasChange())
            {
                SubmitChanges();
                yield return Wait.Commit;
                TakeCommit();
            }
            else if (_step == Step.Renew)
            {
                EndRenewal();
            }
            Device.ReleaseHold(_unit);
            IUnitCopyOwner owner = _owner!;
            _owner = null;
            owner.OnUnitCopied(Result);
        }
    }

    /// <summary>No spare has lost anything meanwhile.</summary>
    private bool IsUndisturbed =>
        _doubts == Device.SecondCopies.Doubts && _losses == Device.LossesNow;

    private SpareLocation From => _step == Step.Promote ? _entry.Second : _entry.Location;

    private UnitCopyResult Result => _step switch
    {
        Step.None => UnitCopyResult.Settled,
        Step.GivenUp => UnitCopyResult.Postponed,
        Step.Refused => UnitCopyResult.Failed,
        _ => UnitCopyResult.Done,
    };

    private void StartUnit()
    {
        _toRead = _toWrite = 0;
        _target = SpareLocation.None;
        _step = Step.None;
        DoubtLeft = 0;
        _doubts = Device.SecondCopies.Doubts;
        _losses = Device.LossesNow;
        _isFirstBad = false;
        Changes.Prepare(this);
        bool isThere = Device.Table.TryGet(_unit, out _entry) && !_entry.Location.IsNone;
        _rule = _entry;
        ulong held = isThere ? Held : 0;
        if (!isThere || (held == 0 && _entry.Second.IsNone))
        {
            return;
        }
        if (!Device.MayCopyUnits || Device.IsInDoubt(_unit))
        {
            _step = Step.GivenUp;
            DoubtLeft = uint.MaxValue;
            return;
        }
        _step = _entry.Second.IsNone ? Step.Make
            : !Device.HasSecondInStep(_entry) ? Step.Renew
            : RemapDevice.IsAway(Device.Spare(_entry.Location.Spare)) ? Step.Promote : Step.Check;
        if (_step == Step.Make && !Device.Allocator.TryAllocateSecond(_entry.Location.Spare, out _target))
        {
            _step = Step.GivenUp;
            return;
        }
        _target = _step == Step.Renew ? _entry.Second : _target;
        _toRead = held;
        _toWrite = _step is Step.Make or Step.Renew ? held : 0;
        if (_step == Step.Renew
            && (Device.Allocator.IsRetired(_target) || Device.SecondCopies.MayStillLand(_target)))
        {
            // Its record failed when it missed a write: only that is left to be made up for.
            _target = SpareLocation.None;
            _toRead = _toWrite = 0;
        }
    }

    private ulong Held => _entry.Blocks.MaskOf(BlockState.OnSpare) & Units.FullMask(_unit);

    private bool TakePiece() =>
        _toRead != 0 && TakePieceOf(ref _toRead, Device.Spare(From.Spare), out _index, out _count);

    private void TakeRead()
    {
        Member source = Device.Spare(From.Spare);
        if (IoSucceeded)
        {
            source.Reads++;
            return;
        }
        source.ReadErrors++;
        ErrorClass kind = RemapDevice.Classify(source, IoOperation.Read, IoStatus, IoErrno, IoElapsed);
        if (_step == Step.Check && kind is ErrorClass.Medium or ErrorClass.Ambiguous)
        {
            // From the beginning, out of the second: it becomes the first only when all of it reads.
            _step = Step.Promote;
            _isFirstBad = kind == ErrorClass.Medium;
            _toRead = Held;
            return;
        }
        GiveUp();
    }

    private void GiveUp()
    {
        _toRead = _toWrite = 0;
        if (_step == Step.Make)
        {
            // Nothing was written there, or what was has come back.
            Device.Allocator.Free(_target);
        }
        else if (_step == Step.Renew)
        {
            // Without what decides, this copy cannot count, whichever of the two is in doubt.
            DoubtLeft = (1u << _entry.Location.Spare) | (1u << _entry.Second.Spare);
        }
        _step = Step.GivenUp;
    }

    private void TakeWrite()
    {
        Member spare = Device.Spare(_target.Spare);
        if (IoSucceeded)
        {
            spare.Writes++;
            return;
        }
        spare.WriteErrors++;
        _toWrite = 0;
        ErrorClass kind = RemapDevice.Classify(spare, IoOperation.Write, IoStatus, IoErrno, IoElapsed);
        if (_step == Step.Make && kind is ErrorClass.Medium or ErrorClass.Ambiguous)
        {
            // A spare that takes nothing for a while must not be used up for it. Another unit is tried later.
            Device.Allocator.Free(_target);
            _target = SpareLocation.None;
            _step = Step.Refused;
            return;
        }
        bool isRetired = Device.NoteSpareFailure(spare, _target, IoStatus, IoErrno, IoElapsed);
        if (isRetired)
        {
            Changes.Add(new TableChange(
                TableChangeKind.RetireSpareUnit, _entry with { Location = _target, Second = default }));
        }
        else if (_step == Step.Renew)
        {
            Device.SecondCopies.NoteMayStillLand(_target);
        }
        else
        {
            _step = Step.Refused;
        }
        _target = SpareLocation.None;
    }

    private bool HasChange()
    {
        if (_step == Step.Promote && (!Device.HasSecondInStep(_entry) || !IsUndisturbed))
        {
            // It has lost something while it was read.
            _step = Step.GivenUp;
        }
        if (_step == Step.Make && !_target.IsNone)
        {
            _rule = _entry with { Second = _target };
        }
        else if (_step == Step.Renew && _target.IsNone)
        {
            _rule = _entry with { Second = SpareLocation.None };
        }
        else if (_step == Step.Promote)
        {
            _rule = _entry with { Location = _entry.Second, Second = SpareLocation.None };
            if (_isFirstBad)
            {
                Changes.Add(new TableChange(TableChangeKind.RetireSpareUnit, _entry));
            }
        }
        if (_rule != _entry)
        {
            Changes.Add(new TableChange(TableChangeKind.Set, _rule));
        }
        return Changes.Count > 0;
    }

    private void TakeCommit()
    {
        if (Changes.Outcome != CommitOutcome.Done)
        {
            // Whichever rule wins, the first reads the same; a copy that a crash brings back counts for
            // nothing after it.
            SpareLocation fresh = _step == Step.Make ? _target : SpareLocation.None;
            Device.NoteUncommitted(_unit, fresh, Changes.Outcome, isSameContent: true);
            DoubtLeft = uint.MaxValue;
            _step = Step.GivenUp;
            return;
        }
        if (_rule == _entry)
        {
            // A fresh unit failed, and is recorded as bad.
            _step = Step.Refused;
            return;
        }
        LetGoOfFirst();
        Device.PublishRule(_rule);
        if (_step == Step.Make)
        {
            Device.Counters.SecondCopiesMade++;
            if (!IsUndisturbed)
            {
                // What was read from the first may be what it has lost since.
                Device.DoubtCopy(_rule);
            }
        }
    }

    private void EndRenewal()
    {
        if (IsUndisturbed)
        {
            Device.SecondCopies.Settle(_unit);
            return;
        }
        DoubtLeft = uint.MaxValue;
        _step = Step.GivenUp;
    }

    /// <summary>
    /// A first that is bad is retired; one that is not here is free. A write to one that is away, or failed,
    /// may still land: it stays taken until the next start.
    /// </summary>
    private void LetGoOfFirst()
    {
        if (_step != Step.Promote)
        {
            return;
        }
        Member first = Device.Spare(_entry.Location.Spare);
        Device.Publish(
            EngineEventKind.SecondTookOver, first, Units.ExtentOf(_unit), _entry.Second, 0);
        if (_isFirstBad)
        {
            Device.Allocator.MarkRetired(_entry.Location);
            Device.Counters.SpareUnitsRetired++;
            Device.Publish(
                EngineEventKind.SpareUnitRetired, first, Units.ExtentOf(_unit), _entry.Location, 0);
        }
        else if (first.IsAbsent)
        {
            Device.GivenBack.Add(_unit, _entry.Location);
        }
    }
}
