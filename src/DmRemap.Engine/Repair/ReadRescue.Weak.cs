using System;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;

namespace DmRemap.Engine.Repair;

/// <summary>
/// Weak units: they read, but only after failing, and perhaps never again. What was read is kept, with the
/// unit's hold, until the request is answered; then it goes to a spare, with the rest of its unit. Order
/// (F-5): hold → drain → read → write the spare durably → record → publish → release.
/// <para>
/// A read of several units that failed at the medium does not say which of them it was. If all of them read
/// at the second try, it was the one over which the drive took long: drives try a sector again by themselves.
/// </para>
/// </summary>
internal sealed partial class ReadRescue
{
    private const int RetiredMax = 16;

    /// <summary>A disk that takes long over more units is slow or busy, and says nothing of them.</summary>
    private const int LongUnitsMax = 2;

    private readonly WeakUnit[] _weak = new WeakUnit[WriteRedirect.PartsMax];
    private readonly BufferSlice _kept = AlignedMemory.Allocate(Limits.SliceBytes);
    private int _weakCount;
    private int _weakAt;
    private int _mediumFailures;
    private int _ambiguousFailures;
    private int _longUnits;
    private bool _isLong;
    private bool _wasSuspect;
    private Instant _firstFailedAt;

    /// <summary>
    /// More than a healthy disk needs for one unit behind a full queue; drives that try again need seconds.
    /// </summary>
    public static Duration LongRead => Duration.FromMilliseconds(500);

    /// <summary>
    /// Is it known that the medium failed here, although it reads now? An error that names the medium shows
    /// it (a drive that is unlocked just then costs a copy that nobody needs). One that a reset makes too
    /// must have come twice, while the disk read elsewhere: a link that comes and goes proves nothing (F-17).
    /// </summary>
    private bool IsWeak => _isLong || HasFailedItself;

    private bool HasFailedItself => _mediumFailures > 0 || _wasSuspect
        || (_ambiguousFailures > 1
            && Device.ReadControlOf(Device.Primary)!.Judge(_unit, _firstFailedAt) == ReadVerdict.Medium);

    private void StartWatching()
    {
        _isLong = false;
        _mediumFailures = 0;
        _ambiguousFailures = 0;
        _wasSuspect = Device.Suspects.TryGet(_unit, out Suspect suspect)
            && (suspect.BadBlocks & Units.MaskIn(_unit, _part)) != 0;
        IoRequest first = _fragment!.Io;
        if (_part == _fragment.Exported && first.Status == IoStatus.DeviceError)
        {
            CountFailure(_fragment.Member!, first.Status, first.Errno, first.Elapsed, _began);
        }
    }

    /// <summary>
    /// It read, and took long over it. Only behind an error of the medium: a link that is reset, or a server
    /// that hangs, fails and takes long as well (F-17).
    /// </summary>
    private void NoteLongRead()
    {
        IoRequest first = _fragment!.Io;
        if (_isLong || IoElapsed < LongRead || _part == _fragment.Exported || !Source.IsPrimary)
        {
            return;
        }
        ErrorClass kind = RemapDevice.Classify(
            _fragment.Member!, IoOperation.Read, first.Status, first.Errno, first.Elapsed);
        if (kind == ErrorClass.Medium)
        {
            _isLong = true;
            _longUnits++;
            _errno = first.Errno;
        }
    }

    /// <summary>True when it may be the medium.</summary>
    private bool NoteFailedTry() => CountFailure(Source, IoStatus, IoErrno, IoElapsed, Device.Now);

    private bool CountFailure(Member member, IoStatus status, int errno, Duration elapsed, Instant at)
    {
        ErrorClass kind = RemapDevice.Classify(member, IoOperation.Read, status, errno, elapsed);
        _errno = errno;
        _firstFailedAt = _mediumFailures + _ambiguousFailures == 0 ? at : _firstFailedAt;
        _mediumFailures += kind == ErrorClass.Medium ? 1 : 0;
        _ambiguousFailures += kind == ErrorClass.Ambiguous ? 1 : 0;
        return kind is ErrorClass.Medium or ErrorClass.Ambiguous;
    }

    /// <summary>The unit was read. True when it is weak and will be copied: its hold is kept.</summary>
    private bool TryKeep()
    {
        ulong read = _entry.Blocks.MaskOf(BlockState.OnPrimary) & Units.MaskIn(_unit, _part);
        if (!IsWeak || read == 0 || !_entry.Location.IsNone || !Device.MayCopyWeak(_unit))
        {
            return false;
        }
        if (_weakCount == 0 && !Device.TryBeginCopies())
        {
            return false;
        }
        Device.Counters.WeakUnits++;
        Device.NoteFailedReading(_unit);
        BufferFor(_part).Span.CopyTo(KeptFor(_part).Span);
        _weak[_weakCount] = new WeakUnit(_entry, _part, read, KeptFor(_part), _errno, HasFailedItself);
        _weakCount++;
        return true;
    }

    /// <summary>
    /// False: what allowed it has changed while others were read or copied, and the unit is let go.
    /// </summary>
    private bool TryStartCopy()
    {
        WeakUnit weak = _weak[_weakAt];
        _unit = weak.Entry.Unit;
        bool isOfSlowDisk = !weak.HasFailed && _longUnits > LongUnitsMax;
        if (isOfSlowDisk || !Device.MayCopyWeak(_unit))
        {
            Device.ReleaseHold(_unit);
            return false;
        }
        Changes.Prepare(this);
        RetirementsLeft = RetiredMax;
        Old = weak.Entry with
        {
            LastErrno = (ushort)Math.Clamp(weak.Errno, 0, ushort.MaxValue),
            LastErrorDay = Device.Today,
        };
        int index = Units.IndexInUnit(weak.Part.Start);
        weak.Data.Span.CopyTo(ScratchAt(index, (int)weak.Part.Count.Value).Span);
        Supplied = weak.Read;
        bool isTime = Device.Now - _began < Patience;
        ulong rest = Old.Blocks.MaskOf(BlockState.OnPrimary) & Units.FullMask(_unit) & ~Supplied;
        _toRead = isTime ? rest : 0;
        return true;
    }

    /// <summary>
    /// What of the rest does not read stays where it is, until it is asked for; so does what comes behind it:
    /// the unit is held, and each try may take the drive half a minute.
    /// </summary>
    private void TakeRest()
    {
        if (IoSucceeded)
        {
            Supplied |= BlockStates.Mask(_index, _count);
            Device.Primary.Reads++;
        }
        else
        {
            Device.Primary.ReadErrors++;
            _toRead = 0;
        }
    }

    private bool HasChanges()
    {
        if (IsPlaced)
        {
            Changes.Add(new TableChange(TableChangeKind.Set, Placed));
        }
        return Changes.Count > 0;
    }

    private void ConcludeCopy()
    {
        if (IsPlaced && Changes.Outcome == CommitOutcome.Done)
        {
            PublishPlacement(Old, Placed);
            Device.Counters.WeakUnitsRescued++;
            Device.Probe?.OnBadUnit(_unit);
            Device.Publish(
                EngineEventKind.RescuedWeak, Device.Primary, Units.ExtentOf(_unit), Placed.Location,
                Old.LastErrno);
        }
        else if (IsPlaced)
        {
            Device.NoteUncommitted(_unit, Placed.Location, Changes.Outcome, isSameContent: true);
        }
        Device.ReleaseHold(_unit);
    }

    private BufferSlice BufferFor(Extent part) => _fragment!.Request!.BufferFor(part, Units.BlockSize);

    private BufferSlice KeptFor(Extent part)
    {
        int size = Units.BlockSize.Bytes;
        int start = (int)(part.Start - _fragment!.Exported.Start).Value * size;
        return _kept.Slice(start, (int)part.Count.Value * size);
    }

    /// <param name="Entry">The unit's rule, or all on the primary.</param>
    /// <param name="Part">The blocks that were asked for.</param>
    /// <param name="Read">Their places that came from the primary.</param>
    /// <param name="Data">Their bytes.</param>
    /// <param name="Errno">Of the last failure.</param>
    /// <param name="HasFailed">By itself, and not only one of several.</param>
    private readonly record struct WeakUnit(
        RemapEntry Entry, Extent Part, ulong Read, BufferSlice Data, int Errno, bool HasFailed);
}
