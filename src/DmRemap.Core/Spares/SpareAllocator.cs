using System;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Remapping;

namespace DmRemap.Core.Spares;

/// <summary>
/// Hands out units of the spares' data areas, each at most once. Bad sectors cluster, so a neighbourhood (16
/// adjacent units of the primary) gets a window (16 adjacent units of one spare) in which each unit has its
/// own place: in whatever order a cluster goes bad, it lies on the spare in the order of the primary, and is
/// one run of the table.
/// <code>
///   primary  units  32 ..... 47   37, 38, 36 go bad
///   window   units 160 .... 175   165 166 164 are handed out
/// </code>
/// Nothing is set aside: a window serves others as soon as no wholly free window is left, so every unit is
/// usable. Which window a neighbourhood has is only remembered (bounded, by a direct-mapped table):
/// forgetting costs order, not units.
/// </summary>
public sealed class SpareAllocator
{
    private const int Rememberable = 4096;
    private const int WindowUnits = SpareUnits.WindowUnits;
    private const int NoSpare = -1;

    /// <summary>
    /// New windows keep this distance where there is room, for the neighbourhoods on both sides.
    /// </summary>
    private const int WindowStride = 4;

    /// <summary>Second copies leave this part of a spare free.</summary>
    private const int SecondReserve = 4;

    private readonly SpareUnits?[] _spares = new SpareUnits?[Limits.SparesMax];
    private readonly long[] _nextWindow = new long[Limits.SparesMax];
    private readonly long[] _nextUnit = new long[Limits.SparesMax];
    private readonly long?[] _nextSecond = new long?[Limits.SparesMax];
    private readonly long[] _neighbourhoods = new long[Rememberable];
    private readonly SpareLocation[] _windows = new SpareLocation[Rememberable];
    private int _avoided = NoSpare;

    public SparePlacement Placement { get; set; }

    /// <summary>Free units of usable spares: what TryAllocate can still give.</summary>
    public long TotalUnitsAllocatable => Total(static spare => spare.IsUsable ? spare.Free : 0);

    public long TotalUnitsFree => Total(static spare => spare.Free);

    public long TotalUnitsUsed => Total(static spare => spare.Used);

    public long TotalUnitsRetired => Total(static spare => spare.Retired);

    /// <summary>Add a member whose data area has this many units, all free. An index is added once.</summary>
    public void AddSpare(int spare, long dataUnits)
    {
        Invariant.Check(spare >= 0);
        Invariant.Check(spare < Limits.SparesMax);
        Invariant.Check(_spares[spare] is null);
        _spares[spare] = new SpareUnits(dataUnits);
    }

    /// <summary>
    /// The place of a member that has left for ever is another's: all its units are free, and none is lent
    /// before SetUsable.
    /// </summary>
    public void ReplaceSpare(int spare, long dataUnits)
    {
        Invariant.Check(_spares[spare] is null or { IsUsable: false });
        _spares[spare] = new SpareUnits(dataUnits) { IsUsable = false };
        _nextWindow[spare] = 0;
        _nextUnit[spare] = 0;
        _nextSecond[spare] = null;
        for (int i = 0; i < Rememberable; i++)
        {
            // A window of the former one need not exist on it.
            bool isOfFormer = !_windows[i].IsNone && _windows[i].Spare == spare;
            _windows[i] = isOfFormer ? SpareLocation.None : _windows[i];
        }
    }

    /// <summary>It has left for ever, and no table names it.</summary>
    public void RemoveSpare(int spare) => _spares[spare] = null;

    /// <summary>Whether such a unit exists at all: to be asked of what was read from a disk.</summary>
    public bool Contains(SpareLocation location) =>
        !location.IsNone && _spares[location.Spare] is SpareUnits units && location.Unit.Value < units.Units;

    public bool IsRetired(SpareLocation location) =>
        Contains(location) && Of(location).IsRetired(location.Unit.Value);

    public bool IsFree(SpareLocation location) => Of(location).IsFree(location.Unit.Value);

    /// <summary>On load: an entry of the table owns this unit. Two owners are a broken invariant.</summary>
    public void MarkUsed(SpareLocation location) => Of(location).Take(location.Unit.Value);

    /// <summary>
    /// As MarkUsed; also learns the neighbourhood's window again, so that order survives a restart.
    /// </summary>
    public void MarkUsed(SpareLocation location, UnitNumber primary)
    {
        MarkUsed(location);
        long window = location.Unit.Value / WindowUnits;
        if (location.Unit.Value % WindowUnits == primary.Value % WindowUnits)
        {
            Remember(primary.Value / WindowUnits, location.Spare, window);
        }
    }

    /// <summary>
    /// This unit failed: it is never handed out again. Used or free before; a second time changes nothing.
    /// </summary>
    public void MarkRetired(SpareLocation location) => Of(location).Retire(location.Unit.Value);

    /// <summary>
    /// Give a used unit back. Only when no table that could win a recovery still names it (F-4, F-38): it may
    /// be handed out at once.
    /// </summary>
    public void Free(SpareLocation location) => Of(location).Return(location.Unit.Value);

    /// <summary>A degraded spare keeps what it holds and gets nothing new.</summary>
    public void SetUsable(int spare, bool usable)
    {
        if (_spares[spare] is SpareUnits units)
        {
            units.IsUsable = usable;
        }
    }

    /// <summary>False also where there is none.</summary>
    public bool IsUsable(int spare) => _spares[spare] is { IsUsable: true };

    public long UnitsFree(int spare) => _spares[spare]?.Free ?? 0;

    public long UnitsUsed(int spare) => _spares[spare]?.Used ?? 0;

    public long UnitsRetired(int spare) => _spares[spare]?.Retired ?? 0;

    /// <summary>
    /// A free unit, preferably in order with the neighbours of this primary unit. False when none is left.
    /// </summary>
    public bool TryAllocate(UnitNumber near, out SpareLocation location) =>
        TryAllocate(near, NoSpare, out location);

    /// <summary>The same, from another spare than this one where another has a unit left.</summary>
    public bool TryAllocate(UnitNumber near, int avoidedSpare, out SpareLocation location)
    {
        _avoided = avoidedSpare;
        bool found = TryAllocateAllowed(near, out location);
        _avoided = NoSpare;
        return found || (avoidedSpare != NoSpare && TryAllocateAllowed(near, out location));
    }

    /// <summary>
    /// A unit for a copy of what is on this spare: on another one, in the order they are asked for, and only
    /// while a quarter of that one is free. What has failed comes before what is copied.
    /// </summary>
    public bool TryAllocateSecond(int first, out SpareLocation location)
    {
        location = SpareLocation.None;
        int best = BestForSecond(first);
        long unit = best == NoSpare ? -1 : Of(best).FindFree(_nextSecond[best] ?? (Of(best).Units / 2));
        if (unit < 0)
        {
            return false;
        }
        _nextSecond[best] = unit + 1;
        location = At(best, unit);
        Of(location).Take(unit);
        return true;
    }

    /// <summary>There is a spare for such a copy.</summary>
    public bool HasRoomForSecond(int first) => BestForSecond(first) != NoSpare;

    private int BestForSecond(int first)
    {
        int best = NoSpare;
        for (int i = 0; i < _spares.Length; i++)
        {
            bool mayTake = i != first && IsUsable(i) && Of(i).Free * SecondReserve > Of(i).Units;
            if (mayTake && (best == NoSpare || Of(i).Free > Of(best).Free))
            {
                best = i;
            }
        }
        return best;
    }

    private bool TryAllocateAllowed(UnitNumber near, out SpareLocation location)
    {
        Invariant.Check(near.Value >= 0);
        long neighbourhood = near.Value / WindowUnits;
        int place = (int)(near.Value % WindowUnits);
        bool found = TryOwnWindow(neighbourhood, place, out location)
            || TryNewWindow(neighbourhood, place, out location)
            || TryAnyUnit(out location);
        if (found)
        {
            Of(location).Take(location.Unit.Value);
        }
        return found;
    }

    /// <summary>The unit's own place in its neighbourhood's window.</summary>
    private bool TryOwnWindow(long neighbourhood, int place, out SpareLocation location)
    {
        if (TryRecall(neighbourhood, out int spare, out long window))
        {
            location = At(spare, (window * WindowUnits) + place);
            return MayUse(spare) && Of(spare).IsFree(location.Unit.Value);
        }
        location = default;
        return false;
    }

    private bool TryNewWindow(long neighbourhood, int place, out SpareLocation location)
    {
        bool found = TryBeside(neighbourhood - 1, 1, out int spare, out long window)
            || TryBeside(neighbourhood + 1, -1, out spare, out window)
            || TryUntouched(out spare, out window);
        location = found ? At(spare, (window * WindowUnits) + place) : default;
        if (found)
        {
            Remember(neighbourhood, spare, window);
        }
        return found;
    }

    /// <summary>
    /// The window next to that of a neighbour, so that a cluster that crosses the border stays one run.
    /// </summary>
    private bool TryBeside(long neighbour, int step, out int spare, out long window)
    {
        if (!TryRecall(neighbour, out spare, out window))
        {
            return false;
        }
        window += step;
        return window >= 0 && MayUse(spare) && Of(spare).IsWindowUntouched(window);
    }

    private bool TryUntouched(out int spare, out long window)
    {
        uint tried = 0;
        while (TryNextSpare(ref tried, out spare))
        {
            window = Of(spare).FindUntouchedWindow(_nextWindow[spare]);
            if (window >= 0)
            {
                _nextWindow[spare] = window + WindowStride;
                return true;
            }
        }
        window = -1;
        return false;
    }

    private bool TryAnyUnit(out SpareLocation location)
    {
        uint tried = 0;
        while (TryNextSpare(ref tried, out int spare))
        {
            long unit = Of(spare).FindFree(_nextUnit[spare]);
            if (unit >= 0)
            {
                _nextUnit[spare] = unit + 1;
                location = At(spare, unit);
                return true;
            }
        }
        location = default;
        return false;
    }

    /// <summary>The best of those that may be used and have not been tried.</summary>
    private bool TryNextSpare(ref uint tried, out int spare)
    {
        spare = NoSpare;
        for (int i = 0; i < _spares.Length; i++)
        {
            bool isOpen = (tried & (1u << i)) == 0 && MayUse(i);
            if (isOpen && (spare == NoSpare || IsBetter(Of(i), Of(spare))))
            {
                spare = i;
            }
        }
        tried |= spare == NoSpare ? 0 : 1u << spare;
        return spare != NoSpare;
    }

    private bool IsBetter(SpareUnits one, SpareUnits other)
    {
        if (Placement == SparePlacement.HealthAware)
        {
            // Cross-multiplied parts: retired of all its units.
            Int128 left = (Int128)one.Retired * other.Units;
            Int128 right = (Int128)other.Retired * one.Units;
            return left < right || (left == right && one.Free > other.Free);
        }
        return Placement == SparePlacement.MostFree && one.Free > other.Free;
    }

    private bool MayUse(int spare) => spare != _avoided && IsUsable(spare);

    private static SpareLocation At(int spare, long unit) => new(spare, new UnitNumber(unit));

    private SpareUnits Of(int spare)
    {
        SpareUnits? units = _spares[spare];
        Invariant.Check(units is not null);
        return units;
    }

    private SpareUnits Of(SpareLocation location)
    {
        Invariant.Check(Contains(location));
        return Of(location.Spare);
    }

    private bool TryRecall(long neighbourhood, out int spare, out long window)
    {
        int slot = (int)(neighbourhood & (Rememberable - 1));
        SpareLocation remembered = _windows[slot];
        spare = remembered.Spare;
        window = remembered.Unit.Value;
        return !remembered.IsNone && _neighbourhoods[slot] == neighbourhood;
    }

    private void Remember(long neighbourhood, int spare, long window)
    {
        int slot = (int)(neighbourhood & (Rememberable - 1));
        _neighbourhoods[slot] = neighbourhood;
        _windows[slot] = At(spare, window);
    }

    private long Total(Func<SpareUnits, long> count)
    {
        long total = 0;
        foreach (SpareUnits? spare in _spares)
        {
            total += spare is null ? 0 : count(spare);
        }
        return total;
    }
}
