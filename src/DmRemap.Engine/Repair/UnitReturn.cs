using System;
using System.Collections.Generic;
using System.Numerics;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;

namespace DmRemap.Engine.Repair;

/// <summary>
/// Moves units from spares back to the primary because a person asks. Order (F-4, F-5), all of it under the
/// unit's hold:
/// <code>
///   read every block → on the spare whole → on the primary, forced → read back, equal
///     → dissolve record durable → published → released; the spare unit is lent again after a checkpoint
/// </code>
/// Until the record is durable the spare decides, and nothing there was changed: a crash, or a primary that
/// takes only half of it, leaves the unit as it was. Zeros are written; lost blocks stay lost, by a rule that
/// never looks at the primary, because what lies there is older than what was lost.
/// </summary>
internal sealed class UnitReturn(RemapDevice device) : RepairJob(device, 1)
{
    private readonly BufferSlice _readBack =
        AlignedMemory.Allocate(Math.Max(device.Units.UnitBytes, AlignedMemory.Alignment));

    private MoveRequest? _request;
    private RemapEntry _entry;
    private UnitNumber _unit;
    private UnitNumber _next;
    private IoStatus _failure;
    private bool _isOnSpare;
    private ulong _toRead;
    private ulong _toComplete;
    private ulong _toWrite;
    private ulong _toVerify;
    private ulong _missing;
    private int _index;
    private int _count;

    public void Begin(MoveRequest request)
    {
        Invariant.Check(IsIdle);
        _request = request;
        _next = request.First;
        Resume();
    }

    /// <summary>End after the unit at hand.</summary>
    public void Abandon() => _request?.Abandon();

    protected override bool IsWaitedFor => false;

    protected override IEnumerator<Wait> Script()
    {
        while (true)
        {
            yield return Wait.Work;
            while (TryNextUnit())
            {
                Device.Holds.Acquire(_unit, this);
                yield return Wait.Hold;
                StartUnit();
                while (TakePieceToRead())
                {
                    SubmitRead();
                    yield return Wait.Io;
                    TakeRead();
                }
                while (TakeRunOf(ref _toComplete, out _index, out _count))
                {
                    // Forced: the record that calls these blocks "on spare" is written only when they are
                    // (F-6). Otherwise a power cut leaves a rule that points at what the spare held before.
                    SubmitToSpare(
                        IoOperation.Write, _entry.Location, _index, _count, ScratchAt(_index, _count),
                        IoFlags.ForceUnitAccess);
                    yield return Wait.Io;
                    TakeWrite(Device.Spare(_entry.Location.Spare));
                }
                if (IsToBeCompleted())
                {
                    SubmitChanges();
                    yield return Wait.Commit;
                    TakeCompletion();
                }
                while (TakeRunOf(ref _toWrite, out _index, out _count))
                {
                    // Forced: the record that ends the rule is written only when the primary has the data.
                    // Otherwise a power cut leaves the unit on the primary with what was there before (F-4).
                    SubmitToPrimary(
                        IoOperation.Write, Blocks(), ScratchAt(_index, _count), IoFlags.ForceUnitAccess);
                    yield return Wait.Io;
                    TakeWrite(Device.Primary);
                }
                while (TakeRunOf(ref _toVerify, out _index, out _count))
                {
                    SubmitToPrimary(IoOperation.Read, Blocks(), ReadBackAt());
                    yield return Wait.Io;
                    TakeReadBack();
                }
                if (IsToBeDissolved())
                {
                    SubmitChanges();
                    yield return Wait.Commit;
                    TakeDissolution();
                }
                ConcludeUnit();
                Device.ReleaseHold(_unit);
            }
            Device.GivenBack.Settle();
            MoveRequest done = _request!;
            _request = null;
            Device.FinishMove(done);
        }
    }

    private ulong Lost => _entry.Blocks.MaskOf(BlockState.Lost) & Units.FullMask(_unit);

    /// <summary>The next unit with a rule; those without one are passed over at once.</summary>
    private bool TryNextUnit()
    {
        UnitNumber end = new(_request!.Last.Value + 1);
        if (_request.IsAbandoned || _next.Value >= end.Value)
        {
            return false;
        }
        bool isFound = Device.Table.TryGetNext(_next, end, out RemapEntry entry);
        _unit = isFound ? entry.Unit : end;
        _request.UnitsAlreadyMoved += _unit.Value - _next.Value;
        _next = new UnitNumber(_unit.Value + 1);
        return isFound;
    }

    private void StartUnit()
    {
        _failure = IoStatus.Ok;
        _toRead = _toComplete = _toWrite = _toVerify = _missing = 0;
        bool hasEntry = Device.Table.TryGet(_unit, out _entry);
        _isOnSpare = hasEntry && !_entry.Location.IsNone;
        if (!_isOnSpare)
        {
            return;
        }
        if (Device.IsInDoubt(_unit))
        {
            Fail(IoStatus.MetadataUnavailable);
        }
        else if (Device.Breaker.IsTripped || Device.AreWritesRejected)
        {
            // Nothing is given back to a disk that fails as a whole (F-17).
            _request!.Abandon();
            Fail(IoStatus.DeviceError);
        }
        else
        {
            PlanUnit();
        }
    }

    /// <summary>
    /// A write of some blocks of a physical one may ruin its others, which only the primary has: before
    /// anything is written there, the spare gets them.
    /// </summary>
    private void PlanUnit()
    {
        ulong full = Units.FullMask(_unit);
        ulong zeroes = full & _entry.Blocks.MaskOf(BlockState.Zero);
        ulong onSpare = full & _entry.Blocks.MaskOf(BlockState.OnSpare);
        if ((onSpare | zeroes) != 0)
        {
            // Of a unit in probation: from here until it is whole again its copy holds neither.
            Device.Copies.Forget(_unit);
            _toWrite = _toVerify = full & ~Lost;
            _toRead = _toWrite & ~zeroes;
            _missing = _toComplete = full & _entry.Blocks.MaskOf(BlockState.OnPrimary);
        }
        while (TakeRunOf(ref zeroes, out int index, out int count))
        {
            ScratchAt(index, count).Span.Clear();
        }
    }

    /// <summary>As large as can fail on its own, from where it lies.</summary>
    private bool TakePieceToRead()
    {
        if (_toRead == 0)
        {
            return false;
        }
        BlockState source = _entry.Blocks[BitOperations.TrailingZeroCount(_toRead)];
        ulong same = _toRead & _entry.Blocks.MaskOf(source);
        bool isFound = TakePieceOf(ref same, MemberOf(source), out _index, out _count);
        _toRead &= ~BlockStates.Mask(_index, _count);
        return isFound;
    }

    private Member MemberOf(BlockState state) =>
        state == BlockState.OnPrimary ? Device.Primary : Device.Spare(_entry.Location.Spare);

    private void SubmitRead()
    {
        if (_entry.Blocks[_index] == BlockState.OnPrimary)
        {
            SubmitToPrimary(IoOperation.Read, Blocks(), ScratchAt(_index, _count));
        }
        else
        {
            SubmitToSpare(IoOperation.Read, _entry.Location, _index, _count, ScratchAt(_index, _count));
        }
    }

    private void TakeRead()
    {
        Member source = MemberOf(_entry.Blocks[_index]);
        if (IoSucceeded)
        {
            source.Reads++;
            Device.NoteReadSuccess(source, Blocks());
            return;
        }
        source.ReadErrors++;
        Fail(IoStatus.Unreadable);
        EndWorkIfAway(source, IoOperation.Read);
    }

    private void TakeWrite(Member target)
    {
        if (IoSucceeded)
        {
            target.Writes++;
            return;
        }
        target.WriteErrors++;
        Fail(target.IsPrimary ? IoStatus.DeviceError : IoStatus.OutOfSpares);
        EndWorkIfAway(target, IoOperation.Write);
    }

    private bool IsToBeCompleted()
    {
        if (_failure != IoStatus.Ok || _missing == 0)
        {
            return false;
        }
        Changes.Prepare(this);
        Changes.Add(new TableChange(
            TableChangeKind.Set,
            _entry with
            {
                Blocks = _entry.Blocks.With(_missing, BlockState.OnSpare),
                // It has not been written there.
                Second = SpareLocation.None,
            }));
        return true;
    }

    private void TakeCompletion()
    {
        if (!IsCommitted())
        {
            return;
        }
        _entry = Changes.Changes[0].Entry;
        Device.PublishRule(_entry);
    }

    private void TakeReadBack()
    {
        bool isRead = IoSucceeded;
        if (isRead)
        {
            Device.Primary.Reads++;
            Device.NoteReadSuccess(Device.Primary, Blocks());
        }
        else
        {
            Device.Primary.ReadErrors++;
        }
        if (!isRead || !ReadBackAt().Span.SequenceEqual(ScratchAt(_index, _count).Span))
        {
            Fail(IoStatus.DeviceError);
        }
    }

    private bool IsToBeDissolved()
    {
        if (!_isOnSpare || _failure != IoStatus.Ok)
        {
            return false;
        }
        Changes.Prepare(this);
        if (Lost == 0)
        {
            Changes.Add(new TableChange(TableChangeKind.Remove, _entry));
        }
        else
        {
            Changes.Add(new TableChange(TableChangeKind.Set, _entry with
            {
                State = UnitState.LostDeclared,
                Trials = default,
                Location = SpareLocation.None,
                Second = SpareLocation.None,
                Blocks = BlockStates.AllOnPrimary.With(Lost, BlockState.Lost),
            }));
        }
        return true;
    }

    private void TakeDissolution()
    {
        if (!IsCommitted())
        {
            return;
        }
        if (Lost == 0)
        {
            Device.RemoveEntry(_unit);
            Device.Losses.Settle(_unit);
            Device.Suspects.Remove(_unit);
        }
        else
        {
            Device.PublishRule(Changes.Changes[0].Entry);
            Device.NoteReadable(_unit, Units.FullMask(_unit));
        }
        Device.GivenBack.Add(_unit, _entry.Location);
        Device.Counters.UnitsReturned++;
        Device.Publish(
            EngineEventKind.Returned, Device.Primary, Units.ExtentOf(_unit), _entry.Location, 0);
    }

    private bool IsCommitted()
    {
        if (Changes.Outcome == CommitOutcome.Done)
        {
            return true;
        }
        // Either rule shows the same, until the unit is written.
        Device.NoteUncommitted(_unit, SpareLocation.None, Changes.Outcome, isSameContent: true);
        Fail(IoStatus.MetadataUnavailable);
        return false;
    }

    private void ConcludeUnit()
    {
        if (!_isOnSpare)
        {
            _request!.UnitsAlreadyMoved++;
        }
        else if (_failure == IoStatus.Ok)
        {
            _request!.UnitsMoved++;
            _request.BlocksCopied += BitOperations.PopCount(Units.FullMask(_unit) & ~Lost);
            _request.BlocksLost += BitOperations.PopCount(Lost);
        }
        else
        {
            _request!.UnitsFailed++;
            _request.AddUnread(Units.ExtentOf(_unit));
        }
    }

    /// <summary>The unit stays as it is: nothing more of it is done.</summary>
    private void Fail(IoStatus status)
    {
        _toRead = _toComplete = _toWrite = _toVerify = 0;
        _failure = status;
        if (_request!.FirstError == IoStatus.Ok)
        {
            _request.FirstError = status;
        }
    }

    /// <summary>A main device that is away, or stalls, is not asked for every unit of the range.</summary>
    private void EndWorkIfAway(Member member, IoOperation operation)
    {
        ErrorClass kind = RemapDevice.Classify(member, operation, IoStatus, IoErrno, IoElapsed);
        if (kind is not (ErrorClass.Medium or ErrorClass.Ambiguous))
        {
            Device.Publish(
                EngineEventKind.MemberError, member, Units.ExtentOf(_unit), _entry.Location, IoErrno);
            if (member.IsPrimary)
            {
                _request!.Abandon();
            }
        }
    }

    private BufferSlice ReadBackAt()
    {
        int size = Units.BlockSize.Bytes;
        return _readBack.Slice(_index * size, _count * size);
    }

    private Extent Blocks() => Units.ExtentAt(_unit, _index, _count);
}
