using System;
using System.Runtime.CompilerServices;
using DmRemap.Core.Abstractions;

namespace DmRemap.Core.Faults;

public enum ReadVerdict : byte
{
    /// <summary>Not known yet: read the control places.</summary>
    NeedsControl = 0,

    /// <summary>The disk reads elsewhere, after the failure: the medium is bad here.</summary>
    Medium = 1,

    /// <summary>The disk reads nowhere: not the medium.</summary>
    NotMedium = 2,
}

/// <summary>
/// The units to read as a control, each different from the failing one and from each other.
/// </summary>
public struct ControlPlaces
{
    private PlaceArray _units;

    /// <summary>0 (a primary of one unit has no elsewhere) to 3.</summary>
    public int Count { get; private set; }

    public readonly UnitNumber this[int index]
    {
        get
        {
            Invariant.Check(index >= 0);
            Invariant.Check(index < Count);
            return _units[index];
        }
    }

    internal void Add(UnitNumber unit)
    {
        Invariant.Check(Count < ReadControl.Places);
        _units[Count] = unit;
        Count++;
    }

    internal readonly bool Contains(UnitNumber unit)
    {
        for (int i = 0; i < Count; i++)
        {
            if (_units[i] == unit)
            {
                return true;
            }
        }
        return false;
    }

    [InlineArray(ReadControl.Places)]
    private struct PlaceArray
    {
        private UnitNumber _element;
    }
}

/// <summary>
/// One set of control reads under way: a place that reads settles it, and so does the last that does not.
/// </summary>
public struct ControlRound(int places)
{
    private int _outstanding = places;

    public ReadVerdict Verdict { get; private set; } =
        places == 0 ? ReadVerdict.NotMedium : ReadVerdict.NeedsControl;

    /// <summary>A control read ended. The round's verdict so far.</summary>
    public ReadVerdict OnControlRead(ControlOutcome outcome)
    {
        Invariant.Check(_outstanding > 0);
        _outstanding--;
        if (Verdict == ReadVerdict.NeedsControl)
        {
            Verdict = outcome switch
            {
                ControlOutcome.Read => ReadVerdict.Medium,
                ControlOutcome.Failed when _outstanding == 0 => ReadVerdict.NotMedium,
                _ => ReadVerdict.NeedsControl,
            };
        }
        return Verdict;
    }
}

public enum ControlOutcome : byte
{
    /// <summary>Any error, also a time-out.</summary>
    Failed = 0,

    Read = 1,
}

/// <summary>
/// The control for read errors that may be the medium's (F-17): does the disk read elsewhere, after the
/// failure? Ordinary reads that succeed answer for free; else three places are read, one of them a place that
/// was read successfully within the last minute, since any other could be bad itself. For an error that names
/// the medium an older one will do: of a disk that is bad in many places it is the best there is, and one
/// that refuses everything fails there, too.
/// </summary>
public sealed class ReadControl(long units)
{
    public const int Places = 3;

    private readonly long _units = units;
    private UnitNumber _goodUnit;
    private UnitNumber _otherGoodUnit;
    private Instant _goodAt;
    private Instant _otherGoodAt;
    private bool _hasGood;
    private bool _hasOtherGood;

    /// <summary>How long a place that was read counts as good.</summary>
    public static Duration GoodFor => Duration.FromSeconds(60);

    /// <summary>A read of the primary succeeded, a control read too.</summary>
    public void OnReadSucceeded(UnitNumber unit, Instant now)
    {
        if (_hasGood && _goodUnit != unit)
        {
            // Two places are kept, so that there is always one elsewhere.
            _otherGoodUnit = _goodUnit;
            _otherGoodAt = _goodAt;
            _hasOtherGood = true;
        }
        _goodUnit = unit;
        _goodAt = now;
        _hasGood = true;
    }

    /// <summary>What is already known of a read that failed at this time.</summary>
    public ReadVerdict Judge(UnitNumber failing, Instant failedAt)
    {
        bool readElsewhere = _hasGood && _goodUnit != failing && failedAt <= _goodAt;
        bool readOther = _hasOtherGood && _otherGoodUnit != failing && failedAt <= _otherGoodAt;
        return readElsewhere || readOther ? ReadVerdict.Medium : ReadVerdict.NeedsControl;
    }

    /// <summary>Where to read: a good place first, then places far from the failing unit.</summary>
    /// <param name="failing">The unit that failed.</param>
    /// <param name="now">The time.</param>
    /// <param name="isNamed">The error names the medium.</param>
    public ControlPlaces PlacesFor(UnitNumber failing, Instant now, bool isNamed)
    {
        ControlPlaces places = default;
        if (_hasGood && (isNamed || IsFresh(_goodAt, now)))
        {
            Add(ref places, _goodUnit, failing);
        }
        if (places.Count == 0 && _hasOtherGood && (isNamed || IsFresh(_otherGoodAt, now)))
        {
            Add(ref places, _otherGoodUnit, failing);
        }
        // A third and two thirds of the disk further on; then, on a tiny one, whatever there is.
        for (int third = 1; third < Places; third++)
        {
            Add(ref places, Further(failing, _units / Places * third), failing);
        }
        for (long step = 1; step < Math.Min(_units, 2 * Places) && places.Count < Places; step++)
        {
            Add(ref places, Further(failing, step), failing);
        }
        return places;
    }

    private static bool IsFresh(Instant goodAt, Instant now) => now - goodAt <= GoodFor;

    private static void Add(ref ControlPlaces places, UnitNumber unit, UnitNumber failing)
    {
        if (unit != failing && places.Count < Places && !places.Contains(unit))
        {
            places.Add(unit);
        }
    }

    private UnitNumber Further(UnitNumber from, long step) => new((from.Value + step) % _units);
}
