using System;
using DmRemap.Core.Metadata;
using Xunit;

namespace DmRemap.Tests.Metadata;

/// <summary>The witnessed point is epoch E1 at generation 10, record 100.</summary>
public sealed class SetHistoryTests
{
    private static readonly HistoryPoint s_witnessed = new(0xE1, 10, 100);

    [Theory]
    [InlineData(0xE1, 10, 100, HistoryRelation.Follows)]
    [InlineData(0xE1, 11, 100, HistoryRelation.Follows)]
    [InlineData(0xE1, 10, 101, HistoryRelation.Follows)]
    [InlineData(0xE1, 9, 100, HistoryRelation.Behind)]
    [InlineData(0xE1, 10, 99, HistoryRelation.Behind)]
    [InlineData(0xE1, 11, 99, HistoryRelation.Behind)]
    [InlineData(0xE0, 9, 90, HistoryRelation.Behind)]
    [InlineData(0xE0, 10, 100, HistoryRelation.Apart)]
    [InlineData(0xE0, 500, 500, HistoryRelation.Apart)]
    public void A_history_without_a_past_is_related(
        ulong epoch, ulong generation, ulong sequence, HistoryRelation expected) =>
        Assert.Equal(
            expected, SetHistory.Relate(s_witnessed, new HistoryPoint(epoch, generation, sequence), []));

    [Theory]
    [InlineData(0xE1, 10, HistoryRelation.Follows)]
    [InlineData(0xE1, 12, HistoryRelation.Follows)]
    [InlineData(0xE1, 9, HistoryRelation.Apart)]
    [InlineData(0xE9, 12, HistoryRelation.Apart)]
    public void A_later_epoch_follows_only_through_the_witnessed_one(
        ulong epoch, ulong generation, HistoryRelation expected)
    {
        PastEpoch[] past = [new(0xE5, 14), new(epoch, generation), new(0xE0, 3)];
        Assert.Equal(expected, SetHistory.Relate(s_witnessed, new HistoryPoint(0xE6, 15, 100), past));
    }

    [Fact]
    public void A_past_that_is_full_and_does_not_reach_back_cannot_be_traced()
    {
        PastEpoch[] past = new PastEpoch[64];
        for (int i = 0; i < past.Length; i++)
        {
            past[i] = new PastEpoch(0x1000UL + (ulong)i, 200);
        }
        HistoryPoint found = new(0xE6, 300, 300);
        Assert.Equal(HistoryRelation.Untraceable, SetHistory.Relate(s_witnessed, found, past));
        Assert.Equal(HistoryRelation.Apart, SetHistory.Relate(s_witnessed, found, past.AsSpan(1)));
        Assert.Equal(
            HistoryRelation.Behind, SetHistory.Relate(s_witnessed, found with { Generation = 9 }, past));
        past[^1] = new PastEpoch(0xE1, 10);
        Assert.Equal(HistoryRelation.Follows, SetHistory.Relate(s_witnessed, found, past));
    }
}
