using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Engine.Requests;

namespace DmRemap.Engine.Flushing;

/// <summary>
/// Flush for the whole device (F-6, F-7). A cycle is: every dirty member flushed in parallel, then the pending rules
/// committed, then everybody answered who asked before the cycle began. At most one cycle runs; who asks meanwhile
/// waits for the next one, because a flush that was submitted before a request arrived does not cover what was
/// acknowledged in between.
/// <code>
///   asked ──▶ waiting ──▶ flush primary ‖ flush spare 0 ‖ …  ──▶ commit pending rules ──▶ answered
/// </code>
/// A member flush that failed is never repeated to success: the kernel and the drive may have dropped what it covered
/// and would call the next one clean. Every later flush of the device fails (until the set is started again).
/// </summary>
internal sealed class FlushCoordinator : IIoOwner, ICommitOwner
{
    private readonly RemapDevice _device;
    private readonly IoRequest[] _io;
    private readonly long[] _covered;
    private readonly CommitRequest _changes = new(PendingUnits.CaptureMax);
    private readonly RequestQueue _waiting = new();
    private readonly RequestQueue _running = new();
    private int _outstanding;
    private bool _isRunning;
    private bool _isWaitingForHolds;
    private IoStatus _status;
    private int _errno;

    public FlushCoordinator(RemapDevice device)
    {
        _device = device;
        _io = new IoRequest[device.Members.Length];
        _covered = new long[device.Members.Length];
        for (int i = 0; i < _io.Length; i++)
        {
            _io[i] = new IoRequest { Token = i };
        }
    }

    public bool IsIdle => !_isRunning && _waiting.IsEmpty;

    /// <summary>A request that is complete but for this: answered when a cycle that begins after now has ended.</summary>
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
        if (request.Status == IoStatus.Ok)
        {
            member.Flushes++;
            member.FlushedWrites = _covered[index];
        }
        else
        {
            member.FlushErrors++;
            member.HasLostFlush = true;
            Fail(request.Status, request.Errno);
            _device.Publish(EngineEventKind.FlushFailed, member, default, default, request.Errno);
        }
        _outstanding--;
        if (_outstanding == 0)
        {
            OnFlushed();
        }
        _device.Pump();
    }

    public void OnCommitted(CommitRequest request)
    {
        _device.NoteCommit(request.Outcome);
        if (request.Outcome == CommitOutcome.Done)
        {
            _device.Pending.Committed(request);
        }
        else
        {
            // The data is flushed, its rules are not durable: a crash would show the blocks as they were before.
            Fail(IoStatus.MetadataUnavailable, 0);
        }
        EndCommit();
        _device.Pump();
    }

    /// <summary>Commit pending rules although no client asked (lost blocks found by reading).</summary>
    public void StartIfIdle()
    {
        if (!_isRunning)
        {
            StartCycle();
        }
    }

    /// <summary>A hold was released: the commit may no longer have to wait for it.</summary>
    public void OnHoldReleased()
    {
        if (_isWaitingForHolds)
        {
            OnFlushed();
        }
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
        StartMembers();
    }

    private void StartMembers()
    {
        // Captured before the flushes are submitted: every "on spare" in it is of a write that has completed, so the
        // flush covers its data, and the record that is written afterwards never speaks of data that a crash can drop.
        _device.Pending.Capture();
        _outstanding = 1;
        for (int i = 0; i < _io.Length; i++)
        {
            Member member = _device.Members[i];
            if (member.HasLostFlush)
            {
                Fail(IoStatus.DeviceError, 5);
            }
            else if (member.IsDirty)
            {
                _covered[i] = member.CompletedWrites;
                _outstanding++;
                _io[i].Prepare(this, IoOperation.Flush, default, default);
                member.Device.Submit(_io[i]);
            }
        }
        _outstanding--;
        if (_outstanding == 0)
        {
            OnFlushed();
        }
    }

    private void OnFlushed()
    {
        if (_status != IoStatus.Ok || !_device.Pending.HasCapture)
        {
            EndCycle();
            return;
        }
        _isWaitingForHolds = _device.Pending.AnyCapturedIsHeld(_device.Holds);
        if (_isWaitingForHolds)
        {
            return;
        }
        _changes.Prepare(this);
        _device.Pending.AddCapturedTo(_changes);
        if (_changes.Count == 0)
        {
            EndCommit();
            return;
        }
        _device.Counters.Commits++;
        _device.Log.Commit(_changes);
    }

    private void EndCommit()
    {
        if (_status == IoStatus.Ok && _device.Pending.IsCaptureFull)
        {
            // More rules than one commit takes: the rest is captured anew, and flushed anew before it is recorded.
            StartMembers();
        }
        else
        {
            EndCycle();
        }
    }

    private void EndCycle()
    {
        _isRunning = false;
        while (_running.TryDequeue(out RemapRequest request))
        {
            if (_status != IoStatus.Ok)
            {
                request.Fail(_status, _errno, request.Parent!.Extent);
            }
            _device.Answer(request);
        }
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
