using System;
using DmRemap.Core.Abstractions;
using DmRemap.Engine;
using DmRemap.Simulator.Disks;
using DmRemap.Simulator.World;

namespace DmRemap.Simulator.Checkers;

/// <summary>
/// Which errors a client may see: each is traced back to what a disk answered. Everything else is a broken
/// promise (P2, and errors without a cause).
/// </summary>
internal sealed class Excuses(SimulatedDisk primary, SimulatedDisk[] spares)
{
    /// <summary>So many fresh spare units may fail for one write; then it may give up.</summary>
    private const int PlacesTriedMax = 8;

    private bool _isExhausted;
    private bool _areWritesRejected;

    /// <summary>In this run: an error that names no bad sector can make good ones look bad.</summary>
    public bool HasSeenOther { get; private set; }

    public bool HasSeenSpareReads { get; private set; }

    /// <summary>A spare is not here: what lies on it cannot be had.</summary>
    public bool IsDegraded { get; set; }

    /// <summary>
    /// A sector of the primary that goes bad while its write waits for a spare loses nothing; but a spare
    /// unit that no longer reads does.
    /// </summary>
    public void OnStart()
    {
        Gather();
        _isExhausted = false;
        _areWritesRejected = false;
        primary.Troubles.OnStart();
        Array.ForEach(spares, spare => spare.Troubles.OnStart());
    }

    /// <summary>What the device says of itself is checked before it excuses anything.</summary>
    public void OnEvent(in EngineEvent happened, RemapDevice device)
    {
        if (happened.Kind == EngineEventKind.Exhausted)
        {
            bool isTrue = device.Allocator.TotalUnitsFree == 0
                || IsDegraded
                || Sum(disk => disk.Troubles.MediumWriteErrors) >= PlacesTriedMax
                || Any(disk => disk.Troubles.HasAnsweredOther);
            if (!isTrue)
            {
                throw new Violation(
                    "P2", $"exhausted, and {device.Allocator.TotalUnitsFree} spare units are free");
            }
            _isExhausted = true;
        }
        if (happened.Kind == EngineEventKind.Remapped && IsNeverMedium(happened.Errno)
            && !IsDegraded
            && !Any(disk => disk.Troubles.HasAnsweredOther))
        {
            throw new Violation("P5", $"{happened.Blocks} were moved for errno {happened.Errno}");
        }
        _areWritesRejected |= happened.Kind == EngineEventKind.WritesRejected;
    }

    public bool ExcusesWrite(IoStatus status) => status switch
    {
        IoStatus.OutOfSpares => _isExhausted,
        IoStatus.MetadataUnavailable => Any(disk => disk.HasFailedMetadata),
        IoStatus.DeviceError => primary.Troubles.HasAnsweredOther
            || IsDegraded
            || Any(disk => disk.Troubles.HasAnsweredOther)
            || (_areWritesRejected && primary.Troubles.MediumWriteErrors >= PlacesTriedMax),
        _ => false,
    };

    public bool ExcusesFlush(IoStatus status) =>
        status == IoStatus.DeviceError
        && (IsDegraded || primary.Troubles.HasFailedFlush || Any(disk => disk.Troubles.HasFailedFlush));

    public bool ExcusesRead(IoStatus status)
    {
        Gather();
        // The request tells the first of its errors, and the extents of all.
        bool isRuleInDoubt = Any(disk => disk.HasFailedMetadata);
        return (status is IoStatus.Unreadable or IoStatus.DeviceError or IoStatus.MetadataUnavailable)
            && (HasSeenOther || HasSeenSpareReads || isRuleInDoubt);
    }

    /// <summary>Gone, full, timed out: whatever failed so is no bad sector.</summary>
    private static bool IsNeverMedium(int errno) => errno is 6 or 19 or 28 or 62 or 110;

    private void Gather()
    {
        HasSeenOther |= IsDegraded || primary.Troubles.HasAnsweredOther
            || Any(disk => disk.Troubles.HasAnsweredOther);
        HasSeenSpareReads |= Any(disk => disk.Troubles.MediumReadErrors > 0);
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
