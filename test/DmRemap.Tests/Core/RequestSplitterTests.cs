using System;
using System.Collections.Generic;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Remapping;
using DmRemap.Core.Requests;
using DmRemap.Tests.Support;
using Xunit;
using static DmRemap.Tests.Core.Entries;

namespace DmRemap.Tests.Core;

public sealed class RequestSplitterTests
{
    private static List<Fragment> Split(RemapTable table, Extent extent)
    {
        List<Fragment> fragments = [];
        RequestSplitter splitter = new(table, extent);
        while (splitter.TryNext(out Fragment fragment))
        {
            fragments.Add(fragment);
        }
        Assert.False(splitter.TryNext(out _));
        return fragments;
    }

    private static Fragment Piece(FragmentTarget target, long start, long end) =>
        new(target, Blocks(start, end), SpareLocation.None, 0);

    [Fact]
    public void Request_with_no_entry_near_is_one_primary_fragment()
    {
        RemapTable table = new(Geometry(100));
        table.Set(OnSpare(50, 0));
        Assert.Equal([Piece(FragmentTarget.Primary, 3, 390)], Split(table, Blocks(3, 390)));
        Assert.Empty(Split(table, Blocks(401, 401)));
    }

    [Theory]
    [InlineData(400, 408, 0)]
    [InlineData(403, 405, 3)]
    [InlineData(407, 408, 7)]
    public void Request_inside_a_spare_unit_says_its_place_in_it(int start, int end, int index)
    {
        RemapTable table = new(Geometry(100));
        table.Set(OnSpare(50, 9, 2));
        Assert.Equal(
            [new Fragment(FragmentTarget.Spare, Blocks(start, end), At(9, 2), index)],
            Split(table, Blocks(start, end)));
    }

    [Fact]
    public void Request_over_a_remapped_unit_is_cut_before_and_behind_it()
    {
        RemapTable table = new(Geometry(100));
        table.Set(OnSpare(50, 9));
        Assert.Equal(
            [
                Piece(FragmentTarget.Primary, 390, 400),
                new Fragment(FragmentTarget.Spare, Blocks(400, 408), At(9), 0),
                Piece(FragmentTarget.Primary, 408, 420),
            ],
            Split(table, Blocks(390, 420)));
    }

    [Fact]
    public void Spare_units_in_order_are_one_fragment_and_others_are_not()
    {
        RemapTable table = new(Geometry(100));
        table.Set(OnSpare(10, 20));
        table.Set(OnSpare(11, 21) with { LastErrno = 5 });
        table.Set(OnSpare(12, 22, 1));
        table.Set(OnSpare(13, 22));
        table.Set(OnSpare(14, 21));
        Assert.Equal(
            [
                new Fragment(FragmentTarget.Spare, Blocks(83, 96), At(20), 3),
                new Fragment(FragmentTarget.Spare, Blocks(96, 104), At(22, 1), 0),
                new Fragment(FragmentTarget.Spare, Blocks(104, 112), At(22), 0),
                new Fragment(FragmentTarget.Spare, Blocks(112, 120), At(21), 0),
                Piece(FragmentTarget.Primary, 120, 130),
            ],
            Split(table, Blocks(83, 130)));
    }

    [Theory]
    [InlineData(UnitState.LostUnreadable)]
    [InlineData(UnitState.LostDeclared)]
    public void Lost_units_are_lost_only_in_their_lost_blocks(UnitState state)
    {
        RemapTable table = new(Geometry(100));
        table.Set(Lost(10, default(BlockStates).With(0b0011_0000, BlockState.Lost), state));
        table.Set(Lost(11, default(BlockStates).With(0b0000_0011, BlockState.Zero), state));
        Assert.Equal(
            [
                Piece(FragmentTarget.Primary, 70, 84),
                Piece(FragmentTarget.Lost, 84, 86),
                Piece(FragmentTarget.Primary, 86, 88),
                Piece(FragmentTarget.Zero, 88, 90),
                Piece(FragmentTarget.Primary, 90, 100),
            ],
            Split(table, Blocks(70, 100)));
    }

    [Fact]
    public void Adjacent_lost_and_zero_units_are_joined()
    {
        RemapTable table = new(Geometry(100));
        table.Set(Lost(1, All(BlockState.Lost)));
        table.Set(Lost(2, All(BlockState.Lost), UnitState.LostDeclared));
        table.Set(Lost(3, All(BlockState.Zero)));
        table.Set(OnSpare(4, 0) with { Blocks = All(BlockState.Zero) });
        Assert.Equal(
            [Piece(FragmentTarget.Lost, 8, 24), Piece(FragmentTarget.Zero, 24, 40)],
            Split(table, Blocks(8, 40)));
    }

    [Fact]
    public void Short_first_unit_of_a_misaligned_primary_begins_at_its_place_in_the_unit()
    {
        RemapTable table = new(Geometry(10, 8, 1024));
        table.Set(OnSpare(0, 4));
        table.Set(OnSpare(1, 5));
        Assert.Equal(
            [
                new Fragment(FragmentTarget.Spare, Blocks(0, 10), At(4), 6),
                Piece(FragmentTarget.Primary, 10, 12),
            ],
            Split(table, Blocks(0, 12)));
    }

    /// <summary>Three units of two blocks in every combination of states and places, every extent.</summary>
    [Fact]
    public void Every_small_table_and_every_extent_of_it_match_the_block_by_block_model()
    {
        UnitGeometry geometry = new(new BlockSize(2048), 4096, new BlockCount(6), 0);
        const int kinds = 19;
        RemapTable table = new(geometry);
        for (int combination = 0; combination < kinds * kinds * kinds; combination++)
        {
            for (int unit = 0, rest = combination; unit < 3; unit++, rest /= kinds)
            {
                int kind = rest % kinds;
                table.Remove(new UnitNumber(unit));
                if (kind > 0)
                {
                    BlockStates blocks = new((uint)(kind - 1) & 3, ((uint)(kind - 1) >> 2) & 3);
                    table.Set(new RemapEntry
                    {
                        Unit = new UnitNumber(unit),
                        State = UnitState.Remapped,
                        Location = kind switch { 17 => At(0), 18 => At(unit, 1), _ => At(unit) },
                        Blocks = kind > 16 ? All(BlockState.OnSpare, 2) : blocks,
                    });
                }
            }
            string context = $"combination {combination}";
            for (int start = 0; start <= 6; start++)
            {
                for (int end = start; end <= 6; end++)
                {
                    CheckAgainstModel(table, Blocks(start, end), context);
                }
            }
        }
    }

    [Theory]
    [InlineData(11, 8, 0)]
    [InlineData(12, 8, 1536)]
    [InlineData(13, 64, 512)]
    [InlineData(14, 1, 0)]
    public void Fragments_tile_the_request_and_match_the_byte_by_byte_model(
        int seed, int blocksPerUnit, int offset)
    {
        Random random = new(seed);
        UnitGeometry geometry = Geometry(40_000, blocksPerUnit, offset);
        RemapTable table = new(geometry);
        for (int step = 0; step < 2000; step++)
        {
            long unit = 32_700 + random.Next(136);
            BlockState state = (BlockState)random.Next(4);
            ulong some = random.Next(2) == 0 ? 0 : (ulong)random.NextInt64() & (ulong)random.NextInt64();
            table.Set(new RemapEntry
            {
                Unit = new UnitNumber(unit),
                State = UnitState.Remapped,
                Location = At(unit + random.Next(2), random.Next(2)),
                Blocks = All(state, blocksPerUnit).With(some, (BlockState)random.Next(4)),
            });
            table.Remove(new UnitNumber(32_700 + random.Next(136)));
            long start = ((32_690 + random.Next(150)) * blocksPerUnit) + random.Next(blocksPerUnit);
            CheckAgainstModel(table, Blocks(start, start + random.Next(12 * blocksPerUnit)), $"seed {seed}");
        }
    }

    private static void CheckAgainstModel(RemapTable table, Extent extent, string context)
    {
        UnitGeometry geometry = table.Geometry;
        BlockNumber position = extent.Start;
        (FragmentTarget, int, long) previous = (FragmentTarget.Primary, -2, -2);
        foreach (Fragment fragment in Split(table, extent))
        {
            Assert.True(fragment.Extent.Start == position, context);
            Assert.False(fragment.Extent.IsEmpty, context);
            long first = (fragment.Location.Unit.Value * geometry.BlocksPerUnit) + fragment.FirstIndexInUnit;
            for (long block = fragment.Extent.Start.Value; block < fragment.Extent.End.Value; block++)
            {
                bool isSpare = fragment.Target == FragmentTarget.Spare;
                long place = isSpare ? first + block - fragment.Extent.Start.Value : -1;
                (FragmentTarget, int, long) found = (fragment.Target, fragment.Location.Spare, place);
                Assert.True(found == Where(table, new BlockNumber(block)), context);
                if (block == fragment.Extent.Start.Value && block > extent.Start.Value)
                {
                    // Not longer than it must be, and not shorter than it could be.
                    bool follows = found.Item1 == previous.Item1
                        && (!isSpare || (found.Item2 == previous.Item2 && found.Item3 == previous.Item3 + 1));
                    Assert.False(follows, context);
                }
                previous = found;
            }
            position = fragment.Extent.End;
        }
        Assert.True(position == extent.End, context);
    }

    /// <summary>The place of one block, from the table alone.</summary>
    private static (FragmentTarget Target, int Spare, long Block) Where(RemapTable table, BlockNumber block)
    {
        if (!table.TryGet(table.Geometry.UnitOf(block), out RemapEntry entry))
        {
            return (FragmentTarget.Primary, -1, -1);
        }
        int index = table.Geometry.IndexInUnit(block);
        return entry.Blocks[index] switch
        {
            BlockState.OnSpare => (FragmentTarget.Spare, entry.Location.Spare,
                (entry.Location.Unit.Value * table.Geometry.BlocksPerUnit) + index),
            BlockState.Lost => (FragmentTarget.Lost, -1, -1),
            BlockState.Zero => (FragmentTarget.Zero, -1, -1),
            _ => (FragmentTarget.Primary, -1, -1),
        };
    }

    [Fact]
    public void Splitting_allocates_nothing()
    {
        RemapTable table = new(Geometry(1000));
        for (int unit = 0; unit < 1000; unit += 3)
        {
            table.Set(OnSpare(unit, unit));
        }
        int fragments = 0;
        Allocations.AssertNone(() => fragments = CountFragments(table, 10_000));
        Assert.True(fragments > 10_000);
    }

    private static int CountFragments(RemapTable table, int requests)
    {
        int count = 0;
        for (int i = 0; i < requests; i++)
        {
            RequestSplitter splitter = new(table, Blocks(i % 700 * 8, (i % 700 * 8) + 256));
            while (splitter.TryNext(out _))
            {
                count++;
            }
        }
        return count;
    }
}
