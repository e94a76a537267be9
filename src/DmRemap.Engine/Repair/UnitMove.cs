using System.Collections.Generic;
using System.Numerics;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;

namespace DmRemap.Engine.Repair;

/// <summary>
/// Moves units to spares because a person asks: what reads is copied, what does not stays on the primary and
/// is named. Order (F-5): hold → drain → read → write the spare durably → record → publish → release. The
/// copy is read under the hold, so no acknowledged write can slip between the reading and the publishing.
/// </summary>
internal sealed class UnitMove(RemapDevice device) : PlacementJob(device, RetiredMax + 1)
{
    private const int RetiredMax = 16;

    private MoveRequest? _request;
    private UnitNumber _unit;
    private ulong _toRead;
    private int _index;
    private int _count;

    public void Begin(MoveRequest request)
    {
        Invariant.Check(IsIdle);
        _request = request;
        Resume();
    }

    /// <summary>End after the unit that is being moved.</summary>
    public void Abandon() => _request?.Abandon();

    protected override bool IsAsked => true;

    protected override bool IsWaitedFor => false;

    protected override IEnumerator<Wait> Script()
    {
        while (true)
        {
            yield return Wait.Work;
            for (_unit = _request!.First; _unit <= _request.Last
                && !_request.IsAbandoned; _unit = new(_unit.Value + 1))
            {
                Device.Holds.Acquire(_unit, this);
                yield return Wait.Hold;
                if (StartUnit())
                {
                    while (TakePieceOf(ref _toRead, Device.Primary, out _index, out _count))
                    {
                        SubmitToPrimary(IoOperation.Read, Blocks(), ScratchAt(_index, _count));
                        yield return Wait.Io;
                        TakePiece();
                    }
                    if (Supplied != 0)
                    {
                        yield return Wait.Subscript;
                        if (IsPlaced)
                        {
                            Changes.Add(new TableChange(TableChangeKind.Set, Placed));
                        }
                        if (Changes.Count > 0)
                        {
                            SubmitChanges();
                            yield return Wait.Commit;
                        }
                    }
                    ConcludeUnit();
                }
                Device.ReleaseHold(_unit);
            }
            MoveRequest done = _request;
            _request = null;
            Device.FinishMove(done);
        }
    }

    /// <summary>False: the unit has a spare already, or is in doubt.</summary>
    private bool StartUnit()
    {
        bool hasEntry = Device.Table.TryGet(_unit, out RemapEntry entry);
        if (hasEntry && !entry.Location.IsNone)
        {
            _request!.UnitsAlreadyMoved++;
            return false;
        }
        if (Device.IsInDoubt(_unit))
        {
            FailUnit(IoStatus.MetadataUnavailable);
            return false;
        }
        Old = hasEntry
            ? entry
            : new RemapEntry
            {
                Unit = _unit,
                State = UnitState.LostUnreadable,
                Blocks = BlockStates.AllOnPrimary
            };
        Changes.Prepare(this);
        RetirementsLeft = RetiredMax;
        Supplied = 0;
        _toRead = Old.Blocks.MaskOf(BlockState.OnPrimary) & Units.FullMask(_unit);
        return true;
    }

    private void TakePiece()
    {
        if (IoSucceeded)
        {
            Supplied |= BlockStates.Mask(_index, _count);
            Device.Primary.Reads++;
            Device.NoteReadSuccess(Device.Primary, Blocks());
        }
        else
        {
            Device.Primary.ReadErrors++;
            _request!.AddUnread(Blocks());
        }
    }

    private void ConcludeUnit()
    {
        CommitOutcome outcome = Changes.Count > 0 ? Changes.Outcome : CommitOutcome.Failed;
        if (!IsPlaced || Supplied == 0)
        {
            FailUnit(Supplied == 0 ? IoStatus.Unreadable : IoStatus.OutOfSpares);
        }
        else if (outcome == CommitOutcome.Done)
        {
            PublishPlacement(Old, Placed);
            _request!.UnitsMoved++;
            _request.BlocksCopied += BitOperations.PopCount(Supplied);
            Device.Publish(
                EngineEventKind.RemappedByRequest, Device.Primary, Units.ExtentOf(_unit), Placed.Location, 0);
        }
        else
        {
            Device.NoteUncommitted(_unit, Placed.Location, outcome, isSameContent: true);
            FailUnit(IoStatus.MetadataUnavailable);
        }
    }

    private void FailUnit(IoStatus status)
    {
        _request!.UnitsFailed++;
        if (_request.FirstError == IoStatus.Ok)
        {
            _request.FirstError = status;
            ulong kept = Units.FullMask(_unit) & ~Old.Blocks.MaskOf(BlockState.Lost);
            _request.FirstLostAs = status == IoStatus.Unreadable && kept == 0 ? Old.State : UnitState.Healthy;
        }
    }

    private Extent Blocks() => Units.ExtentAt(_unit, _index, _count);
}
