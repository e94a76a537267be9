using System;
using Xunit;

namespace DmRemap.Tests.Support;

/// <summary>
/// What work allocates once it is warm: the least of a few attempts. What a request allocates shows in each
/// of them. What is no request's does not: what the runtime allocates once (a string literal, when it
/// compiles a method again), and the unused rest of this thread's allocation buffer, which is counted when a
/// collection that another thread's test causes ends the buffer.
/// </summary>
internal static class Allocations
{
    public const int Attempts = 5;

    /// <summary>The work, done many times, allocates nothing on this thread.</summary>
    public static void AssertNone(Action work) => Assert.Equal(0, LeastBy(work));

    /// <summary>Bytes allocated on this thread.</summary>
    public static long LeastBy(Action work) => LeastBy(work, GC.GetAllocatedBytesForCurrentThread);

    /// <summary>
    /// Bytes allocated on the thread that <paramref name="read"/> reads the counter of, if asking for it
    /// allocates nothing there.
    /// </summary>
    public static long LeastBy(Action work, Func<long> read)
    {
        work();
        long least = long.MaxValue;
        for (int attempt = 0; attempt < Attempts && least > 0; attempt++)
        {
            long before = read();
            work();
            least = Math.Min(least, read() - before);
        }
        return least;
    }
}
