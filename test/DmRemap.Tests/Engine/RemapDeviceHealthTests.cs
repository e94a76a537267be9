using System;
using System.Collections.Generic;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using DmRemap.Core.Remapping;
using DmRemap.Tests.Core;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Engine;

public sealed class RemapDeviceHealthTests
{
    /// <summary>Whatever table and suspects: the runs are what a look at each block says.</summary>
    [Theory]
    [InlineData(0)]
    [InlineData(1024)]
    public void Health_runs_are_what_each_block_is(int alignmentOffset)
    {
        for (int seed = 0; seed < 40; seed++)
        {
            Random random = new(seed);
            BenchOptions options = new() { AlignmentOffset = alignmentOffset };
            UnitGeometry units = new(new BlockSize(512), 4096, new BlockCount(2048), alignmentOffset);
            EngineBench bench = new(options with { Entries = RandomEntries(random, units) });
            for (int i = random.Next(6); i > 0; i--)
            {
                bench.Device.Suspects.OnFailure(
                    new UnitNumber(random.NextInt64(units.Units)), (ulong)random.Next(1, 256), default);
            }
            HealthRun[] runs = new HealthRun[random.Next(1, 200)];
            for (int ask = 0; ask < 30; ask++)
            {
                long start = random.NextInt64(2048);
                Extent extent = Entries.Blocks(start, start + 1 + random.NextInt64(2048 - start));
                Check(bench, extent, runs.AsSpan(0, bench.Device.ListHealth(extent, runs)), $"seed={seed}");
            }
        }
    }

    [Fact]
    public void Lost_blocks_are_lost_until_they_are_written_and_then_remapped()
    {
        EngineBench bench = new(new BenchOptions
        {
            Entries = new() { [2] = Entries.Lost(2, Entries.All(BlockState.Lost)) },
        });
        HealthRun[] runs = new HealthRun[8];
        Assert.Equal(BlockHealth.Lost, First(bench, runs));
        Assert.Equal(IoStatus.Ok, bench.Write(16, new byte[4096]).Status);
        Assert.Equal(BlockHealth.Remapped, First(bench, runs));
    }

    [Fact]
    public void Listing_health_allocates_nothing_and_ends_although_the_table_does_not()
    {
        SortedDictionary<long, RemapEntry> entries = [];
        for (long unit = 0; unit < 5000; unit++)
        {
            // Each a run of its own, all alike: one run of health, too long for one look.
            entries[unit] = Entries.OnSpare(unit, 2 * unit);
        }
        EngineBench bench = new(
            new BenchOptions { Blocks = 8 * 5000, SpareUnits = 10_000, Entries = entries });
        HealthRun[] runs = new HealthRun[8];
        Extent whole = Entries.Blocks(0, 8 * 5000);
        Assert.Equal(1, bench.Device.ListHealth(whole, runs));
        Assert.InRange(runs[0].Count.Value, 1000, 5000 * 8 / 2);
        Allocations.AssertNone(() => bench.Device.ListHealth(whole, runs));
    }

    private static BlockHealth First(EngineBench bench, HealthRun[] runs)
    {
        Assert.Equal(1, bench.Device.ListHealth(Entries.Blocks(16, 24), runs));
        return runs[0].Health;
    }

    private static SortedDictionary<long, RemapEntry> RandomEntries(Random random, UnitGeometry units)
    {
        SortedDictionary<long, RemapEntry> entries = [];
        long spare = 0;
        for (long unit = random.Next(4); unit < units.Units && spare < 120; unit += random.Next(3) * 3 + 1)
        {
            ulong full = units.FullMask(new UnitNumber(unit));
            BlockStates states = random.Next(3) == 0
                ? new BlockStates((ulong)random.NextInt64() & full, (ulong)random.NextInt64() & full)
                : default(BlockStates).With(full, BlockState.OnSpare);
            RemapEntry entry = Entries.OnSpare(unit, spare) with { Blocks = states };
            if (random.Next(4) == 0)
            {
                entry = Entries.Lost(unit, default(BlockStates).With(full & 0xF5, BlockState.Lost));
            }
            entries[unit] = entry;
            spare++;
        }
        return entries;
    }

    private static void Check(EngineBench bench, Extent extent, ReadOnlySpan<HealthRun> runs, string where)
    {
        Assert.False(runs.IsEmpty);
        long block = extent.Start.Value;
        for (int i = 0; i < runs.Length; i++)
        {
            Assert.True(i == 0 || runs[i].Health != runs[i - 1].Health, where);
            for (long end = block + runs[i].Count.Value; block < end; block++)
            {
                Assert.True(NaiveHealth(bench, block) == runs[i].Health, $"{where} block={block}");
            }
        }
        Assert.True(block <= extent.End.Value, where);
    }

    private static BlockHealth NaiveHealth(EngineBench bench, long block)
    {
        UnitGeometry units = bench.Device.Units;
        UnitNumber unit = units.UnitOf(new BlockNumber(block));
        int index = units.IndexInUnit(new BlockNumber(block));
        bool isSuspect = bench.Device.Suspects.TryGet(unit, out Suspect suspect)
            && ((suspect.BadBlocks >> index) & 1) != 0;
        BlockState state = bench.Device.Table.TryGet(unit, out RemapEntry entry)
            ? entry.Blocks[index] : BlockState.OnPrimary;
        return state == BlockState.Lost ? BlockHealth.Lost
            : isSuspect ? BlockHealth.Suspect
            : state == BlockState.OnPrimary ? BlockHealth.Healthy
            : BlockHealth.Remapped;
    }
}
