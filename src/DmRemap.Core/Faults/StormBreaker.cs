using System;
using DmRemap.Core.Abstractions;

namespace DmRemap.Core.Faults;

/// <summary>Why the breaker tripped.</summary>
public enum StormCause : byte
{
    /// <summary>It did not.</summary>
    None = 0,

    /// <summary>A read failed, and so did the reads elsewhere that were its control.</summary>
    ReadsNowhere = 1,

    /// <summary>Writes moved too many units in too short a time, and not where others had been bad.</summary>
    MovesTooFast = 2,
}

/// <summary>
/// Tells bad sectors from a cable, a controller or a disk that is going altogether, by what they do
/// together: sectors go bad in clusters and a few at a time, the others everywhere at once. Tripped, reads
/// and background work move no unit any more, and a write does only when a control says that the disk takes
/// writes elsewhere. It stays tripped until a person clears it: whoever trusts the disk again has looked at
/// it.
/// </summary>
public sealed class StormBreaker
{
    /// <summary>Units that writes may move within a minute, on a small spare.</summary>
    public const int MovesMax = 1000;

    /// <summary>On a large one: so many percent of the spare units that were free.</summary>
    public const int MovesMaxPercent = 5;

    /// <summary>A bad unit this near to an earlier one is of the same damage.</summary>
    public const long NearBytes = 16L * 1024 * 1024;

    private const int WindowSeconds = 60;

    private readonly int[] _moves = new int[WindowSeconds];
    private readonly int[] _near = new int[WindowSeconds];
    private long _second = long.MinValue;
    private long _movesInWindow;
    private long _nearInWindow;

    public StormCause Cause { get; private set; }

    public bool IsTripped => Cause != StormCause.None;

    /// <summary>
    /// A read failed in a way that may be the medium's, and every control read too. True when this trips it.
    /// </summary>
    public bool OnReadsNowhere() => Trip(StormCause.ReadsNowhere);

    /// <summary>
    /// A write has moved a unit that was healthy. True when this trips it. What was found bad by reading, by
    /// a probe or by an import never counts.
    /// </summary>
    /// <param name="isNear">A unit within <see cref="NearBytes"/> was bad before.</param>
    /// <param name="unitsFree">Spare units that are free now.</param>
    /// <param name="now">Not before the last call's.</param>
    public bool OnWriteMoved(bool isNear, long unitsFree, Instant now)
    {
        MoveWindow(now);
        int slot = SlotOf(_second);
        _moves[slot]++;
        _movesInWindow++;
        _near[slot] += isNear ? 1 : 0;
        _nearInWindow += isNear ? 1 : 0;
        long freeBefore = unitsFree + _movesInWindow;
        long most = Math.Max(MovesMax, freeBefore / 100 * MovesMaxPercent);
        bool isStorm = _movesInWindow > most && _nearInWindow * 2 < _movesInWindow;
        return isStorm && Trip(StormCause.MovesTooFast);
    }

    /// <summary>A person has looked, and takes the disk for sound. False when it had not tripped.</summary>
    public bool Clear()
    {
        bool wasTripped = IsTripped;
        Cause = StormCause.None;
        Array.Clear(_moves);
        Array.Clear(_near);
        _movesInWindow = 0;
        _nearInWindow = 0;
        return wasTripped;
    }

    private static int SlotOf(long second) =>
        (int)(((second % WindowSeconds) + WindowSeconds) % WindowSeconds);

    private bool Trip(StormCause cause)
    {
        if (IsTripped)
        {
            return false;
        }
        Cause = cause;
        return true;
    }

    /// <summary>Forget the seconds that are out of the window.</summary>
    private void MoveWindow(Instant now)
    {
        long second = now.Nanoseconds / 1_000_000_000;
        long gone = _second == long.MinValue ? 0 : Math.Min(WindowSeconds, second - _second);
        for (long i = 1; i <= gone; i++)
        {
            int slot = SlotOf(second - gone + i);
            _movesInWindow -= _moves[slot];
            _nearInWindow -= _near[slot];
            _moves[slot] = 0;
            _near[slot] = 0;
        }
        _second = second;
    }
}
