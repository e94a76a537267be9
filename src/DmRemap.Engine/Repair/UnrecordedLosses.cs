using System.Collections.Generic;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;

namespace DmRemap.Engine.Repair;

/// <summary>
/// Units whose blocks were given up in memory and not yet in the durable table. Nobody waits for this record:
/// a crash before it makes the blocks be asked again, nothing more. A unit that is being repaired is left for
/// later: its repair may have committed a newer rule that the table does not show yet, and ours, written
/// after it, would undo that.
/// </summary>
internal sealed class UnrecordedLosses(RemapDevice device, IEventLoop loop) : ITimerOwner, ICommitOwner
{
    private const int BatchMax = Limits.CommitChangesMax;

    private static readonly Duration s_recordAfter = Duration.FromSeconds(1);

    /// <summary>Between two looks whether the metadata can be written again.</summary>
    private static readonly Duration s_tryAgain = Duration.FromSeconds(10);

    private readonly HashSet<long> _units = new(BatchMax);
    private readonly CommitRequest _changes = new(BatchMax);
    private LoopTimer? _timer;
    private bool _isSoon;

    public bool IsIdle => !_changes.IsPending;

    public void Add(UnitNumber unit)
    {
        _units.Add(unit.Value);
        Arm();
    }

    /// <summary>Another commit has made the unit's rule durable.</summary>
    public void Settle(UnitNumber unit) => _units.Remove(unit.Value);

    public void OnTimer(LoopTimer timer) => Record();

    /// <summary>At the end: the timer is not left behind.</summary>
    public void RecordLast()
    {
        if (_timer is not null)
        {
            loop.Cancel(_timer);
        }
        Record();
    }

    /// <summary>Now, whatever the timer says.</summary>
    public void Record()
    {
        if (_changes.IsPending)
        {
            return;
        }
        _changes.Prepare(this);
        foreach (long value in _units)
        {
            UnitNumber unit = new(value);
            if (!_changes.IsFull && !device.Holds.IsHeld(unit)
                && device.Table.TryGet(unit, out RemapEntry entry))
            {
                _changes.Add(new TableChange(TableChangeKind.Set, entry));
            }
        }
        // Also with nothing to say: a commit that is Done ends every doubt, and shows that there is metadata
        // again.
        if (_changes.Count > 0 || device.HasDoubts || device.IsMetadataUnavailable)
        {
            device.Counters.Commits++;
            device.Log.Commit(_changes);
        }
        else
        {
            Arm();
        }
    }

    public void OnCommitted(CommitRequest request)
    {
        device.NoteCommit(request.Outcome);
        if (request.Outcome == CommitOutcome.Done)
        {
            foreach (TableChange change in request.Changes)
            {
                if (device.Table.TryGet(change.Entry.Unit, out RemapEntry now) && now == change.Entry)
                {
                    _units.Remove(change.Entry.Unit.Value);
                }
            }
        }
        Arm();
        device.Pump();
    }

    /// <summary>There is something to record, soon.</summary>
    public void Arm()
    {
        _timer ??= new LoopTimer(this);
        bool isDue = _units.Count > 0 || device.HasDoubts;
        bool isArmed = _timer.IsSet && (_isSoon || !isDue);
        if ((isDue || device.IsMetadataUnavailable) && !isArmed && !device.IsStopping)
        {
            _isSoon = isDue;
            loop.Schedule(_timer, loop.Now + (isDue ? s_recordAfter : s_tryAgain));
        }
    }
}
