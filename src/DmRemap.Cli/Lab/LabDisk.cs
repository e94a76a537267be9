using System;
using System.Collections.Generic;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Composition;
using DmRemap.Cli.Devices;
using DmRemap.Control.Contracts;
using DmRemap.Control.Protocol;
using DmRemap.Control.Server;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults.Injection;
using DmRemap.Devices;

namespace DmRemap.Cli.Lab;

/// <summary>A disk of the lab that is being served: what its control socket asks of it.</summary>
internal sealed class LabDisk : ILabControl, IDisposable
{
    private const int RunsInReplyMax = 500;

    /// <summary>As long as Linux usually takes to have a link back.</summary>
    private static readonly Duration s_resetDefault = Duration.FromSeconds(3);
    private static readonly Duration s_slowBy = Duration.FromMilliseconds(100);

    private readonly LoopHost _host;
    private readonly LabOptions _options;
    private readonly LabBacking _backing;
    private readonly IMemberDevice _below;
    private readonly FaultInjecting _device;
    private readonly FrontDoor _door;
    private readonly Lock _gate = new();
    private readonly EarliestDeadline _deadline;
    private readonly TaskCompletionSource _closed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private Task<StopReport>? _stopping;
    private string _note = "";

    public LabDisk(
        LoopHost host, LabOptions options, LabBacking backing, IMemberDevice below, FaultInjecting device,
        FrontDoor door, TimeProvider time)
    {
        _host = host;
        _options = options;
        _backing = backing;
        _below = below;
        _device = device;
        _door = door;
        _deadline = new EarliestDeadline(time);
    }

    public string Name => _options.Name;

    /// <summary>Null: no model.</summary>
    public FaultAging? Aging { get; set; }

    private int PhysicalSectors => _device.Faults.PhysicalSectors;

    private long Sectors => _device.Geometry.Bytes.Value / FaultRule.SectorBytes;

    /// <summary>On the loop's thread.</summary>
    public void NoteTooManyDefects() =>
        _note = $"the model has more than {DefectMap.DefectsMax} defects for this disk; some were left out";

    public Task<LabStatus> GetStatusAsync() => _host.RunAsync(MakeStatus);

    public async Task<LabChange> AddBadAsync(IReadOnlyList<string> runs)
    {
        List<DefectRun> parsed = [];
        foreach (string text in runs)
        {
            string? error = DefectText.TryParseLine(text, Sectors, out DefectRun run);
            if (error is not null)
            {
                throw LabRefusals.BadRun(Name, text, error);
            }
            parsed.Add(run);
        }
        List<PlacedDefect> placed = [];
        bool fits = DefectRun.TryPlace(parsed, PhysicalSectors, placed);
        if (!fits || !await _host.RunAsync(() => _device.Faults.TryAdd(placed)))
        {
            throw LabRefusals.TooManyDefects(Name);
        }
        return await ChangedAsync(placed.Count);
    }

    public async Task<LabChange> HealAsync(LabRange? range)
    {
        int healed = await _host.RunAsync(() =>
        {
            if (range is null)
            {
                _device.Clear();
                EndTrouble();
            }
            return _device.Faults.Heal(range?.First ?? 0, range?.Last ?? Sectors);
        });
        return await ChangedAsync(healed);
    }

    public Task TroubleAsync(string trouble, double? seconds) => _host.RunAsync(() =>
    {
        Duration? length = seconds is double given ? new Duration((long)(given * 1e9)) : null;
        DiskTrouble disk = _device.Faults.Trouble;
        Instant now = _host.Loop.Now;
        switch (trouble)
        {
            case LabTroubles.Stall:
                disk.Stall(now, length ?? DiskTrouble.Endless);
                break;
            case LabTroubles.Reset:
                disk.Reset(now, length ?? s_resetDefault);
                // What a stall holds up fails with the rest.
                _device.LookAgain();
                break;
            case LabTroubles.Slow:
                disk.Slow(now, length ?? DiskTrouble.Endless, s_slowBy);
                break;
            case LabTroubles.Vanish:
                disk.IsGone = true;
                _device.LookAgain();
                _door.Server.CutOff();
                break;
            default:
                EndTrouble();
                break;
        }
    });

    public Task<LabDefects> ListAsync(long from) => _host.RunAsync(() => ListDefects(from));

    public Task<StopReport> StopAsync(TimeSpan deadline)
    {
        lock (_gate)
        {
            _deadline.Tighten(deadline);
            return _stopping ??= StopOnceAsync();
        }
    }

    public void Dispose() => _deadline.Dispose();

    private async Task<LabChange> ChangedAsync(long changed) =>
        await _host.RunAsync(() => new LabChange(changed, _device.Faults.Defects.Count));

    private void EndTrouble()
    {
        _device.Faults.Trouble.End(_host.Loop.Now);
        _device.LookAgain();
        _door.Server.LetIn();
    }

    private async Task<StopReport> StopOnceAsync()
    {
        // Off the caller's lock.
        await Task.Yield();
        await _host.RunAsync(() =>
        {
            _door.CloseListeners();
            Aging?.End();
            EndTrouble();
            _door.Server.Shutdown(new Closed(_closed));
        });
        Task removed = Task.Run(_door.RemoveFiles);
        bool isClean = await Task.WhenAny(_closed.Task, _deadline.Passed) == _closed.Task;
        int cutOff = 0;
        if (!isClean)
        {
            cutOff = await _host.RunAsync(() =>
            {
                int requests = _door.Server.RequestsAtDevice;
                _door.Server.AbortAll();
                return requests;
            });
        }
        await removed;
        await Task.WhenAny(DeviceStop.ReleaseMembersAsync(_host, [_below], null), _deadline.Passed);
        return new StopReport
        {
            Clean = isClean,
            ByDeadline = !isClean,
            RequestsFailed = cutOff,
            Left = isClean ? null : "requests were cut off",
        };
    }

    private LabDefects ListDefects(long from)
    {
        DefectMap map = _device.Faults.Defects;
        List<string> runs = [];
        DefectRun? open = null;
        for (int i = map.IndexFrom((from + PhysicalSectors - 1) / PhysicalSectors); i < map.Places; i++)
        {
            Defect defect = map[i];
            if (defect.Kind == DefectKind.None)
            {
                continue;
            }
            long first = map.PlaceOf(i) * PhysicalSectors;
            long last = Math.Min(first + PhysicalSectors, Sectors) - 1;
            if (open is DefectRun before && before.Last + 1 == first && before.Defect.Equals(defect))
            {
                open = before with { Last = last };
                continue;
            }
            if (open is DefectRun ended)
            {
                runs.Add(DefectText.Of(ended));
            }
            if (runs.Count == RunsInReplyMax)
            {
                return new LabDefects(runs, first);
            }
            open = new DefectRun(first, last, defect);
        }
        if (open is DefectRun rest)
        {
            runs.Add(DefectText.Of(rest));
        }
        return new LabDefects(runs, null);
    }

    private LabStatus MakeStatus()
    {
        DiskFaults faults = _device.Faults;
        SortedDictionary<string, long> defects = new(StringComparer.Ordinal);
        foreach (string name in DefectKinds.Names)
        {
            _ = DefectKinds.TryParse(name, out DefectKind kind);
            defects[name] = faults.Defects.CountOf(kind);
        }
        return new LabStatus
        {
            Name = Name,
            Pid = Environment.ProcessId,
            Version = ControlProtocol.ProgramVersion,
            Exports = _door.Exports,
            Backing = _backing.Path,
            IsTemporary = _backing.IsTemporary,
            SizeBytes = _device.Geometry.Bytes.Value,
            BlockSize = _options.BlockBytes,
            PhysicalBlockSize = _options.PhysicalBytes,
            Model = _options.Model?.Name,
            Seed = _options.Seed,
            AgeDays = Aging is null ? null : Aging.Age.Nanoseconds / 86_400e9,
            Clock = _options.Clock,
            ArrivalsLeft = Aging?.ArrivalsLeft ?? 0,
            State = StateOf(faults.Trouble),
            Defects = defects,
            Rules = _device.RuleCount,
            Counters = CountersOf(faults),
            Note = _note,
        };
    }

    private string StateOf(DiskTrouble trouble)
    {
        Instant now = _host.Loop.Now;
        if (trouble.IsGone)
        {
            return LabTroubles.Vanish;
        }
        if (now < trouble.ResettingUntil)
        {
            return LabTroubles.Reset;
        }
        if (now < trouble.StalledUntil)
        {
            return LabTroubles.Stall;
        }
        return now < trouble.SlowUntil ? LabTroubles.Slow : "ok";
    }

    private LabCounters CountersOf(DiskFaults faults) => new()
    {
        ReadsFailed = faults.Counts.ReadsFailed,
        WritesFailed = faults.Counts.WritesFailed,
        FlushesFailed = faults.Counts.FlushesFailed,
        ReadsCorrupted = faults.Counts.ReadsCorrupted,
        FailedByRules = _device.InjectedErrors,
        FailedInReset = faults.Counts.FailedInReset,
        FailedAsGone = faults.Counts.FailedAsGone,
        Stalled = faults.Counts.Stalled,
        HealedByWrites = faults.Counts.HealedByWrites,
    };

    private sealed class Closed(TaskCompletionSource closed) : ILoopMessage
    {
        public void Run() => closed.TrySetResult();
    }
}
