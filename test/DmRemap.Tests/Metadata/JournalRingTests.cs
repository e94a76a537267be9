using System.Collections.Generic;
using System.Linq;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;
using Xunit;

namespace DmRemap.Tests.Metadata;

public sealed class JournalRingTests
{
    [Fact]
    public void A_record_never_wraps_and_leaves_out_numbers_where_the_ring_ends()
    {
        JournalRing ring = new(4096, 8);
        Assert.Equal(22u, ring.FirstFitting(22, 1));
        Assert.Equal(22u, ring.FirstFitting(22, 2));
        Assert.Equal(24u, ring.FirstFitting(22, 3));
        Assert.Equal(24u, ring.FirstFitting(23, 2));
        Assert.Equal(24u, ring.FirstFitting(24, 8));
        Assert.Equal(32u, ring.FirstFitting(25, 8));
        Assert.Equal(6 * 4096, ring.OffsetOf(22));
        Assert.Equal(0, ring.OffsetOf(24));
    }

    [Fact]
    public void In_every_small_ring_the_first_fitting_number_is_the_least_that_does_not_wrap()
    {
        for (int slots = JournalRing.SlotsMin; slots <= 9; slots++)
        {
            JournalRing ring = new(4096, slots);
            for (ulong sequence = 0; sequence < 3 * (ulong)slots; sequence++)
            {
                for (int length = 1; length <= slots; length++)
                {
                    ulong expected = sequence;
                    while ((expected % (ulong)slots) + (ulong)length > (ulong)slots)
                    {
                        expected++;
                    }
                    Assert.Equal(expected, ring.FirstFitting(sequence, length));
                }
            }
        }
    }

    [Fact]
    public void In_every_small_ring_there_is_room_exactly_when_no_needed_slot_is_overwritten()
    {
        for (int slots = JournalRing.SlotsMin; slots <= 7; slots++)
        {
            JournalRing ring = new(4096, slots);
            for (ulong first = 1; first < 2 * (ulong)slots; first++)
            {
                for (ulong end = first; end <= first + (ulong)slots; end++)
                {
                    // Numbers behind what is needed were burned, more of them than the ring has slots.
                    for (ulong next = end; next <= end + (2 * (ulong)slots); next++)
                    {
                        for (int length = 1; length <= slots; length++)
                        {
                            CheckFit(ring, first, end, next, length);
                        }
                    }
                }
            }
        }
    }

    [Fact]
    public void A_ring_that_fits_all_members_has_the_largest_block_and_the_shortest_place()
    {
        SpareLayout small = LayoutOf(Limits.SpareBytesMin, 4096);
        SpareLayout coarse = LayoutOf(64 << 20, 65536);
        JournalRing ring = JournalRing.Fitting([small, coarse]);
        Assert.Equal(65536, ring.SlotBytes);
        Assert.Equal(small.Journal1.Bytes, ring.Bytes);
        Assert.True(ring.Fits(small));
        Assert.True(ring.Fits(coarse));
        Assert.False(JournalRing.Fitting([small]).Fits(coarse));
        Assert.False((ring with { Slots = ring.Slots + 1 }).Fits(small));
        Assert.False((ring with { Slots = 3 }).Fits(small));
        Assert.False((ring with { SlotBytes = 2 * 65536 }).Fits(coarse));
    }

    [Fact]
    public void On_every_layout_the_longest_commit_fits_one_record()
    {
        // Else a commit could wait for ever.
        for (int physical = 512; physical <= SpareLayout.PhysicalBlockBytesMax; physical *= 2)
        {
            for (long bytes = Limits.SpareBytesMin; bytes <= 1L << 33; bytes *= 2)
            {
                SpareLayout layout = LayoutOf(bytes, physical);
                JournalRing ring = JournalRing.Fitting([layout]);
                Assert.True(ring.Fits(layout), $"{bytes} {physical}");
                Assert.True(ring.SlotsPerRecordMax * (long)ring.SlotBytes <= Limits.JournalRecordBytesMax);
                Assert.True(ring.SlotsPerRecordMax * 4 <= ring.Slots);
                JournalRecordWriter writer = new(ring);
                writer.Begin();
                Assert.True(writer.RoomFor >= Limits.CommitChangesMax, $"{bytes} {physical}");
            }
        }
    }

    [Fact]
    public void A_ring_in_which_the_longest_commit_does_not_fit_is_not_taken()
    {
        SpareLayout layout = LayoutOf(Limits.SpareBytesMin, 4096);
        for (int slots = JournalRing.SlotsMin; slots <= layout.Journal1.Bytes / 4096; slots++)
        {
            JournalRing ring = new(4096, slots);
            int cells = JournalRecordWriter.CellsFor(ring, ring.SlotsPerRecordMax);
            Assert.Equal(cells >= Limits.CommitChangesMax, ring.Fits(layout));
        }
    }

    private static SpareLayout LayoutOf(long bytes, int physical)
    {
        UnitGeometry geometry = new(new BlockSize(512), 4096, new BlockCount(1 << 24), 0);
        return SpareLayout.Compute(new ByteCount(bytes), physical, geometry, new ByteCount(0))!;
    }

    private static void CheckFit(JournalRing ring, ulong first, ulong end, ulong next, int length)
    {
        bool isPossible = false;
        for (ulong at = next; at < next + (3 * (ulong)ring.Slots); at++)
        {
            isPossible |= IsRoom(ring, first, end, at, length);
        }
        Assert.Equal(isPossible, ring.TryFit(next, length, first, end, out ulong fitting));
        if (isPossible)
        {
            Assert.True(fitting >= next);
            Assert.True(IsRoom(ring, first, end, fitting, length));
        }
    }

    /// <summary>In one piece, and in no slot of what is needed.</summary>
    private static bool IsRoom(JournalRing ring, ulong first, ulong end, ulong sequence, int length)
    {
        HashSet<int> needed = [];
        for (ulong number = first; number < end; number++)
        {
            needed.Add(ring.SlotOf(number));
        }
        return ring.SlotOf(sequence) + length <= ring.Slots
            && Enumerable.Range(0, length).All(i => !needed.Contains(ring.SlotOf(sequence + (ulong)i)));
    }
}
