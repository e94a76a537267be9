using System.Collections.Generic;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;
using DmRemap.Engine.Requests;

namespace DmRemap.Engine.Repair;

/// <summary>
/// Write-zeroes over units with an entry: a rule, not data, and no spare unit (F-11). The units are held in
/// ascending order, one commit makes their rules durable, then they are published and the request goes on.
/// Durable before it is answered, because a rule that only this process knows would be lost by a kill, and
/// the old content would come back.
/// </summary>
internal sealed class ZeroRule(RemapDevice device) : RepairJob(device, UnitsMax), IFragmentJob
{
    /// <summary>Units that one fragment of this kind covers at most.</summary>
    public const int UnitsMax = 64;

    private FragmentIo? _fragment;
    private UnitNumber _unit;
    private UnitNumber _last;

    public void Begin(FragmentIo fragment)
    {
        Invariant.Check(IsIdle);
        _fragment = fragment;
        _last = Units.UnitOf(new BlockNumber(fragment.Exported.End.Value - 1));
        Resume();
    }

    protected override IEnumerator<Wait> Script()
    {
        while (true)
        {
            yield return Wait.Work;
            for (_unit = FirstUnit; _unit <= _last; _unit = new(_unit.Value + 1))
            {
                Device.Holds.Acquire(_unit, this);
                yield return Wait.Hold;
            }
            bool areAllThere = BuildChanges();
            if (areAllThere && Changes.Count > 0)
            {
                SubmitChanges();
                yield return Wait.Commit;
            }
            if (areAllThere)
            {
                TakeCommit();
            }
            else
            {
                // A unit's rule went away while we waited for it (its blocks were rewritten in place):
                // nothing is changed, and the request is split anew.
                _fragment!.Request!.Cursor = _fragment.Exported.Start;
            }
            for (_unit = FirstUnit; _unit <= _last; _unit = new(_unit.Value + 1))
            {
                Device.ReleaseHold(_unit);
            }
            FragmentIo done = _fragment!;
            _fragment = null;
            Device.FinishZeroRule(done, this);
        }
    }

    private UnitNumber FirstUnit => Units.UnitOf(_fragment!.Exported.Start);

    /// <summary>False: some unit has no rule any more.</summary>
    private bool BuildChanges()
    {
        Changes.Prepare(this);
        for (UnitNumber unit = FirstUnit; unit <= _last; unit = new(unit.Value + 1))
        {
            if (!Device.Table.TryGet(unit, out RemapEntry entry))
            {
                return false;
            }
            ulong mask = Units.MaskIn(unit, _fragment!.Exported);
            // A rule, no data: the primary's copy of a unit in probation misses it, and counts no more.
            bool isInProbation = entry.State == UnitState.Probation;
            RemapEntry zeroed = (isInProbation ? entry.AsRemapped() : entry) with
            {
                Blocks = entry.Blocks.With(mask, BlockState.Zero),
            };
            if (zeroed != entry || Device.IsInDoubt(unit))
            {
                Changes.Add(new TableChange(TableChangeKind.Set, zeroed));
            }
        }
        return true;
    }

    private void TakeCommit()
    {
        CommitOutcome outcome = Changes.Count > 0 ? Changes.Outcome : CommitOutcome.Done;
        if (outcome == CommitOutcome.Done)
        {
            Device.NoteWritten(_fragment!.Exported, isForced: true, Device.LossesNow);
        }
        else
        {
            _fragment!.Request!.Fail(IoStatus.MetadataUnavailable, 0, _fragment.Exported);
        }
        foreach (TableChange change in Changes.Changes)
        {
            if (outcome == CommitOutcome.Done)
            {
                Device.PublishRule(change.Entry);
            }
            else
            {
                Device.NoteUncommitted(change.Entry.Unit, SpareLocation.None, outcome);
            }
        }
    }
}
