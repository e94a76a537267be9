using System.Collections.Generic;
using System.Numerics;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;

namespace DmRemap.Engine.Repair;

/// <summary>
/// Blocks of the primary that a person says are lost: reads of them are errors from here on, until they are
/// written, and the primary's content is never looked at. Units are held in ascending order, one commit makes
/// a batch of rules durable, then they are published. What is on a spare, or zero by a rule, is not lost by
/// anything that is said of the primary: it stays.
/// </summary>
internal sealed class LossDeclaration(RemapDevice device) : RepairJob(device, UnitsMax)
{
    private const int UnitsMax = 64;

    private DeclareRequest? _request;
    private UnitNumber _first;
    private UnitNumber _end;
    private UnitNumber _unit;

    public void Begin(DeclareRequest request)
    {
        Invariant.Check(IsIdle);
        _request = request;
        _end = Units.UnitOf(request.Blocks.Start);
        Resume();
    }

    /// <summary>End after the units at hand.</summary>
    public void Abandon() => _request?.Abandon();

    protected override IEnumerator<Wait> Script()
    {
        while (true)
        {
            yield return Wait.Work;
            while (NextBatch())
            {
                for (_unit = _first; _unit < _end; _unit = new(_unit.Value + 1))
                {
                    Device.Holds.Acquire(_unit, this);
                    yield return Wait.Hold;
                }
                PrepareChanges();
                if (Changes.Count > 0)
                {
                    SubmitChanges();
                    yield return Wait.Commit;
                    TakeCommit();
                }
                for (_unit = _first; _unit < _end; _unit = new(_unit.Value + 1))
                {
                    Device.ReleaseHold(_unit);
                }
                _request!.UnitsPassed += _end.Value - _first.Value;
            }
            DeclareRequest done = _request!;
            _request = null;
            done.OnFinished();
            Device.OnHandworkEnded();
        }
    }

    private bool NextBatch()
    {
        UnitNumber last = Units.UnitOf(new BlockNumber(_request!.Blocks.End.Value - 1));
        _first = _end;
        _end = new UnitNumber(System.Math.Min(_first.Value + UnitsMax, last.Value + 1));
        return !_request.IsAbandoned && _request.Error == IoStatus.Ok && _first < _end;
    }

    private void PrepareChanges()
    {
        Changes.Prepare(this);
        for (UnitNumber unit = _first; unit < _end; unit = new UnitNumber(unit.Value + 1))
        {
            if (Device.IsInDoubt(unit))
            {
                _request!.Error = IoStatus.MetadataUnavailable;
                Changes.Prepare(this);
                return;
            }
            AddChange(unit, Units.MaskIn(unit, _request!.Blocks));
        }
    }

    private void AddChange(UnitNumber unit, ulong asked)
    {
        bool hasEntry = Device.Table.TryGet(unit, out RemapEntry entry);
        BlockStates before = hasEntry ? entry.Blocks : BlockStates.AllOnPrimary;
        ulong kept = asked & (before.MaskOf(BlockState.Zero) | before.MaskOf(BlockState.OnSpare));
        _request!.BlocksOnSpare += BitOperations.PopCount(kept);
        BlockStates after = before.With(asked & ~kept, BlockState.Lost);
        bool hasSpareUnit = hasEntry && !entry.Location.IsNone;
        bool isSame = hasEntry && after == before && (hasSpareUnit || entry.State == UnitState.LostDeclared);
        if (asked == kept || isSame)
        {
            return;
        }
        RemapEntry declared = hasSpareUnit
            ? entry with { Blocks = after, LastErrorDay = Device.Today }
            : new RemapEntry
            {
                Unit = unit,
                State = UnitState.LostDeclared,
                Blocks = after,
                LastErrorDay = Device.Today,
            };
        Changes.Add(new TableChange(TableChangeKind.Set, declared));
    }

    private void TakeCommit()
    {
        foreach (TableChange change in Changes.Changes)
        {
            UnitNumber unit = change.Entry.Unit;
            if (Changes.Outcome != CommitOutcome.Done)
            {
                Device.NoteUncommitted(unit, SpareLocation.None, Changes.Outcome);
                _request!.Error = IoStatus.MetadataUnavailable;
                continue;
            }
            ulong before = Device.Table.TryGet(unit, out RemapEntry old)
                ? old.Blocks.MaskOf(BlockState.Lost)
                : 0;
            ulong added = change.Entry.Blocks.MaskOf(BlockState.Lost) & ~before & Units.FullMask(unit);
            Device.PublishRule(change.Entry);
            Device.Suspects.Clear(unit, change.Entry.Blocks.MaskOf(BlockState.Lost));
            Device.Counters.BlocksLost += BitOperations.PopCount(added);
            _request!.BlocksDeclared += BitOperations.PopCount(added);
            Device.Publish(
                EngineEventKind.Declared, Device.Primary, Device.BlocksOf(unit, added),
                SpareLocation.None, 0);
        }
    }
}
