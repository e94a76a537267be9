using DmRemap.Core.Abstractions;
using DmRemap.Core.Remapping;

namespace DmRemap.Core.Faults;

public static partial class UnitTransitions
{
    private static Decision OnRead(UnitState state, in Situation situation)
    {
        switch (situation.Block)
        {
            case BlockState.OnSpare:
                return new Decision(UnitAction.UseSpare, state);
            case BlockState.Zero:
                return new Decision(UnitAction.AnswerZeros, state);
            case BlockState.Lost:
                return new Decision(UnitAction.Fail, state, IoStatus.Unreadable);
            case BlockState.OnPrimary when state == UnitState.Suspect && !situation.RetryIsDue:
                return new Decision(UnitAction.Fail, state, IoStatus.Unreadable);
            case BlockState.OnPrimary:
                return OnPrimary(state, situation);
            default:
                Invariant.Unreachable("a block state is two bits");
                return default;
        }
    }

    private static Decision OnWrite(UnitState state, in Situation situation)
    {
        switch (state)
        {
            case UnitState.Healthy:
                return OnPrimary(state, situation);
            case UnitState.Suspect:
                // A disk that has gone says nothing of its sectors: a suspect may be its first victim.
                return situation.PrimaryGone
                    ? WaitOrFail(state, situation)
                    : RedirectOr(new Decision(UnitAction.WriteInPlace, state), state, situation);
            case UnitState.LostUnreadable:
            case UnitState.LostDeclared:
                // Also for its blocks that still read: a bad spot's neighbours are the next to go.
                Decision inPlace = situation.PrimaryGone
                    ? WaitOrFail(state, situation)
                    : new Decision(UnitAction.WriteInPlace, state);
                return RedirectOr(inPlace, state, situation);
            case UnitState.Remapped:
                return situation.Block == BlockState.OnSpare
                    ? new Decision(UnitAction.UseSpare, state)
                    : new Decision(UnitAction.MoveToSpare, state);
            case UnitState.Probation:
                return new Decision(UnitAction.UseBoth, state);
            default:
                Invariant.Unreachable("a unit state that does not exist");
                return default;
        }
    }

    private static Decision OnWriteZeroes(UnitState state, in Situation situation)
    {
        switch (state)
        {
            case UnitState.Healthy:
                return OnPrimary(state, situation);
            case UnitState.Suspect:
                // As a write of zeros.
                return OnWrite(state, situation);
            case UnitState.Probation:
                // No data: the primary's copy misses it, and counts no more.
                return new Decision(UnitAction.JournalZero, UnitState.Remapped);
            case UnitState.LostUnreadable:
            case UnitState.LostDeclared:
            case UnitState.Remapped:
                return new Decision(UnitAction.JournalZero, state);
            default:
                Invariant.Unreachable("a unit state that does not exist");
                return default;
        }
    }

    /// <summary>
    /// A discard must not change what a block reads, except to zeros, nor remove an entry (F-11). In
    /// probation it would bring the two copies out of step.
    /// </summary>
    private static Decision OnDiscard(UnitState state, in Situation situation) =>
        state == UnitState.Healthy
            ? OnPrimary(state, situation)
            : new Decision(UnitAction.AnswerUnchanged, state);

    private static Decision OnBlocksUnreadable(UnitState state, in Situation situation)
    {
        if (!situation.RetriesAreSpent)
        {
            UnitState next = state == UnitState.Healthy ? UnitState.Suspect : state;
            return new Decision(UnitAction.FailAndSuspect, next, IoStatus.Unreadable);
        }
        // A unit that has an entry keeps its kind; its bad blocks become lost in it.
        UnitState lost = state is UnitState.Healthy or UnitState.Suspect ? UnitState.LostUnreadable : state;
        return new Decision(UnitAction.FailAndLose, lost, IoStatus.Unreadable);
    }

    /// <summary>
    /// Copied at once, while it still can be read. A remap that a read caused: the breaker stops it.
    /// </summary>
    private static Decision OnWeakRead(UnitState state, in Situation situation)
    {
        if (situation.BreakerTripped)
        {
            return new Decision(UnitAction.Serve, state);
        }
        if (HasSpareUnit(state))
        {
            return new Decision(UnitAction.ServeAndCopy, state);
        }
        return situation.SpareUnitFree
            ? new Decision(UnitAction.ServeAndCopy, UnitState.Remapped)
            : new Decision(UnitAction.Serve, state);
    }

    private static Decision OnReadTwiceEqual(in Situation situation) =>
        situation.Lost == LostPolicy.Salvage && situation.SpareUnitFree && !situation.BreakerTripped
            ? new Decision(UnitAction.ServeAndCopy, UnitState.Remapped)
            : new Decision(UnitAction.Fail, UnitState.LostUnreadable, IoStatus.Unreadable);

    private static Decision OnSpareReadMediumError(UnitState state, in Situation situation)
    {
        if (state == UnitState.Probation)
        {
            return new Decision(UnitAction.UsePrimaryCopy, state);
        }
        // Never the primary's old copy. The spare unit is kept for as long as it holds anything that reads.
        UnitState next = situation.OthersOnSpare ? UnitState.Remapped : UnitState.LostUnreadable;
        return new Decision(UnitAction.FailAndLose, next, IoStatus.Unreadable);
    }

    /// <summary>Unavailable is not lost: the spare may come back.</summary>
    private static Decision OnSpareReadUnavailable(UnitState state) =>
        state == UnitState.Probation
            ? new Decision(UnitAction.UsePrimaryCopy, state)
            : new Decision(UnitAction.Fail, state, IoStatus.Unreadable);

    private static Decision OnSpareWriteMediumError(UnitState state, in Situation situation)
    {
        if (!situation.SpareUnitFree)
        {
            return Exhausted(state);
        }
        return HasSpareUnit(state)
            ? new Decision(UnitAction.ReplaceSpareUnit, UnitState.Remapped)
            : new Decision(UnitAction.Redirect, UnitState.Remapped);
    }

    /// <summary>
    /// A spare that is stalled, gone or full is degraded, its unit is not bad. A unit that is only on its way
    /// there tries another spare; one that lives there cannot leave, since its other blocks cannot be copied.
    /// </summary>
    private static Decision OnSpareWriteUnavailable(UnitState state, in Situation situation)
    {
        if (HasSpareUnit(state))
        {
            return new Decision(UnitAction.Fail, state, IoStatus.DeviceError);
        }
        return situation.SpareUnitFree
            ? new Decision(UnitAction.Redirect, UnitState.Remapped)
            : Exhausted(state);
    }

    /// <summary>
    /// What is on a spare, or zero by the journal, is not lost by anything that is said of the primary.
    /// </summary>
    private static Decision OnDeclared(UnitState state, in Situation situation) =>
        HasSpareUnit(state) || situation.Block == BlockState.Zero
            ? new Decision(UnitAction.AnswerUnchanged, state)
            : new Decision(UnitAction.DeclareLost, UnitState.LostDeclared);
}
