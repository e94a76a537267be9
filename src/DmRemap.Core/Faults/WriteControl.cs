using System;
using DmRemap.Core.Abstractions;

namespace DmRemap.Core.Faults;

/// <summary>
/// The control for ambiguous write errors (F-17): bad sectors let other writes pass, a disk that rejects
/// writes lets none. Eight distinct units failed and no write taken between them ask for a control: the
/// application's own last good write, read and written again, unchanged. A dense cluster of bad sectors
/// passes it; a write-protected disk does not. Where no write has ever succeeded there is nothing to repeat
/// (other blocks of the primary are not ours to write): then a bounded number of units may move before the
/// disk is said to reject writes.
/// </summary>
public sealed class WriteControl
{
    /// <summary>
    /// With so many distinct units failed and no write taken between them, a control is made.
    /// </summary>
    public const int DistinctUnitsMax = 8;

    /// <summary>Failures in a row that are believed when there is no place for a control.</summary>
    public const int UncontrolledMax = 256;

    private readonly UnitNumber[] _failed = new UnitNumber[DistinctUnitsMax];
    private int _count;
    private int _uncontrolled;
    private UnitNumber _lastGood;
    private bool _hasLastGood;

    /// <summary>
    /// A control failed, or too many units failed without one. True until the primary takes a write again.
    /// </summary>
    public bool WritesRejected { get; private set; }

    /// <summary>A control is due before more units move.</summary>
    public bool NeedsControl => _count == DistinctUnitsMax && _hasLastGood && !WritesRejected;

    /// <summary>Where the application's last good write was; meaningful when NeedsControl.</summary>
    public UnitNumber Place => _lastGood;

    /// <summary>The primary took a write of the application.</summary>
    public void OnWriteSucceeded(UnitNumber unit)
    {
        _lastGood = unit;
        _hasLastGood = true;
        Reset();
    }

    /// <summary>A write to this unit failed in a way that may be the medium's.</summary>
    public void OnAmbiguousFailure(UnitNumber unit)
    {
        if (_hasLastGood && _lastGood == unit)
        {
            // The place has gone bad itself: it proves nothing any more.
            _hasLastGood = false;
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
        else if (!_hasLastGood)
        {
            _uncontrolled++;
            WritesRejected |= _uncontrolled >= UncontrolledMax - DistinctUnitsMax;
        }
    }

    /// <summary>How the control ended. A place that could not be had, or not be read, says nothing.</summary>
    public void OnControl(ControlWriteOutcome outcome)
    {
        Invariant.Check(_count == DistinctUnitsMax);
        switch (outcome)
        {
            case ControlWriteOutcome.Written:
                Reset();
                break;
            case ControlWriteOutcome.Rejected:
                WritesRejected = true;
                break;
            case ControlWriteOutcome.NoPlace:
                _hasLastGood = false;
                break;
            default:
                Invariant.Unreachable("an outcome that is none");
                break;
        }
    }

    private void Reset()
    {
        _count = 0;
        _uncontrolled = 0;
        WritesRejected = false;
    }
}

public enum ControlWriteOutcome : byte
{
    /// <summary>The disk did not take the very bytes that it took before.</summary>
    Rejected = 0,

    /// <summary>The disk takes writes elsewhere: the failing units are bad.</summary>
    Written = 1,

    /// <summary>The place is being repaired, has moved, or does not read.</summary>
    NoPlace = 2,
}
