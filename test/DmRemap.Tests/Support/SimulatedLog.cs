using System;
using System.Collections.Generic;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;

namespace DmRemap.Tests.Support;

/// <summary>
/// A metadata log in memory: one commit at a time, in order, after a latency. What a crash leaves is
/// <see cref="AfterCrash"/>: the durable image, with or without the commit under way.
/// </summary>
internal sealed class SimulatedLog(IEventLoop loop, int seed = 1) : IMetadataLog, ITimerOwner
{
    private readonly Queue<CommitRequest> _queue = new();
    private readonly Random _random = new(seed);
    private LoopTimer? _timer;

    public SortedDictionary<long, RemapEntry> Durable { get; } = [];

    public HashSet<SpareLocation> Retired { get; } = [];

    public long Commits { get; private set; }

    public Duration LatencyMax { get; set; } = Duration.FromMilliseconds(5);

    /// <summary>The outcome of the n-th commit (from 0); Done when null.</summary>
    public Func<long, CommitOutcome>? Outcome { get; set; }

    /// <summary>A commit under way never ends.</summary>
    public bool IsStuck { get; set; }

    public void Unstick()
    {
        IsStuck = false;
        Arm();
    }

    public void Commit(CommitRequest request)
    {
        request.MarkPending();
        _queue.Enqueue(request);
        Arm();
    }

    /// <summary>Who waits for a checkpoint; it is durable when the test says so.</summary>
    public ICheckpointWaiter? CheckpointWaiter { get; private set; }

    public void Checkpoint(ICheckpointWaiter waiter)
    {
        if (CheckpointWaiter is not null)
        {
            throw new InvalidOperationException("two wait for a checkpoint");
        }
        CheckpointWaiter = waiter;
    }

    public void EndCheckpoint()
    {
        ICheckpointWaiter waiter = CheckpointWaiter!;
        CheckpointWaiter = null;
        waiter.OnCheckpointDurable();
    }

    public void OnTimer(LoopTimer timer)
    {
        if (IsStuck)
        {
            return;
        }
        CommitRequest request = _queue.Dequeue();
        CommitOutcome outcome = Outcome is null ? CommitOutcome.Done : Outcome(Commits);
        Commits++;
        // After an unknown outcome the record may be there or not: recovery finds either. In doubt until
        // superseded.
        if (outcome == CommitOutcome.Done)
        {
            Apply(request, Durable, Retired);
        }
        Arm();
        request.Complete(outcome);
    }

    public SortedDictionary<long, RemapEntry> AfterCrash(Random random)
    {
        SortedDictionary<long, RemapEntry> image = new(Durable);
        if (_queue.TryPeek(out CommitRequest? pending) && random.Next(2) == 0)
        {
            Apply(pending, image, []);
        }
        return image;
    }

    private static void Apply(CommitRequest request,
        SortedDictionary<long, RemapEntry> image, HashSet<SpareLocation> retired)
    {
        foreach (TableChange change in request.Changes)
        {
            switch (change.Kind)
            {
                case TableChangeKind.Set:
                    change.Entry.Check();
                    image[change.Entry.Unit.Value] = change.Entry;
                    break;
                case TableChangeKind.Remove:
                    image.Remove(change.Entry.Unit.Value);
                    break;
                case TableChangeKind.RetireSpareUnit:
                    retired.Add(change.Entry.Location);
                    break;
                default:
                    throw new InvalidOperationException();
            }
        }
    }

    private void Arm()
    {
        _timer ??= new LoopTimer(this);
        if (_queue.Count > 0 && !_timer.IsSet)
        {
            loop.Schedule(_timer, loop.Now + new Duration(1 + _random.NextInt64(LatencyMax.Nanoseconds)));
        }
    }
}
