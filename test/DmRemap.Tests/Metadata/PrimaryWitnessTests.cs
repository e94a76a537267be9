using System;
using System.Collections.Generic;
using DmRemap.Core.Metadata;
using Xunit;

namespace DmRemap.Tests.Metadata;

public sealed class PrimaryWitnessTests
{
    [Fact]
    public void A_witness_compares_only_what_both_know()
    {
        PrimaryWitness stopped = Of(0xA, 0, 0xC, 0xD);
        Assert.Equal(-1, stopped.FirstDifference(Of(0xA, 0xB, 0, 0xD)));
        Assert.Equal(2, stopped.CommonPlaces(Of(0xA, 0xB, 0, 0xD)));
        Assert.Equal(3, stopped.FirstDifference(Of(0xA, 0xB, 0, 0xE)));
        Assert.Equal(-1, stopped.FirstDifference(default));
        Assert.Equal(0, stopped.CommonPlaces(default));
        Assert.True(default(PrimaryWitness).IsNone);
        Assert.False(stopped.IsNone);
    }

    [Fact]
    public void A_witness_equals_another_exactly_when_every_word_does()
    {
        Assert.Equal(Of(1, 2), Of(1, 2));
        Assert.NotEqual(Of(1, 2), Of(1, 3));
        uint[] words = new uint[PrimaryWitness.Places];
        words[^1] = 9;
        Assert.NotEqual(default, new PrimaryWitness(words));
        Assert.True(new PrimaryWitness(words) == new PrimaryWitness(words));
        Assert.Equal(1u, PrimaryWitness.WordOf(0));
        Assert.Equal(7u, PrimaryWitness.WordOf(7));
    }

    /// <summary>The table that on-disk-format.md prints.</summary>
    [Fact]
    public void The_places_of_a_large_primary_are_those_of_the_format()
    {
        const long Bytes = 1L << 40;
        Assert.Equal(new ByteRegion(0, 4096), WitnessPlaces.RangeOf(0, 0, Bytes));
        Assert.Equal(new ByteRegion(4096, 61440), WitnessPlaces.RangeOf(1, 0, Bytes));
        Assert.Equal(new ByteRegion(65536, 4096), WitnessPlaces.RangeOf(2, 0, Bytes));
        Assert.Equal(new ByteRegion(1 << 20, 4096), WitnessPlaces.RangeOf(3, 0, Bytes));
        Assert.Equal(new ByteRegion((1 << 20) + 4096, 61440), WitnessPlaces.RangeOf(4, 0, Bytes));
        Assert.Equal(new ByteRegion((1 << 20) + 65536, 4096), WitnessPlaces.RangeOf(5, 0, Bytes));
        Assert.Equal(new ByteRegion(Bytes - 65536, 61440), WitnessPlaces.RangeOf(6, 0, Bytes));
        Assert.Equal(new ByteRegion(Bytes - 4096, 4096), WitnessPlaces.RangeOf(7, 0, Bytes));
        const long Blocks = Bytes / 4096;
        Assert.Equal(new ByteRegion(Blocks / 67 * 4096, 4096), WitnessPlaces.RangeOf(8, 0, Bytes));
        Assert.Equal(new ByteRegion(Blocks * 66 / 67 * 4096, 4096), WitnessPlaces.RangeOf(29, 2, Bytes));
    }

    [Theory]
    [InlineData(512)]
    [InlineData(4096)]
    [InlineData(4096 + 512)]
    [InlineData(65536)]
    [InlineData((1 << 20) + 512)]
    [InlineData(1 << 24)]
    [InlineData(0x7FFF_FFFF_FFFF_FE00)]
    public void Every_place_lies_on_the_primary_and_on_its_blocks_or_is_empty(long bytes)
    {
        List<ByteRegion> seen = [];
        for (int place = 0; place < PrimaryWitness.Places; place++)
        {
            Assert.InRange(WitnessPlaces.Ranges(place), 1, WitnessPlaces.RangesMax);
            for (int range = 0; range < WitnessPlaces.Ranges(place); range++)
            {
                ByteRegion region = WitnessPlaces.RangeOf(place, range, bytes);
                Assert.InRange(region.Start, 0, bytes - region.Bytes);
                Assert.InRange(region.Bytes, 0, WitnessPlaces.RangeBytesMax);
                Assert.Equal(0, region.Start % 512);
                Assert.Equal(0, region.Bytes % 4096);
                seen.Add(region);
            }
        }
        Assert.Equal(bytes >= 4096, seen.Exists(region => region.Bytes > 0));
    }

    private static PrimaryWitness Of(params ReadOnlySpan<uint> first)
    {
        uint[] words = new uint[PrimaryWitness.Places];
        first.CopyTo(words);
        return new PrimaryWitness(words);
    }
}
