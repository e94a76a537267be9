using System;
using System.Linq;
using DmRemap.Core.Abstractions;
using Xunit;

namespace DmRemap.Tests.Engine;

/// <summary>Zeroes over much cost little (S12), and are as durable as they say.</summary>
public sealed class RemapDeviceZeroingTests
{
    [Fact]
    public void Zeroes_over_everything_are_as_many_operations_as_there_are_rules_and_slices()
    {
        EngineBench bench = new();
        bench.Primary.Content.AsSpan().Fill(1);
        foreach (int unit in (int[])[100, 150])
        {
            bench.Primary.BadForWriting.Add(unit * 8);
            Assert.Equal(IoStatus.Ok, bench.Write(unit * 8, EngineBench.Pattern(8, 512, 9)).Status);
        }
        bench.Primary.Log = [];
        bench.Spares[0].Log = [];
        Assert.Equal(IoStatus.Ok, bench.Zero(0, bench.Device.Geometry.Blocks.Value).Status);
        Assert.Equal(3, bench.Primary.Log.Count);
        Assert.Empty(bench.Spares[0].Log!);
        Assert.All(bench.Read(100 * 8, 8).Data, b => Assert.Equal(0, b));
        Assert.All(bench.Read(99 * 8, 8).Data, b => Assert.Equal(0, b));
    }

    /// <summary>What it has cleared must not be there again after a power cut (P1).</summary>
    [Theory]
    [InlineData(IoOperation.WriteZeroes)]
    [InlineData(IoOperation.Discard)]
    public void Forced_clearing_is_answered_behind_a_flush(IoOperation operation)
    {
        EngineBench bench = new();
        Assert.True(bench.Device.Geometry.CanDiscard);
        Assert.Equal(IoStatus.Ok, bench.Flush().Status);
        bench.Primary.Log = [];
        Outcome plain = bench.Run(operation, 0, 64, default, IoFlags.None);
        Assert.Equal(IoStatus.Ok, plain.Status);
        Assert.DoesNotContain(bench.Primary.Log, IsFlush);
        Assert.Equal(IoStatus.Ok, bench.Run(operation, 0, 64, default, IoFlags.ForceUnitAccess).Status);
        Assert.True(IsFlush(bench.Primary.Log.Last()), string.Join('\n', bench.Primary.Log));
    }

    private static bool IsFlush(string line) => line.StartsWith("Flush", StringComparison.Ordinal);
}
