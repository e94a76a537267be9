using System;
using System.Collections.Generic;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using DmRemap.Core.Remapping;
using DmRemap.Core.Spares;
using DmRemap.Engine;
using DmRemap.Simulator.Disks;
using DmRemap.Simulator.World;

namespace DmRemap.Simulator.Checkers;

/// <summary>
/// Which errors a client may see: each is traced back to what a disk answered. Everything else is a broken
/// promise (P2, and errors without a cause).
/// </summary>
internal sealed class Excuses(SimulationConfig config, SimulatedDisk primary, SimulatedDisk[] spares)
{
    /// <summary>So many fresh spare units may fail for one write; then it may give up.</summary>
    private const int PlacesTriedMax = 8;

    private readonly HashSet<long> _unavailable = [];
    private readonly HashSet<long> _givenUp = [];
    private bool _isExhausted;
    private bool _areWritesRejected;
    private bool _isStorm;

    /// <summary>In this run: an error that names no bad sector can make good ones look bad.</summary>
    public bool HasSeenOther { get; private set; }

    public bool HasSeenSpareReads { get; private set; }

    /// <summary>A person waits no longer for the stop, and commits were cancelled.</summary>
    public bool IsGivenUp { get; set; }

    /// <summary>What waits for a disk that is gone fails when the device stops.</summary>
    public bool IsStopping { get; set; }

    /// <summary>
    /// A sector of the primary that goes bad while its write waits for a spare loses nothing; but a spare
    /// unit that no longer reads does.
    /// </summary>
    public void OnStart()
    {
        Gather();
        _unavailable.Clear();
        IsGivenUp = false;
        IsStopping = false;
        _isExhausted = false;
        _areWritesRejected = false;
        _isStorm = false;
        primary.Troubles.OnStart();
        Array.ForEach(spares, spare => spare.Troubles.OnStart());
    }

    /// <summary>
    /// This spare is not here: what lies on it at the start cannot be had until it is. Nothing comes to lie
    /// on it meanwhile.
    /// </summary>
    public void OnAbsent(int spare, RemapTable table) => NoteUnitsOf(spare, table, _unavailable);

    /// <summary>A person does without what this spare holds, which is not here: for good.</summary>
    public void OnLossAccepted(int spare, RemapTable table) => NoteUnitsOf(spare, table, _givenUp);

    public bool IsUnavailable(UnitNumber unit) =>
        _unavailable.Contains(unit.Value) || _givenUp.Contains(unit.Value);

    /// <summary>What the device says of itself is checked before it excuses anything.</summary>
    public void OnEvent(in EngineEvent happened, RemapDevice device)
    {
        if (happened.Kind == EngineEventKind.Exhausted)
        {
            bool isTrue = UnitsFree(device.Allocator) == 0
                || Sum(disk => disk.Troubles.MediumWriteErrors) >= PlacesTriedMax
                || Any(disk => disk.Troubles.HasAnsweredOther);
            if (!isTrue)
            {
                throw new Violation(
                    "P2", $"exhausted, and {UnitsFree(device.Allocator)} spare units are free");
            }
            _isExhausted = true;
        }
        if (happened.Kind == EngineEventKind.Remapped && IsNeverMedium(happened.Errno)
            && !IsUnavailable(device.Units.UnitOf(happened.Blocks.Start))
            && !Any(disk => disk.Troubles.HasAnsweredOther))
        {
            throw new Violation("P5", $"{happened.Blocks} were moved for errno {happened.Errno}");
        }
        if (happened.Kind == EngineEventKind.MemberGone)
        {
            bool isTrue = happened.Member < 0
                ? primary.Troubles.HasAnsweredOther
                : Any(disk => disk.Troubles.HasAnsweredOther);
            if (!isTrue)
            {
                throw new Violation("P9", "a member is called gone, and none has answered so");
            }
        }
        _areWritesRejected |= happened.Kind == EngineEventKind.WritesRejected;
        if (happened.Kind == EngineEventKind.StormOfReads)
        {
            // The read itself, and each of its controls, which are elsewhere.
            bool isTrue = primary.Troubles.HasFailedReadsElsewhere || primary.Troubles.HasAnsweredOther;
            if (!isTrue)
            {
                throw new Violation("P5", "a storm, and the primary has failed reads at one place only");
            }
            _isStorm = true;
        }
    }

    public bool ExcusesWrite(IoStatus status) => status switch
    {
        IoStatus.OutOfSpares => _isExhausted,
        IoStatus.MetadataUnavailable => IsGivenUp || Any(disk => disk.HasFailedMetadata),
        IoStatus.DeviceError => HasPrimaryAnsweredOther
            || Any(disk => disk.Troubles.HasAnsweredOther)
            || (_areWritesRejected && primary.Troubles.MediumWriteErrors >= PlacesTriedMax)
            // In a storm: its own error, and that of a control at a place that took a write before.
            || (_isStorm && primary.Troubles.MediumWriteErrors > 1),
        _ => false,
    };

    public bool ExcusesFlush(IoStatus status) =>
        status == IoStatus.DeviceError
        && (primary.Troubles.HasFailedFlush || Any(disk => disk.Troubles.HasFailedFlush));

    public bool ExcusesRead(IoStatus status)
    {
        Gather();
        // The request tells the first of its errors, and the extents of all.
        bool isRuleInDoubt = IsGivenUp || Any(disk => disk.HasFailedMetadata);
        return (status is IoStatus.Unreadable or IoStatus.DeviceError or IoStatus.MetadataUnavailable)
            && (HasSeenOther || HasSeenSpareReads || isRuleInDoubt);
    }

    private static void NoteUnitsOf(int spare, RemapTable table, HashSet<long> units)
    {
        UnitNumber from = new(0);
        while (table.TryGetNext(from, out RemapEntry entry))
        {
            if (!entry.Location.IsNone && entry.Location.Spare == spare)
            {
                units.Add(entry.Unit.Value);
            }
            from = new UnitNumber(entry.Unit.Value + 1);
        }
    }

    /// <summary>Where requests wait for it without end, a primary that is gone fails none.</summary>
    private bool HasPrimaryAnsweredOther =>
        primary.Troubles.HasAnsweredNotGone
            || (primary.Troubles.HasAnsweredOther && (config.OnGone != OnGone.Hold || IsStopping));

    /// <summary>Gone, full, timed out: whatever failed so is no bad sector.</summary>
    private static bool IsNeverMedium(int errno) => errno is 6 or 19 or 28 or 62 or 110;

    private void Gather()
    {
        HasSeenOther |= HasPrimaryAnsweredOther
            || Any(disk => disk.Troubles.HasAnsweredOther);
        HasSeenSpareReads |= Any(disk => disk.Troubles.MediumReadErrors > 0);
    }

    /// <summary>Of the spares that take something new.</summary>
    private long UnitsFree(SpareAllocator allocator)
    {
        long free = 0;
        for (int i = 0; i < spares.Length; i++)
        {
            free += allocator.IsUsable(i) ? allocator.UnitsFree(i) : 0;
        }
        return free;
    }

    private bool Any(Predicate<SimulatedDisk> condition) => Array.Exists(spares, condition);

    private int Sum(Func<SimulatedDisk, int> count)
    {
        int sum = 0;
        foreach (SimulatedDisk spare in spares)
        {
            sum += count(spare);
        }
        return sum;
    }
}
