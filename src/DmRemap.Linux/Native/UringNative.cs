using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace DmRemap.Linux.Native;

/// <summary>
/// struct io_uring_sqe, 64 bytes. Fields that share a place in C have one name here and say what else it is.
/// </summary>
[StructLayout(LayoutKind.Explicit, Size = 64)]
internal struct SubmissionEntry
{
    [FieldOffset(0)]
    public byte opcode;

    [FieldOffset(1)]
    public byte flags;

    [FieldOffset(2)]
    public ushort ioprio;

    [FieldOffset(4)]
    public int fd;

    /// <summary>Also addr2.</summary>
    [FieldOffset(8)]
    public ulong off;

    [FieldOffset(16)]
    public ulong addr;

    [FieldOffset(24)]
    public uint len;

    /// <summary>Also fsync_flags, msg_flags, accept_flags, cancel_flags, poll32_events.</summary>
    [FieldOffset(28)]
    public uint rw_flags;

    [FieldOffset(32)]
    public ulong user_data;

    [FieldOffset(40)]
    public ushort buf_index;

    [FieldOffset(42)]
    public ushort personality;

    [FieldOffset(44)]
    public int splice_fd_in;

    [FieldOffset(48)]
    public ulong addr3;

    [FieldOffset(56)]
    public ulong pad2;
}

/// <summary>struct io_uring_cqe, 16 bytes.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct CompletionEntry
{
    public ulong user_data;
    public int res;
    public uint flags;
}

[StructLayout(LayoutKind.Sequential)]
internal struct SubmissionRingOffsets
{
    public uint head;
    public uint tail;
    public uint ring_mask;
    public uint ring_entries;
    public uint flags;
    public uint dropped;
    public uint array;
    public uint resv1;
    public ulong user_addr;
}

[StructLayout(LayoutKind.Sequential)]
internal struct CompletionRingOffsets
{
    public uint head;
    public uint tail;
    public uint ring_mask;
    public uint ring_entries;
    public uint overflow;
    public uint cqes;
    public uint flags;
    public uint resv1;
    public ulong user_addr;
}

/// <summary>struct io_uring_params, 120 bytes.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct UringParameters
{
    public uint sq_entries;
    public uint cq_entries;
    public uint flags;
    public uint sq_thread_cpu;
    public uint sq_thread_idle;
    public uint features;
    public uint wq_fd;
    public uint resv0;
    public uint resv1;
    public uint resv2;
    public SubmissionRingOffsets sq_off;
    public CompletionRingOffsets cq_off;
}

/// <summary>struct io_uring_getevents_arg, 24 bytes.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct WaitArgument
{
    public ulong sigmask;
    public uint sigmask_sz;
    public uint min_wait_usec;
    public ulong ts;
}

/// <summary>struct __kernel_timespec, 16 bytes.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct KernelTimespec
{
    public long tv_sec;
    public long tv_nsec;
}

/// <summary>struct iovec, 16 bytes.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct IoVector
{
    public ulong iov_base;
    public ulong iov_len;
}

/// <summary>struct msghdr of a 64-bit Linux, 56 bytes.</summary>
[StructLayout(LayoutKind.Explicit, Size = 56)]
internal struct MessageHeader
{
    [FieldOffset(0)]
    public ulong msg_name;

    [FieldOffset(8)]
    public uint msg_namelen;

    [FieldOffset(16)]
    public ulong msg_iov;

    [FieldOffset(24)]
    public ulong msg_iovlen;

    [FieldOffset(32)]
    public ulong msg_control;

    [FieldOffset(40)]
    public ulong msg_controllen;

    [FieldOffset(48)]
    public int msg_flags;
}

/// <summary>The system calls of the ring, and their constants (include/uapi/linux/io_uring.h).</summary>
internal static unsafe partial class UringNative
{
    // The same on every architecture: they were added after the numbers were unified.
    public const long SYS_io_uring_setup = 425;
    public const long SYS_io_uring_enter = 426;
    public const long SYS_io_uring_register = 427;

    public const uint IORING_SETUP_CQSIZE = 1u << 3;
    public const uint IORING_SETUP_R_DISABLED = 1u << 6;
    public const uint IORING_SETUP_SUBMIT_ALL = 1u << 7;
    public const uint IORING_SETUP_COOP_TASKRUN = 1u << 8;
    public const uint IORING_SETUP_TASKRUN_FLAG = 1u << 9;
    public const uint IORING_SETUP_SINGLE_ISSUER = 1u << 12;
    public const uint IORING_SETUP_DEFER_TASKRUN = 1u << 13;

    public const uint IORING_FEAT_SINGLE_MMAP = 1u << 0;
    public const uint IORING_FEAT_NODROP = 1u << 1;
    public const uint IORING_FEAT_EXT_ARG = 1u << 8;

    public const uint IORING_ENTER_GETEVENTS = 1u << 0;
    public const uint IORING_ENTER_EXT_ARG = 1u << 3;

    public const uint IORING_SQ_CQ_OVERFLOW = 1u << 1;
    public const uint IORING_SQ_TASKRUN = 1u << 2;

    public const uint IORING_REGISTER_PROBE = 8;
    public const uint IORING_REGISTER_ENABLE_RINGS = 12;
    public const uint IORING_REGISTER_IOWQ_MAX_WORKERS = 19;

    public const long IORING_OFF_SQ_RING = 0;
    public const long IORING_OFF_CQ_RING = 0x8000000;
    public const long IORING_OFF_SQES = 0x10000000;

    public const byte IORING_OP_NOP = 0;
    public const byte IORING_OP_FSYNC = 3;
    public const byte IORING_OP_POLL_ADD = 6;
    public const byte IORING_OP_SENDMSG = 9;
    public const byte IORING_OP_ACCEPT = 13;
    public const byte IORING_OP_ASYNC_CANCEL = 14;
    public const byte IORING_OP_FALLOCATE = 17;
    public const byte IORING_OP_CLOSE = 19;
    public const byte IORING_OP_READ = 22;
    public const byte IORING_OP_WRITE = 23;
    public const byte IORING_OP_SEND = 26;
    public const byte IORING_OP_RECV = 27;

    public const uint IORING_FSYNC_DATASYNC = 1u << 0;
    public const uint IORING_ASYNC_CANCEL_ALL = 1u << 0;
    public const uint IORING_ASYNC_CANCEL_FD = 1u << 1;
    public const ushort IO_URING_OP_SUPPORTED = 1;

    public const uint RWF_DSYNC = 2;

    public const int PROT_READ_WRITE = 3;
    public const int MAP_SHARED_POPULATE = 0x8001;

    public const int EFD_CLOEXEC = 0x80000;

    [LibraryImport("libc", EntryPoint = "syscall", SetLastError = true)]
    public static partial long UringSetup(long number, uint entries, UringParameters* parameters);

    [LibraryImport("libc", EntryPoint = "syscall", SetLastError = true)]
    public static partial long UringEnter(
        long number,
        int ring,
        uint submit,
        uint complete,
        uint flags,
        WaitArgument* argument,
        nuint argumentBytes);

    [LibraryImport("libc", EntryPoint = "syscall", SetLastError = true)]
    public static partial long UringRegister(
        long number, int ring, uint operation, void* argument, uint count);

    [LibraryImport("libc", EntryPoint = "mmap", SetLastError = true)]
    public static partial nint Map(nint address, nuint bytes, int protection, int flags, int fd, long offset);

    [LibraryImport("libc", EntryPoint = "munmap", SetLastError = true)]
    public static partial int Unmap(nint address, nuint bytes);

    [LibraryImport("libc", EntryPoint = "eventfd", SetLastError = true)]
    public static partial int CreateEventFd(uint initial, int flags);

    [LibraryImport("libc", EntryPoint = "write", SetLastError = true)]
    public static partial nint Write(SafeFileHandle fd, void* from, nuint bytes);

    [LibraryImport("libc", EntryPoint = "close", SetLastError = true)]
    public static partial int Close(int fd);
}
