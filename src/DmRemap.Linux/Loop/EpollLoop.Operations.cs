using System.Runtime.CompilerServices;
using DmRemap.Core.Abstractions;
using DmRemap.Linux.Epoll;
using DmRemap.Linux.Native;

namespace DmRemap.Linux.Loop;

/// <summary>
/// What is submitted is written down, and handed over in its order at the end of the turn.
/// </summary>
public sealed partial class EpollLoop
{
    public override void SubmitRead(CompletionTarget target, int fd, BufferSlice into, long offset) =>
        Submit(target, OperationKind.Read, fd, into).Offset = offset;

    public override void SubmitWrite(
        CompletionTarget target, int fd, BufferSlice from, long offset, WriteDurability durability) =>
        Submit(
            target,
            durability == WriteDurability.Durable ? OperationKind.DurableWrite : OperationKind.Write,
            fd,
            from).Offset = offset;

    public override void SubmitSyncData(CompletionTarget target, int fd) =>
        Submit(target, OperationKind.SyncData, fd);

    public override void SubmitZero(
        CompletionTarget target, int fd, ZeroingKind kind, long offset, long length)
    {
        ref EpollOperation operation = ref Submit(target, OperationKind.Zero, fd);
        operation.Argument = (int)kind;
        operation.Offset = offset;
        operation.Length = length;
    }

    public override void SubmitPoll(CompletionTarget target, int fd, int events) =>
        Submit(target, OperationKind.Poll, fd).Argument = events;

    public override void SubmitCancel(CompletionTarget target, CompletionTarget victim)
    {
        Invariant.Check(victim.IsOutstanding);
        Submit(target, OperationKind.Cancel, -1).Argument = victim.Slot;
    }

    internal override void SubmitCancelAllOn(CompletionTarget target, int fd) =>
        Submit(target, OperationKind.CancelAll, fd);

    internal override void SubmitClose(CompletionTarget target, int fd) =>
        Submit(target, OperationKind.Close, fd);

    internal override void SubmitAccept(CompletionTarget target, int fd) =>
        Submit(target, OperationKind.Accept, fd);

    internal override void SubmitReceive(CompletionTarget target, int fd, BufferSlice into) =>
        Submit(target, OperationKind.Receive, fd, into);

    internal override void SubmitSend(CompletionTarget target, int fd, in IoVector vector)
    {
        ref EpollOperation operation = ref Submit(target, OperationKind.Send, fd);
        operation.Address = vector.iov_base;
        operation.Length = (long)vector.iov_len;
    }

    internal override void SubmitSendMessage(CompletionTarget target, int fd, ulong messageHeader) =>
        Submit(target, OperationKind.SendMessage, fd).Address = messageHeader;

    internal override void SubmitReadMessage(CompletionTarget target, int fd, BufferSlice into) =>
        Submit(target, OperationKind.ReadMessage, fd, into);

    internal override void SubmitWriteMessage(CompletionTarget target, int fd, BufferSlice from) =>
        Submit(target, OperationKind.WriteMessage, fd, from);

    private ref EpollOperation Submit(CompletionTarget target, OperationKind kind, int fd, BufferSlice buffer)
    {
        ref EpollOperation operation = ref Submit(target, kind, fd);
        operation.Address = KernelMemory.AddressOf(buffer);
        operation.Length = buffer.Length;
        operation.Buffer = buffer;
        return ref operation;
    }

    private ref EpollOperation Submit(CompletionTarget target, OperationKind kind, int fd)
    {
        Take(target);
        ref EpollOperation operation = ref _operations[target.Slot];
        operation.Kind = kind;
        operation.Place = OperationPlace.Submitted;
        operation.Fd = fd;
        _submitted.Add(_operations, target.Slot);
        return ref operation;
    }

    private void HandOver()
    {
        while (_submitted.TryTake(_operations, out int slot))
        {
            ref EpollOperation operation = ref _operations[slot];
            switch (operation.Kind)
            {
                case OperationKind.Close:
                    Disown(operation.Fd);
                    HandToThreads(slot);
                    break;
                case OperationKind.Read:
                case OperationKind.Write:
                case OperationKind.DurableWrite:
                case OperationKind.SyncData:
                case OperationKind.Zero:
                    HandToThreads(slot);
                    break;
                case OperationKind.Cancel:
                    End(slot, Cancel(operation.Argument));
                    break;
                case OperationKind.CancelAll:
                    End(slot, CancelAllOn(operation.Fd));
                    break;
                default:
                    TryOrWait(slot);
                    break;
            }
        }
        // Now, so that what was cancelled in the same turn has not begun.
        if (_hasThreadWork)
        {
            _hasThreadWork = false;
            foreach (OwnerThreads threads in _threads)
            {
                threads.Announce();
            }
        }
    }

    private void HandToThreads(int slot)
    {
        OperationOwner owner = Targets[slot]!.Owner;
        OwnerThreads threads = owner.Threads ?? MakeThreads(owner);
        _operations[slot].Place = OperationPlace.WithThreads;
        threads.LaneOf(_operations[slot].Kind).Add(slot);
        _hasThreadWork = true;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private OwnerThreads MakeThreads(OperationOwner owner)
    {
        owner.Threads = new OwnerThreads(this, _starter, owner.WriteErrors);
        _threads = [.. _threads, owner.Threads];
        return owner.Threads;
    }

    /// <summary>What the cancelling operation completes with.</summary>
    private int Cancel(int victim)
    {
        ref EpollOperation operation = ref _operations[victim];
        switch (operation.Place)
        {
            case OperationPlace.Waiting:
                StopWaiting(victim);
                End(victim, -Errno.ECANCELED);
                return 0;
            case OperationPlace.WithThreads:
                // Cancelling stops what has not begun. What has begun ends by itself, and so does its buffer.
                _hasThreadWork = true;
                if (!Targets[victim]!.Owner.Threads!.LaneOf(operation.Kind).TryTakeBack(victim))
                {
                    return -Errno.EALREADY;
                }
                End(victim, -Errno.ECANCELED);
                return 0;
            case OperationPlace.Nowhere:
            case OperationPlace.Submitted:
            case OperationPlace.Ended:
            default:
                return -Errno.ENOENT;
        }
    }
}
