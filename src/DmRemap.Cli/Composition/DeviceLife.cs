using System;
using System.Collections.Generic;
using System.Linq;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Control.Contracts;
using DmRemap.Control.Registry;
using DmRemap.Control.Server;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Lifecycle;
using DmRemap.Linux.Loop;

namespace DmRemap.Cli.Composition;

/// <summary>
/// A device from the first moment of its process to the last, as its control socket sees it. Every command
/// is decided by <see cref="LifeTable"/> under one lock, and what follows from it is posted to the data
/// thread before that lock is let go: so the data thread sees the commands in the order in which they were
/// decided. Nothing is waited for inside the lock.
/// </summary>
internal sealed class DeviceLife : IDeviceControl, IDisposable
{
    private readonly DeviceRecord _record;
    private readonly TimeProvider _time;
    private readonly Lock _gate = new();
    private readonly CancellationTokenSource _stopAsked = new();
    private readonly CancellationTokenSource _givenUp = new();
    private readonly EarliestDeadline _startDeadline;
    private readonly TaskCompletionSource _startEnded =
        new(TaskCreationOptions.RunContinuationsAsynchronously);
    private LifeState _state = LifeState.Claiming;
    private LoopHost? _host;
    private ServedDevice? _served;
    private Suspension? _suspension;
    private Task<StopReport>? _stoppingStart;

    public DeviceLife(DeviceRecord record, TimeProvider time)
    {
        _record = record;
        _time = time;
        _startDeadline = new EarliestDeadline(time);
    }

    public string Name => _record.Name;

    public LifeState State
    {
        get
        {
            lock (_gate)
            {
                return _state;
            }
        }
    }

    /// <summary>The start is to end at its next good moment.</summary>
    public CancellationToken StopAsked => _stopAsked.Token;

    /// <summary>Nobody waits for the start any more.</summary>
    public CancellationToken GivenUp => _givenUp.Token;

    /// <summary>A start is being ended because `stop` asked for it.</summary>
    public bool IsStopOfStartAsked
    {
        get
        {
            lock (_gate)
            {
                return _stoppingStart is not null;
            }
        }
    }

    /// <summary>By a signal: a start that waits ends, a device that is served goes on.</summary>
    public void Interrupt()
    {
        _stopAsked.Cancel();
        _givenUp.Cancel();
    }

    public void OnClaimed()
    {
        lock (_gate)
        {
            _state = LifeTable.After(_state, LifeEvent.Claimed);
        }
    }

    public void OnLoop(LoopHost host)
    {
        lock (_gate)
        {
            _host = host;
        }
    }

    public void OnServed(ServedDevice served)
    {
        lock (_gate)
        {
            _state = LifeTable.After(_state, LifeEvent.Served);
            _served = served;
        }
        _startEnded.TrySetResult();
    }

    public void OnStartFailed()
    {
        lock (_gate)
        {
            _state = LifeTable.After(_state, LifeEvent.StartFailed);
        }
        _startEnded.TrySetResult();
    }

    public DeviceStatus GetStatus()
    {
        ServedDevice? served;
        LoopHost? host;
        LifeState state;
        lock (_gate)
        {
            served = _served;
            host = _host;
            state = _state;
        }
        return served is null
            ? StartingStatus.Of(_record, state, host?.Loop.Owners ?? [])
            : served.GetStatus();
    }

    public Task<RemapReport> RemapAsync(
        BlockNumber first, BlockNumber last, IProgress<RemapProgress> progress,
        CancellationToken cancellation) =>
        RequireMoving("remap").Handwork.RemapAsync(first, last, progress, cancellation);

    public Task<UnremapReport> UnremapAsync(
        BlockNumber first, BlockNumber last, IProgress<RemapProgress> progress,
        CancellationToken cancellation) =>
        RequireMoving("unremap").Handwork.UnremapAsync(first, last, progress, cancellation);

    public Task<RetestReport> RetestAsync(
        BlockNumber first, BlockNumber last, IProgress<RemapProgress> progress,
        CancellationToken cancellation) =>
        RequireMoving("retest").Handwork.RetestAsync(first, last, progress, cancellation);

    public Task<MarkLostReport> MarkLostAsync(
        BlockNumber first, BlockNumber last, IProgress<RemapProgress> progress,
        CancellationToken cancellation) =>
        RequireMoving("mark-lost").Handwork.MarkLostAsync(first, last, progress, cancellation);

    public LostPage ListLost(BlockNumber from) => RequireServed("lost").ListLost(from);

    public Task AddFaultAsync(string rule, CancellationToken cancellation) =>
        RequireServed("faults-add").AddFaultAsync(rule, cancellation);

    public Task<int> ClearFaultsAsync(string? rule, CancellationToken cancellation) =>
        RequireServed("faults-clear").ClearFaultsAsync(rule, cancellation);

    public IReadOnlyList<string> ListFaults() => RequireServed("faults-list").ListFaults();

    public Task<ScrubReport> StartScrubAsync(long? bytesPerSecond) =>
        RequireServed("scrub").Scrub!.StartAsync(bytesPerSecond);

    public Task<ScrubReport> StopScrubAsync() => RequireServed("scrub").Scrub!.StopAsync();

    public ScrubReport GetScrub() => RequireServed("scrub").Scrub!.Report();

    public Task<bool> ClearAsync(string condition) => RequireServed("clear").ClearAsync(condition);

    public Task<SpareAddReport> AddSpareAsync(
        string path, long? sizeBytes, bool force, CancellationToken cancellation) =>
        RequireMoving("spare add").Spares!.AddAsync(path, sizeBytes, force, cancellation);

    public Task<SpareRemoveReport> RemoveSpareAsync(
        string spare, bool acceptLoss, IProgress<RemapProgress> progress, CancellationToken cancellation) =>
        RequireMoving("spare remove").Spares!.RemoveAsync(spare, acceptLoss, progress, cancellation);

    public Task<SpareStopReport> StopSpareRemovalAsync() =>
        RequireServed("spare remove --stop").Spares!.StopRemovalAsync();

    public async Task<SuspendReport> SuspendAsync(TimeSpan deadline)
    {
        Suspension suspension;
        Task begun = Task.CompletedTask;
        lock (_gate)
        {
            LifeDecision decision = Require(LifeCommand.Suspend, "suspend");
            if (decision.Outcome == LifeOutcome.Started)
            {
                _suspension = new Suspension(_host!, _served!, OnQuiesced, _time);
                begun = _suspension.BeginAsync();
            }
            _state = decision.Next;
            suspension = _suspension!;
        }
        await begun;
        return await suspension.ReportAsync(deadline);
    }

    public async Task<ResumeReport> ResumeAsync()
    {
        Task resumed = Task.CompletedTask;
        LifeDecision decision;
        lock (_gate)
        {
            decision = Require(LifeCommand.Resume, "resume");
            if (decision.Outcome == LifeOutcome.Started)
            {
                resumed = _suspension!.ResumeAsync();
            }
            _state = decision.Next;
        }
        await resumed;
        return new ResumeReport(decision.Outcome == LifeOutcome.Started);
    }

    public Task<AttachReport> AttachAsync()
    {
        ServedDevice served;
        lock (_gate)
        {
            // As for a move: what reads the first blocks of a new disk would wait while it is suspended.
            // What is attached already is only named.
            bool isOnlyNamed = _state is LifeState.Draining or LifeState.Quiesced
                && _served!.Fuse.File is not null;
            if (!isOnlyNamed)
            {
                Require(LifeCommand.Move, "attach");
            }
            served = _served!;
        }
        return served.Fuse.AttachAsync(served.Assembled.Device, _time);
    }

    public Task<StopReport> StopAsync(TimeSpan deadline)
    {
        ServedDevice served;
        lock (_gate)
        {
            _state = LifeTable.Decide(_state, LifeCommand.Stop).Next;
            _suspension?.End(SuspensionEnd.Stopped);
            if (_served is null)
            {
                _startDeadline.Tighten(deadline);
                return _stoppingStart ??= StopStartAsync();
            }
            served = _served;
        }
        return StopServedAsync(served, deadline);
    }

    public void Dispose()
    {
        _startDeadline.Dispose();
        _stopAsked.Dispose();
        _givenUp.Dispose();
    }

    private void OnQuiesced(Suspension suspension)
    {
        lock (_gate)
        {
            if (suspension == _suspension)
            {
                _state = LifeTable.After(_state, LifeEvent.Quiesced);
            }
        }
    }

    /// <summary>
    /// A start ends where it is when it waits for something that can be waited for no longer; one that a disk
    /// holds up is left behind at the deadline, and the end of the process ends it (F-31).
    /// </summary>
    private async Task<StopReport> StopStartAsync()
    {
        // Off the caller's lock.
        await Task.Yield();
        await _stopAsked.CancelAsync();
        if (await Task.WhenAny(_startEnded.Task, _startDeadline.Passed) == _startEnded.Task)
        {
            ServedDevice? served;
            lock (_gate)
            {
                served = _served;
            }
            if (served is not null)
            {
                return await StopServedAsync(served, _startDeadline.Left);
            }
            return GivenUp.IsCancellationRequested ? LeftBehind() : new StopReport { Clean = true };
        }
        await _givenUp.CancelAsync();
        return LeftBehind();
    }

    private async Task<StopReport> StopServedAsync(ServedDevice served, TimeSpan deadline)
    {
        StopReport report = await served.StopAsync(deadline);
        lock (_gate)
        {
            _state = LifeTable.After(_state, LifeEvent.Stopped);
        }
        return report;
    }

    private StopReport LeftBehind()
    {
        LoopHost? host;
        lock (_gate)
        {
            host = _host;
        }
        OperationOwner[] busy = [.. (host?.Loop.Owners ?? []).Where(owner => owner.Outstanding > 0)];
        return new StopReport
        {
            Clean = false,
            ByDeadline = true,
            OperationsOutstanding = busy.Sum(owner => owner.Outstanding),
            OutstandingOn = [.. busy.Select(owner => owner.Name)],
            Left = host is null
                ? "the start was still opening and claiming its members"
                : "the start was still reading its spares; nothing was served",
        };
    }

    /// <summary>With the lock held.</summary>
    private LifeDecision Require(LifeCommand command, string words)
    {
        LifeDecision decision = LifeTable.Decide(_state, command);
        return decision.Outcome == LifeOutcome.Refused
            ? throw new RefusalException(LifeWords.Refused(Name, _state, words))
            : decision;
    }

    /// <summary>For what makes I/O of its own.</summary>
    private ServedDevice RequireMoving(string words)
    {
        lock (_gate)
        {
            Require(LifeCommand.Move, words);
            return _served!;
        }
    }

    private ServedDevice RequireServed(string words)
    {
        lock (_gate)
        {
            return _served ?? throw new RefusalException(LifeWords.Refused(Name, _state, words));
        }
    }
}
