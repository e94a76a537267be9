using System;
using System.Collections.Generic;
using System.Linq;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using DmRemap.Core.Flushing;
using DmRemap.Core.Remapping;
using DmRemap.Engine;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Engine;

/// <summary>A disk that vanishes, and comes back (P5, F-8, F-17, F-29).</summary>
public sealed class GoneMemberTests
{
    private const int NoSuchDevice = 19;

    private static readonly OnGone s_patient = OnGone.HoldFor(Duration.FromSeconds(30));

    private static EngineBench Bench(OnGone policy, int spares = 1) => new(
        new BenchOptions { OnGone = policy, Spares = spares });

    /// <summary>Its disks answer in any order.</summary>
    private static EngineBench Late(int seed) => new(
        new BenchOptions { OnGone = s_patient, LatencyMax = Duration.FromMilliseconds(5), Seed = seed });

    private static void Vanish(SimulatedDisk disk) => disk.Fault = (_, _) => NoSuchDevice;

    private static byte[] Bytes(byte value) => EngineBench.Pattern(8, 512, value);

    /// <summary>Without waiting for the answer.</summary>
    private static Pending Begin(EngineBench bench, IoOperation operation, long start, byte value = 0)
    {
        int blocks = operation == IoOperation.Flush ? 0 : 8;
        BufferSlice buffer = blocks == 0 ? default : AlignedMemory.Allocate(blocks * 512);
        buffer.Span.Fill(value);
        Pending pending = new();
        bench.Start(operation, start, blocks, buffer, IoFlags.None, request =>
        {
            pending.Status = request.Status;
            pending.Answers++;
            pending.Data = buffer.Span.ToArray();
        });
        return pending;
    }

    private static void AssertNothingMoved(EngineBench bench)
    {
        Assert.Equal(0, bench.Device.Table.Count);
        Assert.Equal(0, bench.Device.Allocator.TotalUnitsUsed);
        Assert.Equal(0, bench.Device.Suspects.Count);
        Assert.Equal(0, bench.Device.Counters.BlocksLost);
    }

    [Fact]
    public void Requests_wait_for_a_disk_that_is_gone_and_succeed_when_it_is_back()
    {
        EngineBench bench = Bench(s_patient);
        Assert.Equal(IoStatus.Ok, bench.Write(0, Bytes(1)).Status);
        Assert.Equal(IoStatus.Ok, bench.Flush().Status);
        Vanish(bench.Primary);
        Pending read = Begin(bench, IoOperation.Read, 0);
        Pending write = Begin(bench, IoOperation.Write, 800, 7);
        bench.Loop.RunFor(Duration.FromSeconds(20));
        Pending late = Begin(bench, IoOperation.Write, 1600, 8);
        bench.Loop.RunFor(Duration.FromSeconds(5));
        Assert.Equal(0, read.Answers + write.Answers + late.Answers);
        Assert.True(bench.Device.Primary.IsGone);
        Assert.Equal(3, bench.Device.Primary.RequestsKept);
        Assert.Single(bench.Events, happened => happened.Kind == EngineEventKind.MemberGone);

        bench.Primary.Fault = null;
        bench.Loop.RunFor(Duration.FromSeconds(2));
        Assert.Equal(IoStatus.Ok, read.Status);
        Assert.All(read.Data, value => Assert.Equal(1, value));
        Assert.Equal(IoStatus.Ok, write.Status);
        Assert.Equal(IoStatus.Ok, late.Status);
        Assert.All(bench.Read(800, 8).Data, value => Assert.Equal(7, value));
        Assert.False(bench.Device.Primary.IsGone);
        Assert.Equal(0, bench.Device.Primary.RequestsKept);
        Assert.Single(bench.Events, happened => happened.Kind == EngineEventKind.MemberBack);
        AssertNothingMoved(bench);
    }

    /// <summary>
    /// What was kept meanwhile, too, is given to a drive that may have its cache on again. One that has none,
    /// as the kernel says, has none afterwards.
    /// </summary>
    [Theory]
    [InlineData(WriteCachePolicy.Off, "ForceUnitAccess")]
    [InlineData(WriteCachePolicy.Auto, "None")]
    public void Cache_that_was_switched_off_is_not_relied_on_when_its_drive_was_away(
        WriteCachePolicy policy, string flags)
    {
        EngineBench bench = new(new BenchOptions
        {
            OnGone = s_patient,
            PrimaryKind = MemberKind.BlockDevice,
            WriteCache = policy,
            IsPrimaryCacheOff = true,
        });
        bench.Primary.Log = [];
        bench.Write(80, Bytes(1));
        Assert.Equal("Write [80, 88) None", bench.Primary.Log.Last());
        Vanish(bench.Primary);
        Pending kept = Begin(bench, IoOperation.Write, 800, 7);
        bench.Loop.RunFor(Duration.FromSeconds(1));
        bench.Primary.Fault = null;
        bench.Primary.Log = [];
        bench.Loop.RunFor(Duration.FromSeconds(2));
        Assert.Equal(IoStatus.Ok, kept.Status);
        Assert.Contains($"Write [800, 808) {flags}", bench.Primary.Log);
        bench.Write(80, Bytes(2));
        Assert.Equal($"Write [80, 88) {flags}", bench.Primary.Log.Last());
        Assert.Equal(policy == WriteCachePolicy.Off, bench.Device.Primary.HasVolatileCache);
    }

    [Fact]
    public void Requests_fail_when_the_patience_is_over_and_at_once_from_then_on()
    {
        EngineBench bench = Bench(s_patient);
        Vanish(bench.Primary);
        Pending read = Begin(bench, IoOperation.Read, 0);
        bench.Loop.RunFor(Duration.FromSeconds(29));
        Assert.Equal(0, read.Answers);
        bench.Loop.RunFor(Duration.FromSeconds(2));
        Assert.Equal(IoStatus.DeviceError, read.Status);
        Pending write = Begin(bench, IoOperation.Write, 800, 7);
        bench.Loop.RunFor(Duration.FromMilliseconds(1));
        Assert.Equal(IoStatus.DeviceError, write.Status);
        bench.Primary.Fault = null;
        bench.Loop.RunFor(Duration.FromSeconds(2));
        Assert.False(bench.Device.Primary.IsGone);
        Assert.Equal(IoStatus.Ok, bench.Write(800, Bytes(7)).Status);
        AssertNothingMoved(bench);
    }

    /// <summary>Before the disk went, or after: nobody knows, so that it counts as lost.</summary>
    [Fact]
    public void Write_that_succeeds_while_its_disk_is_gone_fails_the_next_flush_kept_or_not()
    {
        EngineBench bench = Bench(OnGone.Fail);
        Assert.Equal(IoStatus.Ok, bench.Flush().Status);
        bench.Primary.Hang = request => request.Operation == IoOperation.Write;
        Pending write = Begin(bench, IoOperation.Write, 0, 1);
        bench.Primary.Fault = (_, request) => request.Operation == IoOperation.Read ? NoSuchDevice : 0;
        Assert.Equal(IoStatus.DeviceError, bench.Read(800, 8).Status);
        Assert.True(bench.Device.Primary.IsGone);
        bench.Primary.Hang = null;
        bench.Primary.ReleaseHanging();
        bench.Loop.RunFor(Duration.FromMilliseconds(1));
        Assert.Equal(IoStatus.Ok, write.Status);
        bench.Primary.Fault = null;
        bench.Loop.RunFor(Duration.FromSeconds(3));
        Assert.False(bench.Device.Primary.IsGone);
        Assert.Equal(IoStatus.DeviceError, bench.Flush().Status);
    }

    [Fact]
    public void Spare_that_is_gone_when_it_is_to_lend_again_lends_when_it_is_back()
    {
        EngineBench bench = Bench(s_patient);
        bench.Primary.BadForWriting.Add(800);
        Vanish(bench.Spares[0]);
        Pending write = Begin(bench, IoOperation.Write, 800, 7);
        bench.Loop.RunFor(Duration.FromSeconds(1));
        Assert.True(bench.Device.Spare(0).IsGone);
        bench.Device.Allocator.SetUsable(0, false);
        bench.Device.LendFrom(0);
        Assert.False(bench.Device.Allocator.IsUsable(0));
        bench.Spares[0].Fault = null;
        bench.Loop.RunFor(Duration.FromSeconds(3));
        Assert.False(bench.Device.Spare(0).IsGone);
        Assert.True(bench.Device.Allocator.IsUsable(0));
        Assert.Equal(1, write.Answers);
    }

    [Fact]
    public void Policy_fail_answers_each_request_with_an_error_at_once()
    {
        EngineBench bench = Bench(OnGone.Fail);
        Assert.Equal(IoStatus.Ok, bench.Flush().Status);
        Vanish(bench.Primary);
        for (int i = 0; i < 20; i++)
        {
            Assert.Equal(IoStatus.DeviceError, bench.Read(i * 8, 8).Status);
            Assert.Equal(IoStatus.DeviceError, bench.Write(i * 8, Bytes(1)).Status);
        }
        Assert.True(bench.Device.Primary.IsGone);
        Assert.Single(bench.Events);
        bench.Primary.Fault = null;
        Assert.Equal(IoStatus.Ok, bench.Read(0, 8).Status);
        bench.Loop.RunFor(Duration.FromSeconds(2));
        Assert.False(bench.Device.Primary.IsGone);
        AssertNothingMoved(bench);
    }

    /// <summary>
    /// EIO is what a disk that was taken away answers to a read as well, ENODATA what one does that came back
    /// locked.
    /// </summary>
    [Theory]
    [InlineData(5)]
    [InlineData(61)]
    public void Look_that_fails_as_anything_may_does_not_count_as_a_return(int errno)
    {
        EngineBench bench = Bench(s_patient);
        Vanish(bench.Primary);
        Pending read = Begin(bench, IoOperation.Read, 0);
        bench.Loop.RunFor(Duration.FromMilliseconds(10));
        bench.Primary.Fault = (_, _) => errno;
        bench.Loop.RunFor(Duration.FromSeconds(10));
        Assert.True(bench.Device.Primary.IsGone);
        Assert.Equal(0, read.Answers);
    }

    /// <summary>The place of the first error is bad, though the disk is there: others are tried.</summary>
    [Fact]
    public void Disk_that_comes_back_with_a_bad_place_is_found_by_reading_elsewhere()
    {
        EngineBench bench = Bench(s_patient);
        Vanish(bench.Primary);
        Pending read = Begin(bench, IoOperation.Read, 80);
        bench.Loop.RunFor(Duration.FromSeconds(1));
        bench.Primary.BadForReading.Add(81);
        bench.Primary.Fault = null;
        bench.Loop.RunFor(Duration.FromSeconds(3));
        Assert.False(bench.Device.Primary.IsGone);
        Assert.Equal(IoStatus.DeviceError, read.Status);
        Assert.True(bench.Device.Suspects.Contains(new UnitNumber(10)));
    }

    /// <summary>
    /// A write that waits counts as outstanding: were its unit moved meanwhile, it would land on the primary
    /// afterwards, where nobody reads any more.
    /// </summary>
    [Fact]
    public void Unit_with_a_write_that_waits_is_not_moved_before_that_has_landed()
    {
        for (int seed = 1; seed <= 20; seed++)
        {
            EngineBench bench = Late(seed);
            Vanish(bench.Primary);
            Pending old = Begin(bench, IoOperation.Write, 800, 7);
            bench.Loop.RunFor(Duration.FromMilliseconds(10));
            Move move = new() { First = new UnitNumber(100), Last = new UnitNumber(100) };
            Assert.True(bench.Device.TryStartMove(move));
            bench.Loop.RunFor(Duration.FromSeconds(3));
            Assert.False(move.IsOver);
            bench.Primary.Fault = null;
            bench.Loop.RunFor(Duration.FromSeconds(3));
            Assert.True(move.IsOver);
            Assert.Equal(IoStatus.Ok, old.Status);
            Assert.Equal(1, bench.Device.Table.Count);
            Assert.All(bench.Read(800, 8).Data, value => Assert.Equal(7, value));
        }
    }

    /// <summary>The older of two writes to one place is of a client that gave up and came back.</summary>
    [Fact]
    public void Writes_that_overlap_are_sent_one_after_the_other_in_the_order_they_came()
    {
        for (int seed = 1; seed <= 20; seed++)
        {
            EngineBench bench = Late(seed);
            Vanish(bench.Primary);
            Begin(bench, IoOperation.Write, 80, 1);
            bench.Loop.RunFor(Duration.FromSeconds(2));
            for (byte value = 2; value <= 9; value++)
            {
                Begin(bench, IoOperation.Write, 80, value);
            }
            bench.Primary.Fault = null;
            bench.Loop.RunFor(Duration.FromSeconds(3));
            Assert.All(bench.Read(80, 8).Data, value => Assert.Equal(9, value));
        }
    }

    [Fact]
    public void Flush_after_a_return_fails_where_unflushed_writes_may_have_gone_with_the_cache()
    {
        EngineBench bench = Bench(s_patient);
        Assert.Equal(IoStatus.Ok, bench.Flush().Status);
        Assert.Equal(IoStatus.Ok, bench.Write(0, Bytes(1)).Status);
        Vanish(bench.Primary);
        Pending read = Begin(bench, IoOperation.Read, 0);
        bench.Loop.RunFor(Duration.FromSeconds(2));
        bench.Primary.Fault = null;
        bench.Loop.RunFor(Duration.FromSeconds(2));
        Assert.Equal(IoStatus.Ok, read.Status);
        Assert.True(bench.Device.Primary.HasLostFlush);
        Assert.Equal(IoStatus.DeviceError, bench.Flush().Status);
        Assert.Equal(IoStatus.DeviceError, bench.Flush().Status);
    }

    [Fact]
    public void Flush_after_a_return_succeeds_where_everything_had_been_flushed()
    {
        EngineBench bench = Bench(s_patient);
        Assert.Equal(IoStatus.Ok, bench.Write(0, Bytes(1)).Status);
        Assert.Equal(IoStatus.Ok, bench.Flush().Status);
        Vanish(bench.Primary);
        Pending write = Begin(bench, IoOperation.Write, 0, 2);
        bench.Loop.RunFor(Duration.FromSeconds(2));
        bench.Primary.Fault = null;
        bench.Loop.RunFor(Duration.FromSeconds(2));
        Assert.Equal(IoStatus.Ok, write.Status);
        Assert.Equal(IoStatus.Ok, bench.Flush().Status);
    }

    /// <summary>
    /// The flush is with the disk when that goes, and its answer comes from the disk that came back: it
    /// covers nothing of what the cache held.
    /// </summary>
    [Fact]
    public void Flush_that_was_out_while_the_disk_was_gone_does_not_succeed()
    {
        EngineBench bench = Bench(s_patient);
        Assert.Equal(IoStatus.Ok, bench.Write(0, Bytes(1)).Status);
        bench.Primary.Hang = request => request.Operation == IoOperation.Flush;
        Pending flush = Begin(bench, IoOperation.Flush, 0);
        Vanish(bench.Primary);
        Pending read = Begin(bench, IoOperation.Read, 0);
        bench.Loop.RunFor(Duration.FromSeconds(2));
        bench.Primary.Fault = null;
        bench.Loop.RunFor(Duration.FromSeconds(2));
        Assert.Equal(IoStatus.Ok, read.Status);
        bench.Primary.Hang = null;
        bench.Primary.ReleaseHanging();
        bench.Loop.RunFor(Duration.FromSeconds(1));
        Assert.Equal(IoStatus.DeviceError, flush.Status);
    }

    [Fact]
    public void Stop_does_not_wait_for_a_disk_that_is_gone()
    {
        EngineBench bench = Bench(OnGone.Hold);
        Assert.Equal(IoStatus.Ok, bench.Flush().Status);
        Vanish(bench.Primary);
        List<Pending> waiting = [.. Enumerable.Range(0, 40).Select(
            i => Begin(bench, i % 2 == 0 ? IoOperation.Read : IoOperation.Write, i * 8, 1))];
        bench.Loop.RunFor(Duration.FromSeconds(100));
        Assert.All(waiting, one => Assert.Equal(0, one.Answers));
        Stop stop = new();
        bench.Device.BeginStop(stop);
        bench.Loop.RunFor(Duration.FromMilliseconds(10));
        Assert.True(stop.IsOver);
        Assert.All(waiting, one => Assert.Equal(IoStatus.DeviceError, one.Status));
        long operations = bench.Primary.Operations;
        bench.Loop.RunFor(Duration.FromSeconds(10));
        Assert.Equal(operations, bench.Primary.Operations);
        AssertNothingMoved(bench);
    }

    [Fact]
    public void Clear_sends_what_waits_without_a_look()
    {
        EngineBench bench = Bench(OnGone.Hold);
        Assert.False(bench.Device.ClearGone());
        Vanish(bench.Primary);
        Pending read = Begin(bench, IoOperation.Read, 0);
        bench.Loop.RunFor(Duration.FromMilliseconds(10));
        bench.Primary.Fault = null;
        Assert.True(bench.Device.ClearGone());
        bench.Loop.RunFor(Duration.FromMilliseconds(10));
        Assert.Equal(IoStatus.Ok, read.Status);
        Assert.False(bench.Device.Primary.IsGone);
    }

    /// <summary>A full thin volume answers writes like a pulled disk, and it reads.</summary>
    [Fact]
    public void Disk_that_reads_but_goes_with_each_write_does_not_keep_a_write_beyond_the_patience()
    {
        EngineBench bench = Bench(s_patient);
        bench.Primary.Fault = (_, request) => request.Operation == IoOperation.Write ? NoSuchDevice : 0;
        Pending write = Begin(bench, IoOperation.Write, 800, 7);
        bench.Loop.RunFor(Duration.FromSeconds(33));
        Assert.Equal(IoStatus.DeviceError, write.Status);
        AssertNothingMoved(bench);
    }

    [Fact]
    public void Read_and_part_write_wait_for_a_spare_that_is_gone_and_a_whole_write_goes_elsewhere()
    {
        EngineBench bench = Bench(s_patient, spares: 2);
        foreach (long start in (long[])[800, 808, 816])
        {
            bench.Primary.BadForWriting.Add(start);
            Assert.Equal(IoStatus.Ok, bench.Write(start, Bytes(4)).Status);
        }
        bench.Device.Table.TryGet(new UnitNumber(100), out RemapEntry before);
        SimulatedDisk spare = bench.Spares[before.Location.Spare];
        Assert.Equal(IoStatus.Ok, bench.Flush().Status);
        Vanish(spare);
        Pending read = Begin(bench, IoOperation.Read, 808);
        Pending whole = Begin(bench, IoOperation.Write, 800, 5);
        bench.Loop.RunFor(Duration.FromSeconds(2));
        Assert.Equal(0, read.Answers);
        Assert.Equal(IoStatus.Ok, whole.Status);
        bench.Device.Table.TryGet(new UnitNumber(100), out RemapEntry after);
        Assert.NotEqual(before.Location.Spare, after.Location.Spare);
        // The primary is well: nothing of it waits.
        Assert.Equal(IoStatus.Ok, bench.Read(0, 8).Status);
        Pending part = Begin(bench, IoOperation.Write, 812, 6);
        bench.Loop.RunFor(Duration.FromSeconds(2));
        Assert.Equal(0, part.Answers);
        spare.Fault = null;
        bench.Loop.RunFor(Duration.FromSeconds(2));
        Assert.Equal(IoStatus.Ok, read.Status);
        Assert.Equal(IoStatus.Ok, part.Status);
        Assert.True(bench.Device.Allocator.IsUsable(before.Location.Spare));
        Assert.Equal(0, bench.Device.Counters.BlocksLost);
    }

    [Fact]
    public void Spare_that_is_another_one_now_gets_nothing()
    {
        Badge badge = new();
        EngineBench bench = new(new BenchOptions { OnGone = s_patient, SpareIdentity = badge });
        bench.Primary.BadForWriting.Add(800);
        Assert.Equal(IoStatus.Ok, bench.Write(800, Bytes(4)).Status);
        Vanish(bench.Spares[0]);
        Pending read = Begin(bench, IoOperation.Read, 800);
        bench.Loop.RunFor(Duration.FromSeconds(2));
        badge.IsRight = false;
        bench.Spares[0].Fault = null;
        bench.Loop.RunFor(Duration.FromSeconds(10));
        Assert.Equal(0, read.Answers);
        Assert.Single(bench.Events, happened => happened.Kind == EngineEventKind.MemberStranger);
        badge.IsRight = true;
        bench.Loop.RunFor(Duration.FromSeconds(2));
        Assert.Equal(IoStatus.Ok, read.Status);
    }

    private sealed class Pending
    {
        public IoStatus Status { get; set; }

        public int Answers { get; set; }

        public byte[] Data { get; set; } = [];
    }

    private sealed class Move : MoveRequest
    {
        public bool IsOver { get; private set; }

        public override void OnFinished() => IsOver = true;
    }

    private sealed class Stop : IStopOwner
    {
        public bool IsOver { get; private set; }

        public void OnQuiesced(bool flushed) => IsOver = true;
    }

    /// <summary>Content tells nothing; the test does.</summary>
    private sealed class Badge : IMemberIdentity
    {
        public bool IsRight { get; set; } = true;

        public int Places => 2;

        public Extent PlaceAt(int index) => new(new BlockNumber(index), new BlockCount(1));

        public bool IsIt(int index, ReadOnlySpan<byte> content) => IsRight;
    }
}
