using DmRemap.Core.Abstractions;

namespace DmRemap.Engine;

/// <summary>Told when a device that is being suspended has become quiet.</summary>
public interface ISuspendOwner
{
    /// <summary>
    /// Nothing is in flight and nothing will be until Resume. Flushed says whether everything that was
    /// acknowledged is durable.
    /// </summary>
    void OnQuiesced(bool flushed);
}

/// <summary>
/// Suspending is not stopping: the table, pending records and whoever is connected stay as they are. What
/// comes is held, not failed; what is in flight, repairs with it, ends as it would have; then the members are
/// flushed. From there until Resume the members get no I/O from this device but metadata: the record of a
/// loss, or a commit that ends a doubt, may still have to be written.
/// </summary>
public sealed partial class RemapDevice
{
    private readonly IoRequest _suspendFlush = new();
    private ISuspendOwner? _suspendOwner;
    private long _suspendRound;
    private long _recordedRound;
    private long _flushedRound;
    private bool _isSuspendFlushOut;
    private bool _isRefusing;

    /// <summary>Requests are held, not carried out: draining, or quiesced.</summary>
    public bool IsHolding => _suspendOwner is not null;

    /// <summary>Suspended, with nothing in flight and every member flushed.</summary>
    public bool IsQuiesced { get; private set; }

    /// <summary>Requests that were submitted and wait for a slot or for Resume.</summary>
    public int RequestsHeld => _waitingParents;

    /// <summary>
    /// Hold what comes, let end what is in flight, flush, then tell the owner, once. It is not bounded; the
    /// caller has the deadline, and may resume at any time, before the end or after it.
    /// </summary>
    public void BeginSuspend(ISuspendOwner owner)
    {
        Invariant.Check(!IsStopping);
        Invariant.Check(!IsHolding);
        _suspendOwner = owner;
        _suspendRound++;
        AbandonMove();
        ContinueSuspend();
    }

    /// <summary>
    /// Carry out what was held, and what comes. The owner of the suspension is told no more.
    /// </summary>
    public void Resume()
    {
        Invariant.Check(IsHolding);
        EndHolding();
        while (_firstWaitingParent is not null && _freeRequests is not null)
        {
            Start(TakeWaitingParent());
        }
    }

    /// <summary>
    /// The end of a suspension by a stop: what was held is not carried out any more but answered with
    /// ShuttingDown, as is all that comes.
    /// </summary>
    public void RefuseRequests()
    {
        _isRefusing = true;
        if (!IsHolding)
        {
            return;
        }
        EndHolding();
        while (_firstWaitingParent is not null)
        {
            IoRequest held = TakeWaitingParent();
            InFlight--;
            held.SetResult(IoStatus.ShuttingDown, 0, _loop.Now - held.SubmittedAt);
            _loop.DeliverLater(held);
        }
    }

    /// <summary>End work by hand after the units that it is at.</summary>
    public void AbandonMove()
    {
        _move.Abandon();
        _return.Abandon();
        _declaration.Abandon();
        _evacuation.Abandon();
        Retries.Abandon();
    }

    private void EndHolding()
    {
        _suspendOwner = null;
        IsQuiesced = false;
        _suspendRound++;
    }

    /// <summary>Called whenever something ended: is it quiet now?</summary>
    private void ContinueSuspend()
    {
        if (_suspendOwner is null || IsQuiesced || _isSuspendFlushOut || !IsQuiet)
        {
            return;
        }
        if (_recordedRound != _suspendRound)
        {
            // Once, when no repair holds a unit any more: what is known to be lost is known after a crash.
            _recordedRound = _suspendRound;
            Losses.Record();
            if (!Losses.IsIdle)
            {
                return;
            }
        }
        _isSuspendFlushOut = true;
        _flushedRound = _suspendRound;
        InFlight++;
        _suspendFlush.Prepare(
            new SuspendFlush(this), IoOperation.Flush, default, default, IoFlags.Background);
        _suspendFlush.MarkSubmitted();
        _suspendFlush.SubmittedAt = _loop.Now;
        StampForFlush(_suspendFlush);
        Start(_suspendFlush);
    }

    private void OnSuspendFlushed(bool flushed)
    {
        _isSuspendFlushOut = false;
        if (_suspendOwner is null)
        {
            // Resumed meanwhile; a stop may be waiting for this flush.
            ContinueEnds();
            return;
        }
        if (_flushedRound != _suspendRound || IsLookingForMembers)
        {
            // Resumed and suspended again: this flush may be older than writes of the time in between. Or it
            // has failed because a disk is gone, which is being read at this moment: that ends first.
            ContinueSuspend();
            return;
        }
        IsQuiesced = true;
        _suspendOwner.OnQuiesced(flushed);
    }

    private sealed class SuspendFlush(RemapDevice device) : IIoOwner
    {
        public void OnCompleted(IoRequest request) =>
            device.OnSuspendFlushed(request.Status == IoStatus.Ok);
    }
}
