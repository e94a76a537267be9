using System;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using DmRemap.Linux.Native;

namespace DmRemap.Linux.Epoll;

/// <summary>
/// One epoll. Edge-triggered: a descriptor is reported when something changes, so it can stay in the set
/// while nobody waits for it, and waiting again costs no system call. Whoever waits has tried before, and
/// tries again when it is reported: a report too many does no harm, and none is missed.
/// </summary>
internal sealed unsafe class PollSet : IDisposable
{
    private const int EventsMax = 256;
    private const long NanosecondsPerMs = 1_000_000;

    private readonly int _fd;
    private readonly int _eventBytes = EpollNative.IsEventPacked ? 12 : 16;
    private readonly int _dataOffset = EpollNative.IsEventPacked ? 4 : 8;
    private readonly byte[] _memory = GC.AllocateArray<byte>(EventsMax * 16, pinned: true);
    private readonly byte* _events;
    private bool _isDisposed;

    /// <param name="owner">For people.</param>
    /// <exception cref="SystemCallException">There is no descriptor left.</exception>
    public PollSet(string owner)
    {
        _fd = EpollNative.Create(EpollNative.EPOLL_CLOEXEC);
        if (_fd < 0)
        {
            throw new SystemCallException("epoll_create1", owner, Marshal.GetLastPInvokeError());
        }
        _events = (byte*)Marshal.UnsafeAddrOfPinnedArrayElement(_memory, 0);
        // Linux 5.11; a seccomp filter may forbid it with any errno.
        IsPrecise = WaitPrecisely(0) >= 0;
    }

    /// <summary>It waits to the nanosecond, and not to the next millisecond.</summary>
    public bool IsPrecise { get; init; }

    /// <summary>
    /// Report these events of the descriptor from now on; also once where they have come already. 0 or errno.
    /// </summary>
    public int Set(int fd, uint events)
    {
        int errno = Control(EpollNative.EPOLL_CTL_MOD, fd, events);
        return errno == Errno.ENOENT ? Control(EpollNative.EPOLL_CTL_ADD, fd, events) : errno;
    }

    /// <summary>Also of one that is not in the set.</summary>
    public void Remove(int fd) => _ = Control(EpollNative.EPOLL_CTL_DEL, fd, 0);

    /// <param name="timeoutNanoseconds">-1: for ever.</param>
    /// <param name="count">Descriptors to report.</param>
    /// <returns>0, or a positive errno.</returns>
    public int Wait(long timeoutNanoseconds, out int count)
    {
        long result = IsPrecise ? WaitPrecisely(timeoutNanoseconds) : WaitRoughly(timeoutNanoseconds);
        count = (int)Math.Max(0, result);
        return result < 0 ? Marshal.GetLastPInvokeError() : 0;
    }

    /// <summary>After Wait: what was reported.</summary>
    public (int Fd, uint Events) Reported(int index)
    {
        byte* report = _events + (index * _eventBytes);
        return (Unsafe.ReadUnaligned<int>(report + _dataOffset), Unsafe.ReadUnaligned<uint>(report));
    }

    public void Dispose()
    {
        if (!_isDisposed)
        {
            _isDisposed = true;
            _ = UringNative.Close(_fd);
        }
    }

    private int Control(int operation, int fd, uint events)
    {
        byte* change = stackalloc byte[16];
        Unsafe.WriteUnaligned(change, events | EpollNative.EPOLLET);
        Unsafe.WriteUnaligned(change + _dataOffset, (long)fd);
        int result = EpollNative.Control(_fd, operation, fd, change);
        return result < 0 ? Marshal.GetLastPInvokeError() : 0;
    }

    private long WaitPrecisely(long nanoseconds)
    {
        KernelTimespec timeout = new()
        {
            tv_sec = nanoseconds / 1_000_000_000,
            tv_nsec = nanoseconds % 1_000_000_000,
        };
        return EpollNative.WaitPrecisely(
            EpollNative.SYS_epoll_pwait2, _fd, _events, EventsMax, nanoseconds < 0 ? null : &timeout, null,
            0);
    }

    /// <summary>Rounded up: a timer must not find that its time has not come.</summary>
    private long WaitRoughly(long nanoseconds)
    {
        long milliseconds = nanoseconds < 0 ? -1 : (nanoseconds + NanosecondsPerMs - 1) / NanosecondsPerMs;
        return EpollNative.Wait(_fd, _events, EventsMax, (int)Math.Min(milliseconds, int.MaxValue));
    }
}
