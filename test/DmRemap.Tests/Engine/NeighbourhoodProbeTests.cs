using System.Collections.Generic;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Remapping;
using DmRemap.Core.Scrubbing;
using Xunit;

namespace DmRemap.Tests.Engine;

public sealed class NeighbourhoodProbeTests
{
    private static EngineBench Bench(long mebibytes = 8) =>
        new(new BenchOptions { Blocks = mebibytes * 2048, SpareUnits = 1000, ProbesNeighbourhood = true });

    /// <summary>Units whose reads fail twice each, and then do not.</summary>
    private static void Weaken(EngineBench bench, params long[] units)
    {
        Dictionary<long, int> left = [];
        foreach (long unit in units)
        {
            left[unit] = 2;
        }
        bench.Primary.Fault = (_, request) =>
        {
            if (request.Operation != IoOperation.Read)
            {
                return 0;
            }
            foreach (long unit in left.Keys)
            {
                Extent blocks = new(new BlockNumber(unit * 8), new BlockCount(8));
                if (request.Extent.Overlaps(blocks) && left[unit] > 0)
                {
                    left[unit]--;
                    return 61;
                }
            }
            return 0;
        };
    }

    [Fact]
    public void Weak_neighbours_of_a_bad_unit_are_moved_before_anybody_asks_for_them()
    {
        EngineBench bench = Bench();
        Weaken(bench, 480, 500, 520, 560);
        Assert.Equal(IoStatus.Ok, bench.Read(500 * 8, 8).Status);
        bench.Loop.RunFor(Duration.FromSeconds(10));
        foreach (long unit in (long[])[480, 500, 520, 560])
        {
            Assert.True(bench.Device.Table.TryGet(new UnitNumber(unit), out RemapEntry entry), $"{unit}");
            Assert.Equal(UnitState.Remapped, entry.State);
        }
        Assert.Equal(1, bench.Device.Counters.Reads);
    }

    /// <summary>Each find leads further, one window for all of them.</summary>
    [Fact]
    public void It_goes_further_while_it_keeps_finding_and_ends()
    {
        EngineBench bench = Bench();
        bench.Primary.BadForReading.Add(8000);
        for (int i = 1; i <= 6; i++)
        {
            bench.Primary.BadForReading.Add(8000 + (i * 500));
        }
        Assert.NotEqual(IoStatus.Ok, bench.Read(8000, 1).Status);
        bench.Loop.RunFor(Duration.FromSeconds(30));
        for (int i = 1; i <= 6; i++)
        {
            Assert.True(bench.Device.Suspects.Contains(new UnitNumber((8000 + (i * 500)) / 8)), $"{i}");
        }
        Assert.Equal(6, bench.Device.Probe!.Found);
        Assert.Equal(1, bench.Device.Probe.Windows);
        long operations = bench.Primary.Operations;
        bench.Loop.RunFor(Duration.FromSeconds(100));
        Assert.Equal(operations, bench.Primary.Operations);
    }

    [Fact]
    public void Disk_that_fails_as_a_whole_is_left_alone()
    {
        EngineBench bench = Bench();
        Weaken(bench, 500);
        Assert.Equal(IoStatus.Ok, bench.Read(500 * 8, 8).Status);
        bench.Primary.Fault = (_, _) => 6;
        bench.Loop.RunFor(Duration.FromSeconds(5));
        long operations = bench.Primary.Operations;
        bench.Loop.RunFor(Duration.FromSeconds(100));
        // What is left is the look each second whether the disk is back.
        Assert.Equal(operations + 100, bench.Primary.Operations);
        Assert.Equal(0, bench.Device.Suspects.Count);
    }

    [Fact]
    public void Window_reads_every_block_around_the_unit_once_and_stays_on_the_device()
    {
        Extent device = new(new BlockNumber(0), new BlockCount(4096));
        Extent bad = new(new BlockNumber(200), new BlockCount(8));
        ProbeWindow window = new(bad, device, new BlockSize(512));
        bool[] isRead = new bool[4096];
        int found = 0;
        while (window.TryNext(out Extent chunk))
        {
            for (long block = chunk.Start.Value; block < chunk.End.Value; block++)
            {
                Assert.False(isRead[block]);
                isRead[block] = true;
            }
            if (found < 3)
            {
                found++;
                window.OnFound();
            }
        }
        // The third chunk is the second to the right: 8 more from there on are 9 to each side.
        Assert.True(isRead[0] && isRead[199] && !isRead[200] && !isRead[207] && isRead[208]);
        Assert.Equal(208 + (9 * 128), System.Array.LastIndexOf(isRead, true) + 1);
        Assert.Equal(0, window.Covered.Start.Value);
        Assert.Equal(208 + (9 * 128), window.Covered.End.Value);
    }
}
