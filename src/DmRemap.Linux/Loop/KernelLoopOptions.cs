using System;
using DmRemap.Core.Abstractions;

namespace DmRemap.Linux.Loop;

public sealed record KernelLoopOptions
{
    /// <summary>Of the thread.</summary>
    public string Name { get; init; } = "loop";

    /// <summary>Of a ring: a power of two.</summary>
    public int SubmissionEntries { get; init; } = Limits.SubmissionQueueEntries;

    /// <summary>
    /// What to do with an exception that escapes a callback, on the loop's thread; the loop ends after it.
    /// Without it the process ends: no one may go on with half-done state.
    /// </summary>
    public Action<Exception>? OnFatal { get; init; }
}
