using DmRemap.Simulator.Client;

namespace DmRemap.Simulator.World;

/// <summary>
/// Before which event a process ends. Some plans wait for a promise: they let the next flush (or forced
/// write) be answered, and crash right behind it, when most is owed.
/// </summary>
internal sealed class CrashPlan(Universe universe, Workload workload, Dice dice)
{
    private long _at = long.MaxValue;
    private long _watchFrom = long.MaxValue;
    private long _promises;

    public bool IsDue
    {
        get
        {
            if (universe.Events >= _watchFrom)
            {
                if (_promises < 0)
                {
                    _promises = workload.Promises;
                }
                else if (workload.Promises > _promises)
                {
                    _at = universe.Events + dice.Spread(12) - 1;
                    _watchFrom = long.MaxValue;
                }
            }
            return universe.Events >= _at;
        }
    }

    /// <summary>None, until another one is drawn.</summary>
    public void Clear()
    {
        _at = long.MaxValue;
        _watchFrom = long.MaxValue;
    }

    /// <summary>Early crashes hit recovery, late ones anything.</summary>
    public void Draw()
    {
        long after = dice.OneIn(2) ? dice.Spread(6_000) : dice.Between(1L, 4_000L);
        _at = universe.Events + after;
        _watchFrom = dice.OneIn(2) ? universe.Events + (after / 2) : long.MaxValue;
        _promises = -1;
    }

    public void Set(long events) => _at = universe.Events + events;
}
