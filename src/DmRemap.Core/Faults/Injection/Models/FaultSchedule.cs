using System;
using System.Collections.Generic;
using DmRemap.Core.Abstractions;

namespace DmRemap.Core.Faults.Injection.Models;

/// <summary>
/// Lets what a plan says happen to a disk, as its age comes to it. The age grows with the clock that is
/// passed in, `factor` times as fast; how long a drive takes over something is not made shorter by that, but
/// by `delays`.
/// </summary>
public sealed class FaultSchedule
{
    private readonly IReadOnlyList<FaultArrival> _arrivals;
    private readonly DiskFaults _faults;
    private readonly double _factor;
    private readonly double _delays;
    private readonly Instant _startedAt;
    private readonly Duration _ageAtStart;
    private int _next;

    /// <param name="plan">What is to happen.</param>
    /// <param name="faults">Of the disk that it happens to.</param>
    /// <param name="pace">How fast it ages.</param>
    /// <param name="now">When it has the age that the pace begins with.</param>
    public FaultSchedule(FaultPlan plan, DiskFaults faults, AgingPace pace, Instant now)
    {
        Invariant.Check(pace.Factor >= 0);
        Invariant.Check(pace.Delays >= 0);
        _arrivals = plan.Arrivals;
        _faults = faults;
        _factor = pace.Factor;
        _delays = pace.Delays;
        _startedAt = now;
        _ageAtStart = pace.AgeAtStart;
        // A disk that is this old has the defects of its life; what came and went is over.
        List<PlacedDefect> defects = [];
        for (; _next < _arrivals.Count && _arrivals[_next].Age <= _ageAtStart; _next++)
        {
            if (_arrivals[_next].Kind == FaultArrivalKind.Defect)
            {
                defects.Add(Paced(_arrivals[_next].Defect));
            }
        }
        _ = faults.TryAdd(defects);
    }

    public int ArrivalsLeft => _arrivals.Count - _next;

    public Duration AgeAt(Instant now) =>
        new(_ageAtStart.Nanoseconds + (long)((now - _startedAt).Nanoseconds * _factor));

    /// <summary>When the next one is due; null: never.</summary>
    public Instant? NextAt
    {
        get
        {
            if (ArrivalsLeft == 0 || _factor == 0)
            {
                return null;
            }
            double wait = (_arrivals[_next].Age.Nanoseconds - _ageAtStart.Nanoseconds) / _factor;
            return wait < DiskTrouble.Endless.Nanoseconds
                ? _startedAt + new Duration((long)Math.Ceiling(wait))
                : null;
        }
    }

    /// <summary>Let happen what is due. False: more defects than a disk can have; left out.</summary>
    public bool Advance(Instant now)
    {
        Duration age = AgeAt(now);
        List<PlacedDefect> defects = [];
        for (; _next < _arrivals.Count && _arrivals[_next].Age <= age; _next++)
        {
            FaultArrival arrival = _arrivals[_next];
            switch (arrival.Kind)
            {
                case FaultArrivalKind.Defect:
                    defects.Add(Paced(arrival.Defect));
                    break;
                case FaultArrivalKind.Slow:
                    _faults.Trouble.Slow(
                        now, Scaled(arrival.Length, 1 / _factor), Scaled(arrival.By, _delays));
                    break;
                case FaultArrivalKind.Stall:
                    _faults.Trouble.Stall(now, Scaled(arrival.Length, _delays));
                    break;
                case FaultArrivalKind.Reset:
                    _faults.Trouble.Reset(now, Scaled(arrival.Length, _delays));
                    break;
                case FaultArrivalKind.None:
                default:
                    Invariant.Unreachable("an arrival of nothing");
                    break;
            }
        }
        return defects.Count == 0 || _faults.TryAdd(defects);
    }

    private static Duration Scaled(Duration length, double by) => new((long)(length.Nanoseconds * by));

    private PlacedDefect Paced(PlacedDefect placed)
    {
        Defect defect = placed.Defect;
        defect.DelayMilliseconds = (int)(defect.DelayMilliseconds * _delays);
        return placed with { Defect = defect };
    }
}

/// <summary>How fast a disk ages.</summary>
/// <param name="AgeAtStart">What has happened already.</param>
/// <param name="Factor">Of the clock on the wall; 0: it does not age.</param>
/// <param name="Delays">Of what the model says that a drive takes over something; 0: no time.</param>
public readonly record struct AgingPace(Duration AgeAtStart, double Factor, double Delays);
