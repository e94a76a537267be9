using System;
using DmRemap.Core.Abstractions;
using DmRemap.Linux.Epoll;
using DmRemap.Linux.Native;

namespace DmRemap.Linux.Loop;

/// <summary>
/// Descriptors that can be waited for, and who waits. An operation is tried first; only after the kernel has
/// said EAGAIN does it wait, and whatever changes from then on is reported. A descriptor stays in the set
/// while nobody waits; for writing it is there only while somebody does, because a peer that takes what was
/// sent is no news.
/// </summary>
public sealed partial class EpollLoop
{
    private const int DescriptorsAtStart = 1024;
    private const uint Always = EpollNative.EPOLLERR | EpollNative.EPOLLHUP;

    private Descriptor[] _descriptors = new Descriptor[DescriptorsAtStart];

    internal override void Adopt(int fd)
    {
        ref Descriptor descriptor = ref DescriptorOf(fd);
        Invariant.Check(descriptor.Waiting.IsEmpty);
        // Whatever was in the set under this number was another one.
        descriptor.Events = 0;
    }

    internal override void AdoptListening(int fd)
    {
        Adopt(fd);
        // A connection that is reported may have gone, or been accepted by another process, when it is asked
        // for; a socket that blocks would keep the loop then. The flag is of the open socket, so whoever
        // passed it has it too: who listens and waits by poll does not mind.
        int flags = SocketNative.Control(fd, SocketNative.F_GETFL, 0);
        _ = SocketNative.Control(fd, SocketNative.F_SETFL, flags | SocketNative.O_NONBLOCK);
    }

    internal override void Disown(int fd)
    {
        ref Descriptor descriptor = ref DescriptorOf(fd);
        Invariant.Check(descriptor.Waiting.IsEmpty);
        if (descriptor.Events != 0)
        {
            // Also before closing: a socket that another process has too would stay in the set.
            descriptor.Events = 0;
            _polls.Remove(fd);
        }
    }

    private ref Descriptor DescriptorOf(int fd)
    {
        Invariant.Check(fd >= 0);
        if (fd >= _descriptors.Length)
        {
            Array.Resize(ref _descriptors, Math.Max(2 * _descriptors.Length, fd + 1));
        }
        return ref _descriptors[fd];
    }

    private void TryOrWait(int slot)
    {
        ref EpollOperation operation = ref _operations[slot];
        int result = DescriptorCall.Try(in operation);
        if (result == -Errno.EAGAIN)
        {
            int errno = Want(operation.Fd, DescriptorCall.EventsOf(in operation), operation.Kind);
            if (errno == 0)
            {
                operation.Place = OperationPlace.Waiting;
                DescriptorOf(operation.Fd).Waiting.Add(_operations, slot);
                return;
            }
            result = -errno;
        }
        End(slot, result);
    }

    /// <summary>Have these events reported. 0 or errno.</summary>
    private int Want(int fd, uint events, OperationKind kind)
    {
        ref Descriptor descriptor = ref DescriptorOf(fd);
        // A descriptor that is only polled may have been replaced by another with its number: asked anew.
        bool isKnown = (descriptor.Events & events) == events && kind != OperationKind.Poll;
        if (isKnown)
        {
            return 0;
        }
        uint all = descriptor.Events | events | EpollNative.EPOLLIN;
        int errno = _polls.Set(fd, all);
        descriptor.Events = errno == 0 ? all : descriptor.Events;
        return errno;
    }

    /// <summary>A report: try who waits for this, until the kernel has no more.</summary>
    private void TryWaiting(int fd, uint events)
    {
        ref Descriptor descriptor = ref DescriptorOf(fd);
        uint exhausted = 0;
        uint wanted = 0;
        for (int slot = descriptor.Waiting.First; slot >= 0;)
        {
            int next = SlotList.After(_operations, slot);
            ref EpollOperation operation = ref _operations[slot];
            uint wants = DescriptorCall.EventsOf(in operation);
            bool isReported = (events & (wants | Always)) != 0;
            int result = isReported && (exhausted & wants) == 0
                ? DescriptorCall.Try(in operation)
                : -Errno.EAGAIN;
            if (result != -Errno.EAGAIN)
            {
                descriptor.Waiting.Remove(_operations, slot);
                End(slot, result);
            }
            else
            {
                // A poll that finds nothing says nothing of others.
                exhausted |= isReported && operation.Kind != OperationKind.Poll ? wants : 0;
                wanted |= wants;
            }
            slot = next;
        }
        Relax(fd, wanted);
    }

    /// <summary>Nobody waits for writing any more.</summary>
    private void Relax(int fd, uint wanted)
    {
        ref Descriptor descriptor = ref DescriptorOf(fd);
        if ((descriptor.Events & ~(wanted | EpollNative.EPOLLIN)) != 0)
        {
            descriptor.Events = wanted | EpollNative.EPOLLIN;
            _ = _polls.Set(fd, descriptor.Events);
        }
    }

    private void StopWaiting(int slot) =>
        DescriptorOf(_operations[slot].Fd).Waiting.Remove(_operations, slot);

    /// <summary>How many there were.</summary>
    private int CancelAllOn(int fd)
    {
        ref Descriptor descriptor = ref DescriptorOf(fd);
        int count = 0;
        while (descriptor.Waiting.TryTake(_operations, out int slot))
        {
            End(slot, -Errno.ECANCELED);
            count++;
        }
        return count;
    }

    private struct Descriptor
    {
        /// <summary>In the set for these; 0: not in it.</summary>
        public uint Events;

        public SlotList Waiting;
    }
}
