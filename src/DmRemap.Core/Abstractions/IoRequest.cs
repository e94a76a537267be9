using System.Runtime.CompilerServices;

namespace DmRemap.Core.Abstractions;

/// <summary>Gets the completion of a request that it submitted.</summary>
public interface IIoOwner
{
    /// <summary>
    /// Called once for each submitted request, on the loop's thread, never from inside Submit. The request
    /// belongs to the owner again.
    /// </summary>
    void OnCompleted(IoRequest request);
}

/// <summary>
/// One operation on one device: a slot that is allocated at start and used again for ever. Between Submit and
/// the completion it belongs to the device, and so does its buffer: a waiter that gives up does not get them
/// back, only the completion does.
/// </summary>
public sealed class IoRequest
{
    private State _state;

    private enum State : byte
    {
        Idle = 0,
        Submitted = 1,
    }

    public IoOperation Operation { get; private set; }

    public IoFlags Flags { get; private set; }

    /// <summary>In logical blocks of the device that the request is submitted to.</summary>
    public Extent Extent { get; private set; }

    /// <summary>For Read and Write: exactly as long as the extent. Else empty.</summary>
    public BufferSlice Buffer { get; private set; }

    public IIoOwner? Owner { get; private set; }

    /// <summary>The owner's own word; devices do not look at it.</summary>
    public long Token { get; set; }

    /// <summary>
    /// The owner's own object (a parent request, a state machine); devices do not look at it.
    /// </summary>
    public object? Context { get; set; }

    /// <summary>Of a flush: who asks for it. Null: nobody that could be told of a failure once.</summary>
    public FlushClient? Client { get; set; }

    public IoStatus Status { get; private set; }

    /// <summary>The kernel's error number, positive; 0 where none was given.</summary>
    public int Errno { get; private set; }

    /// <summary>Set by the device when it hands the request to what can block.</summary>
    public Instant SubmittedAt { get; set; }

    /// <summary>
    /// Time between submission and completion. Long errors are a stalled disk, not a bad sector.
    /// </summary>
    public Duration Elapsed { get; private set; }

    /// <summary>For a read that failed in part: where. Empty with a failure means the whole extent.</summary>
    public ref FailedExtents Failed => ref _failed;

    /// <summary>
    /// Link for whoever holds the request now (a device's queue, the loop's completion list).
    /// </summary>
    public IoRequest? Next { get; set; }

    /// <summary>Scratch words of the device that holds the request now.</summary>
    public int DeviceWord { get; set; }

    public int DeviceWord2 { get; set; }

    public bool IsSubmitted => _state == State.Submitted;

    public bool IsForceUnitAccess => (Flags & IoFlags.ForceUnitAccess) != 0;

#pragma warning disable IDE0044 // Written through the ref above.
    private FailedExtents _failed;
#pragma warning restore IDE0044

    /// <summary>Fill the slot for its next use. Token and Context stay as they are.</summary>
    public void Prepare(IIoOwner owner, IoOperation operation, Extent extent, BufferSlice buffer,
        IoFlags flags = IoFlags.None)
    {
        Invariant.Check(_state == State.Idle);
        Owner = owner;
        Operation = operation;
        Extent = extent;
        Buffer = buffer;
        Flags = flags;
        Status = IoStatus.Pending;
        Errno = 0;
        Elapsed = Duration.Zero;
        _failed.Clear();
        Next = null;
    }

    /// <summary>Called by a device first thing in Submit: from here the request is the device's.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void MarkSubmitted()
    {
        Invariant.Check(_state == State.Idle);
        Invariant.Check(Owner is not null);
        _state = State.Submitted;
    }

    /// <summary>The device that has it gives it to another one, as if it had never had it.</summary>
    public void PassOn()
    {
        Invariant.Check(_state == State.Submitted);
        Invariant.Check(Status == IoStatus.Pending);
        _state = State.Idle;
        Next = null;
    }

    /// <summary>
    /// Set the result. The device then delivers it, through the loop: see <see cref="Deliver"/>.
    /// </summary>
    public void SetResult(IoStatus status, int errno, Duration elapsed)
    {
        Invariant.Check(_state == State.Submitted);
        Invariant.Check(status != IoStatus.Pending);
        Status = status;
        Errno = errno;
        Elapsed = elapsed;
    }

    /// <summary>
    /// Hand the request back to its owner. Only the loop's thread, and never inside Submit.
    /// </summary>
    public void Deliver()
    {
        Invariant.Check(_state == State.Submitted);
        Invariant.Check(Status != IoStatus.Pending);
        _state = State.Idle;
        Next = null;
        Owner!.OnCompleted(this);
    }
}

/// <summary>Up to eight failed extents, ascending as they were added; a ninth widens the last one.</summary>
public struct FailedExtents
{
    private ExtentArray _extents;

    public int Count { get; private set; }

    public readonly Extent this[int index]
    {
        get
        {
            Invariant.Check(index >= 0);
            Invariant.Check(index < Count);
            return _extents[index];
        }
    }

    public void Clear() => Count = 0;

    /// <summary>Add an extent; one that touches the last is joined to it.</summary>
    public void Add(Extent extent)
    {
        if (Count > 0)
        {
            Extent last = _extents[Count - 1];
            bool touches = extent.Start <= last.End && last.Start <= extent.End;
            if (touches || Count == Limits.FailedExtentsMax)
            {
                long start = System.Math.Min(last.Start.Value, extent.Start.Value);
                long end = System.Math.Max(last.End.Value, extent.End.Value);
                _extents[Count - 1] = Extent.FromBounds(new BlockNumber(start), new BlockNumber(end));
                return;
            }
        }
        _extents[Count] = extent;
        Count++;
    }

    [InlineArray(Limits.FailedExtentsMax)]
    private struct ExtentArray
    {
        private Extent _element;
    }
}
