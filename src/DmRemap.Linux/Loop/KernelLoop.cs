using System;
using System.Diagnostics;
using System.Threading;
using DmRemap.Core.Abstractions;
using DmRemap.Linux.Uring;

namespace DmRemap.Linux.Loop;

/// <summary>
/// The production event loop: one thread, and one of the kernel's ways to wait for much at once. A turn is:
/// completions, posted messages, deliveries asked for with DeliverLater, due timers; then everything that was
/// submitted is handed over, and the thread waits. How that is done is the sealed classes'.
///
/// A buffer that the kernel owns outlives whoever waits for it: when the loop ends with operations
/// outstanding, nothing of it is freed (F-31); see <see cref="OutstandingOperations"/>. Nor may their
/// descriptors be closed: a thread that begins late would find another file under the number.
/// </summary>
public abstract partial class KernelLoop : IEventLoop, IDisposable
{
    /// <summary>
    /// Targets at once; each has at most one operation outstanding, so no queue of completions overflows.
    /// </summary>
    public const int TargetsMax = 4096;

    // Loops that ended while the kernel owned buffers: kept for ever, and with them everything they reach.
    private static KernelLoop? s_abandoned;

    private readonly TimerHeap _timers = new(Limits.TimersMax);
    private readonly MessageRing _messages = new(Limits.LoopMessagesMax);
    private readonly Action<Exception>? _onFatal;
    private IoRequest? _firstDelivery;
    private IoRequest? _lastDelivery;
    private Thread? _thread;
    private int _threadId;
    private State _state;
    private volatile bool _isStopping;
    private KernelLoop? _nextAbandoned;

    private protected KernelLoop(KernelLoopOptions options)
    {
        Name = options.Name;
        _onFatal = options.OnFatal;
        Invariant.Check(Stopwatch.Frequency == 1_000_000_000);
        WakeUp = new WakeEvent(Name);
        ReadClock();
    }

    private enum State
    {
        Made = 0,
        Running = 1,
        Ended = 2,
    }

    public Instant Now { get; private set; }

    /// <summary>For what the loop's thread itself has taken time for.</summary>
    public static Instant ExactNow => new(Stopwatch.GetTimestamp());

    /// <summary>For people: how operations reach the kernel ("io_uring", "epoll").</summary>
    public abstract string Backend { get; }

    /// <summary>Why it is not io_uring, which would be faster; null where it is, or was not wanted.</summary>
    public IoUringUnavailableException? Missing { get; private set; }

    /// <summary>True on the loop's own thread.</summary>
    public bool IsLoopThread => Environment.CurrentManagedThreadId == _threadId;

    /// <summary>For diagnostics: turns made so far.</summary>
    public long Turns { get; private set; }

    private protected string Name { get; }

    private protected WakeEvent WakeUp { get; }

    private protected bool IsStopping => _isStopping;

    /// <summary>
    /// The loop's own operation is with the kernel: it is waited for, because its buffer is ours.
    /// </summary>
    private protected virtual bool IsHeld => false;

    /// <summary>The last turn has ended: what it submitted is not lost. Calls no target.</summary>
    private protected virtual void HandOverLast()
    {
    }

    /// <summary>The backend that is asked for, or the best that this machine allows. On any thread.</summary>
    /// <exception cref="IoUringUnavailableException">
    /// io_uring was asked for, and the machine has none for us.
    /// </exception>
    public static KernelLoop Create(
        KernelLoopOptions? options = null, LoopBackend backend = LoopBackend.Automatic)
    {
        options ??= new KernelLoopOptions();
        if (backend == LoopBackend.Epoll)
        {
            return new EpollLoop(options);
        }
        try
        {
            return new UringLoop(options);
        }
        catch (IoUringUnavailableException missing) when (backend == LoopBackend.Automatic)
        {
            return new EpollLoop(options) { Missing = missing };
        }
    }

    /// <summary>Run on a thread of its own; `initialise` is the first thing it does.</summary>
    public void Start(Action<KernelLoop> initialise)
    {
        Invariant.Check(_thread is null);
        _thread = new Thread(() => Run(initialise)) { Name = Name, IsBackground = true };
        _thread.Start();
    }

    /// <summary>Run on the calling thread until Stop.</summary>
    public void Run(Action<KernelLoop> initialise)
    {
        Invariant.Check(_state == State.Made);
        _threadId = Environment.CurrentManagedThreadId;
        try
        {
            _state = State.Running;
            Begin();
            ReadClock();
            initialise(this);
            while (!_isStopping || IsHeld)
            {
                Turn();
            }
            RunLastMessages();
            HandOverLast();
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
        WakeUp.Signal();
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
        WakeUp.Signal();
        return true;
    }

    /// <summary>
    /// Frees what it has of the kernel, unless the kernel still owns something of it. Only before the loop
    /// ran, or after it ended.
    /// </summary>
    public void Dispose()
    {
        Invariant.Check(_state != State.Running);
        if (OutstandingOperations == 0 && !IsHeld)
        {
            Free();
            WakeUp.Dispose();
        }
        GC.SuppressFinalize(this);
    }

    /// <summary>The first thing on the loop's thread.</summary>
    private protected abstract void Begin();

    /// <summary>
    /// Hand over everything submitted and, unless there is a completion, wait for one, or for WakeUp.
    /// </summary>
    /// <param name="timeoutNanoseconds">-1: for ever; 0: do not wait.</param>
    private protected abstract void Enter(long timeoutNanoseconds);

    /// <summary>Complete what has ended; after WakeUp, run messages.</summary>
    private protected abstract void Reap();

    /// <summary>The last thing on the loop's thread, also where it never began.</summary>
    private protected abstract void Leave();

    /// <summary>Nothing is outstanding, and nobody else uses the loop any more.</summary>
    private protected abstract void Free();

    private protected void RunMessages()
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
        WakeUp.Signal();
    }

    private void Turn()
    {
        Enter(TimeToWait());
        ReadClock();
        Turns++;
        Reap();
        // Answers make answers: what was read, then what a client gets. In one turn, or each would cost a
        // call of the kernel.
        for (int round = 0; round < Limits.LoopDeliveryRoundsMax && _firstDelivery is not null; round++)
        {
            // What was copied meanwhile took its time.
            ReadClock();
            Deliver();
        }
        FireTimers();
    }

    private long TimeToWait()
    {
        bool mayWait = _firstDelivery is null && !_isStopping;
        if (!mayWait)
        {
            return 0;
        }
        // Against the time now, not that of the turn: a long turn must not make the timer late.
        return _timers.Count == 0
            ? -1
            : Math.Max(0, _timers.FirstDue.Nanoseconds - Stopwatch.GetTimestamp());
    }

    private void ReadClock() => Now = ExactNow;

    private void Deliver()
    {
        IoRequest? request = _firstDelivery;
        // What is added from here on belongs to the next round.
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
            Environment.FailFast($"{Name}: {exception.GetType().Name}: {exception.Message}", exception);
        }
        _onFatal(exception);
    }

    private void End()
    {
        _messages.Close();
        Leave();
        _state = State.Ended;
        if (OutstandingOperations > 0 || IsHeld)
        {
            // F-31: the kernel may write into these buffers at any time; only the end of the process frees
            // them.
            KernelLoop? head;
            do
            {
                head = Volatile.Read(ref s_abandoned);
                _nextAbandoned = head;
            }
            while (Interlocked.CompareExchange(ref s_abandoned, this, head) != head);
        }
    }
}
