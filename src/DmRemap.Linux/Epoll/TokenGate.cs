using System;
using System.Runtime.InteropServices;
using System.Threading;
using DmRemap.Linux.Native;

namespace DmRemap.Linux.Epoll;

/// <summary>
/// Threads wait here for tokens: a counting semaphore on a futex. Giving neither waits nor allocates, and
/// takes a system call only where somebody sleeps. It wakes one; who finds more work than he can do wakes the
/// next, so that the giver does not pay for all.
/// </summary>
internal sealed unsafe class TokenGate
{
    // Apart by a cache line.
    private const int WaitersIndex = 32;

    private readonly int[] _memory = GC.AllocateArray<int>(2 * WaitersIndex, pinned: true);
    private readonly int* _tokens;

    public TokenGate() => _tokens = (int*)Marshal.UnsafeAddrOfPinnedArrayElement(_memory, 0);

    /// <summary>Perhaps one less by now.</summary>
    public bool HasWaiters => Volatile.Read(ref _memory[WaitersIndex]) > 0;

    public void Give(int tokens) => Interlocked.Add(ref _memory[0], tokens);

    /// <summary>One of those that sleep, if there is one.</summary>
    public void WakeOne() => Wake(1);

    /// <summary>Nobody waits here any more. Once or more often.</summary>
    public void Open()
    {
        // Not added: twice that would be less than none.
        Interlocked.Exchange(ref _memory[0], int.MaxValue / 2);
        Wake(int.MaxValue);
    }

    public void Take()
    {
        while (true)
        {
            int tokens = Volatile.Read(ref _memory[0]);
            if (tokens > 0)
            {
                if (Interlocked.CompareExchange(ref _memory[0], tokens - 1, tokens) == tokens)
                {
                    return;
                }
                continue;
            }
            // First this, then the look at the tokens, which the kernel does once more: whoever gives one
            // does it the other way round, and so one of both sees the other.
            Interlocked.Increment(ref _memory[WaitersIndex]);
            _ = EpollNative.Futex(
                EpollNative.SYS_futex, _tokens, EpollNative.FUTEX_WAIT_PRIVATE, 0, null, null, 0);
            Interlocked.Decrement(ref _memory[WaitersIndex]);
        }
    }

    private void Wake(int threads) =>
        _ = EpollNative.Futex(
            EpollNative.SYS_futex, _tokens, EpollNative.FUTEX_WAKE_PRIVATE, threads, null, null, 0);
}
