using System;
using System.Collections.Generic;
using System.Threading;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Remapping;
using DmRemap.Tests.Support;
using Xunit;
using static DmRemap.Tests.Core.Entries;

namespace DmRemap.Tests.Core;

public sealed class RemapTableTests
{
    private const int LeafUnits = 32_768;

    [Fact]
    public void Empty_table_over_a_tebibyte_has_no_entry_and_costs_less_than_a_mebibyte()
    {
        UnitGeometry geometry = new(new BlockSize(4096), 4096, new BlockCount(1L << 28), 0);
        RemapTable table = new(geometry);
        Assert.True(table.IsEntirelyPrimary(Blocks(0, 1L << 28)));
        Assert.False(table.TryGet(new UnitNumber((1L << 28) - 1), out _));
        Assert.False(table.TryGetNext(new UnitNumber(0), out _));
        Assert.InRange(table.MemoryBytes, 1, 1 << 20);
    }

    [Fact]
    public void Empty_extent_is_entirely_primary_even_inside_an_entry()
    {
        RemapTable table = new(Geometry(4));
        table.Set(OnSpare(1, 0));
        Assert.True(table.IsEntirelyPrimary(Blocks(10, 10)));
        Assert.True(table.IsEntirelyPrimary(Blocks(32, 32)));
        Assert.False(table.IsEntirelyPrimary(Blocks(10, 11)));
    }

    [Fact]
    public void Extent_outside_the_device_is_a_broken_invariant()
    {
        RemapTable table = new(Geometry(4));
        Assert.Throws<InvariantException>(() => table.IsEntirelyPrimary(Blocks(30, 33)));
        Assert.Throws<InvariantException>(() => table.TryGet(new UnitNumber(4), out _));
        Assert.Throws<InvariantException>(() => table.Set(OnSpare(4, 0)));
    }

    [Theory]
    [InlineData(UnitState.LostUnreadable)]
    [InlineData(UnitState.LostDeclared)]
    [InlineData(UnitState.Remapped)]
    [InlineData(UnitState.Probation)]
    public void Entry_comes_back_as_it_was_set(UnitState state)
    {
        foreach (int blocksPerUnit in new[] { 1, 8, 32, 64 })
        {
            RemapTable table = new(Geometry(100_000, blocksPerUnit));
            bool hasSpare = state is UnitState.Remapped or UnitState.Probation;
            ulong all = BlockStates.Mask(0, blocksPerUnit);
            RemapEntry entry = new()
            {
                Unit = new UnitNumber(77_777),
                State = state,
                Location = hasSpare ? At((1L << 48) - 1, Limits.SparesMax - 1) : SpareLocation.None,
                Second = hasSpare ? At((1L << 48) - 2, Limits.SparesMax - 2) : SpareLocation.None,
                Blocks = new BlockStates(hasSpare ? 0x8123456789ABCDEF & all : 0, 0xFEDCBA9876543211 & all),
                LastErrno = ushort.MaxValue,
                LastErrorDay = ushort.MaxValue - 1,
                Trials = hasSpare ? HealTrials.FromPacked(HealTrials.PackedMax - 2) : default,
            };
            table.Set(entry);
            Assert.True(table.TryGet(entry.Unit, out RemapEntry read));
            Assert.Equal(entry, read);
            Assert.True(table.TryGetNext(new UnitNumber(0), out read));
            Assert.Equal(entry, read);
            Assert.False(table.TryGetNext(new UnitNumber(77_778), out _));
            Assert.False(table.TryGetNext(new UnitNumber(0), entry.Unit, out _));
            Assert.False(table.TryGet(new UnitNumber(77_776), out _));
        }
    }

    [Fact]
    public void States_of_places_that_a_short_unit_lacks_are_dropped()
    {
        RemapTable table = new(Geometry(4, 8, 1024));
        table.Set(OnSpare(0, 5));
        Assert.True(table.TryGet(new UnitNumber(0), out RemapEntry read));
        Assert.Equal(BlockStates.Mask(6, 2), read.Blocks.MaskOf(BlockState.OnSpare));
    }

    [Fact]
    public void Adjacent_units_on_adjacent_spare_units_are_one_run_in_any_order_of_arrival()
    {
        RemapTable table = new(Geometry(LeafUnits * 2, 8, 1024));
        foreach (long unit in new[] { 3, 1, 2, 0, 5, 4 })
        {
            table.Set(OnSpare(unit, unit + 10));
        }
        Assert.Equal(1, table.RunCount);
        Assert.Equal(6, table.Count);
        table.Set(OnSpare(6, 99));
        Assert.Equal(2, table.RunCount);
    }

    [Fact]
    public void Differing_neighbours_are_runs_of_their_own()
    {
        RemapTable table = new(Geometry(64));
        RemapEntry entry = OnSpare(0, 10);
        table.Set(entry);
        table.Set(OnSpare(1, 12));
        table.Set(OnSpare(2, 13, 1));
        table.Set(OnSpare(3, 14, 1) with { LastErrno = 5 });
        table.Set(OnSpare(4, 15, 1) with { LastErrno = 5, LastErrorDay = 1 });
        table.Set(OnSpare(5, 16, 1) with { LastErrno = 5, LastErrorDay = 1, State = UnitState.Probation });
        table.Set(Lost(6, All(BlockState.Lost)));
        table.Set(Lost(7, All(BlockState.Lost), UnitState.LostDeclared));
        table.Set(Lost(8, All(BlockState.Zero), UnitState.LostDeclared));
        Assert.Equal(9, table.RunCount);
        table.Set(Lost(9, All(BlockState.Zero), UnitState.LostDeclared));
        Assert.Equal(9, table.RunCount);
    }

    [Fact]
    public void Units_with_mixed_block_states_never_join()
    {
        RemapTable table = new(Geometry(64));
        BlockStates mixed = All(BlockState.Lost).With(1, BlockState.Zero);
        table.Set(Lost(6, mixed));
        table.Set(Lost(7, mixed));
        Assert.Equal(2, table.RunCount);
    }

    [Fact]
    public void Change_in_the_middle_of_a_run_splits_it_and_change_back_joins_it()
    {
        RemapTable table = new(Geometry(64));
        for (int unit = 0; unit < 9; unit++)
        {
            table.Set(OnSpare(unit, unit));
        }
        table.Set(OnSpare(4, 40));
        Assert.Equal(3, table.RunCount);
        Assert.True(table.Remove(new UnitNumber(4)));
        Assert.False(table.Remove(new UnitNumber(4)));
        Assert.Equal(2, table.RunCount);
        Assert.True(table.IsEntirelyPrimary(Blocks(32, 40)));
        table.Set(OnSpare(4, 4));
        Assert.Equal(1, table.RunCount);
        Assert.Equal(9, table.Count);
    }

    [Fact]
    public void Contradicting_entry_is_a_broken_invariant()
    {
        RemapTable table = new(Geometry(64));
        RemapEntry nowhere = OnSpare(0, 0) with { Location = SpareLocation.None };
        Assert.Throws<InvariantException>(() => table.Set(nowhere));
        Assert.Throws<InvariantException>(() => table.Set(OnSpare(0, 0) with { State = UnitState.Suspect }));
        Assert.Throws<InvariantException>(() => table.Set(Lost(0, All(BlockState.OnSpare))));
        Assert.Throws<InvariantException>(() => table.Set(OnSpare(0, 0) with { Second = At(7, 0) }));
        RemapEntry lost = Lost(0, All(BlockState.Lost)) with { Second = At(7, 1) };
        Assert.Throws<InvariantException>(() => table.Set(lost));
        RemapEntry[] descending = [OnSpare(2, 0), OnSpare(1, 1)];
        Assert.Throws<InvariantException>(() => table.SetAscending(descending));
    }

    /// <summary>Every sequence of up to four changes of the four units around a leaf's border.</summary>
    [Fact]
    public void Every_short_sequence_of_changes_leaves_the_model_s_table()
    {
        const int operations = 4 * 4;
        RemapTable table = new(Geometry(LeafUnits + 2));
        Dictionary<long, RemapEntry> model = [];
        for (int sequence = 0; sequence < operations * operations * operations * operations; sequence++)
        {
            for (int rest = sequence, step = 0; step < 4; step++, rest /= operations)
            {
                long unit = LeafUnits - 2 + (rest % 4);
                Apply(table, model, unit, rest / 4 % 4);
            }
            Assert.Equal(model.Count, table.Count);
            for (long unit = LeafUnits - 2; unit < LeafUnits + 2; unit++)
            {
                bool has = table.TryGet(new UnitNumber(unit), out RemapEntry entry);
                Assert.True(has == model.TryGetValue(unit, out RemapEntry expected), $"sequence {sequence}");
                Assert.True(entry == expected, $"sequence {sequence}");
                _ = model.Remove(unit) && table.Remove(new UnitNumber(unit));
            }
            Assert.True(table is { Count: 0, RunCount: 0, LeafBytes: 0 }, $"sequence {sequence}");
        }
    }

    private static void Apply(RemapTable table, Dictionary<long, RemapEntry> model, long unit, int kind)
    {
        if (kind == 0)
        {
            Assert.Equal(model.Remove(unit), table.Remove(new UnitNumber(unit)));
            return;
        }
        RemapEntry entry = kind switch
        {
            1 => OnSpare(unit, unit),
            2 => OnSpare(unit, unit) with { Blocks = All(BlockState.OnSpare).With(1, BlockState.Lost) },
            _ => Lost(unit, All(BlockState.Lost)),
        };
        table.Set(entry);
        model[unit] = entry;
    }

    [Theory]
    [InlineData(1, 8, 0)]
    [InlineData(2, 8, 1024)]
    [InlineData(3, 1, 0)]
    [InlineData(4, 64, 512)]
    [InlineData(5, 32, 0)]
    public void Random_changes_match_a_dictionary(int seed, int blocksPerUnit, int offset)
    {
        const long units = (LeafUnits * 2) + 100;
        Random random = new(seed);
        UnitGeometry geometry = Geometry(units, blocksPerUnit, offset);
        RemapTable table = new(geometry);
        SortedDictionary<long, RemapEntry> model = [];
        for (int step = 0; step < 5000; step++)
        {
            RandomChange(random, geometry, table, model, step);
            if (step % 16 == 0)
            {
                CheckExtent(random, geometry, table, model);
            }
        }
        CheckWhole(table, model);
        foreach (long unit in new List<long>(model.Keys))
        {
            Assert.True(table.Remove(new UnitNumber(unit)));
        }
        Assert.Equal(0, table.Count);
        Assert.Equal(0, table.RunCount);
        Assert.Equal(0, table.LeafBytes);
        Assert.True(table.IsEntirelyPrimary(new Extent(new BlockNumber(0), geometry.Blocks)));
    }

    private static void RandomChange(
        Random random,
        UnitGeometry geometry,
        RemapTable table,
        SortedDictionary<long, RemapEntry> model,
        int step)
    {
        // Half of the steps in one cluster around the border of two leaves, so that runs form and split.
        long unit = step % 2 == 0 ? random.NextInt64(geometry.Units) : LeafUnits - 150 + random.Next(300);
        if (random.Next(3) == 0)
        {
            Assert.Equal(model.Remove(unit), table.Remove(new UnitNumber(unit)));
            return;
        }
        if (random.Next(4) == 0)
        {
            List<RemapEntry> many = [];
            for (int i = 0; i < 40 && unit < geometry.Units; i++, unit += 1 + random.Next(3))
            {
                many.Add(RandomEntry(random, geometry, unit));
            }
            table.SetAscending(many.ToArray());
            many.ForEach(entry => model[entry.Unit.Value] = entry);
            return;
        }
        RemapEntry one = RandomEntry(random, geometry, unit);
        table.Set(one);
        model[unit] = one;
    }

    private static RemapEntry RandomEntry(Random random, UnitGeometry geometry, long unit)
    {
        ulong places = geometry.FullMask(new UnitNumber(unit));
        BlockState state = (BlockState)random.Next(4);
        bool hasSpare = state == BlockState.OnSpare || random.Next(2) == 0;
        BlockStates blocks = default(BlockStates).With(places, state);
        if (random.Next(4) == 0)
        {
            blocks = blocks.With(places & (ulong)random.NextInt64(), BlockState.Lost);
        }
        return new RemapEntry
        {
            Unit = new UnitNumber(unit),
            State = hasSpare ? UnitState.Remapped : UnitState.LostUnreadable,
            Location = hasSpare ? At(unit + 7) : SpareLocation.None,
            Second = hasSpare && random.Next(3) == 0 ? At(unit + 9, 1) : SpareLocation.None,
            Blocks = blocks,
            LastErrno = (ushort)(random.Next(8) == 0 ? 5 : 61),
        };
    }

    private static void CheckExtent(
        Random random, UnitGeometry geometry, RemapTable table, SortedDictionary<long, RemapEntry> model)
    {
        long start = random.NextInt64(geometry.Blocks.Value);
        long end = Math.Min(geometry.Blocks.Value, start + 1 + random.Next(10 * geometry.BlocksPerUnit));
        bool any = false;
        for (long block = start; block < end; block++)
        {
            any |= model.ContainsKey(geometry.UnitOf(new BlockNumber(block)).Value);
        }
        Assert.Equal(!any, table.IsEntirelyPrimary(Blocks(start, end)));
    }

    private static void CheckWhole(RemapTable table, SortedDictionary<long, RemapEntry> model)
    {
        Assert.Equal(model.Count, table.Count);
        long from = 0;
        foreach (RemapEntry expected in model.Values)
        {
            Assert.True(table.TryGetNext(new UnitNumber(from), out RemapEntry entry));
            Assert.Equal(expected, entry);
            Assert.True(table.TryGet(expected.Unit, out entry));
            Assert.Equal(expected, entry);
            from = entry.Unit.Value + 1;
        }
        Assert.False(table.TryGetNext(new UnitNumber(from), out _));
        CheckRuns(table, model);
    }

    /// <summary>Both ways to walk the runs give the same, and together every entry once.</summary>
    private static void CheckRuns(RemapTable table, SortedDictionary<long, RemapEntry> model)
    {
        RemapTable.RunWalk walk = table.WalkRuns();
        long from = 0;
        long units = 0;
        while (walk.TryNext(out RemapEntry first, out int count))
        {
            Assert.True(table.TryGetNextRun(new UnitNumber(from), out RemapEntry found, out int alike));
            Assert.Equal((found, alike), (first, count));
            for (int i = 0; i < count; i++)
            {
                RemapEntry entry = model[first.Unit.Value + i];
                Assert.Equal(first.Following(i), entry);
            }
            units += count;
            from = first.Unit.Value + count;
        }
        Assert.False(table.TryGetNextRun(new UnitNumber(from), out _, out _));
        Assert.Equal(model.Count, units);
    }

    [Fact]
    public void A_million_scattered_entries_are_all_found_and_cost_less_than_fifty_bytes_each()
    {
        const int count = 1_000_000;
        UnitGeometry geometry = new(new BlockSize(512), 4096, new BlockCount(1L << 31), 0);
        RemapTable table = new(geometry);
        RemapEntry[] batch = new RemapEntry[1000];
        for (int i = 0; i < count; i += batch.Length)
        {
            for (int j = 0; j < batch.Length; j++)
            {
                batch[j] = OnSpare((i + j) * 268L, (i + j) * 3L);
            }
            table.SetAscending(batch);
        }
        Assert.Equal(count, table.Count);
        Assert.Equal(count, table.RunCount);
        Assert.InRange(table.MemoryBytes, 1, 50L * count);
        for (int i = 0; i < count; i += 997)
        {
            Assert.True(table.TryGet(new UnitNumber(i * 268L), out RemapEntry entry));
            Assert.Equal(i * 3L, entry.Location.Unit.Value);
            Assert.False(table.TryGet(new UnitNumber((i * 268L) + 1), out _));
            Assert.True(table.IsEntirelyPrimary(Blocks(((i * 268L) + 1) * 8, ((i * 268L) + 268) * 8)));
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void Memory_stops_growing_when_the_same_number_of_entries_comes_and_goes(int seed)
    {
        // One or two entries a leaf, so that many small leaves share several slabs.
        const long units = LeafUnits * 30_000L;
        Random random = new(seed);
        RemapTable table = new(Geometry(units));
        long empty = table.MemoryBytes;
        Queue<long> live = new();
        long settled = 0;
        for (int round = 0; round < 6; round++)
        {
            for (int i = 0; i < 40_000; i++)
            {
                long unit = random.NextInt64(units);
                table.Set(OnSpare(unit, random.Next(1 << 20)));
                live.Enqueue(unit);
            }
            while (live.Count > 40_000)
            {
                table.Remove(new UnitNumber(live.Dequeue()));
            }
            settled = round < 3 ? table.MemoryBytes : settled;
        }
        Assert.True(settled - empty > 4 << 20);
        Assert.Equal(settled, table.MemoryBytes);
        Assert.True(table.LeafBytes < table.MemoryBytes);
    }

    [Fact]
    public void Memory_of_many_small_leaves_serves_one_large_leaf_when_they_are_gone()
    {
        const int leaves = 16_000;
        RemapTable table = new(Geometry((long)LeafUnits * leaves));
        for (long leaf = 0; leaf < leaves; leaf++)
        {
            table.Set(OnSpare(leaf * LeafUnits, leaf));
        }
        long memory = table.MemoryBytes;
        for (long leaf = 0; leaf < leaves; leaf++)
        {
            table.Remove(new UnitNumber(leaf * LeafUnits));
        }
        RemapEntry[] everyThird = new RemapEntry[10_000];
        for (int i = 0; i < everyThird.Length; i++)
        {
            everyThird[i] = OnSpare(i * 3, i);
        }
        table.SetAscending(everyThird);
        Assert.Equal(everyThird.Length, table.RunCount);
        Assert.Equal(memory, table.MemoryBytes);
    }

    /// <summary>
    /// Each unit's spare unit and errno are made from one number: a torn leaf would show two of them.
    /// </summary>
    [Fact]
    public void Readers_on_other_threads_never_see_a_torn_leaf()
    {
        const int units = 200;
        RemapTable table = new(Geometry(LeafUnits));
        int torn = 0;
        long looked = 0;
        bool stop = false;
        Thread reader = new(() =>
        {
            Random random = new(7);
            while (!Volatile.Read(ref stop))
            {
                if (table.TryGetNext(new UnitNumber(random.Next(units)), out RemapEntry entry))
                {
                    bool whole = entry.Location.Unit.Value % 60_000 == entry.LastErrno
                        && entry.Location.Unit.Value / 60_000 == entry.Unit.Value;
                    torn += whole ? 0 : 1;
                }
                Volatile.Write(ref looked, looked + 1);
            }
        });
        reader.Start();
        Random writer = new(8);
        for (int i = 0; i < 30_000 || Volatile.Read(ref looked) < 10_000; i++)
        {
            int unit = writer.Next(units);
            int number = writer.Next(60_000);
            table.Set(OnSpare(unit, (unit * 60_000L) + number) with { LastErrno = (ushort)number });
            if (i % 3 == 0)
            {
                table.Remove(new UnitNumber(writer.Next(units)));
            }
        }
        Volatile.Write(ref stop, true);
        reader.Join();
        Assert.Equal(0, torn);
    }

    [Fact]
    public void Lookups_and_a_steady_stream_of_changes_allocate_nothing()
    {
        RemapTable table = new(Geometry(LeafUnits * 2));
        int found = 0;
        Allocations.AssertNone(() => found = Change(table, 10_000));
        Assert.NotEqual(0, found);
    }

    private static int Change(RemapTable table, int rounds)
    {
        int found = 0;
        for (int i = 0; i < rounds; i++)
        {
            int unit = i * 7 % 1000;
            table.Set(OnSpare(unit, i));
            found += table.TryGet(new UnitNumber(unit), out _) ? 1 : 0;
            found += table.TryGetNext(new UnitNumber(unit + 1), out _) ? 1 : 0;
            found += table.IsEntirelyPrimary(Blocks(unit * 8, (unit * 8) + 256)) ? 1 : 0;
            table.Remove(new UnitNumber((unit + 500) % 1000));
        }
        return found;
    }
}
