using System;
using System.Diagnostics;
using System.Threading;
using DmRemap.Simulator.World;

namespace DmRemap.Simulator.Runner;

/// <summary>
/// Runs seeds on all cores. Runs share nothing: each thread has its own memory to use again, and what a run
/// does depends on its seed alone.
/// </summary>
internal sealed class SeedRunner(RunOptions options, Action<Outcome> onBroken)
{
    /// <summary>One of so many runs is made twice, and must be the same.</summary>
    private const int TwiceOneIn = 64;

    private readonly Lock _gate = new();
    private ulong _next;
    private long _left;
    private long _deadline;
    private bool _isOver;

    public Totals Totals { get; } = new();

    /// <summary>Fresh seeds, ascending, until there have been so many or the time is over.</summary>
    public void Run(ulong first, long seeds, TimeSpan time)
    {
        _next = first;
        _left = seeds;
        _deadline = Stopwatch.GetTimestamp() + (long)(time.TotalSeconds * Stopwatch.Frequency);
        Thread[] threads = new Thread[options.Threads];
        for (int i = 0; i < threads.Length; i++)
        {
            threads[i] = new Thread(RunSome);
            threads[i].Start();
        }
        Array.ForEach(threads, thread => thread.Join());
    }

    public Outcome RunOne(ulong seed, Workshop workshop)
    {
        Outcome outcome = new Simulation(seed, options.Allowed, workshop, new World.Trace(null)).Run();
        bool isRepeated = options.RunsTwice || seed % TwiceOneIn == 0;
        if (isRepeated && outcome.Broken is null)
        {
            Outcome again = new Simulation(seed, options.Allowed, workshop, new World.Trace(null)).Run();
            if (again.TraceHash != outcome.TraceHash)
            {
                outcome = outcome with
                {
                    Broken = new Violation("determinism", "the same seed was another run the second time"),
                };
            }
        }
        lock (_gate)
        {
            Totals.Add(outcome);
            if (outcome.Broken is not null)
            {
                onBroken(outcome);
                _isOver |= options.StopsAtFirst;
            }
        }
        return outcome;
    }

    private void RunSome()
    {
        Workshop workshop = new();
        while (TryTake(out ulong seed))
        {
            RunOne(seed, workshop);
        }
    }

    private bool TryTake(out ulong seed)
    {
        lock (_gate)
        {
            seed = _next;
            if (_isOver || _left == 0 || Stopwatch.GetTimestamp() >= _deadline)
            {
                return false;
            }
            _next++;
            _left--;
            return true;
        }
    }
}
