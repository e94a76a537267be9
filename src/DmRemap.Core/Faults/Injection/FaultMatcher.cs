using System;
using System.Collections.Generic;
using DmRemap.Core.Abstractions;

namespace DmRemap.Core.Faults.Injection;

/// <summary>What follows on a request's delay, where no error does.</summary>
public enum FaultSequel : byte
{
    /// <summary>The device below does it, and that is all.</summary>
    None = 0,

    /// <summary>When the device below has done it, it concerns a defect: see DiskFaults.AfterDone.</summary>
    Watched = 1,

    /// <summary>It was held up, and is decided about anew.</summary>
    AskedAgain = 2,
}

/// <summary>What is to happen to a request: nothing (default), an error, a delay, or both.</summary>
/// <param name="Errno">0: none.</param>
/// <param name="Delay">Of the completion.</param>
/// <param name="Sequel">What comes after the delay.</param>
public readonly record struct FaultDecision(
    int Errno, Duration Delay, FaultSequel Sequel = FaultSequel.None)
{
    public bool IsNothing => Errno == 0 && Delay.Nanoseconds == 0 && Sequel == FaultSequel.None;
}

/// <summary>A rule and what it has done.</summary>
/// <param name="Rule">The rule.</param>
/// <param name="Matched">Requests that it was about, in its sectors.</param>
/// <param name="Injected">Those that it made fail or wait.</param>
public readonly record struct FaultRuleCount(FaultRule Rule, long Matched, long Injected);

/// <summary>
/// The rules in force, with their counts. The first rule that gives an error decides; rules that only delay
/// apply as well, the longest delay counts. A rule that an earlier error hides does not count the request.
/// </summary>
public sealed class FaultMatcher
{
    private RuleState[] _rules = [];
    private long _firstSector = long.MaxValue;
    private long _lastSector = -1;

    public int Count => _rules.Length;

    /// <summary>Requests that were made to fail.</summary>
    public long InjectedErrors { get; private set; }

    /// <summary>False when there are too many rules already.</summary>
    public bool TryAdd(FaultRule rule)
    {
        if (_rules.Length == FaultRules.RulesMax)
        {
            return false;
        }
        _rules = [.. _rules, new RuleState { Rule = rule }];
        FindBounds();
        return true;
    }

    /// <summary>Remove every rule equal to this one; how many.</summary>
    public int Remove(FaultRule rule) => Keep(state => state.Rule != rule);

    /// <summary>Remove all; how many.</summary>
    public int Clear() => Keep(_ => false);

    /// <summary>In the order they were added.</summary>
    public IReadOnlyList<FaultRuleCount> Counts()
    {
        FaultRuleCount[] counts = new FaultRuleCount[_rules.Length];
        for (int i = 0; i < counts.Length; i++)
        {
            counts[i] = new FaultRuleCount(_rules[i].Rule, _rules[i].Matched, _rules[i].Injected);
        }
        return counts;
    }

    /// <summary>Count a request and decide about it. Extents in 512-byte sectors.</summary>
    public FaultDecision Decide(IoOperation operation, long firstSector, long sectorCount)
    {
        if (firstSector > _lastSector || firstSector + sectorCount <= _firstSector)
        {
            return default;
        }
        return DecideByRules(operation, firstSector, sectorCount);
    }

    private FaultDecision DecideByRules(IoOperation operation, long firstSector, long sectorCount)
    {
        long delayMilliseconds = 0;
        for (int i = 0; i < _rules.Length; i++)
        {
            ref RuleState state = ref _rules[i];
            if (!state.Rule.Touches(firstSector, sectorCount) || !state.Rule.IsAbout(operation))
            {
                continue;
            }
            state.Matched++;
            bool isOver = state.Rule.Tries > 0 && state.Injected == state.Rule.Tries;
            if (state.Matched <= state.Rule.After || isOver)
            {
                continue;
            }
            state.Injected++;
            delayMilliseconds = Math.Max(delayMilliseconds, state.Rule.DelayMilliseconds);
            if (state.Rule.Errno != 0)
            {
                InjectedErrors++;
                return new FaultDecision(state.Rule.Errno, Duration.FromMilliseconds(delayMilliseconds));
            }
        }
        return new FaultDecision(0, Duration.FromMilliseconds(delayMilliseconds));
    }

    private int Keep(Predicate<RuleState> isKept)
    {
        int before = _rules.Length;
        _rules = Array.FindAll(_rules, isKept);
        FindBounds();
        return before - _rules.Length;
    }

    private void FindBounds()
    {
        _firstSector = long.MaxValue;
        _lastSector = -1;
        foreach (RuleState state in _rules)
        {
            _firstSector = Math.Min(_firstSector, state.Rule.FirstSector);
            _lastSector = Math.Max(_lastSector, state.Rule.LastSector);
        }
    }

    private struct RuleState
    {
        public required FaultRule Rule { get; init; }

        public long Matched { get; set; }

        public long Injected { get; set; }
    }
}
