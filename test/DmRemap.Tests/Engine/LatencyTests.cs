using DmRemap.Core.Abstractions;
using DmRemap.Core.Accounting;
using Xunit;

namespace DmRemap.Tests.Engine;

/// <summary>What is counted where, in the histograms of clients and of members.</summary>
public sealed class LatencyTests
{
    [Fact]
    public void Each_request_counts_once_with_its_operation()
    {
        EngineBench bench = new(new BenchOptions { LatencyMax = Duration.FromMilliseconds(2) });
        bench.Write(100, EngineBench.Pattern(8, 512, 7));
        bench.Write(200, EngineBench.Pattern(8, 512, 7));
        bench.Read(100, 8);
        bench.Flush();
        OperationLatencies clients = bench.Device.Counters.Latencies;
        Assert.Equal(2, clients.Writes.Summarize().Count);
        Assert.Equal(1, clients.Reads.Summarize().Count);
        Assert.Equal(1, clients.Flushes.Summarize().Count);
        Assert.Equal(0, clients.Zeroings.Summarize().Count);
        OperationLatencies main = bench.Device.Primary.Latencies;
        Assert.Equal(clients.Writes.Summarize(), main.Writes.Summarize());
        Assert.Equal(clients.Reads.Summarize(), main.Reads.Summarize());
        Assert.Equal(1, main.Flushes.Summarize().Count);
    }

    [Fact]
    public void Repaired_write_is_slow_for_its_client_and_each_attempt_counts_at_its_member()
    {
        EngineBench bench = new(new BenchOptions { LatencyMax = Duration.FromMilliseconds(2) });
        bench.Primary.BadForWriting.Add(803);
        Assert.Equal(IoStatus.Ok, bench.Write(800, EngineBench.Pattern(8, 512, 9)).Status);
        LatencySummary client = bench.Device.Counters.Latencies.Writes.Summarize();
        LatencySummary main = bench.Device.Primary.Latencies.Writes.Summarize();
        LatencySummary spare = bench.Device.Spare(0).Latencies.Writes.Summarize();
        Assert.Equal(1, client.Count);
        Assert.True(main.Count >= 1);
        Assert.Equal(1, spare.Count);
        Assert.Equal(1, bench.Device.Counters.CommitTimes.Summarize().Count);
        // What it waited for, one after the other, is inside its own time.
        Assert.True(client.Longest >= main.Longest);
        Assert.True(client.Total.Nanoseconds >= main.Longest.Nanoseconds + spare.Total.Nanoseconds);
    }

    [Fact]
    public void Failed_reads_count_with_the_time_they_took()
    {
        EngineBench bench = new(new BenchOptions { LatencyMax = Duration.FromMilliseconds(2) });
        bench.Primary.BadForReading.Add(803);
        Assert.NotEqual(IoStatus.Ok, bench.Read(800, 8).Status);
        // The request itself, and the rescue's reads after it.
        Assert.True(bench.Device.Primary.Latencies.Reads.Summarize().Count > 1);
        Assert.Equal(1, bench.Device.Counters.Latencies.Reads.Summarize().Count);
    }
}
