using DmRemap.Core.Abstractions;

namespace DmRemap.Engine.Repair;

/// <summary>
/// Writes of repairs that are out at each spare, and since when none has come back: one that does not answer
/// is told from one that is busy. What could go elsewhere avoids it, and what waits in line behind those that
/// wait for it may use the jobs that are kept for that (F-19). Loop thread only.
/// </summary>
internal sealed class WriteProgress(RemapDevice device, IEventLoop loop) : ITimerOwner
{
    private static readonly Duration s_stuck = Duration.FromSeconds(1);
    private static readonly Duration s_givenUp = Duration.FromSeconds(30);

    private readonly Out[] _spares = new Out[Limits.SparesMax];
    private LoopTimer? _timer;

    /// <summary>A look is due, unless who waits for it no longer does.</summary>
    public bool IsWatching => _timer is { IsSet: true };

    public void Begin(int spare)
    {
        ref Out at = ref _spares[spare];
        at.Since = at.Count == 0 ? loop.Now : at.Since;
        at.Count++;
    }

    public void End(int spare)
    {
        ref Out at = ref _spares[spare];
        Invariant.Check(at.Count > 0);
        at.Since = loop.Now;
        at.Count--;
    }

    public bool IsStuck(int spare) => IsStuckFor(spare, s_stuck);

    /// <summary>
    /// So long that waiting further costs more than a copy does. A disk that spins up, or a link that is
    /// reset, comes back before.
    /// </summary>
    public bool IsGivenUp(int spare) => IsStuckFor(spare, s_givenUp);

    public bool IsAnyStuck() => FirstStuck() >= 0;

    /// <summary>The first spare that is stuck, or -1.</summary>
    public int FirstStuck()
    {
        for (int spare = 0; spare < _spares.Length; spare++)
        {
            if (IsStuck(spare))
            {
                return spare;
            }
        }
        return -1;
    }

    /// <summary>Something waits for a job, and only those are left that are kept: look again.</summary>
    public void Watch()
    {
        if (!IsWatching)
        {
            _timer ??= new LoopTimer(this);
            loop.Schedule(_timer, loop.Now + s_stuck);
        }
    }

    /// <summary>Nothing waits for that.</summary>
    public void EndWatch()
    {
        if (IsWatching)
        {
            loop.Cancel(_timer!);
        }
    }

    public void OnTimer(LoopTimer timer) => device.Pump();

    private bool IsStuckFor(int spare, Duration time) =>
        _spares[spare].Count > 0 && loop.Now - _spares[spare].Since >= time;

    private struct Out
    {
        public int Count;
        public Instant Since;
    }
}
