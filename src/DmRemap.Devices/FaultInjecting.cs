using System.Collections.Generic;
using System.Runtime.CompilerServices;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults.Injection;

namespace DmRemap.Devices;

/// <summary>
/// A device on which things go wrong by rule (see <see cref="FaultRules"/>). A request that no rule is about
/// goes straight to the device below, as it is. One that is to fail never reaches it: nothing is read,
/// nothing is written. Rules are added and removed on the loop's thread.
/// </summary>
public sealed class FaultInjecting : IBlockDevice, IOutstandingIo
{
    private readonly IEventLoop _loop;
    private readonly IBlockDevice _below;
    private readonly FaultMatcher _matcher = new();
    private readonly long _sectorsPerBlock;
    private readonly List<Delayed> _delayed = [];
    private Delayed? _firstFree;

    public FaultInjecting(IEventLoop loop, IBlockDevice below)
    {
        _loop = loop;
        _below = below;
        Geometry = below.Geometry;
        _sectorsPerBlock = Geometry.LogicalBlockSize.Bytes / FaultRule.SectorBytes;
    }

    public DeviceGeometry Geometry { get; }

    /// <summary>Requests made to fail since the device was made.</summary>
    public long InjectedErrors => _matcher.InjectedErrors;

    public int RuleCount => _matcher.Count;

    /// <summary>With those that are held back here; the device below counts the others.</summary>
    public int InFlight
    {
        get
        {
            int count = _below is IOutstandingIo below ? below.InFlight : 0;
            foreach (Delayed delayed in _delayed)
            {
                count += delayed.IsHeldBack ? 1 : 0;
            }
            return count;
        }
    }

    /// <summary>False when there are <see cref="FaultRules.RulesMax"/> already.</summary>
    public bool TryAdd(FaultRule rule) => _matcher.TryAdd(rule);

    /// <summary>Remove every rule equal to this one; how many.</summary>
    public int Remove(FaultRule rule) => _matcher.Remove(rule);

    /// <summary>Remove all rules; how many.</summary>
    public int Clear() => _matcher.Clear();

    /// <summary>The rules and what each has done, in the order they were added.</summary>
    public IReadOnlyList<FaultRuleCount> Counts() => _matcher.Counts();

    public bool TryGetOldest(out Instant submittedAt)
    {
        submittedAt = default;
        bool isThere = _below is IOutstandingIo below && below.TryGetOldest(out submittedAt);
        foreach (Delayed delayed in _delayed)
        {
            if (delayed.Request is IoRequest request && (!isThere || request.SubmittedAt < submittedAt))
            {
                submittedAt = request.SubmittedAt;
                isThere = true;
            }
        }
        return isThere;
    }

    public void Submit(IoRequest request)
    {
        if (_matcher.Count == 0)
        {
            _below.Submit(request);
            return;
        }
        Extent extent = request.Extent;
        bool isInside = extent.Count.Value <= Geometry.Blocks.Value
            && extent.Start.Value <= Geometry.Blocks.Value - extent.Count.Value;
        FaultDecision decision = isInside && !extent.IsEmpty
            ? _matcher.Decide(
                request.Operation,
                extent.Start.Value * _sectorsPerBlock,
                extent.Count.Value * _sectorsPerBlock)
            : default;
        if (decision.IsNothing)
        {
            _below.Submit(request);
        }
        else
        {
            Inject(request, decision);
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void Inject(IoRequest request, FaultDecision decision)
    {
        request.MarkSubmitted();
        request.SubmittedAt = _loop.Now;
        if (decision.Delay == Duration.Zero)
        {
            request.SetResult(IoStatus.DeviceError, decision.Errno, Duration.Zero);
            _loop.DeliverLater(request);
            return;
        }
        Delayed delayed = _firstFree ?? new Delayed(this);
        _firstFree = delayed.NextFree;
        delayed.Start(request, decision);
    }

    /// <summary>
    /// A request that completes late: the delay first, then the error or the device below. The request itself
    /// is submitted already, so another one stands for it there.
    /// </summary>
    private sealed class Delayed : IIoOwner, ITimerOwner
    {
        private readonly FaultInjecting _device;
        private readonly LoopTimer _timer;
        private readonly IoRequest _proxy = new();
        private IoRequest? _request;
        private int _errno;

        public Delayed(FaultInjecting device)
        {
            _device = device;
            _timer = new LoopTimer(this);
            device._delayed.Add(this);
        }

        public Delayed? NextFree { get; private set; }

        public IoRequest? Request => _request;

        public bool IsHeldBack => _timer.IsSet;

        public void Start(IoRequest request, FaultDecision decision)
        {
            _request = request;
            _errno = decision.Errno;
            _device._loop.Schedule(_timer, _device._loop.Now + decision.Delay);
        }

        public void OnTimer(LoopTimer timer)
        {
            if (_errno != 0)
            {
                Finish(IoStatus.DeviceError, _errno);
                return;
            }
            IoRequest request = _request!;
            _proxy.Prepare(this, request.Operation, request.Extent, request.Buffer, request.Flags);
            _device._below.Submit(_proxy);
        }

        public void OnCompleted(IoRequest proxy)
        {
            ref FailedExtents failed = ref _request!.Failed;
            failed = proxy.Failed;
            Finish(proxy.Status, proxy.Errno);
        }

        private void Finish(IoStatus status, int errno)
        {
            IoRequest request = _request!;
            _request = null;
            NextFree = _device._firstFree;
            _device._firstFree = this;
            request.SetResult(status, errno, _device._loop.Now - request.SubmittedAt);
            request.Deliver();
        }
    }
}
