using System.Linq;
using DmRemap.Cli.Composition;
using DmRemap.Core.Metadata;
using Xunit;

namespace DmRemap.Tests.Cli;

/// <summary>10 to 12 of the records 8 to 15 were lost when somebody was asked.</summary>
public sealed class AgreedLossTests
{
    private static readonly AgreedLoss s_agreed = new(new JournalDamage(10, 12), Chain(8, 9, 13, 14, 15));

    [Fact]
    public void The_same_loss_or_less_is_covered()
    {
        Assert.True(s_agreed.Covers(new JournalDamage(10, 12), Chain(8, 9, 13, 14, 15)));
        Assert.True(s_agreed.Covers(new JournalDamage(11, 12), Chain(8, 9, 10, 13, 14, 15)));
        Assert.True(s_agreed.Covers(null, Chain(8, 9, 10, 11, 12, 13, 14, 15)));
    }

    [Fact]
    public void A_set_that_somebody_has_repaired_meanwhile_lacks_nothing() =>
        Assert.True(s_agreed.Covers(null, Chain()));

    [Fact]
    public void A_loss_of_a_record_outside_the_range_is_not_covered()
    {
        Assert.False(s_agreed.Covers(new JournalDamage(9, 12), Chain(8, 13, 14, 15)));
        Assert.False(s_agreed.Covers(new JournalDamage(10, 13), Chain(8, 9, 14, 15)));
        Assert.False(s_agreed.Covers(new JournalDamage(20, 21), Chain(8, 9, 13, 14, 15)));
    }

    /// <summary>What would prove the last ones to have been acknowledged has gone with them.</summary>
    [Fact]
    public void A_loss_of_the_last_records_is_not_covered_though_its_range_is_shorter() =>
        Assert.False(s_agreed.Covers(new JournalDamage(10, 11), Chain(8, 9, 13)));

    [Fact]
    public void Another_record_of_the_same_number_is_not_the_one_that_was_kept()
    {
        JournalChain other = Chain(8, 9, 13, 14) with
        {
            Records = [.. Chain(8, 9, 13, 14).Records, Record(15, crc: 7)],
        };
        Assert.False(s_agreed.Covers(new JournalDamage(10, 12), other));
    }

    private static JournalChain Chain(params ulong[] sequences) => new()
    {
        Records = [.. sequences.Select(sequence => Record(sequence))],
        Tail = new JournalLink(sequences.LastOrDefault(), 1),
        NextSequence = 16,
    };

    private static FoundRecord Record(ulong sequence, uint crc = 1)
    {
        JournalRecordHeader header = new()
        {
            Epoch = 0xE1,
            Sequence = sequence,
            Previous = new JournalLink(sequence - 1, 1),
            CommitPoint = sequence - 1,
            Slots = 1,
            Cells = 0,
            Crc = crc,
        };
        return new FoundRecord(header, []);
    }
}
