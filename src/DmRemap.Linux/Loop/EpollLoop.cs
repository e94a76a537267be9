using System.Threading;
using DmRemap.Core.Abstractions;
using DmRemap.Linux.Epoll;
using DmRemap.Linux.Native;

namespace DmRemap.Linux.Loop;

/// <summary>
/// A loop where io_uring is not permitted. What is submitted in a turn is done when it ends:
/// <code>
///   sockets, /dev/fuse   tried at once without waiting; what would wait, waits in epoll and is tried again
///   files, close         by threads of the operation's owner (OwnerThreads)
/// </code>
/// Results are kept, and targets called at the begin of the next turn. Threads leave what they have done on a
/// stack, and wake the loop only if it sleeps: `_isAsleep` is set before the last look at the stack, and
/// looked at after putting something there.
/// </summary>
public sealed partial class EpollLoop : KernelLoop, IThreadWork
{
    private readonly PollSet _polls;
    private readonly ThreadStarter _starter;
    private readonly EpollOperation[] _operations = new EpollOperation[TargetsMax];
    private OwnerThreads[] _threads = [];
    private SlotList _submitted;
    private SlotList _ended;
    private int _reports;
    private bool _hasThreadWork;
    private int _isAsleep;

    // A slot and one; linked through EpollOperation.Next, the latest first.
    private int _returned;

    /// <summary>On any thread.</summary>
    public EpollLoop(KernelLoopOptions options)
        : base(options)
    {
        try
        {
            _polls = new PollSet(Name);
        }
        catch
        {
            WakeUp.Dispose();
            throw;
        }
        // Never read: each signal is a change, and reported as one.
        int errno = _polls.Set(WakeUp.FileDescriptor, EpollNative.EPOLLIN);
        Invariant.Check(errno == 0);
        _starter = new ThreadStarter();
    }

    public override string Backend => "epoll";

    /// <summary>On a thread of the operation's owner.</summary>
    void IThreadWork.Run(int slot)
    {
        ref EpollOperation operation = ref _operations[slot];
        operation.Result = ThreadCall.Run(in operation);
        int latest;
        do
        {
            latest = Volatile.Read(ref _returned);
            operation.Next = latest;
        }
        while (Interlocked.CompareExchange(ref _returned, slot + 1, latest) != latest);
        if (Volatile.Read(ref _isAsleep) != 0 && Interlocked.Exchange(ref _isAsleep, 0) != 0)
        {
            WakeUp.Signal();
        }
    }

    private protected override void Begin()
    {
    }

    private protected override void Enter(long timeoutNanoseconds)
    {
        HandOver();
        if (!_ended.IsEmpty)
        {
            timeoutNanoseconds = 0;
        }
        if (timeoutNanoseconds != 0)
        {
            Interlocked.Exchange(ref _isAsleep, 1);
            timeoutNanoseconds = Volatile.Read(ref _returned) != 0 ? 0 : timeoutNanoseconds;
        }
        int errno = _polls.Wait(timeoutNanoseconds, out _reports);
        Volatile.Write(ref _isAsleep, 0);
        if (errno is not (0 or Errno.EINTR))
        {
            throw new SystemCallException("epoll_wait", Name, errno);
        }
    }

    private protected override void Reap()
    {
        TakeReturned();
        bool isWoken = false;
        for (int i = 0; i < _reports; i++)
        {
            (int fd, uint events) = _polls.Reported(i);
            if (fd == WakeUp.FileDescriptor)
            {
                isWoken = true;
            }
            else
            {
                TryWaiting(fd, events);
            }
        }
        _reports = 0;
        // Targets submit, which adds nothing here.
        while (_ended.TryTake(_operations, out int slot))
        {
            int result = _operations[slot].Result;
            _operations[slot].Place = OperationPlace.Nowhere;
            _operations[slot].Buffer = default;
            Targets[slot]!.Complete(result);
        }
        if (isWoken)
        {
            WakeUp.Reset();
            RunMessages();
        }
    }

    private protected override void HandOverLast() => HandOver();

    /// <summary>
    /// Threads that have nothing to do end; one that the kernel keeps ends with the process, and nobody waits
    /// for it. Its buffer lives on with the loop (F-31).
    /// </summary>
    private protected override void Leave()
    {
        _starter.End();
        foreach (OwnerThreads threads in _threads)
        {
            threads.End();
        }
    }

    private protected override void Free()
    {
        // Also where the loop never ran.
        Leave();
        _starter.Join();
        foreach (OwnerThreads threads in _threads)
        {
            threads.Join();
        }
        _polls.Dispose();
    }

    /// <summary>What threads have done, in the order they did it.</summary>
    private void TakeReturned()
    {
        int latest = Interlocked.Exchange(ref _returned, 0);
        SlotList inOrder = default;
        while (latest != 0)
        {
            int slot = latest - 1;
            latest = _operations[slot].Next;
            inOrder.AddFirst(_operations, slot);
        }
        while (inOrder.TryTake(_operations, out int slot))
        {
            End(slot, _operations[slot].Result);
        }
    }

    private void End(int slot, int result)
    {
        _operations[slot].Result = result;
        _operations[slot].Place = OperationPlace.Ended;
        _ended.Add(_operations, slot);
    }
}
