using System;
using System.Collections.Generic;
using System.Runtime.InteropServices;
using DmRemap.Core.Abstractions;
using DmRemap.Tests.Support;
using Xunit;
using static DmRemap.Tests.Core.Entries;

namespace DmRemap.Tests.Core;

public sealed class RequestsAndBuffersTests
{
    private sealed class CountingOwner : IIoOwner
    {
        public int Completed { get; private set; }

        public void OnCompleted(IoRequest request) => Completed++;
    }

    private sealed class RentingWaiter(BufferPool pool, List<BufferWaiter> woken) : BufferWaiter
    {
        public override void OnBufferAvailable()
        {
            woken.Add(this);
            Assert.True(pool.TryRent(out _));
        }
    }

    private static IoRequest Prepared(CountingOwner owner)
    {
        IoRequest request = new();
        request.Prepare(owner, IoOperation.Write, Blocks(8, 16), default, IoFlags.ForceUnitAccess);
        return request;
    }

    [Fact]
    public void Request_goes_round_from_prepared_to_delivered_and_is_then_clean_again()
    {
        CountingOwner owner = new();
        IoRequest request = Prepared(owner);
        request.Token = 99;
        Assert.True(request.IsForceUnitAccess);
        Assert.Equal(IoStatus.Pending, request.Status);
        request.MarkSubmitted();
        Assert.True(request.IsSubmitted);
        request.Failed.Add(Blocks(9, 10));
        request.SetResult(IoStatus.DeviceError, 5, Duration.FromMilliseconds(3));
        request.Deliver();
        Assert.False(request.IsSubmitted);
        Assert.Equal((1, 5, 1), (owner.Completed, request.Errno, request.Failed.Count));
        request.Prepare(owner, IoOperation.Read, Blocks(0, 8), default);
        Assert.Equal((IoStatus.Pending, 0, 0), (request.Status, request.Errno, request.Failed.Count));
        Assert.False(request.IsForceUnitAccess);
        Assert.Equal(99, request.Token);
    }

    [Fact]
    public void Request_in_a_device_s_hands_cannot_be_prepared_or_submitted_again()
    {
        CountingOwner owner = new();
        IoRequest request = Prepared(owner);
        request.MarkSubmitted();
        Assert.Throws<InvariantException>(request.MarkSubmitted);
        Assert.Throws<InvariantException>(
            () => request.Prepare(owner, IoOperation.Read, Blocks(0, 8), default));
    }

    [Fact]
    public void Result_must_be_set_before_delivery_and_only_after_submission()
    {
        IoRequest request = Prepared(new CountingOwner());
        Assert.Throws<InvariantException>(() => request.SetResult(IoStatus.Ok, 0, Duration.Zero));
        Assert.Throws<InvariantException>(request.Deliver);
        request.MarkSubmitted();
        Assert.Throws<InvariantException>(request.Deliver);
        Assert.Throws<InvariantException>(() => request.SetResult(IoStatus.Pending, 0, Duration.Zero));
        request.SetResult(IoStatus.Ok, 0, Duration.Zero);
        request.Deliver();
        Assert.Throws<InvariantException>(request.Deliver);
        Assert.Throws<InvariantException>(new IoRequest().MarkSubmitted);
    }

    [Fact]
    public void Request_makes_a_round_without_allocating()
    {
        CountingOwner owner = new();
        IoRequest request = Prepared(owner);
        Allocations.AssertNone(() =>
        {
            for (int i = 0; i < 10_000; i++)
            {
                request.Prepare(owner, IoOperation.Read, Blocks(i, i + 8), default);
                request.MarkSubmitted();
                request.Failed.Add(Blocks(i, i + 1));
                request.SetResult(IoStatus.DeviceError, 5, Duration.Zero);
                request.Deliver();
            }
        });
        Assert.True(owner.Completed >= 20_000);
    }

    [Fact]
    public void Failed_extents_that_touch_are_joined_and_a_ninth_widens_the_last()
    {
        FailedExtents failed = default;
        failed.Add(Blocks(10, 12));
        failed.Add(Blocks(12, 13));
        failed.Add(Blocks(11, 12));
        Assert.Equal(1, failed.Count);
        Assert.Equal(Blocks(10, 13), failed[0]);
        for (int i = 1; i < Limits.FailedExtentsMax; i++)
        {
            failed.Add(Blocks(10 + (i * 10), 11 + (i * 10)));
        }
        Assert.Equal(Limits.FailedExtentsMax, failed.Count);
        failed.Add(Blocks(200, 201));
        Assert.Equal(Limits.FailedExtentsMax, failed.Count);
        Assert.Equal(Blocks(80, 201), failed[Limits.FailedExtentsMax - 1]);
        Assert.Throws<InvariantException>(() => failed[Limits.FailedExtentsMax]);
        failed.Clear();
        Assert.Equal(0, failed.Count);
    }

    [Theory]
    [InlineData(51)]
    [InlineData(52)]
    public void Failed_extents_always_cover_what_was_added(int seed)
    {
        Random random = new(seed);
        for (int round = 0; round < 500; round++)
        {
            FailedExtents failed = default;
            List<Extent> added = [];
            long start = 0;
            for (int i = 0; i < 20; i++)
            {
                start += random.Next(5);
                Extent extent = Blocks(start, start + 1 + random.Next(4));
                start = extent.End.Value;
                failed.Add(extent);
                added.Add(extent);
                Assert.True(added.TrueForAll(each => IsCovered(failed, each)), $"seed {seed} round {round}");
            }
        }
    }

    private static bool IsCovered(FailedExtents failed, Extent extent)
    {
        for (int i = 0; i < failed.Count; i++)
        {
            if (failed[i].Intersect(extent) == extent)
            {
                return true;
            }
        }
        return false;
    }

    [Fact]
    public void Pool_hands_out_aligned_slices_that_do_not_overlap_until_none_is_left()
    {
        BufferPool pool = new(4, 8192);
        HashSet<long> addresses = [];
        List<BufferSlice> rented = [];
        while (pool.TryRent(out BufferSlice slice))
        {
            Assert.Equal(8192, slice.Length);
            long address = AddressOf(slice);
            Assert.Equal(0, address % AlignedMemory.Alignment);
            Assert.True(addresses.Add(address));
            slice.Span.Fill((byte)rented.Count);
            rented.Add(slice);
        }
        Assert.Equal((4, 0), (rented.Count, pool.FreeCount));
        for (int i = 0; i < rented.Count; i++)
        {
            Assert.False(rented[i].Span.ContainsAnyExcept((byte)i));
            pool.Return(rented[i]);
        }
        Assert.Equal(4, pool.FreeCount);
        Assert.Throws<InvariantException>(() => pool.Return(rented[0]));
    }

    private static long AddressOf(BufferSlice slice)
    {
        ref byte first = ref MemoryMarshal.GetReference(slice.Span);
        return System.Runtime.CompilerServices.Unsafe.ByteOffset(
            ref System.Runtime.CompilerServices.Unsafe.NullRef<byte>(), ref first).ToInt64();
    }

    [Fact]
    public void Part_of_a_slice_cannot_be_returned()
    {
        BufferPool pool = new(1, 4096);
        Assert.True(pool.TryRent(out BufferSlice slice));
        Assert.Throws<InvariantException>(() => pool.Return(slice.Slice(0, 512)));
    }

    [Fact]
    public void Waiters_are_woken_one_a_slice_in_the_order_in_which_they_came()
    {
        BufferPool pool = new(2, 4096);
        pool.TryRent(out BufferSlice one);
        pool.TryRent(out BufferSlice two);
        List<BufferWaiter> woken = [];
        RentingWaiter first = new(pool, woken);
        RentingWaiter second = new(pool, woken);
        pool.Wait(first);
        pool.Wait(second);
        pool.Wait(first);
        pool.Return(one);
        Assert.Equal([first], woken);
        pool.Wait(first);
        pool.Return(two);
        Assert.Equal([first, second], woken);
        Assert.Equal(0, pool.FreeCount);
    }

    [Fact]
    public void Renting_and_waiting_allocate_nothing()
    {
        BufferPool pool = new(1, 4096);
        List<BufferWaiter> woken = new(20_000);
        RentingWaiter waiter = new(pool, woken);
        pool.TryRent(out BufferSlice slice);
        Allocations.AssertNone(() =>
        {
            woken.Clear();
            for (int i = 0; i < 10_000; i++)
            {
                pool.Wait(waiter);
                pool.Return(slice);
            }
        });
        Assert.Equal(10_000, woken.Count);
    }

    [Fact]
    public void Slice_of_a_slice_stays_inside_it()
    {
        BufferSlice whole = AlignedMemory.Allocate(4096);
        BufferSlice part = whole.Slice(512, 1024);
        part.Span.Fill(7);
        Assert.Equal(0, whole.Span[511]);
        Assert.Equal(7, whole.Span[512]);
        Assert.Equal(0, whole.Span[1536]);
        Assert.True(part.Slice(1024, 0).IsEmpty);
        Assert.Throws<InvariantException>(() => part.Slice(512, 513));
        Assert.Throws<InvariantException>(() => part.Slice(-1, 5));
    }

    [Fact]
    public void Send_parts_count_their_bytes_and_are_bounded()
    {
        SendParts parts = default;
        BufferSlice slice = AlignedMemory.Allocate(4096);
        while (!parts.IsFull)
        {
            parts.Add(slice.Slice(0, parts.Count + 1));
        }
        Assert.Equal(Limits.SendPartsMax, parts.Count);
        Assert.Equal(Limits.SendPartsMax * (Limits.SendPartsMax + 1) / 2, parts.Bytes);
        Assert.Equal(3, parts[2].Length);
        Assert.Throws<InvariantException>(() => parts.Add(slice));
        parts.Clear();
        Assert.Equal((0, 0L), (parts.Count, parts.Bytes));
    }
}
