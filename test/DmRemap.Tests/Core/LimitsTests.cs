using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using DmRemap.Core.Remapping;
using Xunit;

namespace DmRemap.Tests.Core;

/// <summary>Every bound leans on others: what must hold between them whatever their values are.</summary>
public sealed class LimitsTests
{
    [Fact]
    public void A_request_of_one_slice_travels_whole()
    {
        DeviceGeometry geometry = new()
        {
            LogicalBlockSize = new BlockSize(512),
            PhysicalBlockBytes = 4096,
            Blocks = new BlockCount(8),
        };
        Assert.True(Limits.SliceBytes <= geometry.TransferBytesMax);
        Assert.Equal(0, Limits.SliceBytes % AlignedMemory.Alignment);
        Assert.Equal(0, Limits.SliceBytes % 4096);
    }

    [Fact]
    public void States_of_the_largest_unit_fit_their_words()
    {
        Assert.Equal(64, Limits.UnitBlocksMax);
        Assert.Equal(ulong.MaxValue, BlockStates.Mask(0, Limits.UnitBlocksMax));
        Assert.True(Limits.UnitBytesMin / 512 <= Limits.UnitBlocksMax);
        Assert.True(Limits.UnitBytesMin >= 4096);
        // A unit is copied to its spare in one transfer.
        Assert.True(Limits.UnitBlocksMax * 512 <= Limits.SliceBytes);
    }

    [Fact]
    public void There_are_more_fragments_than_requests_and_members_take_fewer_than_either()
    {
        Assert.True(Limits.RequestsInFlightMax <= Limits.FragmentsInFlightMax);
        Assert.True(Limits.MemberQueueDepth <= Limits.RequestsInFlightMax);
        Assert.True(Limits.MemberZeroingDepth < Limits.MemberQueueDepth);
        // A thread more would never have work.
        Assert.InRange(Limits.MemberTransferThreads, 1, Limits.MemberQueueDepth);
    }

    [Fact]
    public void The_ring_takes_what_one_primary_and_some_spares_have_in_flight_besides_sockets()
    {
        const int members = 4 * (Limits.MemberQueueDepth + Limits.MemberMetadataDepth);
        const int sockets = 2 * Limits.ConnectionsMax;
        Assert.True(members + sockets <= Limits.SubmissionQueueEntries);
    }

    [Fact]
    public void Half_of_the_pool_holds_many_requests_and_one_reply_of_the_largest_payload_is_bounded()
    {
        Assert.True(Limits.PoolSlices >= Limits.MemberQueueDepth * 2);
        Assert.True(Limits.ClientPayloadBytesMax % Limits.SliceBytes == 0);
        Assert.True(Limits.SendPartsMax <= Limits.PoolSlices / 2);
        Assert.True((long)Limits.PoolSlices * Limits.SliceBytes <= int.MaxValue);
    }

    [Fact]
    public void Zeroing_slices_are_whole_units_and_longer_than_one_transfer()
    {
        Assert.Equal(0, Limits.ZeroingSliceBytes % (Limits.UnitBlocksMax * 4096));
        Assert.True(Limits.ZeroingSliceBytes >= Limits.SliceBytes);
    }

    [Fact]
    public void Pauses_of_an_NBD_client_grow_and_its_requests_fit_two_sends()
    {
        Assert.True(Limits.NbdRetryMsMin < Limits.NbdRetryMsMax);
        Assert.True(Limits.NbdRetryMsMin < Limits.NbdFenceMs);
        // A write is a header and a payload.
        Assert.True(Limits.MemberQueueDepth * 2 <= Limits.SendPartsMax * 2);
        Assert.True(Limits.SendPartsMax >= 2);
    }

    [Fact]
    public void Failed_extents_of_one_slice_fit_with_room_for_alternating_blocks_of_a_unit()
    {
        Assert.True(Limits.FailedExtentsMax >= 4096 / 512 / 2);
    }

    [Fact]
    public void Smallest_spare_holds_more_units_than_a_dying_disk_can_take_before_writes_count_as_rejected()
    {
        Assert.True(Limits.SpareBytesMin / (Limits.UnitBlocksMax * 4096) >= WriteControl.DistinctUnitsMax);
        Assert.True(SuspectList.CapacityDefault >= Limits.RequestsInFlightMax);
    }

    [Fact]
    public void Spare_numbers_fit_the_bits_that_the_table_has_for_them()
    {
        // Four bits hold spare + 1, and 0 for none.
        Assert.True(Limits.SparesMax + 1 <= 16);
    }
}
