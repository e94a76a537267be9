using System.Collections.Generic;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;
using DmRemap.Engine.Repair;

namespace DmRemap.Engine.Flushing;

/// <summary>
/// Units whose rule in the table is ahead of the durable one: a block became "on spare", "zero" or "lost" in memory,
/// and the record of it may be written only after the data it speaks of has been flushed (F-6).
/// </summary>
internal sealed class PendingUnits(RemapTable table)
{
    /// <summary>Rules that one commit takes; a flush with more goes round again.</summary>
    public const int CaptureMax = 4096;

    private readonly HashSet<long> _units = new(CaptureMax);
    private readonly TableChange[] _captured = new TableChange[CaptureMax];
    private int _capturedCount;

    public int Count => _units.Count;

    /// <summary>The last capture left some out.</summary>
    public bool IsCaptureFull => _capturedCount == CaptureMax;

    public bool HasCapture => _capturedCount > 0;

    public void Add(UnitNumber unit) => _units.Add(unit.Value);

    /// <summary>The unit's rule, as it is in the table now, has become durable by another commit.</summary>
    public void Settle(UnitNumber unit) => _units.Remove(unit.Value);

    public bool Contains(UnitNumber unit) => _units.Contains(unit.Value);

    /// <summary>
    /// Remember the pending rules as they are now. Called before the members are flushed: whatever the table says now
    /// was written before that flush was submitted, so the flush covers it.
    /// </summary>
    public void Capture()
    {
        _capturedCount = 0;
        foreach (long value in _units)
        {
            if (IsCaptureFull)
            {
                return;
            }
            _captured[_capturedCount] = Now(new UnitNumber(value));
            _capturedCount++;
        }
    }

    /// <summary>
    /// A captured unit is being repaired: its repair may have committed a newer rule that the table does not show yet,
    /// and ours, written after it, would undo that. The flush waits until it is let go (the repair never waits for a
    /// flush).
    /// </summary>
    public bool AnyCapturedIsHeld(UnitHolds holds)
    {
        for (int i = 0; holds.Count > 0 && i < _capturedCount; i++)
        {
            if (holds.IsHeld(_captured[i].Entry.Unit))
            {
                return true;
            }
        }
        return false;
    }

    /// <summary>
    /// The captured rules that still speak of the same place. Where a repair has meanwhile moved the unit, its own
    /// commit has made everything durable that the captured rule would have.
    /// </summary>
    public void AddCapturedTo(CommitRequest changes)
    {
        for (int i = 0; i < _capturedCount; i++)
        {
            TableChange captured = _captured[i];
            TableChange now = Now(captured.Entry.Unit);
            bool isSamePlace = now.Kind == captured.Kind
                && now.Entry.State == captured.Entry.State
                && now.Entry.Location == captured.Entry.Location;
            if (isSamePlace && _units.Contains(captured.Entry.Unit.Value))
            {
                changes.Add(captured);
            }
        }
    }

    /// <summary>These changes are durable: what has not changed since it was captured is settled.</summary>
    public void Committed(CommitRequest changes)
    {
        foreach (TableChange change in changes.Changes)
        {
            if (Now(change.Entry.Unit) == change)
            {
                _units.Remove(change.Entry.Unit.Value);
            }
        }
    }

    private TableChange Now(UnitNumber unit) => table.TryGet(unit, out RemapEntry entry)
        ? new TableChange(TableChangeKind.Set, entry)
        : new TableChange(
            TableChangeKind.Remove,
            new RemapEntry { Unit = unit, State = UnitState.LostUnreadable, Blocks = BlockStates.AllOnPrimary });
}
