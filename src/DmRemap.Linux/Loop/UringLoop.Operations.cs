using System.Runtime.CompilerServices;
using DmRemap.Core.Abstractions;
using DmRemap.Linux.Native;
using DmRemap.Linux.Uring;

namespace DmRemap.Linux.Loop;

/// <summary>Each fills one entry of the ring; the kernel waits by itself.</summary>
public sealed partial class UringLoop
{
    public override void SubmitRead(CompletionTarget target, int fd, BufferSlice into, long offset) =>
        Acquire(target).Read(fd, KernelMemory.AddressOf(into), into.Length, offset);

    public override void SubmitWrite(
        CompletionTarget target, int fd, BufferSlice from, long offset, WriteDurability durability) =>
        Acquire(target).Write(
            fd,
            KernelMemory.AddressOf(from),
            from.Length,
            offset,
            durability == WriteDurability.Durable ? UringNative.RWF_DSYNC : 0);

    public override void SubmitSyncData(CompletionTarget target, int fd) => Acquire(target).SyncData(fd);

    public override void SubmitZero(
        CompletionTarget target, int fd, ZeroingKind kind, long offset, long length) =>
        Acquire(target).Allocate(fd, (int)kind, offset, length);

    public override void SubmitPoll(CompletionTarget target, int fd, int events) =>
        Acquire(target).Poll(fd, (uint)events);

    public override void SubmitCancel(CompletionTarget target, CompletionTarget victim)
    {
        Invariant.Check(victim.IsOutstanding);
        Acquire(target).CancelTagged((ulong)victim.Slot);
    }

    internal override void Adopt(int fd)
    {
    }

    internal override void AdoptListening(int fd)
    {
    }

    internal override void Disown(int fd)
    {
    }

    internal override void SubmitCancelAllOn(CompletionTarget target, int fd) =>
        Acquire(target).CancelOn(fd);

    internal override void SubmitClose(CompletionTarget target, int fd) => Acquire(target).Close(fd);

    internal override void SubmitAccept(CompletionTarget target, int fd) =>
        Acquire(target).Accept(fd, SocketNative.SOCK_CLOEXEC);

    internal override void SubmitReceive(CompletionTarget target, int fd, BufferSlice into) =>
        Acquire(target).Receive(fd, KernelMemory.AddressOf(into), into.Length, 0);

    internal override void SubmitSend(CompletionTarget target, int fd, in IoVector vector) =>
        Acquire(target).Send(fd, vector.iov_base, (int)vector.iov_len, SocketNative.SendFlags);

    internal override void SubmitSendMessage(CompletionTarget target, int fd, ulong messageHeader) =>
        Acquire(target).SendMessage(fd, messageHeader, SocketNative.SendFlags);

    internal override void SubmitReadMessage(CompletionTarget target, int fd, BufferSlice into) =>
        SubmitRead(target, fd, into, 0);

    internal override void SubmitWriteMessage(CompletionTarget target, int fd, BufferSlice from) =>
        SubmitWrite(target, fd, from, 0, WriteDurability.Cached);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private Submission Acquire(CompletionTarget target)
    {
        Take(target);
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
                throw new SystemCallException("io_uring_enter", Name, errno);
            }
        }
    }
}
