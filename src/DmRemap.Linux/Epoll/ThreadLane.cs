using System;
using System.Threading;

namespace DmRemap.Linux.Epoll;

/// <summary>Does the operations that threads are given, and learns of their end. From any thread.</summary>
internal interface IThreadWork
{
    void Run(int slot);
}

/// <summary>
/// Threads that do one kind of blocking operation for one owner: as many as there is work for, up to a bound,
/// and none before there is any. They wait without holding anything; handing work to them neither waits nor
/// allocates. A thread that the kernel keeps delays nobody outside of its lane.
/// </summary>
internal sealed class ThreadLane(IThreadWork work, ThreadStarter starter, int threadsMax)
{
    // Deep enough for paths through the runtime; 9 members have some 330 of them at worst.
    private const int StackBytes = 256 * 1024;

    private readonly SlotQueue _queue = new(Loop.KernelLoop.TargetsMax);
    private readonly TokenGate _gate = new();
    private readonly Thread?[] _threads = new Thread?[threadsMax];
    private int _started;
    private int _added;
    private int _isWanted;
    private volatile bool _isEnding;

    /// <summary>For tests.</summary>
    public int Threads => Volatile.Read(ref _started);

    /// <summary>By the loop. Nobody looks before Announce.</summary>
    public void Add(int slot)
    {
        _queue.Add(slot);
        _added++;
    }

    /// <summary>By the loop, once for all that was added.</summary>
    public void Announce()
    {
        if (_added > 0)
        {
            _gate.Give(_added);
            _added = 0;
            Help();
        }
    }

    /// <summary>
    /// By the loop: take the operation back. False: a thread has it, and nothing ends that but the kernel.
    /// </summary>
    public bool TryTakeBack(int slot)
    {
        bool isFound = false;
        for (int left = _queue.Count; left > 0 && _queue.TryTake(out int queued); left--)
        {
            if (queued == slot)
            {
                isFound = true;
            }
            else
            {
                // A thread may have come for it just now and found nothing: with a token more, one comes
                // again.
                Add(queued);
            }
        }
        return isFound;
    }

    /// <summary>
    /// By the starter: one thread more, if there is still need of it. False: there was none to be had.
    /// </summary>
    public bool TryStartIfWanted()
    {
        bool isNeedless = _isEnding && _queue.Count <= 0;
        if (Interlocked.Exchange(ref _isWanted, 0) == 0 || isNeedless || _started == _threads.Length)
        {
            return true;
        }
        Thread thread = new(Work, StackBytes) { IsBackground = true, Name = "dmremap-io" };
        try
        {
            thread.Start();
        }
        catch (Exception e) when (e is OutOfMemoryException or ThreadStartException)
        {
            // The machine, or a limit of the container, has no more. Those that are there do it all; where
            // there are none, what is in line waits until one can be had.
            Interlocked.Exchange(ref _isWanted, _started == 0 ? 1 : 0);
            return false;
        }
        _threads[_started] = thread;
        Volatile.Write(ref _started, _started + 1);
        return true;
    }

    /// <summary>Whoever has nothing to do ends; what is in line is still done.</summary>
    public void End()
    {
        _isEnding = true;
        _gate.Open();
    }

    /// <summary>After End, with nothing outstanding.</summary>
    public void Join()
    {
        foreach (Thread? thread in _threads)
        {
            thread?.Join();
        }
    }

    private void Work()
    {
        while (true)
        {
            _gate.Take();
            if (_queue.TryTake(out int slot))
            {
                Help();
                work.Run(slot);
            }
            else if (_isEnding)
            {
                return;
            }
        }
    }

    /// <summary>Somebody else for what is in line: one that sleeps, or a new one.</summary>
    private void Help()
    {
        if (_queue.Count <= 0)
        {
            return;
        }
        if (_gate.HasWaiters)
        {
            _gate.WakeOne();
        }
        else if (Volatile.Read(ref _started) < _threads.Length)
        {
            Interlocked.Exchange(ref _isWanted, 1);
            starter.Ask();
        }
    }
}
