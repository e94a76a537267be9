using System.Collections.Generic;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using DmRemap.Core.Remapping;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Engine;

/// <summary>
/// Of two writes to one place the older may be of a client that lost its patience and came back: it must not
/// land after the newer one, which has been answered.
/// </summary>
public sealed class GoneMemberOrderTests
{
    private const int NoSuchDevice = 19;
    private const int Unit = 100;
    private const int Start = Unit * 8;

    private static readonly OnGone s_patient = OnGone.HoldFor(Duration.FromSeconds(30));

    /// <summary>Both were out when the disk went, and the newer failed first.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Writes_that_were_out_together_go_out_again_in_the_order_they_came(bool isReversed)
    {
        EngineBench bench = new(new BenchOptions { OnGone = s_patient });
        bench.Primary.Hang = request => request.Operation == IoOperation.Write;
        List<IoStatus> answers = [];
        Write(bench, 80, 8, 1, answers);
        Write(bench, 80, 8, 2, answers);
        Write(bench, 80, 8, 3, answers);
        bench.Loop.RunFor(Duration.FromMilliseconds(1));
        bench.Primary.Fault = (_, _) => NoSuchDevice;
        bench.Primary.Hang = null;
        bench.Primary.ReleaseHanging(isReversed);
        bench.Loop.RunFor(Duration.FromSeconds(2));
        Assert.Empty(answers);
        bench.Primary.Fault = null;
        bench.Loop.RunFor(Duration.FromSeconds(3));
        Assert.Equal([IoStatus.Ok, IoStatus.Ok, IoStatus.Ok], answers);
        Assert.All(bench.Read(80, 8).Data, value => Assert.Equal(3, value));
    }

    /// <summary>
    /// A write of a whole unit leaves nothing behind on a spare that is gone, and need not wait for it; but a
    /// part of the unit waits there, and the disk may be back before anybody has noticed.
    /// </summary>
    [Fact]
    public void Write_of_a_whole_unit_does_not_overtake_a_part_that_waits_for_its_spare()
    {
        EngineBench bench = new(new BenchOptions { OnGone = s_patient, Spares = 2 });
        bench.Primary.BadForWriting.Add(Start);
        Assert.Equal(IoStatus.Ok, bench.Write(Start, EngineBench.Pattern(8, 512, 4)).Status);
        bench.Primary.BadForWriting.Clear();
        bench.Device.Table.TryGet(new UnitNumber(Unit), out RemapEntry entry);
        SimulatedDisk spare = bench.Spares[entry.Location.Spare];
        List<IoStatus> answers = [];
        spare.Fault = (_, _) => NoSuchDevice;
        Write(bench, Start + 2, 2, 5, answers);
        bench.Loop.RunFor(Duration.FromMilliseconds(1500));
        Assert.Empty(answers);
        spare.Fault = null;
        Write(bench, Start, 8, 6, answers);
        bench.Loop.RunFor(Duration.FromSeconds(3));
        Assert.Equal([IoStatus.Ok, IoStatus.Ok], answers);
        Assert.All(bench.Read(Start, 8).Data, value => Assert.Equal(6, value));
    }

    private static void Write(EngineBench bench, long start, int blocks, byte value, List<IoStatus> answers)
    {
        BufferSlice buffer = AlignedMemory.Allocate(blocks * 512);
        buffer.Span.Fill(value);
        bench.Start(
            IoOperation.Write, start, blocks, buffer, IoFlags.None, request => answers.Add(request.Status));
    }
}
