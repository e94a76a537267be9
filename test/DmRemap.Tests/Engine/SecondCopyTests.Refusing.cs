using System.Linq;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Remapping;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Engine;

/// <summary>Spares that do not read, do not take anything, or are not here.</summary>
public sealed partial class SecondCopyTests
{
    /// <summary>The first decides, and cannot be read: what is in doubt stays so.</summary>
    [Fact]
    public void Copy_in_doubt_of_a_first_that_does_not_read_stays_in_doubt()
    {
        EngineBench bench = Twofold(s_twofold);
        RemapEntry rule = Rule(bench);
        SimulatedDisk first = bench.Spares[rule.Location.Spare];
        first.Fault = (_, io) => io.Operation == IoOperation.Read ? 5 : 0;
        bench.Device.SecondCopies.Doubt(rule.Second.Spare);
        bench.Device.Copier.Wake();
        bench.Loop.RunFor(s_minute);
        Assert.Equal(rule, Rule(bench));
        Assert.False(bench.Device.AreCopiesInStep);
        first.Fault = null;
        bench.Loop.RunFor(s_minute);
        Assert.True(bench.Device.AreCopiesInStep);
    }

    /// <summary>A spare that refuses everything is not used up by what is written to it.</summary>
    [Fact]
    public void Place_of_a_second_copy_on_a_spare_that_lends_nothing_is_not_retired()
    {
        EngineBench bench = Twofold(s_twofold);
        RemapEntry rule = Rule(bench);
        bench.Device.Allocator.SetUsable(rule.Second.Spare, false);
        bench.Spares[rule.Second.Spare].Fault = (_, io) => io.Operation == IoOperation.Write ? 61 : 0;
        Assert.Equal(IoStatus.Ok, bench.Write(First + 2, EngineBench.Pattern(3, 512, 7)).Status);
        Assert.True(bench.Log.Durable[Unit].Second.IsNone);
        Assert.Empty(bench.Log.Retired);
        Assert.Equal(0, bench.Device.Allocator.TotalUnitsRetired);
    }

    /// <summary>
    /// A person does without the spare that has the first. It was never seen, so that nothing is known of its
    /// sectors; the second has one bad one.
    /// </summary>
    [Fact]
    public void Unit_of_a_missing_first_takes_along_what_the_second_reads_and_loses_the_rest()
    {
        BenchOptions options = s_twofold with { Spares = 3, PhysicalBytes = 512 };
        EngineBench before = Twofold(options);
        RemapEntry rule = Rule(before);
        EngineBench bench = new(options with
        {
            AbsentSpare = rule.Location.Spare,
            SpareImages = [.. before.Spares.Select(spare => spare.Content)],
            Entries = before.Log.Durable,
        });
        bench.Spares[rule.Second.Spare].BadForReading.Add(bench.SpareBlock(rule.Second) + 3);
        Emptying request = new() { Spare = rule.Location.Spare, AcceptsLoss = true };
        Assert.True(bench.Device.TryStartEvacuation(request));
        bench.Loop.RunUntil(() => !bench.Device.IsEvacuating);
        Assert.True(request.IsComplete);
        Assert.Equal((1, 1), (request.UnitsMoved, request.BlocksLost));
        Assert.Equal(IoStatus.Unreadable, bench.Read(First + 3, 1).Status);
        Assert.All(bench.Read(First, 3).Data, b => Assert.Equal(9, b));
        Assert.All(bench.Read(First + 4, 4).Data, b => Assert.Equal(9, b));
    }
}
