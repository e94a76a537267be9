using DmRemap.Core.Abstractions;

namespace DmRemap.Simulator.World;

/// <summary>
/// Simulated time and everything that happens in it, one event after the other. Time stands still while the
/// process has something to do, then jumps to whatever comes next.
/// </summary>
internal sealed class Universe(Trace trace)
{
    public long Now { get; private set; } = 1_000_000_000;

    /// <summary>Events so far: a crash may come between any two.</summary>
    public long Events { get; private set; }

    public Agenda Agenda { get; } = new();

    public Trace Trace { get; } = trace;

    public SimulatedProcess? Process { get; private set; }

    public SimulatedProcess StartProcess()
    {
        Invariant.Check(Process is null);
        Process = new SimulatedProcess(this);
        return Process;
    }

    public void EndProcess()
    {
        Process!.Die();
        Process = null;
    }

    public void Plan(WorldEvent planned, long delay) => Agenda.Plan(planned, Now + delay);

    /// <summary>Nothing happens for a while.</summary>
    public void Pass(long nanoseconds) => Now += nanoseconds;

    /// <summary>One event; false when there is nothing left to happen.</summary>
    public bool Step()
    {
        Events++;
        if (Process is { HasWork: true } busy)
        {
            busy.RunOne();
            return true;
        }
        LoopTimer? timer = Process?.EarliestTimer();
        WorldEvent? first = Agenda.First;
        if (timer is null && first is null)
        {
            return false;
        }
        if (first is null || (timer is not null && timer.Due.Nanoseconds <= first.Due))
        {
            AdvanceTo(timer!.Due.Nanoseconds);
            Trace.Add(TraceKind.Timer, Now);
            Process!.Fire(timer);
        }
        else
        {
            AdvanceTo(first.Due);
            Agenda.TakeFirst();
            first.Happen();
        }
        return true;
    }

    private void AdvanceTo(long time) => Now = time > Now ? time : Now;
}
