using System;
using System.Collections.Generic;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Remapping;
using DmRemap.Core.Spares;
using DmRemap.Tests.Support;
using Xunit;
using static DmRemap.Tests.Core.Entries;

namespace DmRemap.Tests.Core;

public sealed class SpareAllocatorTests
{
    private static SpareAllocator WithSpare(long units)
    {
        SpareAllocator allocator = new();
        allocator.AddSpare(0, units);
        return allocator;
    }

    private static SpareLocation Allocate(SpareAllocator allocator, long near)
    {
        Assert.True(allocator.TryAllocate(new UnitNumber(near), out SpareLocation location));
        return location;
    }

    private static (long Free, long Used, long Retired) Counts(SpareAllocator allocator) =>
        (allocator.UnitsFree(0), allocator.UnitsUsed(0), allocator.UnitsRetired(0));

    [Fact]
    public void Allocator_without_spares_has_nothing_to_give()
    {
        SpareAllocator allocator = new();
        Assert.False(allocator.TryAllocate(new UnitNumber(0), out SpareLocation none));
        Assert.True(none.IsNone);
        Assert.Equal(0, allocator.TotalUnitsFree);
    }

    [Theory]
    [InlineData("5 6 7 8")]
    [InlineData("8 7 6 5")]
    [InlineData("6 8 5 7")]
    [InlineData("15 16 17 14")]
    [InlineData("17 16 15 14")]
    public void Neighbours_on_the_primary_become_neighbours_on_the_spare_in_the_same_order(string order)
    {
        SpareAllocator allocator = WithSpare(4096);
        // Another neighbourhood goes bad in between.
        Allocate(allocator, 1000);
        HashSet<long> distances = [];
        foreach (string unit in order.Split(' '))
        {
            long near = long.Parse(unit, System.Globalization.CultureInfo.InvariantCulture);
            distances.Add(Allocate(allocator, near).Unit.Value - near);
            Allocate(allocator, 2000 + (near * 16));
        }
        Assert.Single(distances);
    }

    [Fact]
    public void A_thousand_adjacent_units_become_one_run_of_the_table()
    {
        SpareAllocator allocator = WithSpare(8192);
        RemapTable table = new(Geometry(100_000));
        for (int unit = 5000; unit < 6000; unit++)
        {
            table.Set(OnSpare(unit, Allocate(allocator, unit).Unit.Value));
        }
        Assert.Equal(1, table.RunCount);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(15)]
    [InlineData(16)]
    [InlineData(17)]
    [InlineData(64)]
    [InlineData(1000)]
    [InlineData(4097)]
    public void Every_unit_is_handed_out_once_however_scattered_the_primary_fails(int units)
    {
        SpareAllocator allocator = WithSpare(units);
        HashSet<SpareLocation> taken = [];
        for (int i = 0; i < units; i++)
        {
            SpareLocation location = Allocate(allocator, i * 1_000_003L % 50_000);
            Assert.InRange(location.Unit.Value, 0, units - 1);
            Assert.True(taken.Add(location));
        }
        Assert.False(allocator.TryAllocate(new UnitNumber(0), out _));
        Assert.Equal((0L, (long)units, 0L), Counts(allocator));
    }

    [Fact]
    public void Window_that_is_wholly_free_again_lends_its_order_again()
    {
        SpareAllocator allocator = WithSpare(32);
        SpareLocation first = Allocate(allocator, 0);
        SpareLocation second = Allocate(allocator, 1000);
        allocator.Free(first);
        allocator.Free(second);
        long upper = Allocate(allocator, 5003).Unit.Value;
        Assert.Equal(upper - 1, Allocate(allocator, 5002).Unit.Value);
        Assert.Equal(upper - 2, Allocate(allocator, 5001).Unit.Value);
    }

    [Fact]
    public void Units_that_are_live_on_load_are_never_handed_out()
    {
        SpareAllocator before = WithSpare(300);
        List<SpareLocation> live = [];
        for (int i = 0; i < 100; i++)
        {
            live.Add(Allocate(before, i * 7));
        }
        SpareAllocator after = WithSpare(300);
        live.ForEach(after.MarkUsed);
        HashSet<SpareLocation> taken = [.. live];
        while (after.TryAllocate(new UnitNumber(taken.Count), out SpareLocation location))
        {
            Assert.True(taken.Add(location));
        }
        Assert.Equal(300, taken.Count);
    }

    [Fact]
    public void Order_survives_a_restart_when_the_primary_units_are_told()
    {
        SpareAllocator before = WithSpare(4096);
        Allocate(before, 900);
        SpareLocation first = Allocate(before, 40);
        SpareAllocator after = WithSpare(4096);
        after.MarkUsed(first, new UnitNumber(40));
        Assert.Equal(first.Unit.Value + 1, Allocate(after, 41).Unit.Value);
    }

    [Fact]
    public void Two_owners_of_one_unit_are_a_broken_invariant()
    {
        SpareAllocator allocator = WithSpare(100);
        allocator.MarkUsed(At(5));
        Assert.Throws<InvariantException>(() => allocator.MarkUsed(At(5)));
        allocator.MarkRetired(At(6));
        Assert.Throws<InvariantException>(() => allocator.MarkUsed(At(6)));
        Assert.Throws<InvariantException>(() => allocator.Free(At(6)));
        Assert.Throws<InvariantException>(() => allocator.Free(At(7)));
        Assert.Throws<InvariantException>(() => allocator.AddSpare(0, 5));
    }

    [Fact]
    public void Location_outside_every_spare_is_not_contained()
    {
        SpareAllocator allocator = WithSpare(100);
        Assert.True(allocator.Contains(At(99)));
        Assert.False(allocator.Contains(At(100)));
        Assert.False(allocator.Contains(At(0, 1)));
        Assert.False(allocator.Contains(SpareLocation.None));
        Assert.Throws<InvariantException>(() => allocator.MarkUsed(At(100)));
    }

    [Fact]
    public void Retired_units_are_never_handed_out_again()
    {
        SpareAllocator allocator = WithSpare(64);
        SpareLocation used = Allocate(allocator, 3);
        allocator.MarkRetired(used);
        allocator.MarkRetired(used);
        allocator.MarkRetired(At(50));
        Assert.Equal((62L, 0L, 2L), Counts(allocator));
        HashSet<SpareLocation> taken = [];
        while (allocator.TryAllocate(new UnitNumber(3), out SpareLocation location))
        {
            Assert.True(taken.Add(location));
        }
        Assert.Equal(62, taken.Count);
        Assert.DoesNotContain(used, taken);
        Assert.DoesNotContain(At(50), taken);
    }

    [Fact]
    public void Degraded_spare_gets_nothing_new_and_keeps_what_it_has()
    {
        SpareAllocator allocator = WithSpare(100);
        allocator.AddSpare(3, 2);
        SpareLocation first = Allocate(allocator, 0);
        Assert.Equal(0, first.Spare);
        allocator.SetUsable(0, false);
        Assert.False(allocator.IsUsable(0));
        Assert.Equal(3, Allocate(allocator, 1).Spare);
        Assert.Equal(3, Allocate(allocator, 2).Spare);
        Assert.False(allocator.TryAllocate(new UnitNumber(3), out _));
        Assert.Equal(0, allocator.TotalUnitsAllocatable);
        Assert.Equal(99, allocator.TotalUnitsFree);
        Assert.Equal(3, allocator.TotalUnitsUsed);
        allocator.SetUsable(0, true);
        Assert.Equal(first.Unit.Value + 1, Allocate(allocator, 1).Unit.Value);
    }

    [Fact]
    public void Avoided_spare_is_used_only_where_no_other_has_a_unit_left()
    {
        SpareAllocator allocator = WithSpare(100);
        allocator.AddSpare(3, 1);
        Assert.Equal(0, Allocate(allocator, 0).Spare);
        Assert.True(allocator.TryAllocate(new UnitNumber(1), 0, out SpareLocation other));
        Assert.Equal(3, other.Spare);
        Assert.True(allocator.TryAllocate(new UnitNumber(2), 0, out SpareLocation same));
        Assert.Equal(0, same.Spare);
        Assert.True(allocator.IsUsable(0));
    }

    [Theory]
    [InlineData(21)]
    [InlineData(22)]
    [InlineData(23)]
    public void Random_use_never_hands_out_a_taken_unit_and_counts_match_a_set(int seed)
    {
        Random random = new(seed);
        SpareAllocator allocator = new();
        int[] sizes = [100, 0, 333, 64];
        for (int spare = 0; spare < sizes.Length; spare++)
        {
            if (sizes[spare] > 0)
            {
                allocator.AddSpare(spare, sizes[spare]);
            }
        }
        List<SpareLocation> used = [];
        HashSet<SpareLocation> taken = [];
        int retired = 0;
        for (int step = 0; step < 30_000; step++)
        {
            int kind = random.Next(step % 4000 < 2000 ? 4 : 12);
            UnitNumber near = new(random.Next(3000));
            if (kind < 3 && allocator.TryAllocate(near, out SpareLocation location))
            {
                Assert.True(taken.Add(location), $"step {step}: {location} twice");
                Assert.True(location.Unit.Value < sizes[location.Spare]);
                used.Add(location);
            }
            else if (kind < 3)
            {
                Assert.Equal(497, used.Count + retired);
            }
            else if (used.Count > 0)
            {
                int index = random.Next(used.Count);
                if (random.Next(500) == 0)
                {
                    allocator.MarkRetired(used[index]);
                    retired++;
                }
                else
                {
                    allocator.Free(used[index]);
                    taken.Remove(used[index]);
                }
                used.RemoveAt(index);
            }
            Assert.Equal(used.Count, allocator.TotalUnitsUsed);
            Assert.Equal(retired, allocator.TotalUnitsRetired);
            Assert.Equal(497 - used.Count - retired, allocator.TotalUnitsFree);
        }
        Assert.NotEqual(0, retired);
    }

    [Fact]
    public void Working_on_a_full_spare_of_a_million_units_scans_nothing_and_allocates_no_memory()
    {
        const int units = 1_000_000;
        SpareAllocator allocator = WithSpare(units);
        for (int i = 0; i < units; i++)
        {
            Assert.True(allocator.TryAllocate(new UnitNumber(i * 977L % 100_000_000), out _));
        }
        // A scan of the bitmap for each would take minutes here.
        Allocations.AssertNone(() =>
        {
            for (int i = 0; i < 50_000; i++)
            {
                allocator.Free(At(i * 7919L % units));
                Assert.True(allocator.TryAllocate(new UnitNumber(i), out _));
            }
        });
        Assert.Equal(0, allocator.TotalUnitsFree);
    }

    [Fact]
    public void A_spare_that_has_left_lends_nothing_and_counts_for_nothing()
    {
        SpareAllocator allocator = WithSpare(100);
        allocator.AddSpare(1, 100);
        allocator.MarkUsed(new SpareLocation(0, new UnitNumber(3)));
        allocator.RemoveSpare(0);
        Assert.Equal(0, allocator.TotalUnitsUsed);
        Assert.Equal(100, allocator.TotalUnitsAllocatable);
        Assert.False(allocator.Contains(new SpareLocation(0, new UnitNumber(3))));
        for (int i = 0; i < 100; i++)
        {
            Assert.Equal(1, Allocate(allocator, i * 16).Spare);
        }
        Assert.False(allocator.TryAllocate(new UnitNumber(0), out _));
    }

    [Fact]
    public void A_smaller_spare_in_the_place_of_another_lends_its_own_units_only()
    {
        SpareAllocator allocator = WithSpare(1600);
        // The neighbourhood remembers a window that the next spare does not have.
        allocator.MarkUsed(new SpareLocation(0, new UnitNumber(1590)), new UnitNumber(6));
        allocator.RemoveSpare(0);
        allocator.ReplaceSpare(0, 32);
        Assert.False(allocator.TryAllocate(new UnitNumber(7), out _));
        allocator.SetUsable(0, true);
        for (int i = 0; i < 32; i++)
        {
            Assert.InRange(Allocate(allocator, 7).Unit.Value, 0, 31);
        }
        Assert.Equal(0, allocator.TotalUnitsFree);
    }

    /// <summary>Neighbourhoods far from each other: what lies beside another stays with it.</summary>
    [Theory]
    [InlineData(SparePlacement.FirstFit, "000000")]
    [InlineData(SparePlacement.MostFree, "121212")]
    [InlineData(SparePlacement.HealthAware, "222222")]
    public void Spare_is_chosen_as_the_placement_says(SparePlacement placement, string expected)
    {
        SpareAllocator allocator = new() { Placement = placement };
        allocator.AddSpare(0, 1000);
        allocator.AddSpare(1, 2000);
        allocator.AddSpare(2, 2000);
        for (int unit = 0; unit < 20; unit++)
        {
            allocator.MarkRetired(new SpareLocation(1, new UnitNumber(1999 - unit)));
        }
        allocator.MarkUsed(new SpareLocation(2, new UnitNumber(1999)));
        for (int unit = 0; unit < 19; unit++)
        {
            allocator.MarkUsed(new SpareLocation(2, new UnitNumber(1998 - unit)));
        }
        string chosen = "";
        for (int i = 0; i < expected.Length; i++)
        {
            chosen += Allocate(allocator, 1000 * (i + 1)).Spare;
        }
        Assert.Equal(expected, chosen);
    }

    [Fact]
    public void Spare_that_is_full_leaves_the_choice_to_the_others()
    {
        SpareAllocator allocator = new() { Placement = SparePlacement.HealthAware };
        allocator.AddSpare(0, 16);
        allocator.AddSpare(1, 100);
        allocator.MarkRetired(new SpareLocation(1, new UnitNumber(99)));
        Assert.Equal(0, Allocate(allocator, 5000).Spare);
        Assert.Equal(1, Allocate(allocator, 9000).Spare);
    }
}
