using System;

namespace DmRemap.Linux.Loop;

/// <summary>
/// Whether it is worth looking for the next completion for a moment before sleeping. Sleeping costs the
/// wake-up, which takes longer than the answer of a busy client; looking in vain costs processor time that
/// somebody else may need. So: only right after there was something to do, and while no disk is what is
/// waited for; and who has looked in vain n times in a row lets the next 2^n - 1 occasions pass, up to <see
/// cref="SkipsMax"/>, before he looks again. Where the client needs the same core, looking is in vain, and
/// hardly happens.
/// </summary>
internal sealed class SpinBudget(bool isPossible)
{
    /// <summary>How long it looks.</summary>
    public const long SpinNanoseconds = 60_000;

    public const int SkipsMax = 63;

    private int _skips;
    private int _skipsLeft;

    /// <summary>Where there is one processor, whoever we look for cannot run meanwhile.</summary>
    public static SpinBudget ForThisMachine() => new(Environment.ProcessorCount > 1);

    /// <summary>At an occasion.</summary>
    public bool ShouldLook()
    {
        if (!isPossible)
        {
            return false;
        }
        if (_skipsLeft > 0)
        {
            _skipsLeft--;
            return false;
        }
        return true;
    }

    /// <summary>After having looked.</summary>
    public void Note(bool hasFound)
    {
        _skips = hasFound ? 0 : Math.Min((2 * _skips) + 1, SkipsMax);
        _skipsLeft = _skips;
    }
}
