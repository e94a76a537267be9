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
/// and makes the unit suspect. Read under the hold, because what is concluded here (suspect, lost) must not
/// race with a write that heals the block (F-5).
/// </summary>
internal sealed class ReadRescue(RemapDevice device) : RepairJob(device, 1), IFragmentJob
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
    private Instant _failedAt;
    private int _errno;
    private ulong _bad;
    private bool _isUndecided;
    private bool _isPieceFailed;

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
            Device.Counters.ReadRescues++;
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
                        SubmitRead();
                        yield return Wait.Io;
                        for (StartControl(); _control.Verdict == ReadVerdict.NeedsControl; _place++)
                        {
                            SubmitControlRead();
                            yield return Wait.Io;
                            TakeControlRead();
                        }
                        TakePiece();
                    }
                }
                ConcludeUnit();
                Device.ReleaseHold(_unit);
            }
            FragmentIo done = _fragment!;
            _fragment = null;
            Device.FinishRescue(done, this);
        }
    }

    private Member Source =>
        _source == BlockState.OnSpare ? Device.Spare(_entry.Location.Spare) : Device.Primary;

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
            NoteRead();
            return true;
        }
        _errno = IoErrno;
        return false;
    }

    private bool NextPiece()
    {
        if (_run == 0)
        {
            return false;
        }
        _index = BitOperations.TrailingZeroCount(_run);
        int left = BitOperations.TrailingZeroCount(~(_run >> _index));
        _count = PieceAt(Source, _index, _index + left);
        _run &= ~BlockStates.Mask(_index, _count);
        return true;
    }

    /// <summary>
    /// What the piece's outcome means: known at once, or only after the disk has been read elsewhere (F-17).
    /// Leaves the verdict in the control round.
    /// </summary>
    private void StartControl()
    {
        _place = 0;
        _control = new ControlRound(0);
        if (IoSucceeded)
        {
            return;
        }
        _errno = IoErrno;
        _failedAt = Device.Now;
        ErrorClass kind = RemapDevice.Classify(Source, IoOperation.Read, IoStatus, IoErrno, IoElapsed);
        if (kind == ErrorClass.Ambiguous && Device.ReadControlOf(Source) is ReadControl control)
        {
            if (control.Judge(_unit, _failedAt) == ReadVerdict.NeedsControl)
            {
                _places = control.PlacesFor(_unit, Device.Now);
                _control = new ControlRound(_places.Count);
                return;
            }
            kind = ErrorClass.Medium;
        }
        // A spare has no control of its own: its ambiguous errors count as the medium's, because what it
        // holds is read from nowhere else.
        bool isMedium = kind is ErrorClass.Medium or ErrorClass.Ambiguous;
        NoteFailure(isMedium);
    }

    private void SubmitControlRead()
    {
        Extent unit = Units.ExtentOf(_places[_place]);
        int count = (int)System.Math.Min(unit.Count.Value, PieceAt(Device.Primary, 0, Units.BlocksPerUnit));
        Extent control = new(unit.Start, new BlockCount(count));
        SubmitToPrimary(IoOperation.Read, control, ScratchAt(0, count));
    }

    private void TakeControlRead()
    {
        if (IoSucceeded)
        {
            Device.NoteReadSuccess(Device.Primary, Units.ExtentOf(_places[_place]));
        }
        ReadVerdict verdict =
            _control.OnControlRead(IoSucceeded ? ControlOutcome.Read : ControlOutcome.Failed);
        if (verdict != ReadVerdict.NeedsControl)
        {
            NoteFailure(verdict == ReadVerdict.Medium);
        }
    }

    private void NoteFailure(bool isMedium)
    {
        _isPieceFailed = true;
        Source.ReadErrors++;
        if (isMedium)
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
        else
        {
            NoteRead();
        }
        _isPieceFailed = false;
    }

    private void ConcludeUnit()
    {
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
        }
    }

    private void SubmitRead()
    {
        if (_source == BlockState.OnSpare)
        {
            SubmitToSpare(IoOperation.Read, _entry.Location, _index, _count, Buffer());
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

    /// <summary>The exported blocks at places [index, index + count) of the unit.</summary>
    private Extent Blocks()
    {
        Extent unit = Units.ExtentOf(_unit);
        int first = Units.IndexInUnit(unit.Start);
        return new Extent(unit.Start + new BlockCount(_index - first), new BlockCount(_count));
    }

    private BufferSlice Buffer() => _fragment!.Request!.BufferFor(Blocks(), Units.BlockSize);
}
