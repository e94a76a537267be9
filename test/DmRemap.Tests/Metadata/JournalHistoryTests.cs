using System;
using System.Collections.Generic;
using System.Linq;
using DmRemap.Core.Metadata;
using Xunit;

namespace DmRemap.Tests.Metadata;

/// <summary>Which records are history. Two places unless a test says otherwise: bit 0 and bit 1.</summary>
public sealed class JournalHistoryTests
{
    private const uint A = 1;
    private const uint B = 2;

    private static SuperblockState Fresh { get; } = new() { Epoch = 1, FirstJournalSequence = 1 };

    [Fact]
    public void Records_are_history_in_the_order_of_their_links()
    {
        RingWorld world = new(2);
        Assert.Empty(world.Sequences(Fresh)!);
        JournalLink last = WriteChain(world, 1, 2, 4, 5);
        JournalChain chain = world.Decide(Fresh, out _)!;
        Assert.Equal([1u, 2u, 4u, 5u], chain.Records.Select(record => record.Header.Sequence));
        Assert.Equal(last, chain.Tail);
        Assert.Equal(6u, chain.NextSequence);
        Assert.True(chain.IsWholeIn(A | B));
        Assert.False(chain.IsWholeIn(A | B | 4));
    }

    [Fact]
    public void A_record_that_one_place_lacks_is_taken_from_another_and_the_lack_is_known()
    {
        // F-12: the union of all places, also where each has a hole of its own.
        RingWorld world = new(4);
        WriteChain(world, 1, 2, 3, 4);
        world.Erase(2, 0b0111);
        world.Erase(3, 0b1101);
        JournalChain chain = world.Decide(Fresh, out _)!;
        Assert.Equal([1u, 2u, 3u, 4u], chain.Records.Select(record => record.Header.Sequence));
        Assert.Equal([0b1111u, 0b1000u, 0b0010u, 0b1111u], chain.Records.Select(record => record.Places));
        Assert.False(chain.IsWholeIn(world.AllPlaces));
        Assert.False(chain.IsWholeIn(0b1000));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public void A_hole_below_a_commit_point_is_damage_and_never_the_end(ulong hole)
    {
        RingWorld world = new(2);
        WriteChain(world, 1, 2, 3, 4, 5, 6);
        world.Erase(hole, A | B);
        Assert.Null(world.Decide(Fresh, out JournalDamage? damage));
        Assert.True(damage!.First <= hole);
        Assert.True(damage.Last >= hole);
    }

    [Fact]
    public void A_hole_below_the_superblocks_head_is_damage_though_no_record_proves_it()
    {
        RingWorld world = new(2);
        JournalLink head = WriteChain(world, 1, 2, 3);
        SuperblockState state = Fresh with { JournalHead = head };
        Assert.Equal([1u, 2u, 3u], world.Sequences(state)!);
        world.Erase(3, A | B);
        Assert.Null(world.Decide(state, out JournalDamage? damage));
        Assert.Equal(new JournalDamage(1, 3), damage);

        // The checkpoint has it: it is not needed.
        Assert.Empty(world.Sequences(state with { FirstJournalSequence = 4 })!);
    }

    [Fact]
    public void A_torn_tail_above_every_commit_point_is_cut()
    {
        RingWorld world = new(2);
        JournalLink acknowledged = WriteChain(world, 1, 2);
        JournalLink torn = world.Write(3, acknowledged, whole: 0, torn: A | B);
        JournalChain chain = world.Decide(Fresh, out _)!;
        Assert.Equal([1u, 2u], chain.Records.Select(record => record.Header.Sequence));
        Assert.Equal(acknowledged, chain.Tail);

        // Whole in one place it was perhaps acknowledged: it counts.
        world.Write(3, acknowledged, whole: B);
        chain = world.Decide(Fresh, out _)!;
        Assert.Equal(torn, chain.Tail);
        Assert.False(chain.IsWholeIn(A | B));
    }

    [Fact]
    public void A_record_cut_by_a_recovery_does_not_rise_again()
    {
        // F-13: record 3 is whole only where the recovery did not look.
        RingWorld world = new(2);
        JournalLink head = WriteChain(world, 1, 2);
        world.Write(3, head, whole: B);
        SuperblockState next = new()
        {
            Epoch = 2,
            ParentEpoch = 1,
            FirstJournalSequence = 1,
            JournalHead = head,
        };
        Assert.Equal([1u, 2u], world.Sequences(next)!);

        // The new epoch uses the number again, in one place: each of the two records has its own epoch.
        JournalLink again = world.Write(3, head, epoch: 2, whole: A);
        Assert.Equal(again, world.Decide(next, out _)!.Tail);
        JournalLink after = world.Write(4, again, epoch: 2);
        Assert.Equal(after, world.Decide(next, out _)!.Tail);
        Assert.Equal([1u, 2u, 3u, 4u], world.Sequences(next)!);
        Assert.Equal(2u, world.Decide(next, out _)!.Records[2].Header.Epoch);
    }

    [Fact]
    public void A_record_of_a_discarded_epoch_is_no_successor_even_with_the_right_link()
    {
        RingWorld world = new(2);
        JournalLink head = WriteChain(world, 1, 2);
        JournalLink discarded = world.Write(3, head, epoch: 9);
        world.Write(4, discarded, epoch: 2, commitPoint: 2);
        SuperblockState state = Fresh with { Epoch = 2, JournalHead = head };
        JournalChain chain = world.Decide(state, out _)!;
        Assert.Equal(head, chain.Tail);
        Assert.Equal(5u, chain.NextSequence);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(A)]
    [InlineData(A | B)]
    public void A_burned_record_is_in_no_chain_whether_it_landed_or_not(uint landed)
    {
        // F-2: 3 timed out and was superseded by 5.
        RingWorld world = new(2);
        JournalLink acknowledged = WriteChain(world, 1, 2);
        world.Write(3, acknowledged, whole: landed, slots: 2);
        world.Write(5, acknowledged);
        Assert.Equal([1u, 2u, 5u], world.Sequences(Fresh)!);
        Assert.True(world.Decide(Fresh, out _)!.IsWholeIn(A | B));
    }

    [Fact]
    public void A_record_that_timed_out_last_counts_where_it_landed()
    {
        // Its outcome was Unknown: a crash may make it win, and the later one of two wins.
        RingWorld world = new(2);
        JournalLink acknowledged = WriteChain(world, 1, 2);
        world.Write(3, acknowledged, whole: A);
        Assert.Equal([1u, 2u, 3u], world.Sequences(Fresh)!);
        world.Write(4, acknowledged, whole: B);
        Assert.Equal([1u, 2u, 4u], world.Sequences(Fresh)!);
    }

    [Fact]
    public void A_stale_superblock_with_a_wrapped_ring_is_damage_and_not_an_empty_journal()
    {
        // F-15: what generation 7 needs was overwritten after generation 8 was acknowledged.
        RingWorld world = new(2);
        JournalLink head = WriteChain(world, 1, 2, 3);
        SuperblockState stale = Fresh with { FirstJournalSequence = 4, JournalHead = head };
        JournalLink last = head;
        for (ulong sequence = 4; sequence < 40; sequence++)
        {
            last = world.Write(sequence, last);
        }
        Assert.Null(world.Decide(stale, out JournalDamage? damage));
        Assert.Equal(new JournalDamage(4, 38), damage);
        SuperblockState right = Fresh with { FirstJournalSequence = 30, JournalHead = new(29, 0) };
        Assert.Null(world.Decide(right, out _));
        JournalLink link = world.Verifiable().Keys.Single(key => key.Sequence == 29);
        Assert.Equal(10, world.Sequences(right with { JournalHead = link })!.Length);
    }

    [Fact]
    public void A_superblock_of_an_older_epoch_is_damage_when_the_newer_one_acknowledged()
    {
        RingWorld world = new(2);
        JournalLink head = WriteChain(world, 1, 2, 3);
        SuperblockState stale = Fresh with { JournalHead = head };
        JournalLink next = world.Write(4, head, epoch: 2);
        world.Write(5, next, epoch: 2);
        Assert.Null(world.Decide(stale, out JournalDamage? damage));
        Assert.Equal(new JournalDamage(4, 4), damage);
    }

    [Fact]
    public void The_next_number_is_above_everything_ever_seen()
    {
        RingWorld world = new(2);
        JournalLink head = WriteChain(world, 1, 2);
        world.Write(9, head, epoch: 77, whole: B, slots: 3);
        Assert.Equal(12u, world.Decide(Fresh, out _)!.NextSequence);
        SuperblockState far = Fresh with { FirstJournalSequence = 50, JournalHead = new(49, 3) };
        Assert.Equal(50u, world.Decide(far, out _)!.NextSequence);
        far = far with { JournalHead = new(60, 3), FirstJournalSequence = 61 };
        Assert.Equal(61u, world.Decide(far, out _)!.NextSequence);
    }

    [Fact]
    public void Random_histories_match_the_naive_model_and_lose_nothing_acknowledged()
    {
        int damaged = 0;
        int whole = 0;
        for (int seed = 0; seed < 160; seed++)
        {
            JournalScenario scenario = new(seed);
            for (int step = 0; step < 60; step++)
            {
                scenario.Step();
            }
            scenario.Destroy();
            damaged += scenario.Check() ? 0 : 1;
            whole++;
        }
        Assert.True(damaged > 20, $"{damaged} of {whole}");
        Assert.True(damaged < whole - 20, $"{damaged} of {whole}");
    }

    [Fact]
    public void Hostile_links_under_right_checksums_end_and_give_a_chain_or_damage()
    {
        for (int seed = 0; seed < 300; seed++)
        {
            Random random = new(seed);
            RingWorld world = new(3);
            List<JournalLink> links = [default];
            for (int i = 0; i < 40; i++)
            {
                JournalLink previous = links[random.Next(links.Count)];
                ulong sequence = previous.Sequence + 1 + (ulong)random.Next(12);
                int slots = (int)Math.Min(1 + random.Next(3), 16 - (long)(sequence % 16));
                ulong commit = (ulong)random.NextInt64((long)sequence);
                links.Add(world.Write(
                    sequence, previous, (ulong)random.Next(1, 4), (uint)random.Next(8), 0, slots, commit));
            }
            JournalLink head = links[random.Next(links.Count)];
            SuperblockState state = new()
            {
                Epoch = (ulong)random.Next(1, 4),
                JournalHead = head,
                FirstJournalSequence = 1 + (ulong)random.NextInt64((long)head.Sequence + 1),
            };
            JournalScenario.AssertAsNaive(world, state, seed);
        }
    }

    private static JournalLink WriteChain(RingWorld world, params ulong[] sequences)
    {
        JournalLink last = default;
        foreach (ulong sequence in sequences)
        {
            last = world.Write(sequence, last);
        }
        return last;
    }
}
