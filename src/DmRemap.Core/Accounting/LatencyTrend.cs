using System;
using DmRemap.Core.Abstractions;

namespace DmRemap.Core.Accounting;

/// <summary>
/// One kind of operation of one device, window by window, against what it used to take. What many operations
/// at once wait for each other is taken out: lengths are divided by how many there were at a time (their
/// lengths together by that of the window), so that a busy disk is not a slow one.
/// </summary>
public sealed class LatencyTrend
{
    /// <summary>Fewer in a window say nothing.</summary>
    public const int CountMin = 16;

    /// <summary>Windows from which on the past is something to compare with.</summary>
    public const int LearnedMin = 6;

    /// <summary>So many times as long as it used to be.</summary>
    private const int SlowFactor = 4;

    /// <summary>Back at this, it is as it was.</summary>
    private const int CalmFactor = 2;

    /// <summary>A new window's weight in what is usual: one in so many.</summary>
    private const int Memory = 64;

    /// <summary>Below these nobody calls a disk slow, however fast it used to be.</summary>
    private static readonly Duration s_medianFloor = Duration.FromMilliseconds(50);

    private static readonly Duration s_tailFloor = Duration.FromMilliseconds(1000);

    /// <summary>Above these it is, also where nothing is known of its past.</summary>
    private static readonly Duration s_medianCeiling = Duration.FromMilliseconds(500);

    private static readonly Duration s_tailCeiling = Duration.FromMilliseconds(5000);

    private readonly long[] _before = new long[LatencyHistogram.Buckets];
    private readonly long[] _window = new long[LatencyHistogram.Buckets];
    private Duration _totalBefore;

    /// <summary>Of the latest window.</summary>
    public long Count { get; private set; }

    public Duration Median { get; private set; }

    /// <summary>99 of a hundred were not longer.</summary>
    public Duration Tail { get; private set; }

    public Duration UsualMedian { get; private set; }

    public Duration UsualTail { get; private set; }

    public int Learned { get; private set; }

    public bool IsTelling => Count >= CountMin;

    public bool IsSlow => IsTelling
        && (IsAbove(Median, UsualMedian, s_medianFloor, s_medianCeiling)
            || IsAbove(Tail, UsualTail, s_tailFloor, s_tailCeiling));

    public bool IsCalm => IsTelling && IsBack(Median, UsualMedian, s_medianFloor)
        && IsBack(Tail, UsualTail, s_tailFloor);

    /// <summary>Take what was recorded since the last time.</summary>
    public void Take(LatencyHistogram recorded, Duration length)
    {
        Invariant.Check(length > Duration.Zero);
        Count = recorded.Subtract(_before, _window);
        Duration total = recorded.Total;
        long concurrency = (total.Nanoseconds - _totalBefore.Nanoseconds) / length.Nanoseconds;
        _totalBefore = total;
        Median = AtATime(LatencyHistogram.Quantile(_window, Count, 500), concurrency);
        Tail = AtATime(LatencyHistogram.Quantile(_window, Count, 990), concurrency);
    }

    /// <summary>The latest window was as windows usually are.</summary>
    public void Learn()
    {
        if (!IsTelling)
        {
            return;
        }
        Learned = Math.Min(Learned + 1, Memory);
        UsualMedian = Nearer(UsualMedian, Median);
        UsualTail = Nearer(UsualTail, Tail);
    }

    private bool IsAbove(Duration now, Duration usual, Duration floor, Duration ceiling) =>
        Learned < LearnedMin
            ? now >= ceiling
            : now >= floor && now.Nanoseconds >= SlowFactor * usual.Nanoseconds;

    private static bool IsBack(Duration now, Duration usual, Duration floor) =>
        now < floor || now.Nanoseconds < CalmFactor * usual.Nanoseconds;

    /// <summary>At first the plain average of all windows, then one that forgets slowly.</summary>
    private Duration Nearer(Duration usual, Duration now) =>
        new(usual.Nanoseconds + ((now.Nanoseconds - usual.Nanoseconds) / Learned));

    private static Duration AtATime(Duration length, long concurrency) =>
        new(length.Nanoseconds / Math.Max(1, concurrency));
}
