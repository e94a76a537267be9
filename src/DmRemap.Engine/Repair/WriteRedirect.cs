using System;
using System.Collections.Generic;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;
using DmRemap.Engine.Requests;

namespace DmRemap.Engine.Repair;

/// <summary>
/// A write that failed, or that has no good place to go: unit by unit to where it belongs, and what still
/// fails to a spare unit. Every unit of the fragment is held, in ascending order; one commit makes all their
/// rules durable. Order: spare data durable → record durable → table published → write answered. A crash
/// between any two leaves the former rule, and the write was not acknowledged.
/// </summary>
internal sealed partial class WriteRedirect(RemapDevice device)
    : PlacementJob(device, (SlotsMax * 2) + RetiredMax), IFragmentJob
{
    /// <summary>
    /// Units that a fragment can touch: one more than it is long, when it starts inside one.
    /// </summary>
    public const int PartsMax = (Limits.SliceBytes / Limits.UnitBytesMin) + 1;

    private const int RetiredMax = 64;

    /// <summary>With the places of controls that failed, and were saved.</summary>
    private const int SlotsMax = PartsMax + 1 + WriteControl.PlacesMax;

    private readonly Part[] _parts = new Part[SlotsMax];
    private bool _mayMoveUnits;
    private int _partCount;
    private int _at;
    private FragmentIo? _fragment;

    private enum Plan : byte
    {
        /// <summary>Try it where the unit lives now.</summary>
        AtHome = 0,

        /// <summary>Stored; nothing left to do.</summary>
        Stored = 1,

        /// <summary>Needs a (new) spare unit.</summary>
        Place = 2,

        /// <summary>On its new spare unit; waits for the commit.</summary>
        Placed = 3,

        /// <summary>Stored where the unit lives, and its rule changes: waits for the commit.</summary>
        Recorded = 5,

        Failed = 4,
    }

    public required RepairLine<WriteRedirect> Line { get; init; }

    public void Begin(FragmentIo fragment)
    {
        Invariant.Check(IsIdle);
        _fragment = fragment;
        Resume();
    }

    protected override IEnumerator<Wait> Script()
    {
        while (true)
        {
            yield return Wait.Work;
            StartParts();
            for (_at = 0; _at < _partCount; _at++)
            {
                Device.Holds.Acquire(_parts[_at].Unit, this);
                yield return Wait.Hold;
            }
            for (_at = 0; _at < _partCount; _at++)
            {
                for (_target = WriteTarget.Home; !IsAtHomeDone();)
                {
                    SubmitHome();
                    yield return Wait.Io;
                    TakeHome();
                }
            }
            while (StartControl())
            {
                yield return Wait.Hold;
                SubmitToPrimary(IoOperation.Read, _control, ControlBuffer());
                yield return Wait.Io;
                _isControlRead = IoSucceeded;
                if (_isControlRead)
                {
                    SubmitToPrimary(IoOperation.Write, _control, ControlBuffer());
                    yield return Wait.Io;
                }
                if (MustSaveControl())
                {
                    yield return Wait.Subscript;
                }
                EndControl();
            }
            _mayMoveUnits = Device.MayWritesMoveUnits;
            for (_at = 0; _at < _partCount; _at++)
            {
                if (!StartPlacing())
                {
                    continue;
                }
                yield return Wait.Subscript;
                if (TakePlacement())
                {
                    continue;
                }
                // No spare unit is left: in place, and believed only when it reads back (F-29).
                SubmitToPrimary(IoOperation.Write, _parts[_at].Blocks, PartBuffer(), IoFlags.ForceUnitAccess);
                yield return Wait.Io;
                if (IoSucceeded)
                {
                    SubmitToPrimary(IoOperation.Read, _parts[_at].Blocks, ScratchAt(0, PartBlocks));
                    yield return Wait.Io;
                }
                TakeInPlace();
            }
            if (Changes.Count > 0)
            {
                SubmitChanges();
                yield return Wait.Commit;
            }
            TakeCommit();
            End();
        }
    }

    private int PartBlocks => (int)_parts[_at].Blocks.Count.Value;

    private ulong PartMask => Units.MaskIn(_parts[_at].Unit, _parts[_at].Blocks);

    private void StartParts()
    {
        Device.Counters.WriteRedirects++;
        Changes.Prepare(this);
        RetirementsLeft = RetiredMax;
        _partCount = 0;
        Extent rest = _fragment!.Exported;
        bool isFatal = _fragment.Io.Status == IoStatus.DeviceError && !Device.MayBeMedium(_fragment);
        while (!rest.IsEmpty)
        {
            UnitNumber unit = Units.UnitOf(rest.Start);
            Extent blocks = Units.ExtentOf(unit).Intersect(rest);
            _parts[_partCount] =
                new Part { Unit = unit, Blocks = blocks, Plan = isFatal ? Plan.Failed : Plan.AtHome };
            _partCount++;
            rest = Extent.FromBounds(blocks.End, rest.End);
            if (isFatal)
            {
                _fragment.Request!.Fail(IoStatus.DeviceError, _fragment.Io.Errno, blocks);
            }
        }
    }

    /// <summary>
    /// Lost, suspect and doubtful units go to a spare at once: the primary is not trusted with them (F-29).
    /// </summary>
    private bool NeedsPlace()
    {
        ref Part part = ref _parts[_at];
        if (part.Plan == Plan.Failed)
        {
            return true;
        }
        bool hasEntry = Device.Table.TryGet(part.Unit, out RemapEntry entry);
        part.Old = hasEntry
            ? entry
            : new RemapEntry
            {
                Unit = part.Unit,
                State = UnitState.LostUnreadable,
                Blocks = BlockStates.AllOnPrimary
            };
        part.WasHealthy = !hasEntry && !Device.IsSuspicious(part.Unit);
        bool needsPlace = hasEntry ? entry.Location.IsNone : !part.WasHealthy;
        part.Plan = needsPlace ? Plan.Place : Plan.AtHome;
        return needsPlace;
    }

    private void SubmitHome()
    {
        Part part = _parts[_at];
        if (_target == WriteTarget.OnPrimary)
        {
            SubmitCopy(IoOperation.Write, part.Blocks, PartBuffer());
            return;
        }
        IoFlags flags = _fragment!.Request!.Parent!.Flags & IoFlags.ForceUnitAccess;
        if (part.Old.Location.IsNone)
        {
            SubmitToPrimary(IoOperation.Write, part.Blocks, PartBuffer(), flags);
        }
        else
        {
            int index = Units.IndexInUnit(part.Blocks.Start);
            // FUA where the rule changes: the record that calls these blocks "on spare" is written only when
            // they are (F-6). Otherwise a power cut leaves a rule that points at what the spare held before.
            flags |= ChangesRule(part) ? IoFlags.ForceUnitAccess : IoFlags.None;
            bool isSecond = _target == WriteTarget.Second;
            SubmitToSpare(
                IoOperation.Write, isSecond ? part.Old.Second : part.Old.Location, index, PartBlocks,
                PartBuffer(), flags, isKeptIfGone: !isSecond && !LeavesNothingBehind(part));
        }
    }

    private void TakeHome()
    {
        ref Part part = ref _parts[_at];
        if (_target != WriteTarget.Home)
        {
            TakeOtherCopy(ref part);
            return;
        }
        bool isOnSpare = !part.Old.Location.IsNone;
        Member member = isOnSpare ? Device.Spare(part.Old.Location.Spare) : Device.Primary;
        if (IoSucceeded)
        {
            bool changesRule = isOnSpare && ChangesRule(part);
            Device.NoteWriteSuccess(member, IoOperation.Write, part.Blocks, IsIoForced);
            DoubtIfLost(part);
            part.Plan = changesRule ? Plan.Recorded : Plan.Stored;
            part.IsNoted = !changesRule;
            if (!changesRule)
            {
                Device.NoteWritten(part.Blocks, IsIoForced, LossesAtSubmit);
            }
            return;
        }
        member.WriteErrors++;
        part.Errno = IoErrno;
        if (Device.MayMove(
            member, part.Unit, IoStatus, IoErrno, IoElapsed, LeavesNothingBehind(part), out bool isBad))
        {
            part.IsPlaceBad = isBad;
            part.Plan = Plan.Place;
            return;
        }
        part.Plan = Plan.Failed;
        Fail(part, IoStatus.DeviceError, IoErrno);
    }

    /// <summary>False: this part needs no spare unit.</summary>
    private bool StartPlacing()
    {
        ref Part part = ref _parts[_at];
        if (part.Plan == Plan.Place && part.WasHealthy && !_mayMoveUnits)
        {
            // Every write fails and none has succeeded: a disk that refuses writes, not bad sectors (F-17).
            // In a storm, each such write needs a control that passed.
            part.Plan = Plan.Failed;
            Fail(part, IoStatus.DeviceError, part.Errno);
        }
        if (part.Plan != Plan.Place)
        {
            return false;
        }
        // A spare's error says nothing of the unit's place on the primary: what was recorded of that stays.
        bool isOfPrimary = part.Old.Location.IsNone;
        Old = !isOfPrimary ? part.Old : part.Old with
        {
            LastErrno = ErrnoOf(part),
            LastErrorDay = Device.Today,
        };
        PartBuffer().Span.CopyTo(ScratchAt(Units.IndexInUnit(part.Blocks.Start), PartBlocks).Span);
        Supplied = PartMask;
        return true;
    }

    /// <summary>
    /// Why the unit leaves its place: what this write met, or what was met there before. Only where a person
    /// declared it lost the disk has not failed.
    /// </summary>
    private ushort ErrnoOf(in Part part)
    {
        int known = part.Errno != 0 ? part.Errno : part.Old.LastErrno;
        // A suspect unit has no entry that tells which error it was.
        bool isSuspect = part.Errno == 0 && Device.Suspects.Contains(part.Unit);
        return (ushort)Math.Clamp(
            known == 0 && isSuspect ? ErrorClassifier.InputOutputError : known, 0, ushort.MaxValue);
    }

    /// <summary>False: no spare unit could be had, and the unit may be tried in place.</summary>
    private bool TakePlacement()
    {
        ref Part part = ref _parts[_at];
        if (IsPlaced)
        {
            part.New = Placed;
            part.Plan = Plan.Placed;
            Changes.Add(new TableChange(TableChangeKind.Set, Placed));
            if (!part.Old.Location.IsNone && part.IsPlaceBad)
            {
                Changes.Add(new TableChange(TableChangeKind.RetireSpareUnit, part.Old));
            }
            return true;
        }
        if (IsOldUndecided)
        {
            // The spare that holds the rest of the unit is away: nothing is exhausted, and nothing is lost.
            part.Plan = Plan.Failed;
            Fail(part, IoStatus.DeviceError, part.Errno);
            return true;
        }
        Device.NoteExhausted(part.Blocks);
        bool mayTryInPlace = part.Old.Location.IsNone && !part.WasHealthy && !Device.IsInDoubt(part.Unit);
        if (!mayTryInPlace)
        {
            part.Plan = Plan.Failed;
            Fail(part, IoStatus.OutOfSpares, part.Errno);
        }
        return !mayTryInPlace;
    }

    /// <summary>
    /// Written in place with FUA and read back equal: these blocks are on the primary again.
    /// </summary>
    private void TakeInPlace()
    {
        ref Part part = ref _parts[_at];
        bool isStored = IoSucceeded && ScratchAt(0, PartBlocks).Span.SequenceEqual(PartBuffer().Span);
        if (isStored)
        {
            RecordInPlace(ref part);
            return;
        }
        part.Plan = Plan.Failed;
        Fail(part, IoStatus.OutOfSpares, IoErrno);
    }

    private void RecordInPlace(ref Part part)
    {
        Device.Suspects.Clear(part.Unit, PartMask);
        part.Plan = Plan.Stored;
        if (!Device.Table.TryGet(part.Unit, out _))
        {
            Device.NoteWritten(part.Blocks, isForced: true, Device.LossesNow);
            return;
        }
        ulong full = Units.FullMask(part.Unit);
        BlockStates blocks = part.Old.Blocks.With(PartMask, BlockState.OnPrimary);
        bool isPartLost = part.Old.Location.IsNone && (blocks.MaskOf(BlockState.Lost) & full) != 0;
        // What was lost beside it may have been replaced by the drive's own writing: nothing that reads there
        // from now on is what it was.
        part.New = part.Old with
        {
            State = isPartLost ? UnitState.LostDeclared : part.Old.State,
            Blocks = blocks,
        };
        part.IsRemoved = (part.New.Blocks.MaskOf(BlockState.OnPrimary) & full) == full;
        part.Plan = Plan.Recorded;
        Changes.Add(new TableChange(part.IsRemoved ? TableChangeKind.Remove : TableChangeKind.Set, part.New));
    }

    /// <summary>Do these blocks live elsewhere until now, or is it in doubt where they live?</summary>
    private bool ChangesRule(in Part part)
    {
        ulong mask = Units.MaskIn(part.Unit, part.Blocks);
        return (part.Old.Blocks.MaskOf(BlockState.OnSpare) & mask) != mask || Device.IsInDoubt(part.Unit);
    }

    /// <summary>All that only the spare unit holds is written anew.</summary>
    private bool LeavesNothingBehind(in Part part) =>
        Device.HasSecondToRead(part.Old)
        || Device.LeavesNothingBehind(part.Old, Units.MaskIn(part.Unit, part.Blocks));

    private void TakeCommit()
    {
        CommitOutcome outcome = Changes.Count > 0 ? Changes.Outcome : CommitOutcome.Done;
        for (int i = 0; i < _partCount; i++)
        {
            Part part = _parts[i];
            if (part.Plan is Plan.Placed or Plan.Recorded)
            {
                _parts[i].IsUncommitted = outcome != CommitOutcome.Done;
                TakeOutcome(part, outcome);
            }
        }
    }

    private void TakeOutcome(in Part part, CommitOutcome outcome)
    {
        bool isPlaced = part.Plan == Plan.Placed;
        if (outcome != CommitOutcome.Done)
        {
            if (_fragment!.Exported.Overlaps(part.Blocks))
            {
                Fail(part, IoStatus.MetadataUnavailable, 0);
            }
            Device.NoteUncommitted(part.Unit, isPlaced ? part.New.Location : SpareLocation.None, outcome);
            return;
        }
        if (!part.IsNoted && _fragment!.Exported.Overlaps(part.Blocks))
        {
            // Forced, and its rule durable. A control that was saved is not: it is what the disk still reads.
            Device.NoteWritten(part.Blocks, isForced: true, Device.LossesNow);
        }
        if (isPlaced)
        {
            if (part.WasHealthy)
            {
                Device.NoteWriteMoved(part.Unit, part.Errno);
            }
            PublishPlacement(part.Old, part.New);
            LetGoOfOldPlace(part);
            Member left = part.Old.Location.IsNone ? Device.Primary : Device.Spare(part.Old.Location.Spare);
            bool isDeclared = part.Errno == 0 && part.Old.State == UnitState.LostDeclared;
            Device.Publish(
                isDeclared ? EngineEventKind.RemappedDeclared : EngineEventKind.Remapped,
                left, part.Blocks, part.New.Location, part.Errno);
        }
        else if (part.IsRemoved)
        {
            Device.RemoveEntry(part.Unit);
            Device.Losses.Settle(part.Unit);
        }
        else
        {
            Device.PublishRule(part.New);
        }
    }

    /// <summary>
    /// Only a place whose medium failed is retired. On a spare that was away, or full, the unit is as good as
    /// before; a write that went there may still land, so it stays taken until the next start, unless nothing
    /// was ever sent there.
    /// </summary>
    private void LetGoOfOldPlace(in Part part)
    {
        SpareLocation old = part.Old.Location;
        if (old.IsNone)
        {
            return;
        }
        if (part.IsPlaceBad)
        {
            Device.Allocator.MarkRetired(old);
        }
        else if (Device.Spare(old.Spare).IsAbsent)
        {
            Device.Allocator.Free(old);
        }
    }

    private void End()
    {
        FragmentIo done = _fragment!;
        _fragment = null;
        for (int i = 0; i < _partCount; i++)
        {
            if (_parts[i].Old.State == UnitState.Probation && !_parts[i].IsCopied)
            {
                // Whatever became of it: what the spare holds now, the primary may not.
                Device.Copies.Forget(_parts[i].Unit);
            }
            DoubtSecond(_parts[i]);
            Device.ReleaseHold(_parts[i].Unit);
        }
        Device.FinishRedirect(done, this);
    }

    private BufferSlice PartBuffer()
    {
        int size = Units.BlockSize.Bytes;
        int start = (int)(_parts[_at].Blocks.Start - _fragment!.Exported.Start).Value * size;
        return _fragment.Io.Buffer.Slice(start, PartBlocks * size);
    }

    private void Fail(in Part part, IoStatus status, int errno) =>
        _fragment!.Request!.Fail(status, errno, part.Blocks);
}
