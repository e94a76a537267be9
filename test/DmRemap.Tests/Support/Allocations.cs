using System;
using Xunit;

namespace DmRemap.Tests.Support;

internal static class Allocations
{
    private const int Attempts = 3;

    /// <summary>
    /// The work, done many times, allocates nothing on this thread once it is warm. Three attempts, and the
    /// best counts: what a request allocates shows in each of them, what the runtime allocates once (a string
    /// literal, when it compiles a method again) does not.
    /// </summary>
    public static void AssertNone(Action work)
    {
        work();
        long best = long.MaxValue;
        for (int attempt = 0; attempt < Attempts && best > 0; attempt++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            work();
            best = Math.Min(best, GC.GetAllocatedBytesForCurrentThread() - before);
        }
        Assert.Equal(0, best);
    }
}
