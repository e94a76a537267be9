using System;
using DmRemap.Core.Abstractions;
using DmRemap.Linux.Native;

namespace DmRemap.Linux.Sockets;

/// <summary>
/// What is left of a gathered send that ended short. Kernels from 5.19 go on themselves (MSG_WAITALL); older
/// ones do not.
/// </summary>
internal static class SentBytes
{
    /// <summary>
    /// Leave out what the kernel has taken, which is less than all. Returns the first vector that is left.
    /// </summary>
    public static int Skip(Span<IoVector> vectors, long bytes)
    {
        ulong rest = (ulong)bytes;
        int first = 0;
        while (rest >= vectors[first].iov_len)
        {
            rest -= vectors[first].iov_len;
            first++;
            Invariant.Check(first < vectors.Length);
        }
        vectors[first].iov_base += rest;
        vectors[first].iov_len -= rest;
        return first;
    }
}
