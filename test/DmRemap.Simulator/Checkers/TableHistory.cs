using System;
using System.Collections.Generic;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;
using DmRemap.Simulator.World;

namespace DmRemap.Simulator.Checkers;

/// <summary>
/// What the table on the spares must be, over all starts of a run: everything that was committed with
/// success, in order; of what was under way at a crash, the first few commits or none, each whole or not at
/// all. And: no spare unit has two owners, none that was retired has one, and none that was given back has
/// one before a checkpoint.
/// </summary>
internal sealed class TableHistory
{
    private readonly Dictionary<long, RemapEntry> _entries = [];
    private readonly Dictionary<SpareLocation, long> _owners = [];
    private readonly HashSet<SpareLocation> _retired = [];

    /// <summary>Their rules have gone, and no checkpoint without them was asked for and is durable.</summary>
    private readonly HashSet<SpareLocation> _givenBack = [];

    /// <summary>Rules that say what was given up as lost: a checkpoint may have written them.</summary>
    private readonly List<RemapEntry> _losses = [];

    /// <summary>At the begin of each commit.</summary>
    private readonly Dictionary<CommitRequest, RemapEntry[]> _lossesBefore = [];

    /// <summary>Under way, or ended as unknown since the last success, in order.</summary>
    private readonly List<CommitRequest> _unsettled = [];

    public long Done { get; private set; }

    public int Count => _entries.Count;

    public static string Describe(in RemapEntry entry) =>
        $"unit {entry.Unit.Value} {entry.State} at {entry.Location.Spare}:{entry.Location.Unit.Value}"
            + $" and {entry.Second.Spare}:{entry.Second.Unit.Value}"
            + $" low {entry.Blocks.Low:x} high {entry.Blocks.High:x}";

    public void Begin(CommitRequest request)
    {
        foreach (TableChange change in request.Changes)
        {
            if (change.Kind == TableChangeKind.Set)
            {
                CheckClaim(change.Entry.Unit.Value, change.Entry.Location);
                CheckClaim(change.Entry.Unit.Value, change.Entry.Second);
            }
        }
        _unsettled.Add(request);
        _lossesBefore[request] = [.. _losses];
    }

    /// <summary>
    /// Blocks were given up. Nobody waits for the record of that; a checkpoint may hold it, or a start may
    /// know nothing of it.
    /// </summary>
    public void OnLost(in RemapEntry entry) => _losses.Add(entry);

    /// <summary>Spare units that a checkpoint which begins now makes free.</summary>
    public SpareLocation[] ListGivenBack() => [.. _givenBack];

    /// <summary>It is durable.</summary>
    public void OnCheckpoint(SpareLocation[] freed) => _givenBack.ExceptWith(freed);

    public void End(CommitRequest request)
    {
        switch (request.Outcome)
        {
            case CommitOutcome.Done:
                Done++;
                // A later success supersedes every unknown one before it.
                _unsettled.RemoveAll(
                    other => other == request || other.Outcome == CommitOutcome.Unknown);
                ForgetLosses(request);
                Apply(request);
                break;
            case CommitOutcome.Failed:
                _unsettled.Remove(request);
                break;
            default:
                break;
        }
    }

    /// <summary>
    /// A start has read this table: is it one of those that it may be? From here on it is it.
    /// </summary>
    public void Adopt(RemapEntry[] entries, SpareLocation[] retired)
    {
        bool isOrderKnown = true;
        foreach (CommitRequest request in _unsettled)
        {
            isOrderKnown &= request.Outcome != CommitOutcome.Unknown;
        }
        bool isRight = isOrderKnown ? IsSomePrefix(entries) : IsMadeOfParts(entries);
        if (!isRight)
        {
            throw new Violation("P3", $"the recovered table is none that it may be: {Difference(entries)}");
        }
        _unsettled.Clear();
        _losses.Clear();
        _entries.Clear();
        _owners.Clear();
        _givenBack.Clear();
        foreach (SpareLocation lost in _retired)
        {
            if (Array.IndexOf(retired, lost) < 0)
            {
                throw new Violation("P3", $"{lost} was retired, and is not");
            }
        }
        _retired.UnionWith(retired);
        foreach (RemapEntry entry in entries)
        {
            Set(entry);
        }
    }

    /// <summary>
    /// A newer rule of these units is durable: what was in memory before it is gone. What was lost while the
    /// commit was under way may be in a checkpoint already.
    /// </summary>
    private void ForgetLosses(CommitRequest request)
    {
        foreach (TableChange change in request.Changes)
        {
            if (change.Kind != TableChangeKind.RetireSpareUnit)
            {
                UnitNumber unit = change.Entry.Unit;
                _losses.RemoveAll(
                    lost => lost.Unit == unit && Array.IndexOf(_lossesBefore[request], lost) >= 0);
            }
        }
    }

    /// <summary>A spare has left the set: nothing may be on it, and its bad units are no matter.</summary>
    public void OnRemoved(int spare)
    {
        foreach (RemapEntry entry in _entries.Values)
        {
            if (entry.IsOn(spare))
            {
                throw new Violation("F-26", $"spare {spare} has left with {Describe(entry)}");
            }
        }
        _retired.RemoveWhere(location => location.Spare == spare);
    }

    /// <summary>A set was made anew.</summary>
    public void OnFormat()
    {
        _entries.Clear();
        _owners.Clear();
        _retired.Clear();
        _givenBack.Clear();
        _unsettled.Clear();
        _losses.Clear();
    }

    private bool IsSomePrefix(RemapEntry[] entries)
    {
        for (int i = 0; ; i++)
        {
            if (IsEqual(entries))
            {
                return true;
            }
            if (i == _unsettled.Count)
            {
                return false;
            }
            Apply(_unsettled[i]);
        }
    }

    private bool IsEqual(RemapEntry[] entries)
    {
        int known = 0;
        foreach (RemapEntry entry in entries)
        {
            bool isKnown = _entries.TryGetValue(entry.Unit.Value, out RemapEntry mine);
            known += isKnown ? 1 : 0;
            if ((!isKnown || mine != entry) && !_losses.Contains(entry))
            {
                return false;
            }
        }
        return known == _entries.Count;
    }

    /// <summary>With unknown outcomes: each unit has the rule of the table or of one of those.</summary>
    private bool IsMadeOfParts(RemapEntry[] entries)
    {
        Dictionary<long, RemapEntry> found = [];
        foreach (RemapEntry entry in entries)
        {
            found.Add(entry.Unit.Value, entry);
            bool isMine = _entries.TryGetValue(entry.Unit.Value, out RemapEntry mine) && mine == entry;
            if (!isMine && !IsInUnsettled(TableChangeKind.Set, entry) && !_losses.Contains(entry))
            {
                return false;
            }
        }
        foreach (RemapEntry mine in _entries.Values)
        {
            if (!found.ContainsKey(mine.Unit.Value) && !IsInUnsettled(TableChangeKind.Remove, mine))
            {
                return false;
            }
        }
        return true;
    }

    private bool IsInUnsettled(TableChangeKind kind, in RemapEntry entry)
    {
        foreach (CommitRequest request in _unsettled)
        {
            foreach (TableChange change in request.Changes)
            {
                bool isIt = change.Kind == kind && change.Entry.Unit == entry.Unit
                    && (kind == TableChangeKind.Remove || change.Entry == entry);
                if (isIt)
                {
                    return true;
                }
            }
        }
        return false;
    }

    private string Difference(RemapEntry[] entries)
    {
        string all = $"{entries.Length} entries, {_entries.Count} expected, {_unsettled.Count} unsettled";
        Dictionary<long, RemapEntry> found = [];
        foreach (RemapEntry entry in entries)
        {
            found.Add(entry.Unit.Value, entry);
            bool isKnown = _entries.TryGetValue(entry.Unit.Value, out RemapEntry mine);
            if (!isKnown || mine != entry)
            {
                return $"{all}; found {Describe(entry)}, expected {(isKnown ? Describe(mine) : "nothing")}";
            }
        }
        foreach (RemapEntry mine in _entries.Values)
        {
            if (!found.ContainsKey(mine.Unit.Value))
            {
                return $"{all}; {Describe(mine)} is missing";
            }
        }
        return all;
    }

    private void Apply(CommitRequest request)
    {
        foreach (TableChange change in request.Changes)
        {
            switch (change.Kind)
            {
                case TableChangeKind.Set:
                    Set(change.Entry);
                    break;
                case TableChangeKind.Remove:
                    Release(change.Entry.Unit.Value, isGivenBack: true);
                    break;
                case TableChangeKind.RetireSpareUnit:
                default:
                    _retired.Add(change.Entry.Location);
                    break;
            }
        }
    }

    private void Set(in RemapEntry entry)
    {
        bool isKnown = _entries.TryGetValue(entry.Unit.Value, out RemapEntry before);
        Release(entry.Unit.Value, isGivenBack: entry.Location.IsNone);
        if (isKnown && before.Second != entry.Second && before.Second != entry.Location)
        {
            _givenBack.Add(before.Second);
        }
        _entries[entry.Unit.Value] = entry;
        Claim(entry.Unit.Value, entry.Location);
        Claim(entry.Unit.Value, entry.Second);
    }

    private void Claim(long unit, SpareLocation location)
    {
        if (!location.IsNone)
        {
            CheckClaim(unit, location);
            _owners[location] = unit;
        }
    }

    private void Release(long unit, bool isGivenBack)
    {
        if (_entries.Remove(unit, out RemapEntry before) && !before.Location.IsNone)
        {
            _owners.Remove(before.Location);
            _owners.Remove(before.Second);
            if (isGivenBack)
            {
                _givenBack.Add(before.Location);
                _givenBack.Add(before.Second);
            }
        }
    }

    private void CheckClaim(long unit, SpareLocation location)
    {
        if (location.IsNone)
        {
            return;
        }
        if (_retired.Contains(location))
        {
            throw new Violation("owners", $"{location} is retired, and claimed for unit {unit}");
        }
        if (_givenBack.Contains(location))
        {
            throw new Violation(
                "owners", $"{location} was given back, no checkpoint says so, and it is claimed for {unit}");
        }
        if (_owners.TryGetValue(location, out long owner) && owner != unit)
        {
            throw new Violation("owners", $"{location} belongs to unit {owner}, and is claimed for {unit}");
        }
        foreach (CommitRequest other in _unsettled)
        {
            foreach (TableChange change in other.Changes)
            {
                bool isTaken = change.Kind == TableChangeKind.Set && change.Entry.Unit.Value != unit
                    && (change.Entry.Location == location || change.Entry.Second == location);
                if (isTaken)
                {
                    throw new Violation(
                        "owners", $"{location} is claimed by units {unit} and {change.Entry.Unit.Value}");
                }
            }
        }
    }
}
