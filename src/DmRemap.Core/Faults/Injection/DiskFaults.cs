using System;
using System.Collections.Generic;
using DmRemap.Core.Abstractions;

namespace DmRemap.Core.Faults.Injection;

/// <summary>
/// Everything that is wrong with one disk, and what it does to each request: trouble with the disk as a
/// whole, then rules, then defects of physical sectors. The first that gives an error decides; of several
/// delays the longest counts. Extents are in 512-byte sectors. A request that fails transfers nothing.
/// </summary>
public sealed class DiskFaults
{
    private const int InputOutputError = 5;
    private const int NoSuchDevice = 19;

    /// <summary>What Linux makes of an unrecovered read error that a disk reports.</summary>
    private const int NoData = 61;

    private readonly int _physicalSectors;
    private int _dirty;

    public DiskFaults(int physicalBytes)
    {
        Invariant.Check(physicalBytes >= FaultRule.SectorBytes);
        Invariant.Check(physicalBytes % FaultRule.SectorBytes == 0);
        _physicalSectors = physicalBytes / FaultRule.SectorBytes;
    }

    public FaultMatcher Rules { get; } = new();

    public DefectMap Defects { get; } = new();

    public DiskTrouble Trouble { get; } = new();

    public DiskFaultCounts Counts { get; } = new();

    /// <summary>The 512-byte sectors of a physical one.</summary>
    public int PhysicalSectors => _physicalSectors;

    /// <summary>No request can be touched by anything.</summary>
    public bool IsNothingWrong(Instant now) =>
        Rules.Count == 0 && Defects.Places == 0 && !Trouble.IsAny(now);

    /// <summary>Count a request and decide about it. A flush has no extent.</summary>
    public FaultDecision Decide(
        IoOperation operation, IoFlags flags, long firstSector, long sectorCount, Instant now)
    {
        FaultDecision byTrouble = DecideByTrouble(now);
        if (byTrouble.Errno != 0 || byTrouble.Sequel != FaultSequel.None)
        {
            return byTrouble;
        }
        FaultDecision decision = operation == IoOperation.Flush
            ? new FaultDecision(0, default, _dirty > 0 ? FaultSequel.Watched : FaultSequel.None)
            : DecideAt(operation, flags, firstSector, sectorCount);
        return decision with { Delay = Longer(decision.Delay, byTrouble.Delay) };
    }

    /// <summary>
    /// The device below has done a request that was to be watched: what becomes of the defects it touched.
    /// The errno that the request fails with nevertheless, or 0.
    /// </summary>
    public int AfterDone(IoOperation operation, long firstSector, long sectorCount, Span<byte> read)
    {
        switch (operation)
        {
            case IoOperation.Read:
                Corrupt(firstSector, sectorCount, read);
                return 0;
            case IoOperation.Write:
            case IoOperation.WriteZeroes:
                NoteWritten(firstSector, sectorCount);
                return 0;
            case IoOperation.Flush:
                return FailDirty();
            case IoOperation.None:
            case IoOperation.Discard:
            default:
                Invariant.Unreachable("an operation that is not watched");
                return InputOutputError;
        }
    }

    /// <summary>As DefectMap.TryAdd.</summary>
    public bool TryAdd(IReadOnlyCollection<PlacedDefect> added)
    {
        bool isAdded = Defects.TryAdd(added);
        CountDirty();
        return isAdded;
    }

    /// <summary>Remove the defects of these sectors, both ends included; how many physical sectors.</summary>
    public int Heal(long firstSector, long lastSector)
    {
        int healed = Defects.Remove(firstSector / _physicalSectors, lastSector / _physicalSectors);
        CountDirty();
        return healed;
    }

    /// <summary>What was in the cache of a sector that has another defect now is forgotten.</summary>
    private void CountDirty()
    {
        _dirty = 0;
        for (int i = 0; i < Defects.Places; i++)
        {
            _dirty += Defects[i].IsDirty ? 1 : 0;
        }
    }

    private static Duration Longer(Duration one, Duration other) => one < other ? other : one;

    private FaultDecision DecideByTrouble(Instant now)
    {
        if (Trouble.IsGone)
        {
            Counts.FailedAsGone++;
            return new FaultDecision(NoSuchDevice, Duration.Zero);
        }
        if (now < Trouble.ResettingUntil)
        {
            Counts.FailedInReset++;
            return new FaultDecision(InputOutputError, Trouble.ResettingUntil - now);
        }
        if (now < Trouble.StalledUntil)
        {
            Counts.Stalled++;
            return new FaultDecision(0, Trouble.StalledUntil - now, FaultSequel.AskedAgain);
        }
        return new FaultDecision(0, now < Trouble.SlowUntil ? Trouble.SlowBy : Duration.Zero);
    }

    private FaultDecision DecideAt(IoOperation operation, IoFlags flags, long firstSector, long sectorCount)
    {
        FaultDecision byRule = Rules.Count == 0
            ? default
            : Rules.Decide(operation, firstSector, sectorCount);
        if (byRule.Errno != 0 || Defects.Places == 0)
        {
            return byRule;
        }
        FaultDecision byDefect = DecideByDefects(operation, flags, firstSector, firstSector + sectorCount);
        return byDefect with { Delay = Longer(byDefect.Delay, byRule.Delay) };
    }

    private FaultDecision DecideByDefects(IoOperation operation, IoFlags flags, long first, long end)
    {
        Duration delay = Duration.Zero;
        bool isWatched = false;
        long lastPhysical = (end - 1) / _physicalSectors;
        for (int i = Defects.IndexFrom(first / _physicalSectors);
            i < Defects.Places && Defects.PlaceOf(i) <= lastPhysical; i++)
        {
            ref Defect defect = ref Defects[i];
            if (defect.Kind == DefectKind.None || operation == IoOperation.Discard)
            {
                continue;
            }
            int errno = operation == IoOperation.Read
                ? OfRead(ref defect)
                : OfWrite(ref defect, flags, IsWhole(Defects.PlaceOf(i), first, end));
            delay = Longer(delay, Duration.FromMilliseconds(defect.DelayMilliseconds));
            if (errno != 0)
            {
                // The drive stops at the first error.
                return new FaultDecision(errno, delay);
            }
            isWatched |= operation != IoOperation.Read || defect.Kind == DefectKind.Corrupt;
        }
        return new FaultDecision(0, delay, isWatched ? FaultSequel.Watched : FaultSequel.None);
    }

    private int OfRead(ref Defect defect)
    {
        bool isUnreadable = defect.Kind is DefectKind.Pending or DefectKind.Dead;
        if (defect.Kind == DefectKind.Weak && defect.TriesLeft > 0)
        {
            defect.TriesLeft--;
            isUnreadable = true;
        }
        Counts.ReadsFailed += isUnreadable ? 1 : 0;
        return isUnreadable ? NoData : 0;
    }

    /// <summary>
    /// A part of a physical sector is written by reading the rest of it first: where that does not read, the
    /// write fails.
    /// </summary>
    private int OfWrite(ref Defect defect, IoFlags flags, bool isWhole)
    {
        bool isRefused = defect.Kind switch
        {
            DefectKind.Dead or DefectKind.Unwritable => true,
            DefectKind.Unflushable => (flags & IoFlags.ForceUnitAccess) != 0,
            DefectKind.Pending => !isWhole,
            DefectKind.Weak => !isWhole && defect.TriesLeft > 0,
            DefectKind.None or DefectKind.Corrupt => false,
            _ => true,
        };
        if (isRefused && defect.Kind == DefectKind.Weak)
        {
            defect.TriesLeft--;
        }
        Counts.WritesFailed += isRefused ? 1 : 0;
        return isRefused ? InputOutputError : 0;
    }

    private bool IsWhole(long physical, long first, long end) =>
        first <= physical * _physicalSectors && (physical + 1) * _physicalSectors <= end;

    private void NoteWritten(long first, long count)
    {
        long end = first + count;
        long lastPhysical = (end - 1) / _physicalSectors;
        for (int i = Defects.IndexFrom(first / _physicalSectors);
            i < Defects.Places && Defects.PlaceOf(i) <= lastPhysical; i++)
        {
            ref Defect defect = ref Defects[i];
            bool isWhole = IsWhole(Defects.PlaceOf(i), first, end);
            if (defect.Kind == DefectKind.Unflushable && !defect.IsDirty)
            {
                defect.IsDirty = true;
                _dirty++;
            }
            bool isCured = defect.Kind == DefectKind.Weak
                || (isWhole && defect.Kind is DefectKind.Pending or DefectKind.Corrupt);
            if (isCured && !defect.IsLasting)
            {
                Defects.Heal(i);
                Counts.HealedByWrites++;
            }
        }
    }

    /// <summary>One bit of each sector of a corrupt physical one that was read, always the same.</summary>
    private void Corrupt(long first, long count, Span<byte> read)
    {
        long lastPhysical = (first + count - 1) / _physicalSectors;
        for (int i = Defects.IndexFrom(first / _physicalSectors);
            i < Defects.Places && Defects.PlaceOf(i) <= lastPhysical; i++)
        {
            if (Defects[i].Kind != DefectKind.Corrupt)
            {
                continue;
            }
            long start = Math.Max(first, Defects.PlaceOf(i) * _physicalSectors);
            long end = Math.Min(first + count, (Defects.PlaceOf(i) + 1) * _physicalSectors);
            for (long sector = start; sector < end; sector++)
            {
                long inSector = sector * 97 % FaultRule.SectorBytes;
                read[(int)(((sector - first) * FaultRule.SectorBytes) + inSector)] ^= 0x10;
            }
            Counts.ReadsCorrupted++;
        }
    }

    /// <summary>What was in the cache for these is gone, and so is what was there before.</summary>
    private int FailDirty()
    {
        if (_dirty == 0)
        {
            return 0;
        }
        for (int i = 0; i < Defects.Places; i++)
        {
            ref Defect defect = ref Defects[i];
            if (defect.IsDirty)
            {
                defect.Kind = DefectKind.Dead;
                defect.IsDirty = false;
            }
        }
        _dirty = 0;
        Counts.FlushesFailed++;
        return InputOutputError;
    }
}

/// <summary>What the faults of a disk have done, but for rules, which count for themselves.</summary>
public sealed class DiskFaultCounts
{
    public long ReadsFailed { get; set; }

    public long WritesFailed { get; set; }

    public long FlushesFailed { get; set; }

    public long ReadsCorrupted { get; set; }

    /// <summary>Physical sectors that a write has made good.</summary>
    public long HealedByWrites { get; set; }

    /// <summary>Requests that a stall has held up.</summary>
    public long Stalled { get; set; }

    public long FailedInReset { get; set; }

    public long FailedAsGone { get; set; }
}
