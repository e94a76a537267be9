using DmRemap.Core.Abstractions;
using DmRemap.Core.Remapping;
using DmRemap.Core.Spares;
using Xunit;
using static DmRemap.Tests.Core.Entries;

namespace DmRemap.Tests.Core;

/// <summary>Units that are on two spares: in the table, and where their units come from (F-22).</summary>
public sealed class SecondLocationTests
{
    [Fact]
    public void Neighbours_join_only_where_their_second_copies_are_neighbours_too()
    {
        RemapTable table = new(Geometry(64));
        table.Set(OnSpare(0, 10) with { Second = At(30, 1) });
        table.Set(OnSpare(1, 11) with { Second = At(31, 1) });
        Assert.Equal(1, table.RunCount);
        table.Set(OnSpare(2, 12));
        table.Set(OnSpare(3, 13) with { Second = At(33, 2) });
        table.Set(OnSpare(4, 14) with { Second = At(33, 1) });
        Assert.Equal(4, table.RunCount);
        table.Set(OnSpare(2, 12) with { Second = At(32, 1) });
        Assert.Equal(3, table.RunCount);
        Assert.True(table.TryGet(new UnitNumber(2), out RemapEntry entry));
        Assert.Equal(At(32, 1), entry.Second);
    }

    [Fact]
    public void Second_unit_comes_from_another_spare_in_order_and_leaves_a_quarter_free()
    {
        SpareAllocator allocator = new();
        allocator.AddSpare(0, 8);
        allocator.AddSpare(1, 8);
        for (int i = 0; i < 6; i++)
        {
            Assert.True(allocator.TryAllocateSecond(0, out SpareLocation second));
            Assert.Equal(At((4 + i) % 8, 1), second);
        }
        Assert.False(allocator.TryAllocateSecond(0, out _));
        Assert.Equal(2, allocator.UnitsFree(1));
        allocator.SetUsable(0, false);
        Assert.False(allocator.TryAllocateSecond(1, out _));
        Assert.True(allocator.TryAllocate(new UnitNumber(3), out SpareLocation first));
        Assert.Equal(1, first.Spare);
    }
}
