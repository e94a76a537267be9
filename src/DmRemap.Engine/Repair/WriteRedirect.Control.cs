using System;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;

namespace DmRemap.Engine.Repair;

/// <summary>The control for writes that fail in a way that a whole disk fails in too (F-17).</summary>
internal sealed partial class WriteRedirect
{
    private Extent _control;
    private bool _isControlRead;
    private bool _isControlSaved;

    /// <summary>
    /// Is a control due? It repeats blocks of the application's last good write, at most a physical block.
    /// Its unit is held like any other: nobody's write can slip between its reading and its writing. Only a
    /// unit that nobody holds is taken, so that no two repairs wait for each other.
    /// </summary>
    private bool StartControl()
    {
        while (IsControlNeeded())
        {
            Extent written = Device.WriteControl.Place;
            UnitNumber unit = Units.UnitOf(written.Start);
            if (Device.Holds.IsHeld(unit) || Device.IsSuspicious(unit) || Device.Table.TryGet(unit, out _))
            {
                Device.WriteControl.OnPlaceUnusable();
                continue;
            }
            int index = Units.IndexInUnit(written.Start);
            int end = (int)Math.Min(Units.BlocksPerUnit, index + written.Count.Value);
            _control = new Extent(written.Start, new BlockCount(PieceAt(Device.Primary, index, end)));
            Device.WriteControl.BeginControl();
            Device.Holds.Acquire(unit, this);
            return true;
        }
        return false;
    }

    private bool IsControlNeeded()
    {
        bool isStorm = Device.Breaker.IsTripped && Device.WriteControl.MayControl;
        bool isNeeded = Device.WriteControl.NeedsControl || (isStorm && HasUnitToMove());
        // A control that fails takes a slot of the parts, and a spare unit for what it may have ruined: where
        // none is to be had it could help nothing, and destroy what nobody complained of.
        bool mayBeSaved = Device.Allocator.TotalUnitsAllocatable > 0;
        return isNeeded && mayBeSaved && _partCount < SlotsMax;
    }

    /// <summary>Would a unit that was healthy get a spare unit now?</summary>
    private bool HasUnitToMove()
    {
        foreach (Part part in _parts.AsSpan(0, _partCount))
        {
            if (part.Plan == Plan.Place && part.WasHealthy)
            {
                return true;
            }
        }
        return false;
    }

    /// <summary>
    /// The control write failed, and a failed write may have ruined what was there, or land later over what
    /// is written next (an NBD server that was lost with it): the good bytes, which we hold, go to a spare
    /// unit, whatever the error says of the disk.
    /// </summary>
    private bool MustSaveControl()
    {
        bool wasRejected = Device.AreWritesRejected;
        bool isWritten = _isControlRead && IoSucceeded;
        // A disk that is away or stalled has not refused a write.
        bool isRejected = _isControlRead && !isWritten
            && RemapDevice.Classify(Device.Primary, IoOperation.Write, IoStatus, IoErrno, IoElapsed)
                is ErrorClass.Medium or ErrorClass.Ambiguous;
        _isControlSaved = false;
        ControlWriteOutcome outcome = isWritten ? ControlWriteOutcome.Written
            : isRejected ? ControlWriteOutcome.Rejected : ControlWriteOutcome.NoPlace;
        if (isWritten)
        {
            // It is in the drive's cache now, like any write, and the next flush must cover it.
            Device.Primary.NoteUnflushed(_control);
        }
        Device.WriteControl.OnControl(outcome);
        Device.NoteRejection(wasRejected, IoErrno);
        if (!_isControlRead || isWritten)
        {
            return false;
        }
        UnitNumber unit = Units.UnitOf(_control.Start);
        Old = new RemapEntry
        {
            Unit = unit,
            State = UnitState.LostUnreadable,
            Blocks = BlockStates.AllOnPrimary,
        };
        Supplied = Units.MaskIn(unit, _control);
        _isControlSaved = true;
        return true;
    }

    /// <summary>
    /// A saved control is one more part of this work: committed, published and released with it.
    /// </summary>
    private void EndControl()
    {
        UnitNumber unit = Units.UnitOf(_control.Start);
        if (!_isControlSaved || !IsPlaced)
        {
            if (_isControlSaved)
            {
                // Others took the last spare units meanwhile: what is there reads or fails as the disk says.
                Device.NoteExhausted(_control);
            }
            Device.ReleaseHold(unit);
            return;
        }
        _parts[_partCount] =
            new Part { Unit = unit, Blocks = _control, Plan = Plan.Placed, Old = Old, New = Placed };
        _partCount++;
        Changes.Add(new TableChange(TableChangeKind.Set, Placed));
    }

    private BufferSlice ControlBuffer() =>
        ScratchAt(Units.IndexInUnit(_control.Start), (int)_control.Count.Value);
}
