using DmRemap.Core.Abstractions;

namespace DmRemap.Core.Spares;

/// <summary>
/// Which units of one spare's data area are free, used or retired, and which windows are wholly free.
/// </summary>
internal sealed class SpareUnits
{
    /// <summary>
    /// Units in a window. A wholly free one can lend a neighbourhood of the primary its order.
    /// </summary>
    public const int WindowUnits = 16;

    private readonly UnitBitmap _taken;
    private readonly UnitBitmap _touchedWindows;
    private readonly ulong[] _retired;

    public SpareUnits(long units)
    {
        Invariant.Check(units > 0);
        Units = units;
        _taken = new UnitBitmap(units);
        _retired = new ulong[((units - 1) / 64) + 1];
        // A last window that the spare ends in is never wholly free: its units serve when windows have run
        // out.
        long windows = ((units - 1) / WindowUnits) + 1;
        _touchedWindows = new UnitBitmap(windows);
        if (units % WindowUnits != 0)
        {
            _touchedWindows.Set(windows - 1);
        }
    }

    public long Units { get; }

    public long Used { get; private set; }

    public long Retired { get; private set; }

    public long Free => Units - Used - Retired;

    public bool IsUsable { get; set; } = true;

    public bool IsFree(long unit) => !_taken[unit];

    public bool IsRetired(long unit) => (_retired[unit / 64] & (1UL << (int)(unit % 64))) != 0;

    public void Take(long unit)
    {
        Invariant.Check(IsFree(unit));
        _taken.Set(unit);
        _touchedWindows.Set(unit / WindowUnits);
        Used++;
    }

    public void Return(long unit)
    {
        Invariant.Check(!IsFree(unit));
        Invariant.Check(!IsRetired(unit));
        _taken.Clear(unit);
        Used--;
        long window = unit / WindowUnits;
        long end = (window + 1) * WindowUnits;
        if (end <= Units && IsWindowFree(window))
        {
            _touchedWindows.Clear(window);
        }
    }

    public void Retire(long unit)
    {
        if (IsRetired(unit))
        {
            return;
        }
        if (IsFree(unit))
        {
            _taken.Set(unit);
            _touchedWindows.Set(unit / WindowUnits);
        }
        else
        {
            Used--;
        }
        _retired[unit / 64] |= 1UL << (int)(unit % 64);
        Retired++;
    }

    public bool IsWindowUntouched(long window) => window < _touchedWindows.Length && !_touchedWindows[window];

    /// <summary>
    /// The first wholly free window at or after this one, wrapping round; -1 when there is none.
    /// </summary>
    public long FindUntouchedWindow(long from) => _touchedWindows.FindClear(from % _touchedWindows.Length);

    /// <summary>The first free unit at or after this one, wrapping round; -1 when there is none.</summary>
    public long FindFree(long from) => _taken.FindClear(from % Units);

    private bool IsWindowFree(long window)
    {
        for (long unit = window * WindowUnits; unit < (window + 1) * WindowUnits; unit++)
        {
            if (!IsFree(unit))
            {
                return false;
            }
        }
        return true;
    }
}
