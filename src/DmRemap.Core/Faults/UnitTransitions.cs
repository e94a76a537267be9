using DmRemap.Core.Abstractions;
using DmRemap.Core.Remapping;

namespace DmRemap.Core.Faults;

/// <summary>
/// The one table of what a unit does (F-29): state × event × situation → decision. A pure function: the
/// engine acts, and asks again when the action has ended.
/// <code>
///   healthy ──read fails──▶ suspect ──3 failures──▶ lost(unreadable)      lost(declared) ◀── person, import
///      │                       │ write                  │ write               │ write
///      └──────write fails──────┴────────────────────────┴──▶ remapped ◀───────┘      remapped ◀──▶ probation
/// </code>
/// Only an established medium error moves a unit; "unavailable" holds or fails and changes nothing (P5). A
/// block that is on a spare is never read from the primary, except from a probation copy that is in step.
/// </summary>
public static partial class UnitTransitions
{
    /// <summary>
    /// Whether this can happen at all. Healthy and suspect units have no entry, so their blocks are
    /// OnPrimary; units without a spare unit have no block on one; each event belongs to the target that the
    /// block's state names.
    /// </summary>
    public static bool IsPossible(UnitState state, UnitEvent ev, BlockState block)
    {
        bool hasSpareUnit = HasSpareUnit(state);
        bool isLost = state is UnitState.LostUnreadable or UnitState.LostDeclared;
        if (!hasSpareUnit && !isLost && block != BlockState.OnPrimary)
        {
            return false;
        }
        if (!hasSpareUnit && block == BlockState.OnSpare)
        {
            return false;
        }
        // A declared unit's primary is never looked at (its blocks are Lost or Zero, until written in place).
        return ev switch
        {
            UnitEvent.Read or UnitEvent.Write or UnitEvent.WriteZeroes or UnitEvent.Discard => true,
            UnitEvent.Declared => true,
            UnitEvent.PrimaryReadFailed or UnitEvent.BlocksUnreadable or UnitEvent.WeakRead
                => block == BlockState.OnPrimary,
            UnitEvent.PrimaryReadUnavailable
                => block == BlockState.OnPrimary
                    || (state == UnitState.LostUnreadable && block == BlockState.Lost),
            UnitEvent.ReadTwiceEqual => state == UnitState.LostUnreadable && block == BlockState.Lost,
            // A suspect's: the write was under way when a read failed.
            UnitEvent.PrimaryWriteMediumError => !hasSpareUnit && block == BlockState.OnPrimary,
            UnitEvent.PrimaryWriteUnavailable => !hasSpareUnit,
            UnitEvent.InPlaceEqual or UnitEvent.InPlaceDiffers
                => state == UnitState.Suspect || isLost,
            UnitEvent.ZeroesFailed or UnitEvent.DiscardFailed => state == UnitState.Healthy,
            UnitEvent.SpareReadMediumError or UnitEvent.SpareReadUnavailable => block == BlockState.OnSpare,
            // Without an own spare unit: the fresh one of a Redirect failed.
            UnitEvent.SpareWriteMediumError or UnitEvent.SpareWriteUnavailable => true,
            UnitEvent.PrimaryCopyFailed => state == UnitState.Probation,
            _ => false,
        };
    }

    public static Decision Decide(UnitState state, UnitEvent ev, in Situation situation)
    {
        Invariant.Check(IsPossible(state, ev, situation.Block));
        switch (ev)
        {
            case UnitEvent.Read:
                return OnRead(state, situation);
            case UnitEvent.Write:
                return OnWrite(state, situation);
            case UnitEvent.WriteZeroes:
                return OnWriteZeroes(state, situation);
            case UnitEvent.Discard:
                return OnDiscard(state, situation);
            case UnitEvent.PrimaryReadFailed:
                return new Decision(UnitAction.ReadByBlock, state);
            case UnitEvent.BlocksUnreadable:
                return OnBlocksUnreadable(state, situation);
            case UnitEvent.WeakRead:
                return OnWeakRead(state, situation);
            case UnitEvent.ReadTwiceEqual:
                return OnReadTwiceEqual(situation);
            case UnitEvent.PrimaryReadUnavailable:
            case UnitEvent.PrimaryWriteUnavailable:
                return WaitOrFail(state, situation);
            case UnitEvent.PrimaryWriteMediumError:
                return RedirectOr(Exhausted(state), state, situation);
            case UnitEvent.InPlaceEqual:
                return new Decision(UnitAction.AcceptInPlace, StateAfterInPlace(state, situation));
            case UnitEvent.InPlaceDiffers:
                return Exhausted(state);
            case UnitEvent.ZeroesFailed:
                return new Decision(UnitAction.ZeroAsWrites, state);
            case UnitEvent.DiscardFailed:
                return new Decision(UnitAction.Fail, state, IoStatus.DeviceError);
            case UnitEvent.SpareReadMediumError:
                return OnSpareReadMediumError(state, situation);
            case UnitEvent.SpareReadUnavailable:
                return OnSpareReadUnavailable(state);
            case UnitEvent.SpareWriteMediumError:
                return OnSpareWriteMediumError(state, situation);
            case UnitEvent.SpareWriteUnavailable:
                return OnSpareWriteUnavailable(state, situation);
            case UnitEvent.PrimaryCopyFailed:
                return new Decision(UnitAction.EndProbation, UnitState.Remapped);
            case UnitEvent.Declared:
                return OnDeclared(state, situation);
            default:
                Invariant.Unreachable("an event that does not exist");
                return default;
        }
    }

    private static bool HasSpareUnit(UnitState state) => state is UnitState.Remapped or UnitState.Probation;

    private static Decision Exhausted(UnitState state) => new(UnitAction.Fail, state, IoStatus.OutOfSpares);

    /// <summary>The primary does not answer: never a remap (P5), and the unit stays what it was.</summary>
    private static Decision WaitOrFail(UnitState state, in Situation situation) =>
        situation.OnGone == GonePolicy.Hold
            ? new Decision(UnitAction.Hold, state)
            : new Decision(UnitAction.Fail, state, IoStatus.DeviceError);

    private static Decision OnPrimary(UnitState state, in Situation situation) =>
        situation.PrimaryGone ? WaitOrFail(state, situation) : new Decision(UnitAction.UsePrimary, state);

    /// <summary>
    /// A write leaves the primary for a fresh spare unit, unless the breaker stops it or none is left.
    /// </summary>
    private static Decision RedirectOr(in Decision withoutSpare, UnitState state, in Situation situation)
    {
        if (!situation.SpareUnitFree)
        {
            return withoutSpare;
        }
        // Without a control, a disk that rejects everything would eat the spare.
        return situation.BreakerTripped && !situation.ControlPasses
            ? new Decision(UnitAction.Fail, state, IoStatus.DeviceError)
            : new Decision(UnitAction.Redirect, UnitState.Remapped);
    }

    private static UnitState StateAfterInPlace(UnitState state, in Situation situation) =>
        situation.SuppliesAllMissing ? UnitState.Healthy
            // The others may have been replaced by the drive: they are not looked at again.
            : state == UnitState.LostUnreadable ? UnitState.LostDeclared
            : state;
}
