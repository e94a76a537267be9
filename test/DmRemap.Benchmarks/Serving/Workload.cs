using DmRemap.Core.Accounting;

namespace DmRemap.Benchmarks.Serving;

/// <summary>Who asks.</summary>
internal enum LoadClient
{
    /// <summary>fio's nbd engine.</summary>
    Fio = 0,

    /// <summary><see cref="BatchingClient"/>.</summary>
    Batching = 1,
}

/// <summary>One row of the table: what is asked of every server.</summary>
/// <param name="Name">For people.</param>
/// <param name="Client">Who asks.</param>
/// <param name="Kind">As fio calls it: randread, randwrite, randrw, read, write.</param>
/// <param name="BlockBytes">Of each request.</param>
/// <param name="Depth">Requests under way at once.</param>
internal sealed record Workload(string Name, LoadClient Client, string Kind, int BlockBytes, int Depth)
{
    /// <summary>
    /// When not 0, every hundredth request of the batching client is for a block whose number is a multiple
    /// of this one, so that it can meet what is remapped.
    /// </summary>
    public long HundredthStride { get; init; }

    /// <summary>The batching client asks for blocks of the first half of the device only.</summary>
    public bool IsOfFirstHalf { get; init; }

    public bool IsRandom => Kind.StartsWith("rand", System.StringComparison.Ordinal);

    /// <summary>Of a workload that only writes.</summary>
    public bool IsWrite => Kind.EndsWith("write", System.StringComparison.Ordinal);
}

/// <summary>What one run of a workload showed. Latencies in microseconds.</summary>
internal readonly record struct Measured(
    double RequestsPerSecond, double P50Us, double P99Us, double P999Us, double ServerCpuUs)
{
    public static Measured Of(double requestsPerSecond, in LatencySummary summary) => new(
        requestsPerSecond,
        summary.Median.Nanoseconds / 1000.0,
        summary.Percent99.Nanoseconds / 1000.0,
        summary.Permille999.Nanoseconds / 1000.0,
        0);
}
