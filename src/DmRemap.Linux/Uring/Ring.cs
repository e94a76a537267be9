using System;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Threading;
using DmRemap.Core.Abstractions;
using DmRemap.Linux.Native;

namespace DmRemap.Linux.Uring;

/// <summary>
/// One io_uring through raw system calls. It is made disabled, by any thread, and belongs to the thread that
/// calls <see cref="Enable"/> (SINGLE_ISSUER). Entries are filled by <see cref="Acquire"/> and the methods of
/// <see cref="Submission"/>, handed over by <see cref="SubmitAndWait"/>, and come back through <see
/// cref="TryReap"/>.
/// </summary>
internal sealed unsafe class Ring : IDisposable
{
    private readonly int _fd;
    private readonly nint _rings;
    private readonly nuint _ringsBytes;
    private readonly nint _entries;
    private readonly nuint _entriesBytes;
    private readonly uint* _submissionHead;
    private readonly uint* _submissionTail;
    private readonly uint* _submissionFlags;
    private readonly uint _submissionMask;
    private readonly SubmissionEntry* _submissions;
    private readonly uint* _completionHead;
    private readonly uint* _completionTail;
    private readonly uint _completionMask;
    private readonly CompletionEntry* _completions;
    private uint _tail;
    private bool _isDisposed;

    /// <param name="submissionEntries">A power of two.</param>
    /// <param name="completionEntries">A power of two, at least twice as many.</param>
    /// <exception cref="IoUringUnavailableException">The machine has no io_uring for us.</exception>
    public Ring(int submissionEntries, int completionEntries)
    {
        UringParameters parameters = default;
        _fd = SetUp((uint)submissionEntries, (uint)completionEntries, out parameters);
        SubmissionEntries = (int)parameters.sq_entries;
        CompletionEntries = (int)parameters.cq_entries;
        SetupFlags = parameters.flags;
        _ringsBytes = Math.Max(
            parameters.sq_off.array + (parameters.sq_entries * sizeof(uint)),
            parameters.cq_off.cqes + (parameters.cq_entries * (uint)sizeof(CompletionEntry)));
        _entriesBytes = parameters.sq_entries * (nuint)sizeof(SubmissionEntry);
        _rings = Map(_ringsBytes, UringNative.IORING_OFF_SQ_RING);
        _entries = Map(_entriesBytes, UringNative.IORING_OFF_SQES);

        byte* rings = (byte*)_rings;
        _submissionHead = (uint*)(rings + parameters.sq_off.head);
        _submissionTail = (uint*)(rings + parameters.sq_off.tail);
        _submissionFlags = (uint*)(rings + parameters.sq_off.flags);
        _submissionMask = *(uint*)(rings + parameters.sq_off.ring_mask);
        _submissions = (SubmissionEntry*)_entries;
        _completionHead = (uint*)(rings + parameters.cq_off.head);
        _completionTail = (uint*)(rings + parameters.cq_off.tail);
        _completionMask = *(uint*)(rings + parameters.cq_off.ring_mask);
        _completions = (CompletionEntry*)(rings + parameters.cq_off.cqes);

        // The array maps ring places to entries; place i always holds entry i.
        uint* array = (uint*)(rings + parameters.sq_off.array);
        for (uint i = 0; i < parameters.sq_entries; i++)
        {
            array[i] = i;
        }
    }

    public int SubmissionEntries { get; }

    public int CompletionEntries { get; }

    /// <summary>IORING_SETUP_… as the kernel took them.</summary>
    public uint SetupFlags { get; }

    /// <summary>Entries filled and not yet taken by the kernel.</summary>
    public uint Queued => unchecked(_tail - Volatile.Read(ref *_submissionHead));

    public bool IsFull => Queued == SubmissionEntries;

    public bool HasCompletions => *_completionHead != Volatile.Read(ref *_completionTail);

    /// <summary>
    /// There are completions, or the kernel says that SubmitAndWait would bring some. Costs no system call.
    /// </summary>
    public bool HasNews => HasCompletions
        || (Volatile.Read(ref *_submissionFlags)
            & (UringNative.IORING_SQ_TASKRUN | UringNative.IORING_SQ_CQ_OVERFLOW)) != 0;

    /// <summary>
    /// From here the ring belongs to the calling thread. Sets the number of io-wq workers of this thread.
    /// </summary>
    public void Enable(int blockingWorkers)
    {
        long enabled = UringNative.UringRegister(
            UringNative.SYS_io_uring_register, _fd, UringNative.IORING_REGISTER_ENABLE_RINGS, null, 0);
        if (enabled < 0)
        {
            throw new IoUringUnavailableException(Marshal.GetLastPInvokeError());
        }
        // F-19: the default is min(entries, 4 x CPUs) for the thread's rings together; eight stuck operations
        // on one disk would keep the flush of another from starting. [bounded, unbounded]
        uint* workers = stackalloc uint[2] { (uint)blockingWorkers, (uint)blockingWorkers };
        long limited = UringNative.UringRegister(
            UringNative.SYS_io_uring_register, _fd, UringNative.IORING_REGISTER_IOWQ_MAX_WORKERS, workers, 2);
        if (limited < 0)
        {
            throw new IoUringUnavailableException(Marshal.GetLastPInvokeError());
        }
    }

    /// <summary>Whether the kernel knows the operation (IORING_OP_…).</summary>
    public bool Supports(byte operation)
    {
        // struct io_uring_probe: 16 bytes of header, then 8 bytes for each operation: op, resv, flags (u16),
        // resv2.
        const int HeaderBytes = 16;
        const int EntryBytes = 8;
        const int Entries = 256;
        byte* probe = stackalloc byte[HeaderBytes + (EntryBytes * Entries)];
        new Span<byte>(probe, HeaderBytes + (EntryBytes * Entries)).Clear();
        long result = UringNative.UringRegister(
            UringNative.SYS_io_uring_register, _fd, UringNative.IORING_REGISTER_PROBE, probe, Entries);
        if (result < 0 || operation > probe[0])
        {
            return false;
        }
        ushort flags = *(ushort*)(probe + HeaderBytes + (operation * EntryBytes) + 2);
        return (flags & UringNative.IO_URING_OP_SUPPORTED) != 0;
    }

    /// <summary>The next entry, cleared. The caller has made sure that there is room.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Submission Acquire()
    {
        Invariant.Check(!IsFull);
        SubmissionEntry* entry = _submissions + (_tail & _submissionMask);
        *entry = default;
        _tail = unchecked(_tail + 1);
        return new Submission(entry);
    }

    /// <summary>
    /// Hand over every filled entry and wait until `completions` have come or the timeout has passed.
    /// </summary>
    /// <param name="completions">0: do not wait.</param>
    /// <param name="timeoutNanoseconds">-1: for ever.</param>
    /// <returns>0, or a positive errno; ETIME and EINTR are ends of a wait, not errors.</returns>
    public int SubmitAndWait(uint completions, long timeoutNanoseconds)
    {
        Volatile.Write(ref *_submissionTail, _tail);
        KernelTimespec timeout = default;
        WaitArgument argument = default;
        if (timeoutNanoseconds >= 0)
        {
            timeout.tv_sec = timeoutNanoseconds / 1_000_000_000;
            timeout.tv_nsec = timeoutNanoseconds % 1_000_000_000;
            argument.ts = (ulong)&timeout;
        }
        // GETEVENTS also without waiting: with DEFER_TASKRUN completions are only posted by it.
        long result = UringNative.UringEnter(
            UringNative.SYS_io_uring_enter,
            _fd,
            Queued,
            completions,
            UringNative.IORING_ENTER_GETEVENTS | UringNative.IORING_ENTER_EXT_ARG,
            &argument,
            (nuint)sizeof(WaitArgument));
        return result < 0 ? Marshal.GetLastPInvokeError() : 0;
    }

    /// <summary>Take the oldest completion, if there is one.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryReap(out CompletionEntry completion)
    {
        uint head = *_completionHead;
        if (head == Volatile.Read(ref *_completionTail))
        {
            completion = default;
            return false;
        }
        completion = _completions[head & _completionMask];
        Volatile.Write(ref *_completionHead, unchecked(head + 1));
        return true;
    }

    /// <summary>
    /// Only when no operation is outstanding: closing the ring cancels, and the kernel may still own buffers.
    /// </summary>
    public void Dispose()
    {
        if (_isDisposed)
        {
            return;
        }
        _isDisposed = true;
        Release(UringNative.Unmap(_rings, _ringsBytes), "munmap");
        Release(UringNative.Unmap(_entries, _entriesBytes), "munmap");
        Release(UringNative.Close(_fd), "close");
    }

    private static void Release(int result, string call)
    {
        if (result < 0)
        {
            throw new SystemCallException(call, "io_uring", Marshal.GetLastPInvokeError());
        }
    }

    private static int SetUp(uint submissionEntries, uint completionEntries, out UringParameters parameters)
    {
        // Newest first; a kernel that does not know a flag answers EINVAL and gets the next, smaller set.
        const uint Always = UringNative.IORING_SETUP_CQSIZE | UringNative.IORING_SETUP_R_DISABLED;
        // The kernel's work for us waits until we call, and is announced in the ring.
        const uint Polite = Always | UringNative.IORING_SETUP_SUBMIT_ALL
            | UringNative.IORING_SETUP_COOP_TASKRUN | UringNative.IORING_SETUP_TASKRUN_FLAG;
        ReadOnlySpan<uint> flagSets =
        [
            Polite | UringNative.IORING_SETUP_SINGLE_ISSUER | UringNative.IORING_SETUP_DEFER_TASKRUN,
            Polite | UringNative.IORING_SETUP_SINGLE_ISSUER,
            Polite,
            Always | UringNative.IORING_SETUP_SUBMIT_ALL,
            Always,
        ];
        int errno = 0;
        foreach (uint flags in flagSets)
        {
            UringParameters asked = new() { flags = flags, cq_entries = completionEntries };
            long fd = UringNative.UringSetup(UringNative.SYS_io_uring_setup, submissionEntries, &asked);
            if (fd >= 0)
            {
                parameters = asked;
                return Require((int)fd, asked.features);
            }
            errno = Marshal.GetLastPInvokeError();
            if (errno != Errno.EINVAL)
            {
                break;
            }
        }
        throw new IoUringUnavailableException(errno);
    }

    private static int Require(int fd, uint features)
    {
        const uint Needed = UringNative.IORING_FEAT_SINGLE_MMAP
            | UringNative.IORING_FEAT_NODROP | UringNative.IORING_FEAT_EXT_ARG;
        if ((features & Needed) != Needed)
        {
            Release(UringNative.Close(fd), "close");
            throw new IoUringUnavailableException(Errno.EINVAL);
        }
        // Zeros only ask (Linux 5.15): whoever makes the ring is told, and not the loop's thread.
        uint* workers = stackalloc uint[2] { 0, 0 };
        long asked = UringNative.UringRegister(
            UringNative.SYS_io_uring_register, fd, UringNative.IORING_REGISTER_IOWQ_MAX_WORKERS, workers, 2);
        if (asked < 0)
        {
            int errno = Marshal.GetLastPInvokeError();
            Release(UringNative.Close(fd), "close");
            throw new IoUringUnavailableException(errno);
        }
        // A filter may forbid the third call alone. The ring itself says that it is not enabled yet.
        long entered = UringNative.UringEnter(UringNative.SYS_io_uring_enter, fd, 0, 0, 0, null, 0);
        int refusal = entered < 0 ? Marshal.GetLastPInvokeError() : 0;
        if (refusal is not (0 or Errno.EBADFD or Errno.EINTR))
        {
            Release(UringNative.Close(fd), "close");
            throw new IoUringUnavailableException(refusal);
        }
        return fd;
    }

    private nint Map(nuint bytes, long offset)
    {
        nint address = UringNative.Map(
            0, bytes, UringNative.PROT_READ_WRITE, UringNative.MAP_SHARED_POPULATE, _fd, offset);
        return address == -1 ? throw new IoUringUnavailableException(Marshal.GetLastPInvokeError()) : address;
    }
}
