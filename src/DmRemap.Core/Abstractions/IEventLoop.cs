using System.Runtime.CompilerServices;

namespace DmRemap.Core.Abstractions;

/// <summary>
/// The one thread on which everything about a device happens: completions, timers, messages from other
/// threads, one at a time. The production loop waits in the kernel; the simulated one advances a seed.
/// </summary>
public interface IEventLoop
{
    /// <summary>The time when this turn of the loop began, or this round of its deliveries.</summary>
    Instant Now { get; }

    /// <summary>
    /// Deliver this request (its result is set) after everything that runs now and all deliveries that were
    /// asked for before: how a device completes what it need not wait for without calling its owner from
    /// inside Submit. Loop thread only.
    /// </summary>
    void DeliverLater(IoRequest request);

    /// <summary>
    /// Call the timer's owner once when this time has come. A timer that is already set is moved.
    /// </summary>
    void Schedule(LoopTimer timer, Instant due);

    /// <summary>After this the timer's owner is not called. Harmless when it is not set.</summary>
    void Cancel(LoopTimer timer);

    /// <summary>
    /// From any thread: run this on the loop's thread, soon and in order. False when the loop has ended or
    /// its queue is full; then it will not run.
    /// </summary>
    bool Post(ILoopMessage message);
}

public interface ILoopMessage
{
    void Run();
}

public interface ITimerOwner
{
    void OnTimer(LoopTimer timer);
}

/// <summary>A timer, allocated once by its owner and set as often as needed.</summary>
public sealed class LoopTimer(ITimerOwner owner)
{
    public ITimerOwner Owner { get; } = owner;

    public Instant Due { get; set; }

    /// <summary>The loop's own: its place in the heap, or -1.</summary>
    public int HeapIndex { get; set; } = -1;

    public bool IsSet => HeapIndex >= 0;
}

/// <summary>
/// A connected byte stream (a socket) whose completions come through the loop. At most one Receive and one
/// Send are outstanding. After Close no callback but OnClosed comes, and that only when the kernel has given
/// the buffers back.
/// </summary>
public interface IByteStream
{
    /// <summary>Receive at least one byte into the slice. Completes with OnReceived.</summary>
    void Receive(BufferSlice into);

    /// <summary>
    /// Send every byte of the parts, in order. Completes with OnSent. The parts are copied; their bytes are
    /// not.
    /// </summary>
    void Send(in SendParts parts);

    /// <summary>
    /// The other end will send nothing more, perhaps behind what has not been received yet. A system call,
    /// for rare questions.
    /// </summary>
    bool HasPeerEnded { get; }

    /// <summary>
    /// End the connection; outstanding operations are cancelled. OnClosed comes once, later.
    /// </summary>
    void Close();
}

public interface IByteStreamOwner
{
    /// <summary>Bytes received (&gt; 0), 0 at the peer's orderly end, or a negative errno.</summary>
    void OnReceived(int bytesOrNegativeErrno);

    /// <summary>0 when every byte was taken by the kernel, or a negative errno.</summary>
    void OnSent(int zeroOrNegativeErrno);

    /// <summary>The kernel holds none of the stream's buffers any more.</summary>
    void OnClosed();
}

/// <summary>Told of each accepted connection; returns the stream's owner, or null to refuse it.</summary>
public interface IStreamAcceptor
{
    IByteStreamOwner? OnAccepted(IByteStream stream);
}

/// <summary>What one Send sends: up to <see cref="Limits.SendPartsMax"/> slices, in order.</summary>
public struct SendParts
{
    private PartArray _parts;

    public int Count { get; private set; }

    public long Bytes { get; private set; }

    public readonly BufferSlice this[int index]
    {
        get
        {
            Invariant.Check(index >= 0);
            Invariant.Check(index < Count);
            return _parts[index];
        }
    }

    public readonly bool IsFull => Count == Limits.SendPartsMax;

    public void Add(BufferSlice part)
    {
        Invariant.Check(Count < Limits.SendPartsMax);
        _parts[Count] = part;
        Count++;
        Bytes += part.Length;
    }

    public void Clear()
    {
        Count = 0;
        Bytes = 0;
    }

    [InlineArray(Limits.SendPartsMax)]
    private struct PartArray
    {
        private BufferSlice _element;
    }
}
