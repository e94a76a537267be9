using System.Runtime.InteropServices;

namespace DmRemap.Linux.Native;

/// <summary>
/// What the loop without io_uring asks of the kernel. Every import that fails returns -1 and leaves errno in
/// Marshal.GetLastPInvokeError.
/// </summary>
internal static unsafe partial class EpollNative
{
    public const int EPOLL_CLOEXEC = 0x80000;
    public const int EPOLL_CTL_ADD = 1;
    public const int EPOLL_CTL_DEL = 2;
    public const int EPOLL_CTL_MOD = 3;
    public const uint EPOLLIN = 0x001;
    public const uint EPOLLOUT = 0x004;
    public const uint EPOLLERR = 0x008;
    public const uint EPOLLHUP = 0x010;
    public const uint EPOLLET = 1u << 31;

    /// <summary>The same on every architecture.</summary>
    public const long SYS_epoll_pwait2 = 441;

    public const int FUTEX_WAIT_PRIVATE = 0 | 128;
    public const int FUTEX_WAKE_PRIVATE = 1 | 128;

    public const int MSG_DONTWAIT = 0x40;

    private const string LibC = "libc";

    /// <summary>libc has no function for it.</summary>
    public static long SYS_futex { get; } = RuntimeInformation.ProcessArchitecture switch
    {
        Architecture.X64 => 202,
        Architecture.X86 or Architecture.Arm => 240,
        Architecture.S390x => 238,
        Architecture.Ppc64le => 221,
        _ => 98,
    };

    /// <summary>struct epoll_event is packed on x86 only.</summary>
    public static bool IsEventPacked { get; } =
        RuntimeInformation.ProcessArchitecture is Architecture.X64 or Architecture.X86;

    [LibraryImport(LibC, EntryPoint = "epoll_create1", SetLastError = true)]
    public static partial int Create(int flags);

    [LibraryImport(LibC, EntryPoint = "epoll_ctl", SetLastError = true)]
    public static partial int Control(int epoll, int operation, int fd, byte* change);

    [LibraryImport(LibC, EntryPoint = "epoll_wait", SetLastError = true)]
    public static partial int Wait(int epoll, byte* events, int eventsMax, int milliseconds);

    [LibraryImport(LibC, EntryPoint = "syscall", SetLastError = true)]
    public static partial long WaitPrecisely(
        long number, int epoll, byte* events, int eventsMax, KernelTimespec* timeout, void* signals,
        nuint signalsBytes);

    [LibraryImport(LibC, EntryPoint = "syscall", SetLastError = true)]
    public static partial long Futex(
        long number, int* word, int operation, int value, KernelTimespec* timeout, int* other, int more);

    [LibraryImport(LibC, EntryPoint = "recv", SetLastError = true)]
    public static partial nint Receive(int fd, void* into, nuint bytes, int flags);

    [LibraryImport(LibC, EntryPoint = "send", SetLastError = true)]
    public static partial nint Send(int fd, void* from, nuint bytes, int flags);

    [LibraryImport(LibC, EntryPoint = "sendmsg", SetLastError = true)]
    public static partial nint SendMessage(int fd, void* header, int flags);

    [LibraryImport(LibC, EntryPoint = "accept4", SetLastError = true)]
    public static partial int Accept(int fd, void* address, uint* addressBytes, int flags);

    [LibraryImport(LibC, EntryPoint = "read", SetLastError = true)]
    public static partial nint Read(int fd, void* into, nuint bytes);

    [LibraryImport(LibC, EntryPoint = "write", SetLastError = true)]
    public static partial nint Write(int fd, void* from, nuint bytes);

    [LibraryImport(LibC, EntryPoint = "pwritev2", SetLastError = true)]
    public static partial nint WriteVectorAt(int fd, IoVector* vectors, int count, long offset, int flags);

    [LibraryImport(LibC, EntryPoint = "fdatasync", SetLastError = true)]
    public static partial int SyncData(int fd);
}
