using System;
using DmRemap.Core.Abstractions;

namespace DmRemap.Core.Faults;

/// <summary>
/// The control for write errors that may be the medium's (F-17): bad sectors let other writes pass, a disk
/// that rejects writes lets none. Eight distinct units failed and no write taken between them ask for a
/// control: blocks of the application's own last good write, read and written again, unchanged. A dense
/// cluster of bad sectors passes it; a write-protected disk does not. The last write may lie in the same
/// bad area: then an earlier one is asked, far from it. Where no write has ever succeeded there is nothing
/// to repeat (other blocks of the primary are not ours to write): then a bounded number of units may move
/// before the disk is said to reject writes.
/// </summary>
public sealed class WriteControl
{
    /// <summary>
    /// With so many distinct units failed and no write taken between them, a control is made.
    /// </summary>
    public const int DistinctUnitsMax = 8;

    /// <summary>Failures in a row that are believed when there is no place for a control.</summary>
    public const int UncontrolledMax = StormBreaker.MovesMax;

    /// <summary>Places of earlier good writes that are kept.</summary>
    public const int PlacesMax = 4;

    /// <summary>So far from the one before, in blocks, that one bad area hardly holds both.</summary>
    private const long FarBlocks = 1L << 17;

    private readonly Extent[] _earlier = new Extent[PlacesMax];
    private int _newest;
    private readonly UnitNumber[] _failed = new UnitNumber[DistinctUnitsMax];
    private int _count;
    private int _uncontrolled;
    private bool _isControlRunning;
    private bool _isAnswered;
    private bool _wasRejected;

    /// <summary>
    /// A control failed, or too many units failed without one. True until the primary takes a write again.
    /// </summary>
    public bool WritesRejected { get; private set; }

    /// <summary>A control is due before more units move, and nobody makes it yet.</summary>
    public bool NeedsControl => _count == DistinctUnitsMax && MayControl;

    /// <summary>
    /// A control can be made: something failed since the last write that was taken, there is a place for it,
    /// and nobody makes it yet.
    /// </summary>
    public bool MayControl => _count > 0 && !Place.IsEmpty && !WritesRejected && !_isControlRunning;

    /// <summary>
    /// No write has failed since one succeeded, or somebody makes a control now, or none can be made: then
    /// the bound on failures without one must do. While the breaker is tripped only this lets a write move
    /// its unit.
    /// </summary>
    public bool Passes => _count == 0 || _isControlRunning || (Place.IsEmpty && !_wasRejected);

    /// <summary>The blocks of the application's last good write; empty when there is none.</summary>
    public Extent Place { get; private set; }

    /// <summary>The primary took data of the application (not a discard or a zeroing command).</summary>
    public void OnWriteSucceeded(Extent written)
    {
        Place = written;
        Extent last = _earlier[_newest];
        if (last.IsEmpty || Math.Abs((written.Start - last.Start).Value) > FarBlocks)
        {
            _newest = (_newest + 1) % PlacesMax;
            _earlier[_newest] = written;
        }
        _isAnswered = true;
        Reset();
    }

    /// <summary>A write to this unit failed in a way that may be the medium's.</summary>
    public void OnFailure(UnitNumber unit, Extent blocks)
    {
        if (Place.Overlaps(blocks))
        {
            // The place has gone bad itself: it proves nothing any more.
            TakeEarlierPlace();
        }
        if (_failed.AsSpan(0, _count).Contains(unit))
        {
            return;
        }
        if (_count < DistinctUnitsMax)
        {
            _failed[_count] = unit;
            _count++;
        }
        else if (Place.IsEmpty)
        {
            _uncontrolled++;
            WritesRejected |= _uncontrolled >= UncontrolledMax - DistinctUnitsMax;
        }
    }

    /// <summary>Somebody makes the control: nobody else does meanwhile. Ends with OnControl.</summary>
    public void BeginControl()
    {
        Invariant.Check(MayControl);
        _isControlRunning = true;
        _isAnswered = false;
    }

    /// <summary>The control's place is being repaired or has moved: it is none any more.</summary>
    public void OnPlaceUnusable() => TakeEarlierPlace();

    /// <summary>
    /// How the control ended. It counts only while no write has succeeded since it was due.
    /// </summary>
    public void OnControl(ControlWriteOutcome outcome)
    {
        Invariant.Check(_isControlRunning);
        _isControlRunning = false;
        if (_isAnswered)
        {
            return;
        }
        switch (outcome)
        {
            case ControlWriteOutcome.Written:
                Reset();
                break;
            case ControlWriteOutcome.Rejected:
                _wasRejected = true;
                TakeEarlierPlace();
                WritesRejected |= _count == DistinctUnitsMax && Place.IsEmpty;
                break;
            case ControlWriteOutcome.NoPlace:
                TakeEarlierPlace();
                break;
            default:
                Invariant.Unreachable("an outcome that is none");
                break;
        }
    }

    /// <summary>The latest of the earlier ones that does not lie where this one did; each once.</summary>
    private void TakeEarlierPlace()
    {
        Extent bad = Place;
        Place = default;
        for (int i = 0; i < PlacesMax && Place.IsEmpty; i++)
        {
            ref Extent earlier = ref _earlier[(_newest - i + PlacesMax) % PlacesMax];
            Place = earlier.Overlaps(bad) ? default : earlier;
            earlier = default;
        }
    }

    private void Reset()
    {
        _count = 0;
        _uncontrolled = 0;
        _wasRejected = false;
        WritesRejected = false;
    }
}

public enum ControlWriteOutcome : byte
{
    /// <summary>The disk did not take the very bytes that it took before.</summary>
    Rejected = 0,

    /// <summary>The disk takes writes elsewhere: the failing units are bad.</summary>
    Written = 1,

    /// <summary>The place does not read.</summary>
    NoPlace = 2,
}
