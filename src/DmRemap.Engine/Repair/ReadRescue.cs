using System.Collections.Generic;
using System.Numerics;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using DmRemap.Core.Remapping;
using DmRemap.Engine.Requests;

namespace DmRemap.Engine.Repair;

/// <summary>
/// A read that failed, read again: unit by unit under the unit's hold, then physical block by physical block,
/// never from the beginning again. What reads is served; what does not is an error for exactly those blocks,
/// and makes the unit suspect. Read under the hold, because what is concluded here (suspect, lost, weak) must
/// not race with a write that heals the block (F-5). What read only after failing is then copied to a spare.
/// </summary>
internal sealed partial class ReadRescue(RemapDevice device)
    : PlacementJob(device, RetiredMax + 1), IFragmentJob
{
    private FragmentIo? _fragment;
    private RemapEntry _entry;
    private UnitNumber _unit;
    private Extent _part;
    private ulong _toRead;
    private ulong _run;
    private int _index;
    private int _count;
    private BlockState _source;
    private ControlPlaces _places;
    private ControlRound _control;
    private int _place;
    private Instant _began;
    private Instant _failedAt;
    private int _retries;
    private int _errno;
    private ulong _bad;
    private bool _isUndecided;
    private bool _isPieceFailed;

    /// <summary>
    /// After so long nothing is tried again any more, only what has not been read yet: whoever asked is
    /// waiting.
    /// </summary>
    public static Duration Patience => Duration.FromSeconds(30);

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
            Start();
            for (_part = PartFrom(_fragment!.Exported.Start); !_part.IsEmpty; _part = PartFrom(_part.End))
            {
                Device.Holds.Acquire(_unit, this);
                yield return Wait.Hold;
                StartUnit();
                while (NextRun())
                {
                    SubmitRead();
                    yield return Wait.Io;
                    if (TakeRun())
                    {
                        continue;
                    }
                    while (NextPiece())
                    {
                        do
                        {
                            SubmitRead();
                            yield return Wait.Io;
                        }
                        while (MustRetry());
                        for (StartControl(); _control.Verdict == ReadVerdict.NeedsControl; _place++)
                        {
                            SubmitControlRead();
                            yield return Wait.Io;
                            TakeControlRead();
                        }
                        for (_copy = CopyAsked.None; NextCopy();)
                        {
                            SubmitCopyRead();
                            yield return Wait.Io;
                            TakeCopyRead();
                        }
                        TakePiece();
                    }
                }
                ConcludeUnit();
            }
            // Answered before anything is copied: a spare that hangs does not hold up what has been read.
            FinishFragment();
            for (_weakAt = 0; _weakAt < _weakCount; _weakAt++)
            {
                if (!TryStartCopy())
                {
                    continue;
                }
                while (TakePieceOf(ref _toRead, Device.Primary, out _index, out _count))
                {
                    SubmitToPrimary(IoOperation.Read, Blocks(), ScratchAt(_index, _count));
                    yield return Wait.Io;
                    TakeRest();
                }
                yield return Wait.Subscript;
                if (HasChanges())
                {
                    SubmitChanges();
                    yield return Wait.Commit;
                }
                ConcludeCopy();
            }
            Device.ReturnRescue(this, hasCopied: _weakCount > 0);
        }
    }

    private Member Source =>
        _source == BlockState.OnSpare ? Device.Spare(_from.Spare) : Device.Primary;

    private void Start()
    {
        Device.Counters.ReadRescues++;
        _began = Device.Now;
        _weakCount = 0;
        _longUnits = 0;
    }

    private void FinishFragment()
    {
        FragmentIo done = _fragment!;
        _fragment = null;
        Device.FinishRescue(done);
    }

    private Extent PartFrom(BlockNumber start)
    {
        Extent rest = Extent.FromBounds(start, _fragment!.Exported.End);
        if (rest.IsEmpty)
        {
            return rest;
        }
        _unit = Units.UnitOf(start);
        return Units.ExtentOf(_unit).Intersect(rest);
    }

    private void StartUnit()
    {
        if (!Device.Table.TryGet(_unit, out _entry))
        {
            _entry =
                new RemapEntry
                {
                    Unit = _unit,
                    State = UnitState.LostUnreadable,
                    Blocks = BlockStates.AllOnPrimary
                };
        }
        _toRead = Units.MaskIn(_unit, _part);
        _bad = 0;
        _errno = 0;
        _isUndecided = false;
        _from = FirstToRead();
        StartWatching();
    }

    /// <summary>
    /// The next run of blocks with one source; zeros and lost blocks are settled on the way.
    /// </summary>
    private bool NextRun()
    {
        while (_toRead != 0)
        {
            _index = BitOperations.TrailingZeroCount(_toRead);
            int left = BitOperations.TrailingZeroCount(~(_toRead >> _index));
            _count = _entry.Blocks.RunLength(_index, _index + left);
            _source = _entry.Blocks[_index];
            _run = BlockStates.Mask(_index, _count);
            _toRead &= ~_run;
            if (_source == BlockState.Zero)
            {
                Buffer().Span.Clear();
            }
            else if (_source == BlockState.Lost)
            {
                Fail(IoStatus.Unreadable);
            }
            else
            {
                return true;
            }
        }
        return false;
    }

    /// <summary>True when the whole run read; else its pieces are read one by one.</summary>
    private bool TakeRun()
    {
        if (IoSucceeded)
        {
            NoteLongRead();
            NoteRead();
            return true;
        }
        NoteFailedTry();
        return false;
    }

    private bool NextPiece()
    {
        _retries = 0;
        return TakePieceOf(ref _run, Source, out _index, out _count);
    }

    /// <summary>
    /// A failed piece is tried again, so often as was agreed, if its error may be the medium's: what reads at
    /// last can still be saved.
    /// </summary>
    private bool MustRetry()
    {
        if (IoSucceeded)
        {
            return false;
        }
        bool mayBeMedium = NoteFailedTry();
        bool isTime = Device.Now - _began < Patience;
        _retries++;
        return mayBeMedium && isTime && _retries <= Device.ReadRetries;
    }

    /// <summary>
    /// What the piece's outcome means: known at once, or only after the disk has been read elsewhere (F-17).
    /// Leaves the verdict in the control round.
    /// </summary>
    private void StartControl()
    {
        _place = 0;
        _control = new ControlRound(0);
        _wasUndecided = _isUndecided;
        if (IoSucceeded)
        {
            return;
        }
        _errno = IoErrno;
        _failedAt = Device.Now;
        ErrorClass kind = RemapDevice.Classify(Source, IoOperation.Read, IoStatus, IoErrno, IoElapsed);
        if (kind is not (ErrorClass.Medium or ErrorClass.Ambiguous))
        {
            NoteFailure(false);
        }
        else if (Device.ReadControlOf(Source) is not ReadControl control)
        {
            // A spare's control is a superblock: does the device read at all?
            _control = new ControlRound(1);
        }
        else if (control.Judge(_unit, _failedAt) == ReadVerdict.Medium)
        {
            NoteFailure(true);
        }
        else
        {
            _places = control.PlacesFor(_unit, Device.Now, isNamed: kind == ErrorClass.Medium);
            _control = new ControlRound(_places.Count);
            if (_places.Count == 0)
            {
                NoteFailure(false);
            }
        }
    }

    private void SubmitControlRead()
    {
        if (!Source.IsPrimary)
        {
            SubmitSpareControl(Source, Scratch);
            return;
        }
        Extent unit = Units.ExtentOf(_places[_place]);
        int count = (int)System.Math.Min(unit.Count.Value, PieceAt(Device.Primary, 0, Units.BlocksPerUnit));
        Extent control = new(unit.Start, new BlockCount(count));
        SubmitToPrimary(IoOperation.Read, control, ScratchAt(0, count));
    }

    private void TakeControlRead()
    {
        if (IoSucceeded && Source.IsPrimary)
        {
            Device.NoteReadSuccess(Device.Primary, Units.ExtentOf(_places[_place]));
        }
        ReadVerdict verdict =
            _control.OnControlRead(IoSucceeded ? ControlOutcome.Read : ControlOutcome.Failed);
        if (verdict == ReadVerdict.NeedsControl)
        {
            return;
        }
        NoteFailure(verdict == ReadVerdict.Medium);
        if (verdict == ReadVerdict.NotMedium && Source.IsPrimary && IsDiskThere())
        {
            Device.NoteReadsNowhere(IoErrno);
        }
    }

    /// <summary>The last control failed as a disk does that is there, and answers in time.</summary>
    private bool IsDiskThere() =>
        RemapDevice.Classify(Device.Primary, IoOperation.Read, IoStatus, IoErrno, IoElapsed)
            is ErrorClass.Medium or ErrorClass.Ambiguous;

    private void NoteFailure(bool isMedium)
    {
        _isPieceFailed = true;
        Source.ReadErrors++;
        if (isMedium && !(IsFromSecond && _source == BlockState.OnSpare))
        {
            _bad |= BlockStates.Mask(_index, _count);
        }
        else
        {
            _isUndecided = true;
            Device.Publish(EngineEventKind.MemberError, Source, Blocks(), _entry.Location, _errno);
        }
    }

    private void TakePiece()
    {
        if (_isPieceFailed)
        {
            Fail(IoStatus.DeviceError);
        }
        else if (!_isFromCopy)
        {
            NoteRead();
        }
        _isPieceFailed = _isFromCopy = false;
    }

    private void ConcludeUnit()
    {
        bool isKept = false;
        if (_bad != 0)
        {
            Device.NoteUnreadable(_entry, _bad, _errno, Source);
        }
        else if (_isUndecided)
        {
            Device.Suspects.OnUndecided(_unit, Device.Now);
        }
        else
        {
            Device.NoteReadable(_unit, Units.MaskIn(_unit, _part));
            isKept = TryKeep();
        }
        if (!isKept)
        {
            Device.ReleaseHold(_unit);
        }
    }

    private void SubmitRead()
    {
        if (_source == BlockState.OnSpare)
        {
            SubmitToSpare(
                IoOperation.Read, _from, _index, _count, Buffer(),
                isKeptIfGone: !Device.HasSecondToRead(_entry));
        }
        else
        {
            SubmitToPrimary(IoOperation.Read, Blocks(), Buffer());
        }
    }

    private void NoteRead()
    {
        Source.Reads++;
        Device.NoteReadSuccess(Source, Blocks());
    }

    private void Fail(IoStatus status) => _fragment!.Request!.Fail(status, _errno, Blocks());

    private Extent Blocks() => Units.ExtentAt(_unit, _index, _count);

    private BufferSlice Buffer() => BufferFor(Blocks());
}
