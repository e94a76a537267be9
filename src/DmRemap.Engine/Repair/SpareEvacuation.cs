using System.Collections.Generic;
using System.Numerics;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;

namespace DmRemap.Engine.Repair;

/// <summary>
/// Moves every unit off one spare, one by one, to others. Order (F-5, F-26): nothing new is placed there →
/// hold → drain → read → write the other spare durably → record → publish → release. Passes are made until
/// one finds nothing that began when nothing was on its way there: no repair that had been given a unit
/// before, and no rule of which a crash may show either form. A unit that has left is not lent again by this
/// process: a read that was under way to it may still be.
/// </summary>
internal sealed class SpareEvacuation : PlacementJob, ITimerOwner
{
    private const int RetiredMax = 16;

    /// <summary>Looks at the table in one turn of the loop.</summary>
    private const int StepsMax = 1024;

    private static readonly Duration s_lookAgain = Duration.FromMilliseconds(50);

    private readonly LoopTimer _timer;
    private EvacuationRequest? _request;
    private RemapEntry _entry;
    private UnitNumber _next;
    private UnitNumber _unit;
    private ulong _lost;
    private bool _isPassClean;
    private bool _isPassOver;
    private bool _isPaused;

    public SpareEvacuation(RemapDevice device)
        : base(device, RetiredMax + 1) => _timer = new LoopTimer(this);

    /// <summary>Of this spare nothing is lent while it is being emptied.</summary>
    public bool IsOf(int spare) => _request?.Spare == spare;

    public void Begin(EvacuationRequest request)
    {
        Invariant.Check(IsIdle);
        _request = request;
        Resume();
    }

    /// <summary>End after the unit that is being moved.</summary>
    public void Abandon()
    {
        if (_request is null)
        {
            return;
        }
        _request.IsAbandoned = true;
        if (_isPaused)
        {
            Device.Unschedule(_timer);
            Wake();
        }
    }

    void ITimerOwner.OnTimer(LoopTimer timer) => Wake();

    protected override bool IsWaitedFor => false;

    protected override bool GivesUpFirst =>
        _request!.AcceptsLoss && Device.Spare(_request.Spare).IsAbsent;

    protected override IEnumerator<Wait> Script()
    {
        while (true)
        {
            yield return Wait.Work;
            while (MayGoOn())
            {
                StartPass();
                while (MayGoOn() && !_isPassOver)
                {
                    if (!FindNext())
                    {
                        Pause(Duration.Zero);
                        yield return Wait.Pause;
                        continue;
                    }
                    Device.Holds.Acquire(_unit, this);
                    yield return Wait.Hold;
                    if (StartUnit())
                    {
                        if (!IsSecondOnly)
                        {
                            yield return Wait.Subscript;
                        }
                        if (HasChanges())
                        {
                            SubmitChanges();
                            yield return Wait.Commit;
                        }
                        ConcludeUnit();
                    }
                    Device.ReleaseHold(_unit);
                }
                if (MayGoOn() && !EndPass())
                {
                    Pause(s_lookAgain);
                    yield return Wait.Pause;
                }
            }
            EvacuationRequest done = _request!;
            _request = null;
            Device.FinishEvacuation(done);
        }
    }

    private bool MayGoOn() =>
        !_request!.IsAbandoned && !_request.IsComplete && _request.FirstError == IoStatus.Ok;

    private void StartPass()
    {
        _next = default;
        _isPassOver = false;
        _request!.UnitsUnread = 0;
        // A retry that was given a unit of this spare before may still be on its way there.
        _isPassClean = !Device.IsAnyMarkedUnderWay && Device.Retries.IsIdle && Device.Copier.IsIdle
            && !Device.HasDoubts;
    }

    /// <summary>False: the table goes on; look further in another turn.</summary>
    private bool FindNext()
    {
        for (int step = 0; step < StepsMax; step++)
        {
            if (!Device.Table.TryGetNextRun(_next, out RemapEntry first, out int count))
            {
                _isPassOver = true;
                return false;
            }
            // A run may begin before what has been looked at.
            _unit = _next.Value > first.Unit.Value ? _next : first.Unit;
            if (first.IsOn(_request!.Spare))
            {
                _next = new UnitNumber(_unit.Value + 1);
                return true;
            }
            _next = new UnitNumber(first.Unit.Value + count);
        }
        return false;
    }

    /// <summary>True when nothing is left; else it goes on, or has failed.</summary>
    private bool EndPass()
    {
        if (_request!.UnitsUnread > 0)
        {
            _request.FirstError = IoStatus.Unreadable;
            return true;
        }
        _request.IsComplete = _isPassClean && !Device.HasDoubts;
        return _request.IsComplete;
    }

    /// <summary>False: it has left meanwhile, or must wait for the next pass.</summary>
    private bool StartUnit()
    {
        bool isThere = Device.Table.TryGet(_unit, out _entry)
            && _entry.IsOn(_request!.Spare);
        if (!isThere)
        {
            return false;
        }
        _isPassClean = false;
        if (Device.IsInDoubt(_unit))
        {
            return false;
        }
        Old = _entry;
        Supplied = 0;
        RetirementsLeft = RetiredMax;
        Changes.Prepare(this);
        return true;
    }

    /// <summary>
    /// Only its second copy is here, which is let go of: another one is made when there is a spare for it.
    /// </summary>
    private bool IsSecondOnly => _entry.Location.Spare != _request!.Spare;

    /// <summary>What there is to commit, when the unit's content is in another place.</summary>
    private bool HasChanges()
    {
        if (IsSecondOnly)
        {
            Changes.Add(
                new TableChange(TableChangeKind.Set, _entry with { Second = SpareLocation.None }));
            return true;
        }
        _lost = Old.Blocks.MaskOf(BlockState.Lost) & ~_entry.Blocks.MaskOf(BlockState.Lost);
        if (MayPublish())
        {
            Changes.Add(new TableChange(TableChangeKind.Set, New));
        }
        return Changes.Count > 0;
    }

    /// <summary>
    /// Where nothing is left to be on a spare, the unit needs none. What is lost then was on the spare, and
    /// younger than what the primary may still hold there: a rule that never looks at the primary.
    /// </summary>
    private RemapEntry New => IsPlaced ? Placed : Old with
    {
        State = Old.Blocks.MaskOf(BlockState.Lost) == 0
            ? UnitState.LostUnreadable
            : UnitState.LostDeclared,
        Location = SpareLocation.None,
        Second = SpareLocation.None,
        Trials = default,
    };

    private bool MayPublish()
    {
        bool isLossAgreed = _lost == 0 || _request!.AcceptsLoss;
        bool hasPlace = IsPlaced || Old.Blocks.MaskOf(BlockState.OnSpare) == 0;
        return isLossAgreed && hasPlace;
    }

    private void ConcludeUnit()
    {
        CommitOutcome outcome = Changes.Count > 0 ? Changes.Outcome : CommitOutcome.Failed;
        if (IsSecondOnly)
        {
            ConcludeSecond(outcome);
            return;
        }
        SpareLocation fresh = IsPlaced ? Placed.Location : SpareLocation.None;
        if (!MayPublish())
        {
            GiveBack(fresh);
            bool isUnread = _lost != 0;
            _request!.UnitsUnread += isUnread ? 1 : 0;
            Fail(isUnread ? IoStatus.Ok
                : IsOldUndecided ? IoStatus.DeviceError : IoStatus.OutOfSpares);
        }
        else if (outcome == CommitOutcome.Done)
        {
            RemapEntry after = New;
            PublishMoved(_entry, after);
            bool isMoved = (after.Blocks.MaskOf(BlockState.OnSpare) & Units.FullMask(_unit)) != 0;
            _request!.UnitsMoved += isMoved ? 1 : 0;
            _request.UnitsLetGo += isMoved ? 0 : 1;
            _request.BlocksLost += BitOperations.PopCount(_lost);
        }
        else
        {
            Device.NoteUncommitted(_unit, fresh, outcome, isSameContent: _lost == 0);
            Fail(IoStatus.MetadataUnavailable);
        }
    }

    private void ConcludeSecond(CommitOutcome outcome)
    {
        if (outcome == CommitOutcome.Done)
        {
            Device.PublishRule(Changes.Changes[0].Entry);
            return;
        }
        Device.NoteUncommitted(_unit, SpareLocation.None, outcome, isSameContent: true);
        Fail(IoStatus.MetadataUnavailable);
    }

    /// <summary>No table names it, and nothing is on its way to it.</summary>
    private void GiveBack(SpareLocation fresh)
    {
        if (!fresh.IsNone)
        {
            Device.Allocator.Free(fresh);
        }
    }

    private void Fail(IoStatus status)
    {
        if (_request!.FirstError == IoStatus.Ok)
        {
            _request.FirstError = status;
        }
    }

    private void Pause(Duration length)
    {
        _isPaused = true;
        Device.Schedule(_timer, Device.Now + length);
    }

    private void Wake()
    {
        _isPaused = false;
        Resume();
        Device.Pump();
    }
}
