using System;
using System.Diagnostics;
using System.Threading;
using DmRemap.Core.Abstractions;
using DmRemap.Linux.Native;
using DmRemap.Linux.Uring;

namespace DmRemap.Linux.Loop;

/// <summary>
/// The production event loop: one thread, one io_uring. A turn is: completions, posted messages, deliveries
/// asked for with DeliverLater, due timers, then one system call that hands over everything submitted and
/// waits.
///
/// A buffer that the kernel owns outlives whoever waits for it: when the loop ends with operations
/// outstanding, nothing of it is freed (F-31); see <see cref="OutstandingOperations"/>.
/// </summary>
public sealed partial class UringLoop : IEventLoop, IDisposable
{
    /// <summary>
    /// Targets at once; each has at most one operation outstanding, so the completion ring never overflows.
    /// </summary>
    public const int TargetsMax = 4096;

    // F-19: a flush and the zeroings of every member may each block a worker, and that must be at most half
    // of them.
    internal const int BlockingWorkers = 2 * (Limits.SparesMax + 1) * (1 + Limits.MemberZeroingDepth) + 10;

    // Loops that ended while the kernel owned buffers: kept for ever, and with them everything they reach.
    private static UringLoop? s_abandoned;

    private readonly Ring _ring;
    private readonly TimerHeap _timers = new(Limits.TimersMax);
    private readonly MessageRing _messages = new(Limits.LoopMessagesMax);
    private readonly WakeTarget _wake;
    private readonly Action<Exception>? _onFatal;
    private readonly string _name;
    private IoRequest? _firstDelivery;
    private IoRequest? _lastDelivery;
    private Thread? _thread;
    private int _threadId;
    private State _state;
    private volatile bool _isStopping;
    private UringLoop? _nextAbandoned;

    /// <summary>Makes the ring; on any thread.</summary>
    /// <exception cref="IoUringUnavailableException">The machine has no io_uring for us.</exception>
    public UringLoop(KernelLoopOptions? options = null)
    {
        options ??= new KernelLoopOptions();
        _name = options.Name;
        _onFatal = options.OnFatal;
        Invariant.Check(Stopwatch.Frequency == 1_000_000_000);
        _ring = new Ring(options.SubmissionEntries, TargetsMax);
        ReadClock();
        try
        {
            _wake = new WakeTarget(this, new OperationOwner("loop"));
        }
        catch
        {
            _ring.Dispose();
            throw;
        }
    }

    private enum State
    {
        Made = 0,
        Running = 1,
        Ended = 2,
    }

    public Instant Now { get; private set; }

    /// <summary>True on the loop's own thread.</summary>
    public bool IsLoopThread => Environment.CurrentManagedThreadId == _threadId;

    /// <summary>For diagnostics: turns made so far.</summary>
    public long Turns { get; private set; }

    /// <summary>Run on a thread of its own; `initialise` is the first thing it does.</summary>
    public void Start(Action<UringLoop> initialise)
    {
        Invariant.Check(_thread is null);
        _thread = new Thread(() => Run(initialise)) { Name = _name, IsBackground = true };
        _thread.Start();
    }

    /// <summary>Run on the calling thread until Stop.</summary>
    public void Run(Action<UringLoop> initialise)
    {
        Invariant.Check(_state == State.Made);
        _threadId = Environment.CurrentManagedThreadId;
        try
        {
            _ring.Enable(BlockingWorkers);
            _state = State.Running;
            _wake.Arm();
            ReadClock();
            initialise(this);
            // The wake-up is waited for too: its buffer is ours.
            while (!_isStopping || _wake.IsOutstanding)
            {
                Turn();
            }
            RunLastMessages();
        }
        catch (Exception exception)
        {
            OnFatal(exception);
        }
        finally
        {
            End();
        }
    }

    /// <summary>From any thread: leave after the current turn. Does not wait.</summary>
    public void Stop()
    {
        _isStopping = true;
        _wake.Signal();
    }

    /// <summary>Wait for the thread that Start made. False when it has not ended in this time.</summary>
    public bool Join(TimeSpan timeout) => _thread is null || _thread.Join(timeout);

    public void DeliverLater(IoRequest request)
    {
        Invariant.Check(request.Status != IoStatus.Pending);
        request.Next = null;
        if (_lastDelivery is null)
        {
            _firstDelivery = request;
        }
        else
        {
            _lastDelivery.Next = request;
        }
        _lastDelivery = request;
    }

    public void Schedule(LoopTimer timer, Instant due) => _timers.Set(timer, due);

    public void Cancel(LoopTimer timer) => _timers.Remove(timer);

    public bool Post(ILoopMessage message)
    {
        if (!_messages.TryAdd(message))
        {
            return false;
        }
        _wake.Signal();
        return true;
    }

    /// <summary>
    /// Frees the ring, unless the kernel still owns something of it. Only before the loop ran, or after it
    /// ended.
    /// </summary>
    public void Dispose()
    {
        Invariant.Check(_state != State.Running);
        if (OutstandingOperations == 0 && !_wake.IsOutstanding)
        {
            _wake.Dispose();
            _ring.Dispose();
        }
    }

    private void Turn()
    {
        bool mayWait = _firstDelivery is null && !_isStopping;
        Enter(mayWait);
        ReadClock();
        Turns++;
        while (_ring.TryReap(out CompletionEntry completion))
        {
            CompletionTarget? target = _targets[(int)completion.user_data];
            Invariant.Check(target is not null);
            target.Complete(completion.res);
        }
        Deliver();
        FireTimers();
    }

    /// <summary>
    /// Hand over and, when there is nothing else to do, sleep until a completion or the next timer.
    /// </summary>
    private void Enter(bool mayWait)
    {
        long timeout = -1;
        if (!mayWait)
        {
            timeout = 0;
        }
        else if (_timers.Count > 0)
        {
            // Against the time now, not that of the turn: a long turn must not make the timer late.
            timeout = Math.Max(0, _timers.FirstDue.Nanoseconds - Stopwatch.GetTimestamp());
        }
        int errno = _ring.SubmitAndWait(timeout == 0 ? 0u : 1u, timeout);
        // EINTR, ETIME: the wait ended. EAGAIN, EBUSY: the kernel is short of memory or has completions for
        // us first; what it did not take is still in the ring and goes with the next turn.
        if (errno is not (0 or Errno.EINTR or Errno.ETIME or Errno.EAGAIN or Errno.EBUSY))
        {
            throw new SystemCallException("io_uring_enter", _name, errno);
        }
    }

    private void ReadClock() => Now = new Instant(Stopwatch.GetTimestamp());

    private void Deliver()
    {
        IoRequest? request = _firstDelivery;
        if (request is null)
        {
            return;
        }
        // What is added from here on belongs to the next turn.
        _firstDelivery = null;
        _lastDelivery = null;
        while (request is not null)
        {
            IoRequest? next = request.Next;
            request.Deliver();
            request = next;
        }
    }

    private void FireTimers()
    {
        if (_timers.Count == 0)
        {
            return;
        }
        // A timer set from here on waits for the next turn, or one that sets itself to "now" would never end.
        long beforeSequence = _timers.NextSequence;
        while (true)
        {
            LoopTimer? timer = _timers.TakeDue(Now, beforeSequence);
            if (timer is null)
            {
                return;
            }
            timer.Owner.OnTimer(timer);
        }
    }

    private void RunMessages()
    {
        // At most as many as there were, or a thread that posts without pause would starve completions.
        for (int i = 0; i < Limits.LoopMessagesMax; i++)
        {
            ILoopMessage? message = _messages.TryTake();
            if (message is null)
            {
                return;
            }
            message.Run();
        }
        _wake.Signal();
    }

    private void RunLastMessages()
    {
        _messages.Close();
        while (true)
        {
            ILoopMessage? message = _messages.TakeRemaining();
            if (message is null)
            {
                return;
            }
            message.Run();
        }
    }

    private void OnFatal(Exception exception)
    {
        if (_onFatal is null)
        {
            Environment.FailFast($"{_name}: {exception.GetType().Name}: {exception.Message}", exception);
        }
        _onFatal(exception);
    }

    private void End()
    {
        _messages.Close();
        _state = State.Ended;
        if (OutstandingOperations > 0 || _wake.IsOutstanding)
        {
            // F-31: the kernel may write into these buffers at any time; only the end of the process frees
            // them.
            UringLoop? head;
            do
            {
                head = Volatile.Read(ref s_abandoned);
                _nextAbandoned = head;
            }
            while (Interlocked.CompareExchange(ref s_abandoned, this, head) != head);
        }
    }
}
