using System;
using System.Collections.Generic;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using DmRemap.Core.Faults.Injection;
using DmRemap.Simulator.World;

namespace DmRemap.Simulator.Disks;

/// <summary>What a sector holds that nobody has written yet.</summary>
internal delegate void InitialContent(long sector, Span<byte> into);

/// <summary>
/// A disk with a volatile cache. A write takes effect when it lands, a flush makes durable what had landed
/// when it was submitted; what is in between may, at a power cut, be kept or lost sector by sector. A killed
/// process's writes land none the less. Bad sectors belong to the medium, and are the
/// lab's (<see cref="DiskFaults"/>), each by itself: the cache above them reads.
/// </summary>
internal sealed partial class SimulatedDisk
{
    private readonly Universe _universe;
    private readonly Dice _dice;
    private readonly PagePool _pool;
    private readonly InitialContent _initial;
    private readonly Page?[] _pages;
    private readonly List<Page> _maybeDirty = [];
    private readonly DiskFaults _medium = new(Page.SectorBytes);
    private readonly List<(long First, long Last)> _madeUnreadable = [];
    private readonly List<DiskOperation> _inFlight = [];
    private readonly Stack<DiskOperation> _free = new();
    private long _writes;
    private int _flushesInFlight;

    public SimulatedDisk(
        int index, Universe universe, Dice dice, PagePool pool, DeviceGeometry geometry, DiskTraits traits,
        InitialContent initial)
    {
        Index = index;
        _universe = universe;
        _dice = dice;
        _pool = pool;
        _initial = initial;
        Geometry = geometry;
        Traits = traits;
        _pages = new Page?[(geometry.Bytes.Value + Page.Bytes - 1) / Page.Bytes];
        PhysicalSectors = Math.Max(1, geometry.PhysicalBlockBytes / Page.SectorBytes);
        AlignmentSectors = geometry.AlignmentOffsetBytes / Page.SectorBytes;
    }

    /// <summary>-1: the primary; else the spare's number.</summary>
    public int Index { get; }

    public DeviceGeometry Geometry { get; }

    public DiskTraits Traits { get; }

    public DiskTroubles Troubles { get; } = new();

    public int InFlight => _inFlight.Count;

    public long Sectors => Geometry.Bytes.Value / Page.SectorBytes;

    /// <summary>Told of sectors that can no longer be read.</summary>
    public Action<long>? OnUnreadable { get; set; }

    /// <summary>Told of sectors that go bad in any way.</summary>
    public Action<long>? OnSpoiled { get; set; }

    /// <summary>Told when a flush has failed and some of what it covered is gone.</summary>
    public Action? OnCacheLost { get; set; }

    /// <summary>A flush failed, and the cache no longer holds what this sector was to be.</summary>
    public Action<long>? OnDropped { get; set; }

    /// <summary>Told of sectors that can be read again.</summary>
    public Action<long>? OnHealed { get; set; }

    private int PhysicalSectors { get; }

    private int AlignmentSectors { get; }

    public void Submit(IoRequest request, SimulatedProcess process, IoOrigin origin)
    {
        request.MarkSubmitted();
        Invariant.Check(request.Extent.End <= Geometry.Whole.End);
        DiskOperation operation = _free.Count > 0 ? _free.Pop() : new DiskOperation(this);
        operation.Request = request;
        operation.Process = process;
        operation.Origin = origin;
        operation.SubmittedAt = _universe.Now;
        operation.Covers = _writes;
        operation.Slot = _inFlight.Count;
        _inFlight.Add(operation);
        _flushesInFlight += request.Operation == IoOperation.Flush ? 1 : 0;
        long latency = Traits.LatencyMin + _dice.Below(Traits.LatencyMax - Traits.LatencyMin + 1);
        if (request.Operation == IoOperation.Write && Troubles.SlowWritesLeft > 0)
        {
            Troubles.SlowWritesLeft--;
            latency += Troubles.SlowWriteNanoseconds;
            Troubles.NoteTrouble(_universe.Now + latency);
        }
        else if (origin == IoOrigin.Data && Troubles.FailuresLeft > 0 && Troubles.AreFailuresSlow)
        {
            latency += 31_000_000_000;
            Troubles.NoteTrouble(_universe.Now + latency);
        }
        _universe.Trace.Add(
            TraceKind.Submit, _universe.Now, Index, request.Extent.Start.Value, request.Extent.Count.Value,
            Describe(operation));
        _universe.Plan(operation, latency);
    }

    /// <summary>When everything in flight will have landed; the end of time when that is not known.</summary>
    public long QuietAt()
    {
        if (Troubles.SlowWritesLeft > 0 || Troubles.FailuresLeft > 0)
        {
            return long.MaxValue;
        }
        long last = Math.Max(_universe.Now, Troubles.SilentUntil);
        foreach (DiskOperation operation in _inFlight)
        {
            last = Math.Max(last, operation.Due);
        }
        return last;
    }

    public void Land(DiskOperation operation)
    {
        if (_universe.Now < Troubles.SilentUntil)
        {
            _universe.Agenda.Plan(
                operation, Troubles.SilentUntil + _dice.Below(Traits.LatencyMax));
            return;
        }
        IoRequest request = operation.Request!;
        int errno = Troubles.TakeFailure(operation.Origin, request.Operation, _universe.Now);
        if (errno >= 0)
        {
            // A disk that is gone is looked after once in a while only.
            Troubles.NoteTrouble(_universe.Now + (2 * MemberPresence.LookPause.Nanoseconds));
        }
        if (errno < 0)
        {
            errno = Apply(operation);
        }
        else if (request.Operation is IoOperation.Write or IoOperation.WriteZeroes)
        {
            ApplyPart(request);
        }
        _universe.Trace.Add(
            TraceKind.Land, _universe.Now, Index, request.Extent.Start.Value, errno,
            Describe(operation));
        SimulatedProcess process = operation.Process!;
        long elapsed = _universe.Now - operation.SubmittedAt;
        // An error that took this long says nothing of the medium (F-17).
        bool isTimeOut = errno >= 0 && elapsed >= 24_000_000_000;
        Troubles.HasAnsweredOther |= isTimeOut;
        Troubles.HasAnsweredNotGone |= isTimeOut;
        Troubles.HasFailedMetadata |= IsLate(operation, Budget.MetadataLateMs);
        Forget(operation);
        if (!process.IsDead)
        {
            request.SetResult(
                errno < 0 ? IoStatus.Ok : IoStatus.DeviceError, Math.Max(0, errno), new Duration(elapsed));
            process.DeliverLater(request);
        }
    }

    /// <summary>
    /// Has metadata failed here since the start, or is a write of it late, so that a commit need not be done?
    /// </summary>
    public bool HasFailedMetadata
    {
        get
        {
            bool hasFailed = Troubles.HasFailedMetadata;
            foreach (DiskOperation operation in _inFlight)
            {
                hasFailed |= IsLate(operation, Budget.MetadataLateMs);
            }
            return hasFailed;
        }
    }

    /// <summary>Operations in flight that nobody has given up at a deadline.</summary>
    public int InFlightInTime
    {
        get
        {
            int count = 0;
            foreach (DiskOperation operation in _inFlight)
            {
                count += IsLate(operation, Budget.MetadataDeadlineMs) ? 0 : 1;
            }
            return count;
        }
    }

    public void GiveBackPages()
    {
        foreach (Page? page in _pages)
        {
            if (page is not null)
            {
                _pool.Return(page);
            }
        }
        Array.Clear(_pages);
    }

    private bool IsLate(DiskOperation operation, long milliseconds) =>
        operation.Origin == IoOrigin.Metadata
        && _universe.Now - operation.SubmittedAt >= milliseconds * 1_000_000;

    private static string? Describe(DiskOperation operation, bool isPrinting) => isPrinting
        ? $"{operation.Origin} {operation.Request!.Operation} {operation.Request.Flags}"
        : null;

    private string? Describe(DiskOperation operation) => Describe(operation, _universe.Trace.IsPrinting);

    private void Forget(DiskOperation operation)
    {
        _flushesInFlight -= operation.Request!.Operation == IoOperation.Flush ? 1 : 0;
        DiskOperation last = _inFlight[^1];
        _inFlight[operation.Slot] = last;
        last.Slot = operation.Slot;
        _inFlight.RemoveAt(_inFlight.Count - 1);
        operation.Request = null;
        operation.Process = null;
        _free.Push(operation);
    }

    private Page PageOf(long sector)
    {
        long index = sector / Page.Sectors;
        return _pages[index] ?? Materialise(index);
    }

    private Page Materialise(long index)
    {
        Page page = _pool.Rent(index);
        for (int sector = 0; sector < Page.Sectors; sector++)
        {
            long number = (index * Page.Sectors) + sector;
            if (number < Sectors)
            {
                _initial(number, page.Current(sector));
                page.Store(sector);
            }
        }
        _pages[index] = page;
        return page;
    }
}
