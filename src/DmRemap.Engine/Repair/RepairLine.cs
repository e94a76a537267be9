using System;
using System.Collections.Generic;
using DmRemap.Engine.Requests;

namespace DmRemap.Engine.Repair;

/// <summary>A repair that takes one fragment at a time.</summary>
internal interface IFragmentJob
{
    void Begin(FragmentIo fragment);
}

/// <summary>
/// A bounded set of equal jobs, and the fragments that wait for one of them. What waits here holds nothing.
/// Some jobs are kept for the time when all others may be waiting for a spare that does not answer.
/// </summary>
internal sealed class RepairLine<TJob>(int jobsMax, int keptMax, WriteProgress writes, Func<TJob> make)
    where TJob : RepairJob, IFragmentJob
{
    private readonly List<TJob> _all = [];
    private readonly Stack<TJob> _free = new();
    private readonly FragmentQueue _waiting = new();

    public bool CanStart => !_waiting.IsEmpty
        && (Running < jobsMax || (Running < jobsMax + keptMax && writes.IsAnyStuck()));

    /// <summary>It could start if a spare turns out to be stuck, and not before.</summary>
    public bool IsHeldBack => !_waiting.IsEmpty && Running >= jobsMax && Running < jobsMax + keptMax;

    /// <summary>More are under way than when all spares answer.</summary>
    public bool IsOnKept => Running > jobsMax;

    public bool IsIdle => Running == 0 && _waiting.IsEmpty;

    /// <summary>Some job that was under way at MarkUnderWay has not ended yet.</summary>
    public bool IsAnyMarked => _all.Exists(static job => job.IsMarked);

    private int Running => _all.Count - _free.Count;

    /// <summary>Make the jobs now, so that a burst of bad sectors allocates nothing.</summary>
    public void Prepare()
    {
        while (_all.Count < jobsMax)
        {
            TJob job = make();
            _all.Add(job);
            _free.Push(job);
        }
    }

    public void MarkUnderWay()
    {
        foreach (TJob job in _all)
        {
            job.IsMarked = !job.IsIdle;
        }
    }

    public void Enqueue(FragmentIo fragment) => _waiting.Enqueue(fragment);

    /// <summary>How many were started.</summary>
    public int StartWaiting()
    {
        int started = 0;
        while (CanStart && _waiting.TryDequeue(out FragmentIo fragment))
        {
            TakeJob().Begin(fragment);
            started++;
        }
        return started;
    }

    public void Return(TJob job)
    {
        job.IsMarked = false;
        _free.Push(job);
    }

    private TJob TakeJob()
    {
        if (_free.TryPop(out TJob? free))
        {
            return free;
        }
        TJob job = make();
        _all.Add(job);
        return job;
    }
}
