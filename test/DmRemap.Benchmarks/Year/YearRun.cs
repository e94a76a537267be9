using System.Collections.Generic;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults.Injection;
using DmRemap.Core.Faults.Injection.Models;
using DmRemap.Core.Remapping;
using DmRemap.Core.Spares;
using DmRemap.Devices;
using DmRemap.Engine;
using DmRemap.Tests.Support;

namespace DmRemap.Benchmarks.Year;

/// <summary>
/// A year of one disk under the production engine, in simulated time: the lab's faults at their own pace, as
/// long as the drive takes over them, and the engine's pauses as they are.
/// </summary>
internal sealed class YearRun : ITimerOwner
{
    private const long SpareUnits = 1 << 18;

    private readonly SimulatedLoop _loop = new();
    private readonly YearPlan _plan;
    private readonly FaultInjecting _disk;
    private readonly RemapTable _table;
    private readonly RemapDevice _device;
    private readonly YearClient _client;
    private readonly YearOptions _options;
    private readonly LoopTimer _deathTimer;
    private readonly List<(Duration Age, long Sector)> _deaths;
    private readonly Instant _born;
    private int _nextDeath;
    private int _diedUnsaved;

    private YearRun(YearPlan plan, YearOptions options, double weakDays)
    {
        _plan = plan;
        _options = options;
        _born = _loop.Now;
        _disk = new FaultInjecting(_loop, new YearDisk(_loop, YearPlan.DiskBytes));
        UnitGeometry units = new(
            new BlockSize(YearDisk.BlockBytes), YearDisk.PhysicalBytes,
            new BlockCount(YearPlan.DiskBytes / YearDisk.BlockBytes), 0);
        YearDisk spare = new(_loop, (SpareUnits + 1) * YearDisk.PhysicalBytes);
        SpareAllocator allocator = new();
        allocator.AddSpare(0, SpareUnits);
        _table = new RemapTable(units);
        _device = new RemapDevice(new RemapDeviceParts
        {
            Loop = _loop,
            Primary = new Member(Member.Primary, "main", _disk, new BlockNumber(0)),
            Spares = [new Member(0, "spare", spare, new BlockNumber(units.BlocksPerUnit))],
            Table = _table,
            Allocator = allocator,
            Log = new SimulatedLog(_loop),
            ReadRetries = options.Rescue ? Limits.ReadRetriesDefault : 0,
            CopiesWeak = options.Rescue,
            ProbesNeighbourhood = options.Probe,
        });
        _client = new YearClient(_device, _loop, plan.Requests);
        _deaths = plan.DrawDeaths(weakDays);
        _deathTimer = new LoopTimer(this);
    }

    /// <param name="plan">The disk and its load.</param>
    /// <param name="options">What is on.</param>
    /// <param name="weakDays">The mean of the time from weak to dead; 0: never.</param>
    public static YearResult Of(YearPlan plan, YearOptions options, double weakDays) =>
        new YearRun(plan, options, weakDays).Live();

    public void OnTimer(LoopTimer timer)
    {
        long sector = _deaths[_nextDeath].Sector;
        _nextDeath++;
        if (KindAt(sector) == DefectKind.Weak)
        {
            _diedUnsaved += IsOnSpare(sector) ? 0 : 1;
            Defect dead = new() { Kind = DefectKind.Pending, DelayMilliseconds = 5000 };
            Invariant.Check(_disk.Faults.TryAdd([new PlacedDefect(sector, dead)]));
        }
        WaitForDeath();
    }

    private YearResult Live()
    {
        FaultSchedule schedule =
            new(_plan.Faults, _disk.Faults, new AgingPace(Duration.Zero, 1, 1), _loop.Now);
        FaultAging aging = new(_loop, schedule, static () => Invariant.Unreachable("too many defects"));
        aging.Begin();
        WaitForDeath();
        _client.Begin(_born);
        if (_options.Scrub)
        {
            new YearScrub(_device, _loop, _plan.Errors).Begin();
        }
        _loop.RunFor(FaultPlan.Year);
        return Judge();
    }

    private YearResult Judge()
    {
        int lost = 0;
        int known = 0;
        int moved = 0;
        int mistaken = 0;
        foreach (FaultArrival error in _plan.Errors)
        {
            long sector = error.Defect.Physical;
            bool isUnreadable = KindAt(sector) is DefectKind.Pending or DefectKind.Dead;
            bool isKnown = false;
            bool isOnSpare = false;
            if (_table.TryGet(new UnitNumber(sector), out RemapEntry entry))
            {
                ulong places = _table.Geometry.FullMask(entry.Unit);
                isKnown = (entry.Blocks.MaskOf(BlockState.Lost) & places) != 0;
                isOnSpare = (entry.Blocks.MaskOf(BlockState.OnSpare) & places) == places;
            }
            bool isLost = isKnown || (isUnreadable && !isOnSpare);
            lost += isLost ? 1 : 0;
            known += isLost && isKnown ? 1 : 0;
            moved += isOnSpare ? 1 : 0;
            mistaken += isKnown && entry.Location.IsNone && !isUnreadable ? 1 : 0;
        }
        return new YearResult
        {
            Errors = _plan.Errors.Count,
            Deaths = _deaths.Count,
            DiedUnsaved = _diedUnsaved,
            Lost = lost,
            LostAndKnown = known,
            Moved = moved,
            GivenUpThoughReadable = mistaken,
            RequestsFailed = _client.Failed,
            RequestsSlow = _client.Slow,
            IsStorm = _device.Breaker.IsTripped,
        };
    }

    private DefectKind KindAt(long sector)
    {
        DefectMap map = _disk.Faults.Defects;
        int index = map.IndexFrom(sector);
        return index < map.Places && map.PlaceOf(index) == sector ? map[index].Kind : DefectKind.None;
    }

    private bool IsOnSpare(long sector) =>
        _table.TryGet(new UnitNumber(sector), out RemapEntry entry) && !entry.Location.IsNone;

    private void WaitForDeath()
    {
        if (_nextDeath < _deaths.Count)
        {
            _loop.Schedule(_deathTimer, _born + _deaths[_nextDeath].Age);
        }
    }
}

/// <summary>Sectors, but for requests.</summary>
internal sealed record YearResult
{
    /// <summary>That went bad in the year, in whatever way.</summary>
    public required int Errors { get; init; }

    /// <summary>Of those: weak ones that die in the year.</summary>
    public required int Deaths { get; init; }

    /// <summary>Of those: when they died, nothing else had their content.</summary>
    public required int DiedUnsaved { get; init; }

    /// <summary>Whose content is gone at the end, and not written again since.</summary>
    public required int Lost { get; init; }

    /// <summary>Of those: the device says so, before anybody asks.</summary>
    public required int LostAndKnown { get; init; }

    public required int Moved { get; init; }

    /// <summary>Said to be lost, and the disk would read them.</summary>
    public required int GivenUpThoughReadable { get; init; }

    public required long RequestsFailed { get; init; }

    /// <summary>That took more than a second.</summary>
    public required long RequestsSlow { get; init; }

    public required bool IsStorm { get; init; }
}
