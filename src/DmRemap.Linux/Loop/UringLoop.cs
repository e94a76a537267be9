using System;
using System.Diagnostics;
using System.Threading;
using DmRemap.Core.Abstractions;
using DmRemap.Linux.Native;
using DmRemap.Linux.Uring;

namespace DmRemap.Linux.Loop;

/// <summary>
/// A loop on one io_uring: one system call a turn hands over, waits and brings back. Where a client is what
/// is waited for, it looks for news without one for a moment in between (SpinBudget).
/// </summary>
public sealed partial class UringLoop : KernelLoop
{
    // F-19: a flush and the zeroings of every member may each block a worker, and that must be at most half
    // of them.
    internal const int BlockingWorkers = 2 * (Limits.SparesMax + 1) * (1 + Limits.MemberZeroingDepth) + 10;

    private readonly Ring _ring;
    private readonly WakeTarget _wake;
    private readonly SpinBudget _spin = SpinBudget.ForThisMachine();
    private bool _wasBusy;

    /// <summary>Makes the ring; on any thread.</summary>
    /// <exception cref="IoUringUnavailableException">The machine has no io_uring for us.</exception>
    public UringLoop(KernelLoopOptions options)
        : base(options)
    {
        try
        {
            _ring = new Ring(options.SubmissionEntries, TargetsMax);
        }
        catch
        {
            WakeUp.Dispose();
            throw;
        }
        _wake = new WakeTarget(this, new OperationOwner("loop", isDevice: false, WriteErrors.OfEachWrite));
    }

    public override string Backend => "io_uring";

    private protected override bool IsHeld => _wake.IsOutstanding;

    private protected override void Begin()
    {
        _ring.Enable(BlockingWorkers);
        _wake.Arm();
    }

    private protected override void Enter(long timeoutNanoseconds)
    {
        if (timeoutNanoseconds != 0 && _wasBusy && !IsDeviceBusy && _spin.ShouldLook())
        {
            if (_ring.Queued > 0)
            {
                Call(0);
            }
            if (_ring.HasCompletions)
            {
                return;
            }
            timeoutNanoseconds = Look(timeoutNanoseconds);
        }
        Call(timeoutNanoseconds);
    }

    private protected override void Reap()
    {
        _wasBusy = false;
        while (_ring.TryReap(out CompletionEntry completion))
        {
            _wasBusy = true;
            CompletionTarget? target = Targets[(int)completion.user_data];
            Invariant.Check(target is not null);
            target.Complete(completion.res);
        }
    }

    private protected override void Leave()
    {
    }

    private protected override void Free() => _ring.Dispose();

    /// <summary>Look for news for a moment.</summary>
    /// <returns>How long to wait for them: 0 where there are some.</returns>
    private long Look(long timeoutNanoseconds)
    {
        long began = Stopwatch.GetTimestamp();
        long spent = 0;
        long longest = timeoutNanoseconds < 0
            ? SpinBudget.SpinNanoseconds
            : Math.Min(timeoutNanoseconds, SpinBudget.SpinNanoseconds);
        bool hasNews = _ring.HasNews;
        while (!hasNews && spent < longest)
        {
            Thread.SpinWait(4);
            hasNews = _ring.HasNews;
            spent = Stopwatch.GetTimestamp() - began;
        }
        _spin.Note(hasNews);
        if (hasNews)
        {
            return 0;
        }
        return timeoutNanoseconds < 0 ? -1 : Math.Max(0, timeoutNanoseconds - spent);
    }

    private void Call(long timeoutNanoseconds)
    {
        int errno = _ring.SubmitAndWait(timeoutNanoseconds == 0 ? 0u : 1u, timeoutNanoseconds);
        // EINTR, ETIME: the wait ended. EAGAIN, EBUSY: the kernel is short of memory or has completions for
        // us first; what it did not take is still in the ring and goes with the next turn.
        if (errno is not (0 or Errno.EINTR or Errno.ETIME or Errno.EAGAIN or Errno.EBUSY))
        {
            throw new SystemCallException("io_uring_enter", Name, errno);
        }
    }

    /// <summary>One read of the wake-up event is always outstanding.</summary>
    private sealed class WakeTarget : CompletionTarget
    {
        private readonly UringLoop _loop;
        private readonly BufferSlice _counter = AlignedMemory.Allocate(sizeof(ulong));

        public WakeTarget(UringLoop loop, OperationOwner owner)
            : base(loop, owner) => _loop = loop;

        public void Arm() => _loop.SubmitRead(this, _loop.WakeUp.FileDescriptor, _counter, 0);

        protected override void OnCompleted(int result)
        {
            Invariant.Check(result == sizeof(ulong));
            _loop.WakeUp.Reset();
            _loop.RunMessages();
            if (!_loop.IsStopping)
            {
                Arm();
            }
        }
    }
}
