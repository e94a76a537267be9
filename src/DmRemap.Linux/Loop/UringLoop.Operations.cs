using System.Collections.Generic;
using System.Runtime.CompilerServices;
using DmRemap.Core.Abstractions;
using DmRemap.Linux.Native;
using DmRemap.Linux.Uring;

namespace DmRemap.Linux.Loop;

/// <summary>
/// What the loop's thread can ask of the kernel. Nothing is handed over before the end of the turn, so a
/// target is never called from inside these. The slice stays the kernel's until the target's completion.
/// Lengths in bytes.
/// </summary>
public sealed partial class UringLoop
{
    private readonly CompletionTarget?[] _targets = new CompletionTarget?[TargetsMax];
    private readonly int[] _freeSlots = MakeSlots();
    private int _freeSlotCount = TargetsMax;
    private OperationOwner[] _owners = [];

    /// <summary>
    /// Operations that the kernel owns, without the loop's own wake-up. Any thread; may be a moment old.
    /// </summary>
    public int OutstandingOperations
    {
        get
        {
            int sum = 0;
            foreach (OperationOwner owner in _owners)
            {
                sum += owner.Outstanding;
            }
            return sum;
        }
    }

    /// <summary>All owners, in the order they were made.</summary>
    public IReadOnlyList<OperationOwner> Owners => _owners;

    /// <summary>On the loop's thread, or before it runs.</summary>
    public OperationOwner CreateOwner(string name)
    {
        Invariant.Check(MayConfigure);
        OperationOwner owner = new(name);
        // Replaced, not changed: other threads read it.
        _owners = [.. _owners, owner];
        return owner;
    }

    private bool MayConfigure => _state != State.Running || IsLoopThread;

    public void SubmitRead(CompletionTarget target, int fd, BufferSlice into, long offset) =>
        Acquire(target).Read(fd, KernelMemory.AddressOf(into), into.Length, offset);

    public void SubmitWrite(
        CompletionTarget target, int fd, BufferSlice from, long offset, WriteDurability durability) =>
        Acquire(target).Write(
            fd,
            KernelMemory.AddressOf(from),
            from.Length,
            offset,
            durability == WriteDurability.Durable ? UringNative.RWF_DSYNC : 0);

    /// <summary>fdatasync.</summary>
    public void SubmitSyncData(CompletionTarget target, int fd) => Acquire(target).SyncData(fd);

    /// <summary>
    /// fallocate with FALLOC_FL_PUNCH_HOLE or FALLOC_FL_ZERO_RANGE; never changes the file's size.
    /// </summary>
    public void SubmitZero(CompletionTarget target, int fd, ZeroingKind kind, long offset, long length) =>
        Acquire(target).Allocate(fd, (int)kind, offset, length);

    /// <summary>Completes when the descriptor has one of these events (POLLIN = 1, POLLOUT = 4).</summary>
    public void SubmitPoll(CompletionTarget target, int fd, int events) =>
        Acquire(target).Poll(fd, (uint)events);

    /// <summary>
    /// Ask the kernel to end the victim's operation soon. It still completes by its own completion, perhaps
    /// with success.
    /// </summary>
    public void SubmitCancel(CompletionTarget target, CompletionTarget victim)
    {
        Invariant.Check(victim.IsOutstanding);
        Acquire(target).CancelTagged((ulong)victim.Slot);
    }

    internal void SubmitCancelAllOn(CompletionTarget target, int fd) => Acquire(target).CancelOn(fd);

    internal void SubmitClose(CompletionTarget target, int fd) => Acquire(target).Close(fd);

    internal void SubmitAccept(CompletionTarget target, int fd) =>
        Acquire(target).Accept(fd, SocketNative.SOCK_CLOEXEC);

    internal void SubmitReceive(CompletionTarget target, int fd, BufferSlice into) =>
        Acquire(target).Receive(fd, KernelMemory.AddressOf(into), into.Length, 0);

    internal void SubmitSend(CompletionTarget target, int fd, in IoVector vector) =>
        Acquire(target).Send(fd, vector.iov_base, (int)vector.iov_len, SocketNative.SendFlags);

    internal void SubmitSendMessage(CompletionTarget target, int fd, ulong messageHeader) =>
        Acquire(target).SendMessage(fd, messageHeader, SocketNative.SendFlags);

    internal int Register(CompletionTarget target)
    {
        Invariant.Check(MayConfigure);
        Invariant.Check(_freeSlotCount > 0);
        _freeSlotCount--;
        int slot = _freeSlots[_freeSlotCount];
        _targets[slot] = target;
        return slot;
    }

    internal void Unregister(int slot)
    {
        Invariant.Check(MayConfigure);
        _targets[slot] = null;
        _freeSlots[_freeSlotCount] = slot;
        _freeSlotCount++;
    }

    private static int[] MakeSlots()
    {
        int[] slots = new int[TargetsMax];
        for (int i = 0; i < slots.Length; i++)
        {
            slots[i] = slots.Length - 1 - i;
        }
        return slots;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private Submission Acquire(CompletionTarget target)
    {
        Invariant.Check(IsLoopThread);
        target.MarkOutstanding();
        if (_ring.IsFull)
        {
            MakeRoom();
        }
        Submission submission = _ring.Acquire();
        submission.Tag((ulong)target.Slot);
        return submission;
    }

    /// <summary>
    /// More operations in one turn than the ring has entries: hand over what there is. Nothing is reaped
    /// here.
    /// </summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private void MakeRoom()
    {
        // EAGAIN is the kernel out of memory for a moment; there is nothing else that this thread could do
        // meanwhile.
        const int AttemptsMax = 1_000_000;
        for (int i = 0; _ring.IsFull; i++)
        {
            int errno = _ring.SubmitAndWait(0, 0);
            if (errno is not (0 or Errno.EINTR or Errno.EAGAIN or Errno.ETIME) || i == AttemptsMax)
            {
                throw new SystemCallException("io_uring_enter", _name, errno);
            }
        }
    }
}

/// <summary>What a write has reached when it completes.</summary>
public enum WriteDurability
{
    /// <summary>The device, perhaps only its cache.</summary>
    Cached = 0,

    /// <summary>The medium (RWF_DSYNC, FUA).</summary>
    Durable = 1,
}

/// <summary>How a run of bytes is made to read as zeros: the mode of fallocate, size kept.</summary>
public enum ZeroingKind
{
    /// <summary>PUNCH_HOLE | KEEP_SIZE: the file's space is given back.</summary>
    PunchHole = 0x02 | 0x01,

    /// <summary>
    /// ZERO_RANGE | KEEP_SIZE: the space stays allocated; on a block device zeros are written if need be.
    /// </summary>
    ZeroRange = 0x10 | 0x01,
}
