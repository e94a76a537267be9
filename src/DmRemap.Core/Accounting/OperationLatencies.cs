using System.Runtime.CompilerServices;
using DmRemap.Core.Abstractions;

namespace DmRemap.Core.Accounting;

/// <summary>
/// A histogram for each kind of operation. Failed ones count too: they took their time as well.
/// </summary>
public sealed class OperationLatencies
{
    public LatencyHistogram Reads { get; } = new();

    public LatencyHistogram Writes { get; } = new();

    public LatencyHistogram Flushes { get; } = new();

    /// <summary>Discards and write-zeroes.</summary>
    public LatencyHistogram Zeroings { get; } = new();

    /// <summary>The operation has come back (its result is set).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Record(IoRequest completed)
    {
        LatencyHistogram histogram = completed.Operation switch
        {
            IoOperation.Read => Reads,
            IoOperation.Write => Writes,
            IoOperation.Flush => Flushes,
            _ => Zeroings,
        };
        histogram.Record(completed.Elapsed);
    }
}
