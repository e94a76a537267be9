using System.Collections.Generic;
using System.Numerics;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;

namespace DmRemap.Engine.Repair;

/// <summary>
/// A repair that gives units a (new) spare unit. The shared part is the subscript: bring together in the
/// scratch unit what the caller supplied and what the old spare unit still holds, find a spare unit that
/// takes it, and write it there durably. The table and the journal are the caller's business, afterwards.
/// </summary>
internal abstract class PlacementJob(RemapDevice device, int changesMax) : RepairJob(device, changesMax)
{
    private const int AttemptsMax = 8;

    /// <summary>Fresh units of one spare that may fail before another spare is tried.</summary>
    private const int FailuresOnSpareMax = 2;

    private int _index;
    private int _count;
    private int _attempts;
    private bool _isPieceRead;
    private bool _isMedium;
    private int _pieceErrno;
    private int _failuresOnSpare;
    private int _avoidedSpare;
    private readonly BufferSlice _controlBuffer = AlignedMemory.Allocate(AlignedMemory.Alignment);
    private ulong _toRead;
    private ulong _toWrite;

    /// <summary>In: the unit's rule as it is; of a unit without one, all blocks on the primary.</summary>
    protected RemapEntry Old { get; set; }

    /// <summary>In: places whose new bytes are in the scratch unit already.</summary>
    protected ulong Supplied { get; set; }

    /// <summary>
    /// Out: the old spare unit could not be read, and not because it is bad: the unit cannot move.
    /// </summary>
    protected bool IsOldUndecided { get; private set; }

    /// <summary>In: fresh spare units that may still be recorded as bad with this commit.</summary>
    protected int RetirementsLeft { get; set; }

    /// <summary>
    /// Out: the rule to commit, or none (State is Healthy) when no spare unit could be had.
    /// </summary>
    protected RemapEntry Placed { get; private set; }

    /// <summary>
    /// The spare that holds the unit is not here at all, and a person has agreed to do without what only it
    /// holds: then the second copy, where there is one, decides what is lost.
    /// </summary>
    protected virtual bool GivesUpFirst => false;

    /// <summary>A person moves units: that says nothing of the disk.</summary>
    protected virtual bool IsAsked => false;

    protected bool IsPlaced => Placed.State != UnitState.Healthy;

    protected override IEnumerator<Wait> Subscript()
    {
        while (true)
        {
            StartComposing();
            while (NextOldPiece())
            {
                SubmitToSpare(
                    IoOperation.Read, Old.Location, _index, _count, ScratchAt(_index, _count),
                    isKeptIfGone: IsWaitedFor && !Device.HasSecondToRead(Old));
                yield return Wait.Io;
                if (NeedsSpareControl())
                {
                    SubmitSpareControl(Device.Spare(Old.Location.Spare), _controlBuffer);
                    yield return Wait.Io;
                    _isMedium = IoSucceeded;
                }
                if (!_isPieceRead && Device.HasSecondInStep(Old))
                {
                    SubmitToSpare(IoOperation.Read, Old.Second, _index, _count, ScratchAt(_index, _count));
                    yield return Wait.Io;
                    if (NeedsControlOfSecond())
                    {
                        SubmitSpareControl(Device.Spare(Old.Second.Spare), _controlBuffer);
                        yield return Wait.Io;
                        _isMedium &= IoSucceeded;
                    }
                }
                if (!_isPieceRead && Device.HasCopyInStep(Old))
                {
                    SubmitCopy(
                        IoOperation.Read, Units.ExtentAt(Old.Unit, _index, _count),
                        ScratchAt(_index, _count));
                    yield return Wait.Io;
                    TakeCopy();
                }
                TakeOldPiece();
            }
            while (_toWrite != 0 && !IsOldUndecided && _attempts < AttemptsMax && TryPlace())
            {
                while (NextRunToWrite())
                {
                    // FUA: the record that will name this unit is written only when its data is durable.
                    // Otherwise a power cut leaves a rule that points at what was on the spare before (F-6).
                    SubmitToSpare(
                        IoOperation.Write, Placed.Location, _index, _count, ScratchAt(_index, _count),
                        IoFlags.ForceUnitAccess);
                    yield return Wait.Io;
                    if (!IoSucceeded)
                    {
                        break;
                    }
                }
                if (IoSucceeded)
                {
                    break;
                }
                GiveUpPlace();
            }
            yield return Wait.Return;
        }
    }

    /// <summary>The rule is durable: publish it. The spare unit that it replaces is the caller's.</summary>
    protected void PublishPlacement(in RemapEntry old, in RemapEntry placed)
    {
        PublishMoved(old, placed);
        Device.Counters.RemapsMade++;
        Device.NoteLent(IsAsked);
    }

    /// <summary>The same, where a unit only leaves one spare for another.</summary>
    protected void PublishMoved(in RemapEntry old, in RemapEntry placed)
    {
        Device.PublishRule(placed);
        ulong lost = placed.Blocks.MaskOf(BlockState.Lost) & ~old.Blocks.MaskOf(BlockState.Lost);
        if (lost != 0)
        {
            Device.NoteLostOnSpare(old, lost, _pieceErrno);
        }
    }

    private void StartComposing()
    {
        _attempts = 0;
        _failuresOnSpare = 0;
        _avoidedSpare = -1;
        IsOldUndecided = false;
        Placed = default;
        _toRead = Old.Location.IsNone ? 0
            : Old.Blocks.MaskOf(BlockState.OnSpare) & ~Supplied & Units.FullMask(Old.Unit);
        _toWrite = Supplied;
    }

    /// <summary>
    /// By what can fail on its own at either copy: a block that one has lost must not take along its
    /// neighbours, which the other may still have.
    /// </summary>
    private bool NextOldPiece()
    {
        if (_toRead == 0)
        {
            return false;
        }
        Member spare = Device.Spare(Old.Location.Spare);
        Member second = Old.Second.IsNone ? spare : Device.Spare(Old.Second.Spare);
        bool isSecondFiner =
            second.Device.Geometry.PhysicalBlockBytes < spare.Device.Geometry.PhysicalBlockBytes;
        return TakePieceOf(ref _toRead, isSecondFiner ? second : spare, out _index, out _count);
    }

    /// <summary>
    /// Did the piece fail in a way that a spare which is away, or being reset, fails too? Then the spare is
    /// read elsewhere first: only a confirmed medium error makes a block lost (F-6, F-17).
    /// </summary>
    private bool NeedsSpareControl()
    {
        _isPieceRead = IoSucceeded;
        _pieceErrno = IoErrno;
        if (_isPieceRead)
        {
            return false;
        }
        Member spare = Device.Spare(Old.Location.Spare);
        spare.ReadErrors++;
        ErrorClass kind = RemapDevice.Classify(spare, IoOperation.Read, IoStatus, IoErrno, IoElapsed);
        _isMedium = GivesUpFirst;
        return !GivesUpFirst && kind is ErrorClass.Medium or ErrorClass.Ambiguous;
    }

    /// <summary>
    /// The second copy stands in for the first (F-22). Lost is only what both have failed by their medium:
    /// one that is away has lost nothing.
    /// </summary>
    private bool NeedsControlOfSecond()
    {
        Member spare = Device.Spare(Old.Second.Spare);
        _isPieceRead = IoSucceeded;
        spare.Reads += IoSucceeded ? 1 : 0;
        spare.ReadErrors += IoSucceeded ? 0 : 1;
        Device.Counters.ReadsFromSecond += IoSucceeded ? 1 : 0;
        ErrorClass kind = RemapDevice.Classify(spare, IoOperation.Read, IoStatus, IoErrno, IoElapsed);
        _isMedium &= kind is ErrorClass.Medium or ErrorClass.Ambiguous;
        return _isMedium && !_isPieceRead;
    }

    /// <summary>
    /// A unit in probation has its content twice: the primary stands in for the spare (F-29).
    /// </summary>
    private void TakeCopy()
    {
        _isPieceRead = IoSucceeded;
        Device.Primary.Reads += IoSucceeded ? 1 : 0;
        Device.Primary.ReadErrors += IoSucceeded ? 0 : 1;
        Device.Counters.ReadsFromCopies += IoSucceeded ? 1 : 0;
    }

    /// <summary>
    /// What the failing spare unit no longer reads is lost: never what the primary once held (F-29).
    /// </summary>
    private void TakeOldPiece()
    {
        ulong piece = BlockStates.Mask(_index, _count);
        if (_isPieceRead)
        {
            _toWrite |= piece;
        }
        else if (_isMedium)
        {
            Old = Old with { Blocks = Old.Blocks.With(piece, BlockState.Lost) };
        }
        else
        {
            // A spare that is away has lost nothing: the unit stays where it is.
            IsOldUndecided = true;
        }
    }

    private bool TryPlace()
    {
        Placed = default;
        // A spare that does not answer gets nothing more where another one has room (F-19).
        int avoided = _avoidedSpare >= 0 ? _avoidedSpare : Device.WritesOut.FirstStuck();
        if (!Device.Allocator.TryAllocate(Old.Unit, avoided, out SpareLocation location))
        {
            return false;
        }
        _attempts++;
        // The primary's copy of a unit in probation misses this write, as a second copy does: neither counts
        // any more.
        Placed = Old.AsRemapped() with
        {
            Location = location,
            Second = SpareLocation.None,
            Blocks = Old.Blocks.With(_toWrite, BlockState.OnSpare),
        };
        _index = 0;
        _count = 0;
        return true;
    }

    private bool NextRunToWrite()
    {
        int from = _index + _count;
        ulong rest = from >= Limits.UnitBlocksMax ? 0 : _toWrite & ~BlockStates.Mask(0, from);
        if (rest == 0)
        {
            return false;
        }
        _index = BitOperations.TrailingZeroCount(rest);
        _count = BitOperations.TrailingZeroCount(~(rest >> _index));
        return true;
    }

    /// <summary>
    /// The fresh spare unit failed too (S13): it is retired with the same commit, and another one is tried.
    /// </summary>
    private void GiveUpPlace()
    {
        SpareLocation failed = Placed.Location;
        Member spare = Device.Spare(failed.Spare);
        spare.WriteErrors++;
        bool isRetired = Device.NoteSpareFailure(spare, failed, IoStatus, IoErrno, IoElapsed);
        if (isRetired && RetirementsLeft > 0)
        {
            RetirementsLeft--;
            Changes.Add(new TableChange(TableChangeKind.RetireSpareUnit, Placed));
        }
        Placed = default;
        _failuresOnSpare++;
        if (_failuresOnSpare == FailuresOnSpareMax)
        {
            // The next attempts go to another spare, where there is one; this one is not given up for that,
            // and nobody else's allocations are touched.
            _avoidedSpare = failed.Spare;
            _failuresOnSpare = 0;
        }
    }
}
