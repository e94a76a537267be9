using System;
using System.Collections.Generic;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Control.Contracts;
using DmRemap.Control.Server;
using DmRemap.Core.Abstractions;

namespace DmRemap.Tests.Control;

/// <summary>A device that does what the test says.</summary>
internal sealed class StubDevice : IDeviceControl
{
    public delegate Task<RemapReport> Remapping(
        BlockNumber first,
        BlockNumber last,
        IProgress<RemapProgress> progress,
        CancellationToken cancellation);

    private readonly Lock _gate = new();
    private readonly List<string> _rules = [];

    public string Name { get; init; } = "disk1";

    public DeviceStatus Status { get; set; } = Sample.Status();

    public Remapping OnRemap { get; set; } =
        (first, last, _, _) => Task.FromResult(Sample.Remap(first.Value, last.Value));

    public Func<TimeSpan, Task<StopReport>> OnStop { get; set; } =
        _ => Task.FromResult(new StopReport { Clean = true });

    public int StopCalls { get; private set; }

    public Func<TimeSpan, Task<SuspendReport>> OnSuspend { get; set; } =
        _ => Task.FromResult(new SuspendReport { Suspended = true, Flushed = true });

    public bool IsSuspended { get; set; }

    public DeviceStatus GetStatus() => Status;

    public Task<RemapReport> RemapAsync(
        BlockNumber first,
        BlockNumber last,
        IProgress<RemapProgress> progress,
        CancellationToken cancellation) =>
        OnRemap(first, last, progress, cancellation);

    public Task<UnremapReport> UnremapAsync(
        BlockNumber first,
        BlockNumber last,
        IProgress<RemapProgress> progress,
        CancellationToken cancellation)
    {
        progress.Report(new RemapProgress(1, 2));
        return Task.FromResult(new UnremapReport
        {
            FirstBlock = first.Value,
            LastBlock = last.Value,
            UnitsReturned = 1,
            UnitsFailed = 1,
            BlocksCopied = 7,
            BlocksLost = 1,
            StayedExtents = [new LostExtent(first.Value, 8)],
            Failure = "not every block of a unit could be read",
        });
    }

    public Task<RetestReport> RetestAsync(
        BlockNumber first,
        BlockNumber last,
        IProgress<RemapProgress> progress,
        CancellationToken cancellation) => Task.FromResult(new RetestReport
        {
            FirstBlock = first.Value,
            LastBlock = last.Value,
            SuspectsTried = 3,
            SuspectsGood = 2,
            LostUnitsTried = 4,
            BlocksBack = 5,
        });

    public Task<MarkLostReport> MarkLostAsync(
        BlockNumber first,
        BlockNumber last,
        IProgress<RemapProgress> progress,
        CancellationToken cancellation) => Task.FromResult(new MarkLostReport
        {
            FirstBlock = first.Value,
            LastBlock = last.Value,
            BlocksDeclared = last.Value - first.Value + 1,
        });

    public LostPage Lost { get; set; } =
        new() { BlockSize = 512, LostBlocks = 0, Extents = [] };

    public LostPage ListLost(BlockNumber from) => Lost;

    public Task AddFaultAsync(string rule, CancellationToken cancellation)
    {
        if (rule.StartsWith("bad", StringComparison.Ordinal))
        {
            throw new RefusalException(new Refusal(
                "DMR-TEST-RULE", ExitCode.Usage, Name, $"\"{rule}\" is no rule.", "Write a better one."));
        }
        lock (_gate)
        {
            _rules.Add(rule);
        }
        return Task.CompletedTask;
    }

    public Task<int> ClearFaultsAsync(string? rule, CancellationToken cancellation)
    {
        lock (_gate)
        {
            return Task.FromResult(_rules.RemoveAll(known => rule is null || known == rule));
        }
    }

    public IReadOnlyList<string> ListFaults()
    {
        lock (_gate)
        {
            return [.. _rules];
        }
    }

    /// <summary>Conditions that hold.</summary>
    public HashSet<string> Conditions { get; } = [];

    public ScrubReport Scrub { get; set; } = new()
    {
        State = ScrubStates.Idle,
        Done = 0,
        BytesPerSecond = 1 << 24,
        BlocksFailed = 0,
    };

    public Task<ScrubReport> StartScrubAsync(long? bytesPerSecond)
    {
        Scrub = Scrub with
        {
            State = ScrubStates.Running,
            BytesPerSecond = bytesPerSecond ?? Scrub.BytesPerSecond,
        };
        return Task.FromResult(Scrub);
    }

    public Task<ScrubReport> StopScrubAsync()
    {
        Scrub = Scrub with { State = ScrubStates.Stopped };
        return Task.FromResult(Scrub);
    }

    public ScrubReport GetScrub() => Scrub;

    public Task<SpareAddReport> AddSpareAsync(
        string path, long? sizeBytes, bool force, CancellationToken cancellation) =>
        Task.FromResult(new SpareAddReport
        {
            Path = path,
            Uuid = "7c9e6679-7425-40de-944b-e07fc1f90ae7",
            Index = force ? 2 : 1,
            Units = sizeBytes ?? 100,
        });

    /// <summary>How far a removal comes before it ends.</summary>
    public IReadOnlyList<RemapProgress> RemovalSteps { get; set; } = [];

    public Task<SpareRemoveReport> RemoveSpareAsync(
        string spare, bool acceptLoss, IProgress<RemapProgress> progress, CancellationToken cancellation)
    {
        foreach (RemapProgress step in RemovalSteps)
        {
            progress.Report(step);
        }
        return Task.FromResult(new SpareRemoveReport
        {
            Path = spare,
            Removed = acceptLoss,
            UnitsMoved = 3,
            UnitsLetGo = acceptLoss ? 1 : 0,
            UnitsUnread = acceptLoss ? 0 : 1,
            Failure = acceptLoss ? null : "a unit did not read",
        });
    }

    public Task<SpareStopReport> StopSpareRemovalAsync() => Task.FromResult(new SpareStopReport(true));

    public Task<bool> ClearAsync(string condition) => Task.FromResult(Conditions.Remove(condition));

    public Task<SuspendReport> SuspendAsync(TimeSpan deadline)
    {
        IsSuspended = true;
        return OnSuspend(deadline);
    }

    public Task<ResumeReport> ResumeAsync()
    {
        bool was = IsSuspended;
        IsSuspended = false;
        return Task.FromResult(new ResumeReport(was));
    }

    public Task<AttachReport> AttachAsync() => Task.FromResult(new AttachReport
    {
        Path = "/run/dmremap/disk1.disk",
        SizeBytes = 1 << 20,
        BlockSize = 512,
        ReadOnly = false,
        MainPath = "/dev/sdb",
        ZeroesFast = true,
        TransferBytesMax = 1 << 20,
        WasAttached = false,
    });

    public Task<StopReport> StopAsync(TimeSpan deadline)
    {
        StopCalls++;
        return OnStop(deadline);
    }
}
