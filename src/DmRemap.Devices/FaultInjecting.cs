using System;
using System.Collections.Generic;
using System.Runtime.CompilerServices;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults.Injection;

namespace DmRemap.Devices;

/// <summary>
/// A device on which things go wrong (see <see cref="DiskFaults"/>). A request that nothing is about goes
/// straight to the device below, as it is. One that is to fail never reaches it: nothing is read, nothing is
/// written. Faults are added and removed on the loop's thread.
/// </summary>
public sealed class FaultInjecting : IBlockDevice, IOutstandingIo, ICacheLossSource
{
    private readonly IEventLoop _loop;
    private readonly IBlockDevice _below;
    private readonly long _sectorsPerBlock;
    private readonly List<Delayed> _delayed = [];
    private Delayed? _firstFree;

    public FaultInjecting(IEventLoop loop, IBlockDevice below)
    {
        _loop = loop;
        _below = below;
        Geometry = below.Geometry;
        Faults = new DiskFaults(Math.Max(Geometry.PhysicalBlockBytes, FaultRule.SectorBytes));
        _sectorsPerBlock = Geometry.LogicalBlockSize.Bytes / FaultRule.SectorBytes;
    }

    public DeviceGeometry Geometry { get; }

    /// <summary>All that is wrong with it.</summary>
    public DiskFaults Faults { get; }

    /// <summary>Requests that rules have made fail since the device was made.</summary>
    public long InjectedErrors => Faults.Rules.InjectedErrors;

    public long CacheLosses => _below is ICacheLossSource below ? below.CacheLosses : 0;

    public bool IsLossOfFlush => _below is ICacheLossSource { IsLossOfFlush: true };

    public int RuleCount => Faults.Rules.Count;

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
    public bool TryAdd(FaultRule rule) => Faults.Rules.TryAdd(rule);

    /// <summary>Remove every rule equal to this one; how many.</summary>
    public int Remove(FaultRule rule) => Faults.Rules.Remove(rule);

    /// <summary>Remove all rules; how many.</summary>
    public int Clear() => Faults.Rules.Clear();

    /// <summary>The rules and what each has done, in the order they were added.</summary>
    public IReadOnlyList<FaultRuleCount> Counts() => Faults.Rules.Counts();

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

    /// <summary>
    /// Requests that a stall holds up are decided about anew, now: it has ended, or something else came.
    /// </summary>
    public void LookAgain()
    {
        foreach (Delayed delayed in _delayed)
        {
            delayed.LookAgain();
        }
    }

    public void Submit(IoRequest request)
    {
        if (Faults.IsNothingWrong(_loop.Now))
        {
            _below.Submit(request);
            return;
        }
        FaultDecision decision = Decide(request);
        if (decision.IsNothing)
        {
            _below.Submit(request);
        }
        else
        {
            Inject(request, decision);
        }
    }

    private FaultDecision Decide(IoRequest request)
    {
        Extent extent = request.Extent;
        bool isInside = extent.Count.Value <= Geometry.Blocks.Value
            && extent.Start.Value <= Geometry.Blocks.Value - extent.Count.Value;
        bool isWhole = !extent.IsEmpty || request.Operation == IoOperation.Flush;
        return isInside && isWhole
            ? Faults.Decide(
                request.Operation, request.Flags, FirstSector(extent), SectorCount(extent), _loop.Now)
            : default;
    }

    private long FirstSector(Extent extent) => extent.Start.Value * _sectorsPerBlock;

    private long SectorCount(Extent extent) => extent.Count.Value * _sectorsPerBlock;

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void Inject(IoRequest request, FaultDecision decision)
    {
        request.MarkSubmitted();
        request.SubmittedAt = _loop.Now;
        if (decision.Delay == Duration.Zero && decision.Errno != 0)
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
    /// A request that completes late, or that a defect concerns: the delay first, then the error, or the
    /// device below and what the defect makes of it. The request itself is submitted already, so another one
    /// stands for it there.
    /// </summary>
    private sealed class Delayed : IIoOwner, ITimerOwner
    {
        private readonly FaultInjecting _device;
        private readonly LoopTimer _timer;
        private readonly IoRequest _proxy = new();
        private IoRequest? _request;
        private FaultDecision _decision;

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
            Follow(decision);
        }

        /// <summary>As if the time of a hold-up had passed; any other waiting goes on.</summary>
        public void LookAgain()
        {
            if (_timer.IsSet && _decision.Sequel == FaultSequel.AskedAgain)
            {
                _device._loop.Schedule(_timer, _device._loop.Now);
            }
        }

        public void OnTimer(LoopTimer timer)
        {
            if (_decision.Errno != 0)
            {
                Finish(IoStatus.DeviceError, _decision.Errno);
            }
            else if (_decision.Sequel == FaultSequel.AskedAgain)
            {
                Follow(_device.Decide(_request!));
            }
            else
            {
                SubmitBelow();
            }
        }

        public void OnCompleted(IoRequest proxy)
        {
            ref FailedExtents failed = ref _request!.Failed;
            failed = proxy.Failed;
            int errno = proxy.Status == IoStatus.Ok && _decision.Sequel == FaultSequel.Watched
                ? _device.Faults.AfterDone(
                    proxy.Operation, _device.FirstSector(proxy.Extent), _device.SectorCount(proxy.Extent),
                    proxy.Operation == IoOperation.Read ? proxy.Buffer.Span : default)
                : 0;
            Finish(errno != 0 ? IoStatus.DeviceError : proxy.Status, errno != 0 ? errno : proxy.Errno);
        }

        /// <summary>Inside Submit only where it does not end at once.</summary>
        private void Follow(FaultDecision decision)
        {
            _decision = decision;
            if (decision.Delay > Duration.Zero)
            {
                _device._loop.Schedule(_timer, _device._loop.Now + decision.Delay);
            }
            else if (decision.Errno != 0)
            {
                Finish(IoStatus.DeviceError, decision.Errno);
            }
            else
            {
                SubmitBelow();
            }
        }

        private void SubmitBelow()
        {
            IoRequest request = _request!;
            _proxy.Prepare(this, request.Operation, request.Extent, request.Buffer, request.Flags);
            _device._below.Submit(_proxy);
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
