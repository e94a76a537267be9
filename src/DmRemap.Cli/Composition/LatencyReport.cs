using System;
using DmRemap.Control.Contracts;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Accounting;

namespace DmRemap.Cli.Composition;

/// <summary>Histograms as `status` carries them.</summary>
internal static class LatencyReport
{
    private const double NanosecondsPerUs = 1000;

    public static Latencies Of(OperationLatencies operations) => new(
        Of(operations.Reads), Of(operations.Writes), Of(operations.Flushes), Of(operations.Zeroings));

    /// <summary>Null where nothing was counted.</summary>
    public static Latency? Of(LatencyHistogram histogram)
    {
        LatencySummary summary = histogram.Summarize();
        if (summary.Count == 0)
        {
            return null;
        }
        double mean = summary.Total.Nanoseconds / (double)summary.Count;
        return new Latency(
            summary.Count,
            Math.Round(mean / NanosecondsPerUs, 1),
            Microseconds(summary.Median),
            Microseconds(summary.Percent90),
            Microseconds(summary.Percent99),
            Microseconds(summary.Permille999),
            Microseconds(summary.Longest));
    }

    private static double Microseconds(Duration duration) =>
        Math.Round(duration.Nanoseconds / NanosecondsPerUs, 1);
}
