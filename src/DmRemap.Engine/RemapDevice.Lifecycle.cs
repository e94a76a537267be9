using DmRemap.Core.Abstractions;
using DmRemap.Engine.Repair;

namespace DmRemap.Engine;

/// <summary>Told when a device that is stopping has become quiet.</summary>
public interface IStopOwner
{
    /// <summary>
    /// Nothing is in flight. Flushed says whether everything that was acknowledged is durable: only then may
    /// the metadata be marked as cleanly stopped.
    /// </summary>
    void OnQuiesced(bool flushed);
}

/// <summary>Start and stop, and work that a person asks for.</summary>
public sealed partial class RemapDevice
{
    private readonly IoRequest _stopFlush = new();
    private IStopOwner? _stopOwner;
    private readonly UnitMove _move;
    private readonly UnitReturn _return;
    private readonly LossDeclaration _declaration;
    private bool _isStopFlushSent;
    private bool _areLossesRecorded;

    /// <summary>No new requests are taken.</summary>
    public bool IsStopping => _stopOwner is not null;

    /// <summary>
    /// Nothing is outstanding: no repair, no flush, no request but those that a suspended device holds.
    /// </summary>
    public bool IsQuiet => IsDataQuiet && Losses.IsIdle;

    /// <summary>The same, but that a record of what is lost may be on its way to the metadata.</summary>
    public bool IsDataQuiet =>
        InFlight == _waitingParents && AreRepairsIdle && _flush.IsIdle && _fragments.IsAllFree
            && !IsLookingForMembers;

    /// <summary>Once, when it serves: what nobody asks for, but on a device that may be written.</summary>
    public void BeginBackgroundWork()
    {
        Retries.Begin();
        Healer.Begin();
        Copier.Begin();
    }

    /// <summary>
    /// Refuse new requests, let those in flight end, flush, then tell the owner. It is not bounded: a disk
    /// that never answers keeps it waiting, and the caller has the deadline.
    /// </summary>
    public void BeginStop(IStopOwner owner)
    {
        Invariant.Check(_stopOwner is null);
        if (IsHolding)
        {
            RefuseRequests();
        }
        _stopOwner = owner;
        EndKeeping();
        AbandonMove();
        Probe?.Stop();
        Retries.Stop();
        Healer.Stop();
        Copier.Stop();
        ContinueStop();
    }

    /// <summary>
    /// Move these units because a person asks; one such work at a time. False: one is running.
    /// </summary>
    public bool TryStartMove(MoveRequest request)
    {
        if (!MayBeginHandwork)
        {
            return false;
        }
        if (request.To == MoveTarget.Spare)
        {
            _move.Begin(request);
        }
        else
        {
            _return.Begin(request);
        }
        Pump();
        return true;
    }

    /// <summary>Try again what does not read, because a person asks. False: as for a move.</summary>
    public bool TryStartRetest(RetestRequest request)
    {
        if (!MayBeginHandwork)
        {
            return false;
        }
        Retries.Begin(request);
        Pump();
        return true;
    }

    /// <summary>Record that blocks are lost, because a person says so. False: as for a move.</summary>
    public bool TryStartDeclaration(DeclareRequest request)
    {
        if (!MayBeginHandwork)
        {
            return false;
        }
        _declaration.Begin(request);
        Pump();
        return true;
    }

    private bool MayBeginHandwork =>
        IsHandIdle && !Retries.IsAsked && !IsStopping && !IsHolding && !_isRefusing && !Geometry.IsReadOnly;

    /// <summary>Nothing that a person asked to be moved or declared is under way.</summary>
    private bool IsHandIdle =>
        _move.IsIdle && _return.IsIdle && _declaration.IsIdle && _evacuation.IsIdle;

    internal void OnHandworkEnded() => ContinueEnds();

    internal void FinishMove(MoveRequest request)
    {
        request.OnFinished();
        ContinueEnds();
    }

    private void ContinueEnds()
    {
        ContinueSuspend();
        ContinueStop();
    }

    /// <summary>Called whenever something ended: is it quiet now?</summary>
    private void ContinueStop()
    {
        if (_stopOwner is null || !IsQuiet || _isStopFlushSent)
        {
            return;
        }
        if (!_areLossesRecorded)
        {
            // Once, when no repair holds a unit any more.
            _areLossesRecorded = true;
            Losses.RecordLast();
            if (!Losses.IsIdle)
            {
                return;
            }
        }
        _isStopFlushSent = true;
        InFlight++;
        _stopFlush.Prepare(new StopFlush(this), IoOperation.Flush, default, default, IoFlags.Background);
        _stopFlush.MarkSubmitted();
        _stopFlush.SubmittedAt = _loop.Now;
        StampForFlush(_stopFlush);
        Start(_stopFlush);
    }

    /// <summary>
    /// The last flush before the end: everything acknowledged is on the medium.
    /// </summary>
    private sealed class StopFlush(RemapDevice device) : IIoOwner
    {
        public void OnCompleted(IoRequest request) =>
            device._stopOwner!.OnQuiesced(request.Status == IoStatus.Ok);
    }
}
