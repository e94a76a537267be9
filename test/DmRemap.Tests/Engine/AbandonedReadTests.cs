using System.Collections.Generic;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using DmRemap.Engine;
using Xunit;

namespace DmRemap.Tests.Engine;

/// <summary>Reads that nobody waits for any more, and a disk that still has them (F-19).</summary>
public sealed class AbandonedReadTests : IIoOwner
{
    private int _answers;

    void IIoOwner.OnCompleted(IoRequest request) => _answers++;

    [Fact]
    public void A_member_with_many_of_them_gets_no_more_reads_until_it_has_answered()
    {
        EngineBench bench = new();
        bench.Write(0, EngineBench.Pattern(8, 512, 1));
        bench.Primary.Hang = request => request.Operation == IoOperation.Read;
        List<IoRequest> reads = [];
        for (int i = 0; i < Limits.ReadsAbandonedOfMemberMax; i++)
        {
            IoRequest read = new();
            read.Prepare(
                this, IoOperation.Read, new Extent(new BlockNumber(i * 8), new BlockCount(8)),
                AlignedMemory.Allocate(4096));
            bench.Device.Submit(read);
            reads.Add(read);
            bench.Loop.RunUntilIdle();
        }
        Assert.Equal(0, bench.Device.Primary.ReadsAbandoned);
        foreach (IoRequest read in reads)
        {
            bench.Device.OnReadAbandoned(read);
        }
        Assert.Equal(Limits.ReadsAbandonedOfMemberMax, bench.Device.Primary.ReadsAbandoned);
        Assert.Single(bench.Events, e => e.Kind == EngineEventKind.ReadsAbandoned);
        Outcome refused = bench.Read(0, 8);
        Assert.Equal((IoStatus.DeviceError, 110), (refused.Status, refused.Errno));
        Assert.Equal(Limits.ReadsAbandonedOfMemberMax, bench.Primary.InFlight);
        // Writes are not concerned, nor is anything moved.
        Assert.Equal(IoStatus.Ok, bench.Write(800, EngineBench.Pattern(8, 512, 2)).Status);
        Assert.Equal(0, bench.Device.Table.Count);
        Assert.Equal(0, bench.Device.Suspects.Count);

        bench.Primary.Hang = null;
        bench.Primary.ReleaseHanging();
        bench.Loop.RunUntilIdle();
        Assert.Equal(Limits.ReadsAbandonedOfMemberMax, _answers);
        Assert.Equal(0, bench.Device.Primary.ReadsAbandoned);
        Assert.All(bench.Read(0, 8).Data, value => Assert.Equal(1, value));
    }

    /// <summary>What waits for a disk that is gone is counted, and is no more when it is back.</summary>
    [Fact]
    public void Reads_that_wait_for_a_disk_that_is_gone_count_too()
    {
        EngineBench bench = new(new BenchOptions { OnGone = OnGone.Hold });
        Assert.Equal(IoStatus.Ok, bench.Flush().Status);
        bench.Primary.Fault = (_, _) => 19;
        IoRequest read = new();
        read.Prepare(
            this, IoOperation.Read, new Extent(new BlockNumber(0), new BlockCount(8)),
            AlignedMemory.Allocate(4096));
        bench.Device.Submit(read);
        bench.Loop.RunFor(Duration.FromSeconds(5));
        bench.Device.OnReadAbandoned(read);
        Assert.Equal(1, bench.Device.Primary.ReadsAbandoned);
        bench.Primary.Fault = null;
        bench.Loop.RunFor(Duration.FromSeconds(3));
        Assert.Equal(1, _answers);
        Assert.Equal(0, bench.Device.Primary.ReadsAbandoned);
    }
}
