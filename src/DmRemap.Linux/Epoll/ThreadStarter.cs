using System;
using System.Diagnostics.CodeAnalysis;
using System.Threading;

namespace DmRemap.Linux.Epoll;

/// <summary>
/// Starts threads for lanes that want one. Making a thread allocates and waits, which neither the loop's
/// thread may do nor a thread that has work.
/// </summary>
[SuppressMessage("Design", "CA1001", Justification = "Its thread may look at it until it ends.")]
internal sealed class ThreadStarter
{
    private static readonly TimeSpan s_retryAfter = TimeSpan.FromMilliseconds(100);

    private readonly TokenGate _gate = new();
    private readonly ManualResetEventSlim _end = new();
    private readonly Thread _thread;
    private ThreadLane[] _lanes = [];
    private volatile bool _isEnding;

    public ThreadStarter()
    {
        _thread = new Thread(Work) { IsBackground = true, Name = "dmremap-io" };
        _thread.Start();
    }

    /// <summary>By the loop, before the lane has work.</summary>
    public void Add(ThreadLane lane) => Volatile.Write(ref _lanes, [.. _lanes, lane]);

    /// <summary>From any thread: a lane wants one.</summary>
    public void Ask()
    {
        _gate.Give(1);
        if (_gate.HasWaiters)
        {
            _gate.WakeOne();
        }
    }

    public void End()
    {
        _isEnding = true;
        _end.Set();
        _gate.Open();
    }

    /// <summary>After End.</summary>
    public void Join() => _thread.Join();

    private void Work()
    {
        bool isLast = false;
        while (!isLast)
        {
            _gate.Take();
            // Before the round: what the last turn handed over, before End, still gets its thread.
            isLast = _isEnding;
            bool hasFailed = false;
            foreach (ThreadLane lane in Volatile.Read(ref _lanes))
            {
                hasFailed |= !lane.TryStartIfWanted();
            }
            if (hasFailed && !_end.Wait(s_retryAfter))
            {
                Ask();
            }
        }
    }
}
