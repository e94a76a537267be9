using System;
using DmRemap.Simulator.Disks;

namespace DmRemap.Simulator.World;

/// <summary>How time passes, and how processes end.</summary>
internal sealed partial class Simulation
{
    private const long EventsMax = 3_000_000;

    /// <summary>
    /// Until the condition holds: true. Until the crash: false. It is a violation when neither
    /// comes.
    /// </summary>
    private bool RunUntil(Func<bool> condition)
    {
        while (!condition())
        {
            if (_crash.IsDue)
            {
                return false;
            }
            Require(_universe.Step(), "liveness", "something waits, and nothing will ever happen");
            Require(_universe.Events < EventsMax, "liveness", "it never ends");
            long waited = _universe.Now - _workload.OldestAskedAt;
            bool isLate = waited > Budget.AnswerMsMax * Millisecond;
            Require(!isLate, "answers", "a request is not answered");
        }
        return true;
    }

    private SimulatedSystem NewSystem(SimulatedDisk[] offered) => new(
        _universe, _config, _primary, _roster, offered, _history, _watch, _excuses)
    {
        OnRetired = KeepImageOf,
    };

    /// <summary>Random, and not zero.</summary>
    private ulong NewEpoch() => _dice.Next() | 1;

    private void EndProcess()
    {
        _workload.Cease();
        _universe.EndProcess();
        DrainDisks();
        _universe.Pass(_dice.Spread(5_000) * Millisecond);
    }

    private void Crash()
    {
        _crashes++;
        bool cutsPower = _config.Has(FaultKinds.PowerCuts)
            && (!_config.Has(FaultKinds.Kills) || _dice.OneIn(2));
        _universe.EndProcess();
        _workload.OnKilled();
        if (cutsPower)
        {
            CutPower();
        }
        else
        {
            _universe.Trace.Add(TraceKind.Kill, _universe.Now, _universe.Events);
            // The claims are free when the kernel has let go of the last write, and not before (F-1).
            DrainDisks();
            _model.OnKill();
        }
        _universe.Pass(_dice.Spread(5_000) * Millisecond);
    }

    private void CutPower()
    {
        _universe.Trace.Add(TraceKind.PowerCut, _universe.Now, _universe.Events);
        _primary.CutPower();
        Array.ForEach(_disks, spare => spare.CutPower());
        _misfortune.Calm();
        _model.OnPowerCut();
    }

    private void DrainDisks()
    {
        while (InFlight() > 0)
        {
            Require(_universe.Step(), "liveness", "an operation never lands");
        }
    }

    private int InFlight()
    {
        int sum = _primary.InFlight;
        foreach (SimulatedDisk spare in _disks)
        {
            sum += spare.InFlight;
        }
        return sum;
    }

    private long LastQuiet()
    {
        long last = 0;
        foreach (SimulatedDisk spare in _disks)
        {
            last = Math.Max(last, spare.QuietAt());
        }
        return last;
    }

    private void NoteRemaps(SimulatedSystem system)
    {
        _remaps += system.Device!.Counters.RemapsMade;
        _rewritten += system.Device.Counters.UnitsRewritten;
        _healed += system.Device.Counters.UnitsHealed;
        _sparesAdded += system.Additions;
        _sparesRemoved += system.Removals;
    }

    private static void Require(
        [System.Diagnostics.CodeAnalysis.DoesNotReturnIf(false)] bool condition, string rule, string what)
    {
        if (!condition)
        {
            throw new Violation(rule, what);
        }
    }
}
