using System;
using DmRemap.Engine.Requests;

namespace DmRemap.Engine.Repair;

/// <summary>A repair that takes one fragment at a time.</summary>
internal interface IFragmentJob
{
    void Begin(FragmentIo fragment);
}

/// <summary>
/// A bounded set of equal jobs, and the fragments that wait for one of them. What waits here holds nothing.
/// </summary>
internal sealed class RepairLine<TJob>
    where TJob : RepairJob, IFragmentJob
{
    private readonly TJob[] _all;
    private readonly TJob[] _free;
    private readonly FragmentQueue _waiting = new();
    private int _freeCount;

    public RepairLine(int jobs, Func<TJob> make)
    {
        _free = new TJob[jobs];
        for (int i = 0; i < jobs; i++)
        {
            _free[i] = make();
        }
        _all = [.. _free];
        _freeCount = jobs;
    }

    public bool CanStart => _freeCount > 0 && !_waiting.IsEmpty;

    public bool IsIdle => _freeCount == _free.Length && _waiting.IsEmpty;

    /// <summary>Some job that was under way at MarkUnderWay has not ended yet.</summary>
    public bool IsAnyMarked => Array.Exists(_all, static job => job.IsMarked);

    public void MarkUnderWay()
    {
        foreach (TJob job in _all)
        {
            job.IsMarked = !job.IsIdle;
        }
    }

    public void Enqueue(FragmentIo fragment) => _waiting.Enqueue(fragment);

    /// <summary>True when at least one was started.</summary>
    public bool StartWaiting()
    {
        bool started = false;
        while (_freeCount > 0 && _waiting.TryDequeue(out FragmentIo fragment))
        {
            _freeCount--;
            _free[_freeCount].Begin(fragment);
            started = true;
        }
        return started;
    }

    public void Return(TJob job)
    {
        job.IsMarked = false;
        _free[_freeCount] = job;
        _freeCount++;
    }
}
