using System.Collections.Generic;
using System.Runtime.CompilerServices;
using DmRemap.Core.Abstractions;
using DmRemap.Linux.Native;

namespace DmRemap.Linux.Loop;

/// <summary>
/// What the loop's thread can ask of the kernel. Nothing is handed over before the end of the turn, so a
/// target is never called from inside these. The slice stays the kernel's until the target's completion.
/// Lengths in bytes.
/// </summary>
public abstract partial class KernelLoop
{
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

    private protected CompletionTarget?[] Targets { get; } = new CompletionTarget?[TargetsMax];

    /// <summary>A device has something to do for us.</summary>
    private protected bool IsDeviceBusy
    {
        get
        {
            foreach (OperationOwner owner in _owners)
            {
                if (owner.IsDevice && owner.Outstanding > 0)
                {
                    return true;
                }
            }
            return false;
        }
    }

    private bool MayConfigure => _state != State.Running || IsLoopThread;

    /// <summary>Of sockets. On the loop's thread, or before it runs.</summary>
    public OperationOwner CreateOwner(string name) =>
        Add(new OperationOwner(name, isDevice: false, WriteErrors.OfEachWrite));

    /// <summary>Of a file or a disk. On the loop's thread, or before it runs.</summary>
    public OperationOwner CreateDeviceOwner(string name, WriteErrors writeErrors) =>
        Add(new OperationOwner(name, isDevice: true, writeErrors));

    /// <summary>Of a file or disk; may take as long as that does.</summary>
    public abstract void SubmitRead(CompletionTarget target, int fd, BufferSlice into, long offset);

    /// <summary>As <see cref="SubmitRead"/>.</summary>
    public abstract void SubmitWrite(
        CompletionTarget target, int fd, BufferSlice from, long offset, WriteDurability durability);

    /// <summary>fdatasync.</summary>
    public abstract void SubmitSyncData(CompletionTarget target, int fd);

    /// <summary>
    /// fallocate with FALLOC_FL_PUNCH_HOLE or FALLOC_FL_ZERO_RANGE; never changes the file's size.
    /// </summary>
    public abstract void SubmitZero(
        CompletionTarget target, int fd, ZeroingKind kind, long offset, long length);

    /// <summary>Completes when the descriptor has one of these events (POLLIN = 1, POLLOUT = 4).</summary>
    public abstract void SubmitPoll(CompletionTarget target, int fd, int events);

    /// <summary>
    /// Ask the kernel to end the victim's operation soon. It still completes by its own completion, perhaps
    /// with success. This completes with 0, -ENOENT (it has ended already) or -EALREADY (it cannot be ended).
    /// </summary>
    public abstract void SubmitCancel(CompletionTarget target, CompletionTarget victim);

    /// <summary>
    /// This descriptor, of a socket or of /dev/fuse, is the loop's from here on: to be waited for.
    /// </summary>
    internal abstract void Adopt(int fd);

    /// <summary>As <see cref="Adopt"/>, of a socket that listens.</summary>
    internal abstract void AdoptListening(int fd);

    /// <summary>
    /// It is somebody else's from here on. Nothing of it is outstanding. Closing does this by itself.
    /// </summary>
    internal abstract void Disown(int fd);

    /// <summary>End every operation on this descriptor.</summary>
    internal abstract void SubmitCancelAllOn(CompletionTarget target, int fd);

    internal abstract void SubmitClose(CompletionTarget target, int fd);

    internal abstract void SubmitAccept(CompletionTarget target, int fd);

    internal abstract void SubmitReceive(CompletionTarget target, int fd, BufferSlice into);

    internal abstract void SubmitSend(CompletionTarget target, int fd, in IoVector vector);

    internal abstract void SubmitSendMessage(CompletionTarget target, int fd, ulong messageHeader);

    /// <summary>
    /// One message from a descriptor that does not block. -EAGAIN where there is none and this loop does not
    /// wait by itself: poll it then.
    /// </summary>
    internal abstract void SubmitReadMessage(CompletionTarget target, int fd, BufferSlice into);

    /// <summary>As <see cref="SubmitReadMessage"/>.</summary>
    internal abstract void SubmitWriteMessage(CompletionTarget target, int fd, BufferSlice from);

    internal int Register(CompletionTarget target)
    {
        Invariant.Check(MayConfigure);
        Invariant.Check(_freeSlotCount > 0);
        _freeSlotCount--;
        int slot = _freeSlots[_freeSlotCount];
        Targets[slot] = target;
        return slot;
    }

    internal void Unregister(int slot)
    {
        Invariant.Check(MayConfigure);
        Targets[slot] = null;
        _freeSlots[_freeSlotCount] = slot;
        _freeSlotCount++;
    }

    /// <summary>At the begin of every submission.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private protected void Take(CompletionTarget target)
    {
        Invariant.Check(IsLoopThread);
        target.MarkOutstanding();
    }

    private OperationOwner Add(OperationOwner owner)
    {
        Invariant.Check(MayConfigure);
        // Replaced, not changed: other threads read it.
        _owners = [.. _owners, owner];
        return owner;
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
