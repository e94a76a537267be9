using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using DmRemap.Core.Flushing;
using DmRemap.Engine.Requests;

namespace DmRemap.Engine.Flushing;

/// <summary>
/// Flush for the whole device (F-7). A cycle is: every dirty member flushed in parallel, then everybody
/// answered who asked before the cycle began. At most one cycle runs; who asks meanwhile waits for the next
/// one, because a flush that was submitted before a request arrived does not cover what was acknowledged in
/// between.
/// <code>
///   asked ──▶ waiting ──▶ flush primary ‖ flush spare 0 ‖ …  ──▶ answered
/// </code>
/// The table needs no part in it: every rule that an acknowledged write depends on was durable before its
/// answer. A member flush that failed may have dropped what it covered, and the next one would call that
/// clean: those writes become uncertain, and each client is told at its next flush, whatever that one does
/// (<see cref="FlushErrors"/>).
/// </summary>
internal sealed class FlushCoordinator : IIoOwner, IOpeningFlushWaiter
{
    private readonly RemapDevice _device;
    private readonly IoRequest[] _io;
    private readonly long[] _covered;
    private readonly long[] _lossesAtSubmit;
    private readonly RequestQueue _waiting = new();
    private readonly RequestQueue _running = new();
    private int _outstanding;
    private bool _isRunning;
    private bool _isDoomed;
    private IoStatus _status;
    private int _errno;

    public FlushCoordinator(RemapDevice device)
    {
        _device = device;
        _io = new IoRequest[Limits.SparesMax + 1];
        _covered = new long[Limits.SparesMax + 1];
        _lossesAtSubmit = new long[Limits.SparesMax + 1];
        for (int i = 0; i < _io.Length; i++)
        {
            _io[i] = new IoRequest { Token = i };
        }
    }

    public bool IsIdle => !_isRunning && _waiting.IsEmpty;

    /// <summary>
    /// A request that is complete but for this: answered when a cycle that begins after now has ended.
    /// </summary>
    public void Enqueue(RemapRequest request)
    {
        _waiting.Enqueue(request);
        if (!_isRunning)
        {
            StartCycle();
        }
    }

    public void OnCompleted(IoRequest request)
    {
        int index = (int)request.Token;
        Member member = _device.Members[index];
        member.Record(request);
        if (!member.IsRemoved)
        {
            // First, as it decides whether what this flush is to cover can still become durable (F-8): also
            // of one that succeeded, where another before it failed, behind a forced write (F-9).
            bool hasFailed = request.Status != IoStatus.Ok;
            if (hasFailed)
            {
                member.Gate.Note(request);
            }
            member.Gate.JudgeCache();
            if (hasFailed && member.Losses == _lossesAtSubmit[index] && member.Gate.TryKeep(request))
            {
                return;
            }
        }
        // A disk that was gone meanwhile may have come back without its cache, and flushed nothing.
        if (request.Status == IoStatus.Ok && member.Losses == _lossesAtSubmit[index])
        {
            member.OnFlushed(_covered[index]);
        }
        else if (!member.IsRemoved)
        {
            // Of one that has left, nothing counts: all that was on it is durable elsewhere.
            TakeFailure(member, index, request);
        }
        _outstanding--;
        if (_outstanding == 0)
        {
            EndCycle();
        }
        _device.Pump();
    }

    void IOpeningFlushWaiter.OnOpeningFlushReturned(int member)
    {
        if (!_device.Members[member].HasFailedOpening)
        {
            Submit(member);
            return;
        }
        TakeFailedOpening(_device.Members[member]);
        _outstanding--;
        if (_outstanding == 0)
        {
            EndCycle();
        }
        _device.Pump();
    }

    private void TakeFailure(Member member, int index, IoRequest request)
    {
        member.FlushErrors += request.Status == IoStatus.Ok ? 0 : 1;
        Fail(
            IoStatus.DeviceError,
            request.Status == IoStatus.Ok ? ErrorClassifier.InputOutputError : request.Errno);
        if (request.Status == IoStatus.Ok)
        {
            // It tells of a loss that was taken note of while it was out, and of no other.
            return;
        }
        if (member.MayHaveUnflushed)
        {
            _device.NoteUncertain(member, UncertainCause.FlushFailed, request.Errno);
        }
        else
        {
            // Nothing was answered that it was to cover; what is out may be in the cache already.
            _device.NoteLossOfWritesOut();
        }
    }

    private void TakeFailedOpening(Member member)
    {
        member.FlushErrors++;
        Fail(IoStatus.DeviceError, ErrorClassifier.InputOutputError);
        _device.NoteUncertain(member, UncertainCause.FlushFailed, ErrorClassifier.InputOutputError);
    }

    private void StartCycle()
    {
        Invariant.Check(!_isRunning);
        _isRunning = true;
        _isDoomed = true;
        while (_waiting.TryDequeue(out RemapRequest request))
        {
            _running.Enqueue(request);
            _isDoomed &= MustFail(request.Parent!);
        }
        _status = IoStatus.Ok;
        _errno = 0;
        _device.Uncertain.OnFlushBegun();
        FlushMembers();
    }

    private void FlushMembers()
    {
        // The guard keeps a cycle with nothing to flush from ending inside the loop.
        _outstanding = 1;
        for (int i = 0; i < _device.Members.Length; i++)
        {
            Member member = _device.Members[i];
            if (member.IsRemoved)
            {
                continue;
            }
            member.Gate.JudgeCache();
            if (_isDoomed && member.IsGone)
            {
                // Nobody waits for the return of a disk to be told that the flush has failed.
                Fail(IoStatus.DeviceError, ErrorClassifier.InputOutputError);
            }
            else if (member.OpeningFlush is { IsOut: true } opening)
            {
                _outstanding++;
                opening.Await(this, i);
            }
            else if (member.HasFailedOpening)
            {
                TakeFailedOpening(member);
            }
            else if (member.IsDirty)
            {
                _outstanding++;
                Submit(i);
            }
        }
        _outstanding--;
        if (_outstanding == 0)
        {
            EndCycle();
        }
    }

    private void Submit(int index)
    {
        Member member = _device.Members[index];
        _covered[index] = member.CompletedWrites;
        _lossesAtSubmit[index] = member.Losses;
        member.OnFlushBegun();
        _io[index].Prepare(this, IoOperation.Flush, default, default);
        member.Gate.Submit(_io[index]);
    }

    private void EndCycle()
    {
        _device.NoteCycle(_status == IoStatus.Ok);
        // Still running while it answers: who asks from inside an answer waits for the next cycle, and is not
        // answered with this one.
        while (_running.TryDequeue(out RemapRequest request))
        {
            Conclude(request);
        }
        _isRunning = false;
        if (!_waiting.IsEmpty)
        {
            StartCycle();
        }
    }

    private void Conclude(RemapRequest request)
    {
        IoRequest parent = request.Parent!;
        bool isFailed = _status != IoStatus.Ok;
        if (isFailed || MustFail(parent))
        {
            request.Fail(
                isFailed ? _status : IoStatus.DeviceError, isFailed ? _errno : 5, parent.Extent);
            if (parent.Operation == IoOperation.Flush)
            {
                _device.FlushErrors.Tell(
                    parent.Client, parent.DeviceWord, wasAlone: parent.DeviceWord2 != 0);
            }
        }
        _device.Answer(request);
    }

    /// <summary>
    /// Also where every disk has done it. Zeroes that are forced ask for their own durability only, and tell
    /// nobody of anything else.
    /// </summary>
    private bool MustFail(IoRequest parent) => parent.Operation == IoOperation.Flush
        ? _device.FlushErrors.MustFail(parent.Client, parent.DeviceWord)
        : parent.DeviceWord < _device.FlushErrors.Failures;

    private void Fail(IoStatus status, int errno)
    {
        if (_status == IoStatus.Ok)
        {
            _status = status;
            _errno = errno;
        }
    }
}
