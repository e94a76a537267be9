using System;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Remapping;
using Xunit;
using static DmRemap.Tests.Core.Entries;

namespace DmRemap.Tests.Core;

public sealed class UnitsAndExtentsTests
{
    [Fact]
    public void Extents_of_a_small_disk_relate_as_sets_of_blocks_do()
    {
        const int end = 6;
        for (int code = 0; code < (end + 1) * (end + 1) * (end + 1) * (end + 1); code++)
        {
            int a = code % 7;
            int b = code / 7 % 7;
            int c = code / 49 % 7;
            int d = code / 343;
            if (a > b || c > d)
            {
                continue;
            }
            Extent left = Blocks(a, b);
            Extent right = Blocks(c, d);
            int common = 0;
            for (int block = 0; block < end; block++)
            {
                BlockNumber number = new(block);
                Assert.Equal(a <= block && block < b, left.Contains(number));
                bool inBoth = left.Contains(number) && right.Contains(number);
                common += inBoth ? 1 : 0;
                Assert.Equal(inBoth, left.Intersect(right).Contains(number));
            }
            Assert.Equal(common > 0, left.Overlaps(right));
            Assert.Equal(common, left.Intersect(right).Count.Value);
        }
    }

    [Fact]
    public void Extent_cannot_be_negative_and_overflow_is_not_silent()
    {
        Assert.Throws<InvariantException>(() => Blocks(5, 4));
        Assert.Throws<InvariantException>(() => Blocks(-1, 4));
        BlockNumber far = new(long.MaxValue);
        Assert.Throws<OverflowException>(() => new Extent(far, new BlockCount(1)).End);
        Assert.Throws<OverflowException>(() => far.ToBytes(new BlockSize(512)));
        Assert.Equal("[10, 18)", Blocks(10, 18).ToString());
    }

    [Theory]
    [InlineData(0)]
    [InlineData(256)]
    [InlineData(1000)]
    [InlineData(8192)]
    public void Block_size_is_a_power_of_two_from_512_to_4096(int bytes) =>
        Assert.Throws<InvariantException>(() => new BlockSize(bytes));

    [Fact]
    public void Bytes_and_blocks_convert_both_ways()
    {
        BlockSize size = new(512);
        Assert.Equal(new ByteOffset(1024), new BlockNumber(2).ToBytes(size));
        Assert.Equal(new BlockNumber(2), size.BlockAt(new ByteOffset(1535)));
        Assert.Equal(new BlockCount(2), size.WholeBlocks(new ByteCount(1535)));
        Assert.True(size.IsAligned(1024));
        Assert.False(size.IsAligned(1023));
        Assert.Equal(Duration.FromMilliseconds(5), new Instant(7_000_000) - new Instant(2_000_000));
    }

    [Fact]
    public void Block_states_keep_two_bits_for_each_of_sixty_four_blocks()
    {
        Random random = new(41);
        BlockStates states = BlockStates.AllOnPrimary;
        BlockState[] model = new BlockState[Limits.UnitBlocksMax];
        for (int step = 0; step < 2000; step++)
        {
            int first = random.Next(64);
            int count = random.Next(65 - first);
            BlockState state = (BlockState)random.Next(4);
            states = states.With(BlockStates.Mask(first, count), state);
            Array.Fill(model, state, first, count);
            for (int block = 0; block < model.Length; block++)
            {
                Assert.Equal(model[block], states[block]);
                Assert.Equal(model[block] == state, (states.MaskOf(state) & (1UL << block)) != 0);
            }
            int end = first + 1 + random.Next(64 - first);
            int same = first;
            while (same < end && model[same] == model[first])
            {
                same++;
            }
            Assert.Equal(same - first, states.RunLength(first, end));
            Assert.Equal(Array.FindAll(model[..end], each => each == state).Length, states.Count(state, end));
        }
    }

    [Fact]
    public void Spare_location_knows_none_from_the_first_unit_of_the_first_spare()
    {
        Assert.True(SpareLocation.None.IsNone);
        Assert.False(At(0).IsNone);
        Assert.NotEqual(SpareLocation.None, At(0));
        Assert.Equal(7, At(3, 7).Spare);
        Assert.Throws<InvariantException>(() => At(0, Limits.SparesMax));
        Assert.Throws<InvariantException>(() => At(-1));
    }
}
