using DmRemap.Core.Abstractions;
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
/// answer. A member flush that failed is never repeated to success: the kernel and the drive may have dropped
/// what it covered and would call the next one clean. Every later flush of the device fails (until the set is
/// started again).
/// </summary>
internal sealed class FlushCoordinator : IIoOwner, IOpeningFlushWaiter
{
    private readonly RemapDevice _device;
    private readonly IoRequest[] _io;
    private readonly long[] _covered;
    private readonly RequestQueue _waiting = new();
    private readonly RequestQueue _running = new();
    private int _outstanding;
    private bool _isRunning;
    private IoStatus _status;
    private int _errno;

    public FlushCoordinator(RemapDevice device)
    {
        _device = device;
        _io = new IoRequest[Limits.SparesMax + 1];
        _covered = new long[Limits.SparesMax + 1];
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
        if (request.Status != IoStatus.Ok && !member.IsRemoved)
        {
            // First, as it decides whether what this flush is to cover can still become durable (F-8).
            member.Gate.Note(request);
            if (!member.HasLostFlush && member.Gate.TryKeep(request))
            {
                return;
            }
        }
        // A disk that was gone meanwhile may have come back without its cache, and flushed nothing.
        if (request.Status == IoStatus.Ok && !member.HasLostFlush)
        {
            member.Flushes++;
            member.FlushedWrites = _covered[index];
        }
        else if (!member.IsRemoved)
        {
            // Of one that has left, nothing counts: all that was on it is durable elsewhere.
            member.FlushErrors++;
            member.HasLostFlush = true;
            // Whatever failed of the member: a client is told of the device, as it is of reads and writes.
            Fail(IoStatus.DeviceError, request.Errno);
            _device.Publish(EngineEventKind.FlushFailed, member, default, default, request.Errno);
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
        if (!_device.Members[member].HasLostFlush)
        {
            Submit(member);
            return;
        }
        Fail(IoStatus.DeviceError, 5);
        _device.Members[member].FlushErrors++;
        _device.Publish(EngineEventKind.FlushFailed, _device.Members[member], default, default, 5);
        _outstanding--;
        if (_outstanding == 0)
        {
            EndCycle();
        }
        _device.Pump();
    }

    private void StartCycle()
    {
        Invariant.Check(!_isRunning);
        _isRunning = true;
        while (_waiting.TryDequeue(out RemapRequest request))
        {
            _running.Enqueue(request);
        }
        _status = IoStatus.Ok;
        _errno = 0;
        FlushMembers();
    }

    private void FlushMembers()
    {
        // The guard keeps a cycle with nothing to flush from ending inside the loop.
        _outstanding = 1;
        for (int i = 0; i < _device.Members.Length; i++)
        {
            Member member = _device.Members[i];
            member.Gate.JudgeCache();
            if (member.IsRemoved)
            {
                continue;
            }
            if (member.HasLostFlush)
            {
                Fail(IoStatus.DeviceError, 5);
            }
            else if (member.OpeningFlush is { IsOut: true } opening)
            {
                _outstanding++;
                opening.Await(this, i);
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
        _io[index].Prepare(this, IoOperation.Flush, default, default);
        member.Gate.Submit(_io[index]);
    }

    private void EndCycle()
    {
        // Still running while it answers: who asks from inside an answer waits for the next cycle, and is not
        // answered with this one.
        while (_running.TryDequeue(out RemapRequest request))
        {
            if (_status != IoStatus.Ok)
            {
                request.Fail(_status, _errno, request.Parent!.Extent);
            }
            _device.Answer(request);
        }
        _isRunning = false;
        if (!_waiting.IsEmpty)
        {
            StartCycle();
        }
    }

    private void Fail(IoStatus status, int errno)
    {
        if (_status == IoStatus.Ok)
        {
            _status = status;
            _errno = errno;
        }
    }
}
