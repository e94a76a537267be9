using System;
using System.Collections.Generic;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults.Injection;
using DmRemap.Devices;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Lab;

/// <summary>What each kind of defect, and trouble with a whole disk, does to requests.</summary>
public sealed class DiskFaultsTests : IDisposable
{
    private const int EIO = 5;
    private const int ENODEV = 19;
    private const int ENODATA = 61;

    private readonly SimulatedLoop _loop = new();
    private readonly MemoryDevice _memory;
    private readonly FaultInjecting _device;

    public DiskFaultsTests()
    {
        // Blocks of 512 bytes, eight to a physical sector.
        _memory = new MemoryDevice(_loop, new DeviceGeometry
        {
            LogicalBlockSize = new BlockSize(512),
            PhysicalBlockBytes = 4096,
            Blocks = new BlockCount(512),
            CanDiscard = true,
            CanWriteZeroes = true,
        });
        _device = new FaultInjecting(_loop, _memory);
    }

    public void Dispose() => _memory.Dispose();

    [Theory]
    // Kind, errno of a read, of a write of a part, of a write of all, of a read after that.
    [InlineData("pending", ENODATA, EIO, 0, 0)]
    [InlineData("dead", ENODATA, EIO, EIO, ENODATA)]
    [InlineData("weak tries=9", ENODATA, EIO, 0, 0)]
    [InlineData("unwritable", 0, EIO, EIO, 0)]
    [InlineData("unflushable", 0, 0, 0, 0)]
    [InlineData("corrupt", 0, 0, 0, 0)]
    [InlineData("pending lasting", ENODATA, EIO, 0, ENODATA)]
    [InlineData("weak tries=9 lasting", ENODATA, EIO, 0, ENODATA)]
    public void Each_kind_of_defect_does_what_it_says(
        string defect, int read, int writePart, int writeAll, int readAgain)
    {
        AddBad($"16 {defect}");
        Assert.Equal(read, Errno(Read(20, 1)));
        Assert.Equal(read, Errno(Read(0, 64)));
        Assert.Equal(0, Errno(Read(8, 8)));
        Assert.Equal(0, Errno(Read(24, 8)));
        Assert.Equal(writePart, Errno(Write(20, 1, 7)));
        Assert.Equal(writeAll, Errno(Write(16, 8, 7)));
        Assert.Equal(readAgain, Errno(Read(16, 8)));
    }

    [Fact]
    public void Lost_sector_reads_again_after_a_write_of_all_of_it_and_not_before()
    {
        AddBad("16-23");
        Assert.Equal(EIO, Errno(Write(17, 7, 1)));
        Assert.Equal(ENODATA, Errno(Read(23, 1)));
        Assert.Equal(0, Errno(Do(IoOperation.Discard, 16, 8)));
        Assert.Equal(ENODATA, Errno(Read(23, 1)));
        Assert.Equal(0, Errno(Write(15, 10, 3)));
        Assert.Equal(0, Errno(Read(16, 8)));
        Assert.Equal(1, _device.Faults.Counts.HealedByWrites);
        Assert.Equal(0, _device.Faults.Defects.Count);
    }

    [Fact]
    public void Weak_sector_reads_after_its_tries_and_takes_its_time_over_each()
    {
        AddBad("16 weak tries=2 delay=1500");
        for (int i = 0; i < 4; i++)
        {
            Instant start = _loop.Now;
            IoRequest read = Read(16, 1);
            Assert.Equal(i < 2 ? ENODATA : 0, Errno(read));
            Assert.Equal(Duration.FromMilliseconds(1500), read.Elapsed);
            Assert.Equal(Duration.FromMilliseconds(1500), _loop.Now - start);
        }
        Assert.Equal(0, Errno(Write(16, 8, 5)));
        Assert.Equal(Duration.Zero, Read(16, 1).Elapsed);
    }

    [Fact]
    public void Write_that_only_the_flush_cannot_store_is_lost_at_the_flush_and_said_once()
    {
        AddBad("16 unflushable");
        Assert.Equal(0, Errno(Do(IoOperation.Flush, 0, 0)));
        Assert.Equal(0, Errno(Write(16, 8, 5)));
        Assert.Equal(0, Errno(Read(16, 8)));
        Assert.Equal(EIO, Errno(Do(IoOperation.Flush, 0, 0)));
        Assert.Equal(ENODATA, Errno(Read(16, 8)));
        Assert.Equal(0, Errno(Do(IoOperation.Flush, 0, 0)));
        Assert.Equal(EIO, Errno(Write(16, 8, 5)));
    }

    [Fact]
    public void Write_with_fua_to_what_cannot_be_flushed_fails_itself()
    {
        AddBad("16 unflushable");
        Assert.Equal(EIO, Errno(Do(IoOperation.Write, 16, 8, 5, IoFlags.ForceUnitAccess)));
        Assert.Equal(0, Errno(Do(IoOperation.Flush, 0, 0)));
        Assert.Equal(0, Errno(Read(16, 8)));
    }

    [Fact]
    public void Corrupt_sector_returns_other_bytes_with_success_until_it_is_written()
    {
        Assert.Equal(0, Errno(Write(0, 64, 9)));
        AddBad("16 corrupt");
        BufferSlice whole = AlignedMemory.Allocate(64 * 512);
        BufferSlice part = AlignedMemory.Allocate(512);
        Assert.Equal(0, Errno(DoWith(IoOperation.Read, 0, 64, whole)));
        Assert.Equal(0, Errno(DoWith(IoOperation.Read, 18, 1, part)));
        Assert.Equal(-1, whole.Span[..(16 * 512)].IndexOfAnyExcept((byte)9));
        Assert.Equal(-1, whole.Span[(24 * 512)..].IndexOfAnyExcept((byte)9));
        for (int sector = 16; sector < 24; sector++)
        {
            Assert.Equal(1, 512 - whole.Span.Slice(sector * 512, 512).Count((byte)9));
        }
        Assert.True(whole.Span.Slice(18 * 512, 512).SequenceEqual(part.Span));
        Assert.Equal(0, Errno(Write(16, 8, 4)));
        Assert.Equal(0, Errno(DoWith(IoOperation.Read, 18, 1, part)));
        Assert.Equal(-1, part.Span.IndexOfAnyExcept((byte)4));
    }

    [Fact]
    public void Corrupt_sector_that_is_lasting_changes_what_is_written_later_too()
    {
        AddBad("16 corrupt lasting");
        BufferSlice sector = AlignedMemory.Allocate(512);
        Assert.Equal(0, Errno(Write(16, 8, 4)));
        Assert.Equal(0, Errno(DoWith(IoOperation.Read, 18, 1, sector)));
        Assert.Equal(511, sector.Span.Count((byte)4));
        Assert.Equal(0, _device.Faults.Counts.HealedByWrites);
    }

    [Fact]
    public void Stalled_disk_answers_everything_when_it_is_over_or_was_ended()
    {
        _device.Faults.Trouble.Stall(_loop.Now, Duration.FromSeconds(60));
        IoRequest read = Read(0, 1);
        Assert.Equal((0, Duration.FromSeconds(60)), (Errno(read), read.Elapsed));

        _device.Faults.Trouble.Stall(_loop.Now, DiskTrouble.Endless);
        IoRequest held = Submit(IoOperation.Flush, 0, 0, default);
        _loop.RunFor(Duration.FromSeconds(1000));
        Assert.True(held.IsSubmitted);
        Assert.Equal(1, _device.InFlight);
        _device.Faults.Trouble.End(_loop.Now);
        _device.LookAgain();
        _loop.RunUntilIdle();
        Assert.Equal((0, Duration.FromSeconds(1000)), (Errno(held), held.Elapsed));
    }

    [Fact]
    public void Stalled_requests_of_a_disk_that_vanishes_fail_at_once_and_it_returns_with_what_it_had()
    {
        Assert.Equal(0, Errno(Write(0, 8, 6)));
        _device.Faults.Trouble.Stall(_loop.Now, DiskTrouble.Endless);
        IoRequest held = Submit(IoOperation.Write, 8, 8, AlignedMemory.Allocate(4096));
        _device.Faults.Trouble.IsGone = true;
        _device.LookAgain();
        _loop.RunUntilIdle();
        Assert.Equal((ENODEV, Duration.Zero), (Errno(held), held.Elapsed));
        Assert.Equal(ENODEV, Errno(Do(IoOperation.Flush, 0, 0)));
        _device.Faults.Trouble.End(_loop.Now);
        BufferSlice buffer = AlignedMemory.Allocate(4096);
        Assert.Equal(0, Errno(DoWith(IoOperation.Read, 0, 8, buffer)));
        Assert.Equal(-1, buffer.Span.IndexOfAnyExcept((byte)6));
    }

    [Fact]
    public void Requests_in_a_reset_wait_for_its_end_and_fail_with_an_error_that_names_no_medium()
    {
        _device.Faults.Trouble.Reset(_loop.Now, Duration.FromSeconds(3));
        IoRequest write = Write(0, 8, 1);
        Assert.Equal((EIO, Duration.FromSeconds(3)), (Errno(write), write.Elapsed));
        Assert.Equal(0, Errno(Write(0, 8, 1)));
    }

    [Fact]
    public void Slow_disk_takes_longer_and_then_does_not()
    {
        _device.Faults.Trouble.Slow(
            _loop.Now, Duration.FromSeconds(1), Duration.FromMilliseconds(400));
        Assert.Equal(Duration.FromMilliseconds(400), Read(0, 1).Elapsed);
        Assert.Equal(Duration.FromMilliseconds(400), Do(IoOperation.Flush, 0, 0).Elapsed);
        Assert.Equal(Duration.FromMilliseconds(400), Read(0, 1).Elapsed);
        Assert.Equal(Duration.Zero, Read(0, 1).Elapsed);
    }

    [Fact]
    public void Rules_and_defects_stand_side_by_side()
    {
        AddBad("16");
        Assert.True(_device.TryAdd(Assert.Single(FaultRules.Parse("40 read errno=EILSEQ").Rules)));
        Assert.Equal(84, Errno(Read(40, 1)));
        Assert.Equal(84, Errno(Read(0, 64)));
        Assert.Equal(ENODATA, Errno(Read(16, 1)));
        _device.Clear();
        Assert.Equal(ENODATA, Errno(Read(0, 64)));
        Assert.Equal(1, _device.Faults.Heal(0, 511));
        Assert.Equal(0, Errno(Read(0, 64)));
    }

    /// <summary>What was in its cache for the sector must not fail a flush of other sectors.</summary>
    [Fact]
    public void Sector_that_is_healed_before_the_flush_fails_none()
    {
        AddBad("16 unflushable");
        Assert.Equal(0, Errno(Write(16, 8, 5)));
        _device.Faults.Heal(16, 16);
        Assert.Equal(0, Errno(Do(IoOperation.Flush, 0, 0)));
        AddBad("16 unflushable");
        Assert.Equal(0, Errno(Write(16, 8, 5)));
        AddBad("16 unwritable");
        Assert.Equal(0, Errno(Do(IoOperation.Flush, 0, 0)));
    }

    [Fact]
    public void Requests_beside_defects_and_those_that_defects_concern_allocate_nothing()
    {
        AddBad("16 corrupt");
        AddBad("32 pending");
        BufferSlice block = AlignedMemory.Allocate(4096);
        Recorder owner = new();
        IoRequest request = new();
        Allocations.AssertNone(() =>
        {
            for (int i = 0; i < 10_000; i++)
            {
                request.Prepare(owner, IoOperation.Read, At((i & 3) * 8, 8), block);
                _device.Submit(request);
                _loop.RunUntilIdle();
            }
        });
    }

    private static Extent At(long start, long count) => new(new BlockNumber(start), new BlockCount(count));

    private static int Errno(IoRequest request)
    {
        Assert.False(request.IsSubmitted);
        Assert.Equal(request.Errno == 0 ? IoStatus.Ok : IoStatus.DeviceError, request.Status);
        return request.Errno;
    }

    private void AddBad(string line)
    {
        List<PlacedDefect> placed = [];
        Assert.True(DefectRun.TryPlace(DefectText.Parse(line, 512).Runs, 8, placed));
        Assert.NotEmpty(placed);
        Assert.True(_device.Faults.TryAdd(placed));
    }

    private IoRequest Read(long start, long count) => Do(IoOperation.Read, start, count);

    private IoRequest Write(long start, long count, byte value) =>
        Do(IoOperation.Write, start, count, value);

    private IoRequest Do(
        IoOperation operation, long start, long count, byte value = 0, IoFlags flags = IoFlags.None)
    {
        bool hasData = operation is IoOperation.Read or IoOperation.Write;
        BufferSlice buffer = hasData ? AlignedMemory.Allocate((int)count * 512) : default;
        buffer.Span.Fill(value);
        return DoWith(operation, start, count, buffer, flags);
    }

    private IoRequest DoWith(
        IoOperation operation, long start, long count, BufferSlice buffer, IoFlags flags = IoFlags.None)
    {
        IoRequest request = Submit(operation, start, count, buffer, flags);
        _loop.RunUntilIdle();
        return request;
    }

    private IoRequest Submit(
        IoOperation operation, long start, long count, BufferSlice buffer, IoFlags flags = IoFlags.None)
    {
        IoRequest request = new();
        request.Prepare(new Recorder(), operation, At(start, count), buffer, flags);
        _device.Submit(request);
        Assert.True(request.IsSubmitted);
        return request;
    }

    private sealed class Recorder : IIoOwner
    {
        public void OnCompleted(IoRequest request)
        {
        }
    }
}
