using System;
using System.Linq;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Attaching;
using DmRemap.Cli.Output;
using DmRemap.Control.Contracts;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Devices;
using DmRemap.Engine;
using DmRemap.Engine.Metadata;

namespace DmRemap.Cli.Composition;

/// <summary>
/// The end of a served device, once, whoever asks and how often: no new clients → what is in flight ends →
/// the device is quiet and flushed → the clean-stop record, with what the primary looks like → claims and
/// sockets are let go, so that whoever has the answer may start anew at once. The answer comes by the
/// deadline even if a disk never does; what the kernel still owns then outlives the answer (F-31), and so do
/// the claims.
/// </summary>
internal sealed class DeviceStop : IStopOwner, IMetadataStopOwner, ILoopMessage, IDisposable
{
    private static readonly TimeSpan s_releaseTimeout = TimeSpan.FromSeconds(1);

    private readonly LoopHost _host;
    private readonly AssembledDevice _assembled;
    private readonly FrontDoor _door;
    private readonly FuseDoor _fuse;
    private readonly TimeProvider _time;
    private readonly Lock _gate = new();
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly EarliestDeadline _deadline;
    private Task<StopReport>? _running;
    private HistoryPoint _stoppedAt;
    private bool _isClean;

    public DeviceStop(
        LoopHost host, AssembledDevice assembled, FrontDoor door, FuseDoor fuse, TimeProvider time)
    {
        _fuse = fuse;
        _host = host;
        _assembled = assembled;
        _door = door;
        _time = time;
        _deadline = new EarliestDeadline(time);
    }

    /// <summary>
    /// End the claims, before the answer: whoever has it may serve the device again at once. Only with
    /// nothing in flight, or a write of ours could land after the next instance's (F-1).
    /// </summary>
    public static async Task<bool> ReleaseMembersAsync(LoopHost host, IMemberDevice[] files, NbdFence? fence)
    {
        bool isLanded = false;
        bool isIdle = await host.RunAsync(() =>
        {
            isLanded = !files.Any(file => file is NbdClient { MayStillWrite: true });
            bool canRetire = files.All(file => file.IsIdle);
            if (canRetire)
            {
                Array.ForEach(files, file => file.Retire());
            }
            return canRetire;
        });
        if (!isIdle)
        {
            return false;
        }
        // Closing may block, and then only this thread.
        await Task.Run(() =>
        {
            Array.ForEach(files, file => file.Dispose());
            if (isLanded)
            {
                fence?.Lift();
            }
        });
        return true;
    }

    /// <summary>Ends with the device; where it was is written down.</summary>
    public DeviceScrub? Scrub { get; set; }

    /// <summary>The earliest deadline of all callers counts; all get the same report.</summary>
    public Task<StopReport> RunAsync(TimeSpan deadline)
    {
        lock (_gate)
        {
            _deadline.Tighten(deadline);
            return _running ??= StopAsync();
        }
    }

    public void Dispose() => _deadline.Dispose();

    /// <summary>Nobody can submit any more.</summary>
    void ILoopMessage.Run() => _assembled.Device.BeginStop(this);

    void IStopOwner.OnQuiesced(bool flushed)
    {
        if (flushed)
        {
            new CleanStop(
                _host.Loop, _assembled.Files[0], _assembled.Set, this, _assembled.Device.AreCopiesInStep,
                _assembled.Device.HasFailedReading).Begin();
        }
        else
        {
            // Not everything is known to be durable: the next start must not be told that this one ended
            // well.
            _ended.TrySetResult();
        }
    }

    void IMetadataStopOwner.OnMetadataStopped(bool isClean)
    {
        _isClean = isClean;
        MetadataStore store = _assembled.Set.Store;
        _stoppedAt = new HistoryPoint(store.Epoch, store.Generation, store.Sequence);
        _ended.TrySetResult();
    }

    private async Task<StopReport> StopAsync()
    {
        // Off the caller's lock.
        await Task.Yield();
        // Beside the rest: the socket's directory may be as stuck as the disk.
        Task removed = Task.Run(_door.RemoveFiles);
        await _host.RunAsync(Refuse);
        // Nobody waits for it: without it, some of the device is read again.
        _ = Task.Run(() => Scrub?.Note());
        Task closed = CloseDoorAsync(removed);
        Task first = await Task.WhenAny(_ended.Task, _deadline.Passed);
        StopReport report = await _host.RunAsync(() => Report(first == _ended.Task));
        if (first == _ended.Task)
        {
            // A close that takes longer does not hold up the answer; the end of the process ends it.
            await Task.WhenAny(
                ReleaseAsync(closed), Task.Delay(s_releaseTimeout, _time), _deadline.Passed);
            // The last replies inside TLS are in this process, not in the kernel, and would end with it.
            await Task.WhenAny(_door.TlsEnded, _deadline.Passed);
        }
        return report;
    }

    /// <summary>
    /// The order of A6: refuse what comes → signal → drop what has not begun. What runs is then drained, by
    /// the server's closing and the device's quiet.
    /// </summary>
    private void Refuse()
    {
        _door.CloseListeners();
        _assembled.Device.AbandonMove();
        // What waits for a disk that is gone would keep every connection from closing.
        _assembled.Device.EndKeeping();
        Scrub?.End();
        if (_assembled.Device.IsHolding)
        {
            // Suspended: what is held was never begun, and nothing is begun any more.
            _assembled.Device.RefuseRequests();
        }
        _door.Server.Shutdown(new NbdClosed(this));
    }

    /// <summary>Whoever connects during the stop is turned away, not left waiting to be accepted.</summary>
    private async Task CloseDoorAsync(Task removed)
    {
        await removed;
        await _door.ListenersClosed;
        _door.Dispose();
        await _door.TlsEnded;
    }

    private async Task ReleaseAsync(Task closed)
    {
        // Beside the rest, as it may be on a disk that is stuck too. Should the next start come before it,
        // the file is older than it could be, and still true.
        Task noted = Task.Run(() =>
        {
            if (_isClean)
            {
                _assembled.History?.Note(_stoppedAt);
            }
        });
        Task unmounted = Task.Run(_fuse.Unmount);
        await ReleaseMembersAsync(_host, _assembled.Files, _assembled.Fence);
        await closed;
        await noted;
        await unmounted;
    }

    private StopReport Report(bool hasEnded)
    {
        if (hasEnded)
        {
            return new StopReport
            {
                Clean = _isClean,
                Left = _isClean ? null : WhyNotClean(),
            };
        }
        int requests = _door.Server.RequestsAtDevice + (_fuse.Server?.PiecesAtDevice ?? 0);
        _door.Server.AbortAll();
        _fuse.Server?.Abort();
        IMemberDevice[] busy = [.. _assembled.Files.Where(file => file.Outstanding > 0)];
        return new StopReport
        {
            Clean = false,
            ByDeadline = true,
            OperationsOutstanding = busy.Sum(file => file.Outstanding),
            OutstandingOn = [.. busy.Select(file => file.Name)],
            RequestsFailed = requests,
            Left =
                "requests were cut off; the next start waits for what is not answered yet, then recovers",
        };
    }

    private string WhyNotClean()
    {
        if (_assembled.Device.FlushErrors.IsUncertain)
        {
            long blocks = UncertainReport.BlocksOf(_assembled.Device);
            string which = blocks == 0 ? "some of what" : $"up to {Amounts.Plural(blocks, "block")} of what";
            return $"{which} had been acknowledged may be lost since a flush failed or a disk was away, and "
                + "was not written anew; the next start recovers, and does not know of it";
        }
        Member[] ill = [.. _assembled.Device.Members.Where(IsIll)];
        string names = ill.Length == 0
            ? ""
            : $" ({string.Join(", ", ill.Select(NameOf))} cannot be reached, or failed)";
        bool isDegraded = _assembled.Device.KeepsCopies && ill.Any(member => !member.IsPrimary);
        string copies = !isDegraded ? ""
            : "; no stop vouches for the second copies of what is on that spare: if it does not come back, "
                + "serve --degraded --trust-copies reads them";
        return $"a flush or the clean-stop record failed{names}; the next start recovers{copies}";
    }

    private string NameOf(Member member) =>
        member.IsPrimary ? _assembled.Files[0].Name : member.Name;

    private bool IsIll(Member member) =>
        member.HasLostFlush
            || member.Device is NbdClient { IsConnected: false }
            || (member.IsPrimary && _assembled.Files[0] is NbdClient { IsConnected: false })
            || (!member.IsPrimary && !member.IsAbsent && !member.IsRemoved
                && !(member.Index < _assembled.Set.Store.MemberCount
                    && _assembled.Set.Store.Members[member.Index] is { IsActive: true }));

    /// <summary>All connections are closed: the kernel's is next.</summary>
    private sealed class NbdClosed(DeviceStop stop) : ILoopMessage
    {
        public void Run() => stop._fuse.Shutdown(stop);
    }
}
