using System.Collections.Generic;
using System.Linq;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using DmRemap.Core.Flushing;
using DmRemap.Core.Healing;
using DmRemap.Core.Remapping;
using DmRemap.Engine;
using DmRemap.Engine.Flushing;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Engine;

/// <summary>Flushes that fail, and what comes after (F-8, F-9).</summary>
public sealed class UncertainFlushTests
{
    private static byte[] Bytes(byte value) => EngineBench.Pattern(8, 512, value);

    private static EngineBench Flushed(BenchOptions? options = null)
    {
        EngineBench bench = new(options);
        Assert.Equal(IoStatus.Ok, bench.Flush().Status);
        return bench;
    }

    private static FlushClient Come(EngineBench bench)
    {
        FlushClient client = new();
        bench.Device.Introduce(client);
        return client;
    }

    private static void FailFlushes(SimulatedDisk disk) =>
        disk.Fault = (_, request) => request.Operation == IoOperation.Flush ? 5 : 0;

    private static Extent Of(long start, long count) => new(new BlockNumber(start), new BlockCount(count));

    [Fact]
    public void A_failed_flush_names_what_it_covered_tells_each_client_once_and_flushes_work_again()
    {
        EngineBench bench = Flushed();
        FlushClient one = Come(bench);
        FlushClient other = Come(bench);
        bench.Write(80, Bytes(1));
        bench.Write(160, Bytes(2));
        FailFlushes(bench.Primary);
        Assert.Equal((IoStatus.DeviceError, 5), FlushOf(bench, one));
        bench.Primary.Fault = null;
        Assert.Equal(2, bench.Device.Uncertain.Count);
        Assert.Equal(Of(80, 8), bench.Device.Uncertain[0]);
        Assert.Equal(Of(160, 8), bench.Device.Uncertain[1]);
        EngineEvent said = Assert.Single(bench.Events, e => e.Kind == EngineEventKind.FlushFailed);
        Assert.Equal(Of(80, 88), said.Blocks);

        Assert.Equal(IoStatus.Ok, FlushOf(bench, one).Status);
        Assert.Equal(IoStatus.DeviceError, FlushOf(bench, other).Status);
        Assert.Equal(IoStatus.Ok, FlushOf(bench, other).Status);
        FlushClient late = Come(bench);
        Assert.Equal(IoStatus.DeviceError, FlushOf(bench, late).Status);
        Assert.True(bench.Device.Primary.HasFailedFlush);
        Assert.Equal(IoStatus.DeviceError, bench.Flush().Status);
    }

    [Fact]
    public void Rewriting_and_flushing_all_of_it_ends_the_doubt()
    {
        EngineBench bench = Flushed();
        FlushClient one = Come(bench);
        bench.Write(80, Bytes(1));
        bench.Write(160, Bytes(2));
        FailFlushes(bench.Primary);
        FlushOf(bench, one);
        bench.Primary.Fault = null;
        bench.Write(80, Bytes(3));
        Assert.Equal(IoStatus.Ok, FlushOf(bench, one).Status);
        Assert.Equal(1, bench.Device.Uncertain.Count);
        Assert.True(bench.Device.Primary.HasLostFlush);
        bench.Write(160, Bytes(3), IoFlags.ForceUnitAccess);
        Assert.True(bench.Device.Uncertain.IsEmpty);
        Assert.False(bench.Device.Primary.HasLostFlush);
        Assert.Single(bench.Events, e => e.Kind == EngineEventKind.UncertainEnded);
        Assert.Equal(IoStatus.Ok, bench.Flush().Status);
        Assert.Equal(IoStatus.Ok, FlushOf(bench, Come(bench)).Status);
    }

    [Fact]
    public void Clearing_ends_the_doubt_for_who_comes_later_and_who_was_there_is_still_told()
    {
        EngineBench bench = Flushed();
        FlushClient one = Come(bench);
        bench.Write(80, Bytes(1));
        FailFlushes(bench.Primary);
        Assert.Equal(IoStatus.DeviceError, bench.Flush().Status);
        bench.Primary.Fault = null;
        Assert.False(bench.Device.ClearUncertain(UncertainCause.CacheLost));
        Assert.True(bench.Device.ClearUncertain(UncertainCause.FlushFailed));
        Assert.False(bench.Device.ClearUncertain(UncertainCause.FlushFailed));
        Assert.True(bench.Device.Uncertain.IsEmpty);
        Assert.Equal(IoStatus.Ok, bench.Flush().Status);
        Assert.Equal(IoStatus.Ok, FlushOf(bench, Come(bench)).Status);
        Assert.Equal(IoStatus.DeviceError, FlushOf(bench, one).Status);
        Assert.Equal(IoStatus.Ok, FlushOf(bench, one).Status);
    }

    /// <summary>The disk may have had it in its cache when the flush failed, and lost it.</summary>
    [Fact]
    public void A_write_that_was_out_while_a_flush_failed_is_uncertain_and_told()
    {
        EngineBench bench = Flushed();
        FlushClient one = Come(bench);
        bench.Write(80, Bytes(1));
        bench.Primary.Hang = request => request.Operation == IoOperation.Write;
        BufferSlice buffer = AlignedMemory.Allocate(8 * 512);
        IoStatus? written = null;
        bench.Start(IoOperation.Write, 400, 8, buffer, IoFlags.None, io => written = io.Status);
        bench.Loop.RunUntilIdle();
        FailFlushes(bench.Primary);
        Assert.Equal(IoStatus.DeviceError, FlushOf(bench, one).Status);
        bench.Primary.Fault = null;
        Assert.Equal(1, bench.Device.Uncertain.Count);
        bench.Primary.Hang = null;
        bench.Primary.ReleaseHanging();
        bench.Loop.RunUntilIdle();
        Assert.Equal(IoStatus.Ok, written);
        Assert.Equal(Of(400, 8), bench.Device.Uncertain[1]);
        Assert.Equal(IoStatus.DeviceError, FlushOf(bench, one).Status);
        Assert.Equal(IoStatus.Ok, FlushOf(bench, one).Status);
    }

    /// <summary>A flush that waits for another is asked for before it, and sent behind it.</summary>
    [Fact]
    public void A_write_that_was_answered_while_the_failing_flush_waited_is_told_by_the_next()
    {
        EngineBench bench = Flushed();
        FlushClient one = Come(bench);
        bench.Write(80, Bytes(1));
        bench.Primary.Hang = request => request.Operation == IoOperation.Flush;
        List<IoStatus> answers = [];
        Ask(bench, one, answers.Add);
        Ask(bench, one, answers.Add);
        bench.Loop.RunUntilIdle();
        Assert.Equal(IoStatus.Ok, bench.Write(160, Bytes(1)).Status);
        bench.Primary.Hang = null;
        bench.Primary.ReleaseHanging();
        FailFlushes(bench.Primary);
        bench.Loop.RunUntil(() => answers.Count == 2);
        bench.Primary.Fault = null;
        Assert.Equal([IoStatus.Ok, IoStatus.DeviceError], answers);
        Assert.Equal(IoStatus.DeviceError, FlushOf(bench, one).Status);
        Assert.Equal(IoStatus.Ok, FlushOf(bench, one).Status);
    }

    /// <summary>Nothing was answered that it was to cover; the cache may have the write.</summary>
    [Fact]
    public void A_write_that_was_out_while_a_flush_of_nothing_failed_is_uncertain_and_told()
    {
        EngineBench bench = Flushed(new BenchOptions { WriteCache = WriteCachePolicy.Keep });
        FlushClient one = Come(bench);
        bench.Write(80, Bytes(1));
        FailFlushes(bench.Primary);
        Assert.Equal(IoStatus.DeviceError, FlushOf(bench, one).Status);
        Assert.True(bench.Device.ClearUncertain(UncertainCause.FlushFailed));
        bench.Primary.Fault = null;
        bench.Primary.Hang = request => request.Operation == IoOperation.Write;
        IoStatus? written = null;
        bench.Start(
            IoOperation.Write, 400, 8, AlignedMemory.Allocate(8 * 512), IoFlags.None,
            io => written = io.Status);
        bench.Loop.RunUntilIdle();
        FailFlushes(bench.Primary);
        Assert.Equal(IoStatus.DeviceError, FlushOf(bench, one).Status);
        bench.Primary.Fault = null;
        bench.Primary.Hang = null;
        bench.Primary.ReleaseHanging();
        bench.Loop.RunUntilIdle();
        Assert.Equal(IoStatus.Ok, written);
        Assert.Equal(Of(400, 8), bench.Device.Uncertain[0]);
        Assert.Equal(IoStatus.DeviceError, FlushOf(bench, one).Status);
        // The doubt of no member is a condition, too, and a person can end it.
        Assert.True(bench.Device.IsUncertainFor(UncertainCause.FlushFailed));
        Assert.False(bench.Device.ClearUncertain(UncertainCause.CacheLost));
        Assert.True(bench.Device.ClearUncertain(UncertainCause.FlushFailed));
        Assert.False(bench.Device.IsUncertainFor(UncertainCause.FlushFailed));
        Assert.True(bench.Device.Uncertain.IsEmpty);
        Assert.False(bench.Device.FlushErrors.IsUncertain);
    }

    /// <summary>In probation a write goes another way to its disk.</summary>
    [Fact]
    public void A_write_into_probation_that_was_out_while_a_flush_failed_is_uncertain_and_told()
    {
        EngineBench bench = Flushed(new BenchOptions { Heal = HealPolicy.Default, Entries = Probation(50) });
        FlushClient one = Come(bench);
        bench.Write(400, Bytes(1));
        bench.Spares[0].Hang = request => request.Operation == IoOperation.Write;
        IoStatus? written = null;
        bench.Start(
            IoOperation.Write, 402, 2, AlignedMemory.Allocate(2 * 512), IoFlags.None,
            io => written = io.Status);
        bench.Loop.RunUntilIdle();
        FailFlushes(bench.Spares[0]);
        Assert.Equal(IoStatus.DeviceError, FlushOf(bench, one).Status);
        bench.Spares[0].Fault = null;
        Assert.Equal(Of(400, 8), bench.Device.Uncertain[0]);
        Assert.True(bench.Device.ClearUncertain(UncertainCause.FlushFailed));
        bench.Spares[0].Hang = null;
        bench.Spares[0].ReleaseHanging();
        bench.Loop.RunUntilIdle();
        Assert.Equal(IoStatus.Ok, written);
        Assert.Equal(Of(402, 2), bench.Device.Uncertain[0]);
        Assert.Equal(IoStatus.DeviceError, FlushOf(bench, one).Status);
        Assert.Equal(IoStatus.Ok, FlushOf(bench, one).Status);
    }

    /// <summary>As it mostly is: the sector that the cache could not store is bad.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Rewriting_what_moves_to_a_spare_or_is_kept_as_zeros_ends_the_doubt(bool isZeroes)
    {
        EngineBench bench = Flushed();
        FlushClient one = Come(bench);
        bench.Write(80, Bytes(1));
        FailFlushes(bench.Primary);
        Assert.Equal(IoStatus.DeviceError, FlushOf(bench, one).Status);
        bench.Primary.Fault = null;
        bench.Primary.BadForWriting.Add(83);
        if (isZeroes)
        {
            bench.Write(80, EngineBench.Pattern(4, 512, 2));
            Assert.Equal(Of(84, 4), bench.Device.Uncertain[0]);
            Assert.Equal(IoStatus.Ok, bench.Zero(80, 8).Status);
        }
        else
        {
            Assert.Equal(IoStatus.Ok, bench.Write(80, Bytes(2)).Status);
        }
        Assert.True(bench.Device.Uncertain.IsEmpty);
        Assert.False(bench.Device.Primary.HasFailedFlush);
        Assert.Equal(IoStatus.Ok, FlushOf(bench, one).Status);
    }

    /// <summary>The client learns of the first by its flush, of the second only by its next one.</summary>
    [Fact]
    public void A_write_that_was_answered_while_the_failing_flush_was_out_is_told_by_the_next()
    {
        EngineBench bench = Flushed();
        FlushClient one = Come(bench);
        bench.Write(80, Bytes(1));
        bench.Primary.Hang = request => request.Operation == IoOperation.Flush;
        IoStatus? first = null;
        Ask(bench, one, status => first = status);
        bench.Loop.RunUntilIdle();
        bench.Write(400, Bytes(2));
        bench.Primary.Hang = null;
        FailFlushes(bench.Primary);
        bench.Primary.ReleaseHanging();
        bench.Loop.RunUntilIdle();
        bench.Primary.Fault = null;
        Assert.Equal(IoStatus.DeviceError, first);
        Assert.Equal(2, bench.Device.Uncertain.Count);
        Assert.Equal(IoStatus.DeviceError, FlushOf(bench, one).Status);
        Assert.Equal(IoStatus.Ok, FlushOf(bench, one).Status);
    }

    /// <summary>
    /// Its first unit is in the cache that another client's flush loses, its second on the way to a spare:
    /// the client is told of the loss before it learns that this write is done, and has to be told again.
    /// </summary>
    [Fact]
    public void A_write_of_which_a_part_is_lost_before_it_is_answered_is_told_by_the_next_flush()
    {
        EngineBench bench = Flushed(new BenchOptions { WriteCache = WriteCachePolicy.Keep });
        FlushClient one = Come(bench);
        FlushClient other = Come(bench);
        bench.Primary.BadForWriting.Add(410);
        bench.Spares[0].Hang = request => request.Operation == IoOperation.Write;
        BufferSlice buffer = AlignedMemory.Allocate(16 * 512);
        IoStatus? written = null;
        bench.Start(IoOperation.Write, 400, 16, buffer, IoFlags.None, io => written = io.Status);
        bench.Loop.RunUntilIdle();
        FailFlushes(bench.Primary);
        Assert.Equal(IoStatus.DeviceError, FlushOf(bench, other).Status);
        bench.Primary.Fault = null;
        Assert.Equal(IoStatus.DeviceError, FlushOf(bench, one).Status);
        Assert.Null(written);
        bench.Spares[0].Hang = null;
        bench.Spares[0].ReleaseHanging();
        bench.Loop.RunUntilIdle();
        Assert.Equal(IoStatus.Ok, written);
        Assert.Equal(IoStatus.DeviceError, FlushOf(bench, one).Status);
        Assert.Equal(IoStatus.Ok, FlushOf(bench, one).Status);
    }

    [Fact]
    public void Forced_writes_are_never_uncertain_and_a_disk_that_goes_takes_nothing_of_them()
    {
        EngineBench bench = Flushed();
        bench.Write(80, Bytes(1), IoFlags.ForceUnitAccess);
        FailFlushes(bench.Primary);
        bench.Write(160, Bytes(1));
        Assert.Equal(IoStatus.DeviceError, bench.Flush().Status);
        Assert.Equal(1, bench.Device.Uncertain.Count);
        Assert.Equal(Of(160, 8), bench.Device.Uncertain[0]);
    }

    [Fact]
    public void A_cache_that_is_lost_is_named_told_once_and_cleared_by_its_own_name()
    {
        EngineBench bench = Flushed(
            new BenchOptions { OnGone = OnGone.HoldFor(Duration.FromSeconds(30)) });
        FlushClient one = Come(bench);
        bench.Write(80, Bytes(1));
        bench.Primary.Fault = (_, _) => 19;
        bench.Start(IoOperation.Read, 0, 8, AlignedMemory.Allocate(8 * 512), IoFlags.None, null);
        bench.Loop.RunFor(Duration.FromSeconds(2));
        Assert.True(bench.Device.Primary.HasLostCache);
        Assert.False(bench.Device.Primary.HasFailedFlush);
        Assert.Single(bench.Events, e => e.Kind == EngineEventKind.CacheLost);
        // Nobody waits for the disk to be told.
        Assert.Equal(IoStatus.DeviceError, FlushOf(bench, one).Status);
        bench.Primary.Fault = null;
        bench.Loop.RunFor(Duration.FromSeconds(2));
        Assert.Equal(IoStatus.Ok, FlushOf(bench, one).Status);
        Assert.Equal(Of(80, 8), bench.Device.Uncertain[0]);
        Assert.True(bench.Device.ClearUncertain(UncertainCause.CacheLost));
        Assert.Equal(IoStatus.Ok, bench.Flush().Status);
    }

    /// <summary>
    /// What a former instance wrote is not known: all of it may be lost with the first flush.
    /// </summary>
    [Fact]
    public void The_first_flush_of_a_start_that_fails_makes_the_whole_member_uncertain()
    {
        EngineBench bench = new();
        FailFlushes(bench.Primary);
        Assert.Equal(IoStatus.DeviceError, bench.Flush().Status);
        Assert.Equal(bench.Device.Geometry.Whole, bench.Device.Uncertain[0]);
    }

    [Fact]
    public void Forced_zeroes_fail_with_their_flush_and_tell_nobody_of_it()
    {
        EngineBench bench = Flushed();
        FlushClient one = Come(bench);
        FailFlushes(bench.Primary);
        Assert.Equal(IoStatus.DeviceError, bench.Zero(80, 8, IoFlags.ForceUnitAccess).Status);
        bench.Primary.Fault = null;
        Assert.Equal(IoStatus.Ok, bench.Zero(160, 8, IoFlags.ForceUnitAccess).Status);
        Assert.Equal(IoStatus.DeviceError, FlushOf(bench, one).Status);
    }

    [Fact]
    public void Writes_to_the_primary_are_forced_from_the_first_bad_unit_on()
    {
        EngineBench bench = Flushed();
        bench.Primary.Log = [];
        bench.Write(80, Bytes(1));
        Assert.Equal("Write [80, 88) None", bench.Primary.Log.Single());
        bench.Primary.BadForWriting.Add(800);
        Assert.Equal(IoStatus.Ok, bench.Write(800, Bytes(1)).Status);
        bench.Primary.Log = [];
        bench.Write(80, Bytes(1));
        Assert.Equal("Write [80, 88) ForceUnitAccess", bench.Primary.Log.Single());
        Assert.True(bench.Device.WriteCache.ForcesWrites);
    }

    [Theory]
    [InlineData(WriteCachePolicy.Fua, true)]
    [InlineData(WriteCachePolicy.Keep, false)]
    [InlineData(WriteCachePolicy.Off, false)]
    public void Writes_carry_force_as_the_policy_says_also_after_a_failed_flush(
        WriteCachePolicy policy, bool isForced)
    {
        EngineBench bench = Flushed(
            new BenchOptions { WriteCache = policy, IsPrimaryCacheOff = policy == WriteCachePolicy.Off });
        bench.Write(80, Bytes(1));
        bench.Zero(160, 8);
        FailFlushes(bench.Primary);
        bench.Flush();
        bench.Primary.Fault = null;
        bench.Primary.Log = [];
        bench.Write(80, Bytes(1));
        bench.Read(80, 8);
        Assert.Equal(
            [$"Write [80, 88) {(isForced ? "ForceUnitAccess" : "None")}", "Read [80, 88) None"],
            bench.Primary.Log);
    }

    private static SortedDictionary<long, RemapEntry> Probation(long unit) => new()
    {
        [unit] = new RemapEntry
        {
            Unit = new UnitNumber(unit),
            State = UnitState.Probation,
            Location = new SpareLocation(0, new UnitNumber(3)),
            Blocks = BlockStates.AllOnPrimary.With(0xFF, BlockState.OnSpare),
            LastErrno = 5,
        },
    };

    private static (IoStatus Status, int Errno) FlushOf(EngineBench bench, FlushClient client)
    {
        (IoStatus Status, int Errno)? answer = null;
        IoRequest request = new() { Client = client };
        Answered answered = new(io => answer = (io.Status, io.Errno));
        request.Prepare(answered, IoOperation.Flush, default, default);
        bench.Device.Submit(request);
        bench.Loop.RunUntil(() => answer is not null);
        return answer!.Value;
    }

    private static void Ask(EngineBench bench, FlushClient client, System.Action<IoStatus> then)
    {
        IoRequest request = new() { Client = client };
        request.Prepare(new Answered(io => then(io.Status)), IoOperation.Flush, default, default);
        bench.Device.Submit(request);
    }

    private sealed class Answered(System.Action<IoRequest> then) : IIoOwner
    {
        public void OnCompleted(IoRequest request) => then(request);
    }
}
