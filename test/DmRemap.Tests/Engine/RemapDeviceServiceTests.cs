using System;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Remapping;
using DmRemap.Engine;
using DmRemap.Engine.Flushing;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Engine;

/// <summary>Zeroes, flushes, stop, moves by request, and what a steady load costs.</summary>
public sealed class RemapDeviceServiceTests
{
    [Fact]
    public void Write_zeroes_over_lost_and_remapped_blocks_is_a_rule_and_needs_no_spare()
    {
        EngineBench bench = new(new BenchOptions { PhysicalBytes = 512 });
        bench.Primary.Content.AsSpan(0, 2048 * 512).Fill(1);
        bench.Primary.BadForWriting.Add(803);
        Assert.Equal(IoStatus.Ok, bench.Write(800, EngineBench.Pattern(8, 512, 9)).Status);
        long used = bench.Device.Allocator.TotalUnitsUsed;
        Assert.Equal(IoStatus.Ok, bench.Zero(796, 8).Status);
        byte[] data = bench.Read(792, 16).Data;
        for (int block = 792; block < 808; block++)
        {
            byte expected = block is >= 796 and < 804 ? (byte)0 : block < 796 ? (byte)1 : (byte)9;
            Assert.Equal(expected, data[(block - 792) * 512]);
        }
        Assert.Equal(used, bench.Device.Allocator.TotalUnitsUsed);
        Assert.Equal(BlockState.Zero, bench.Log.Durable[100].Blocks[3]);
    }

    [Fact]
    public void Write_zeroes_that_fails_in_one_command_is_done_in_pieces_and_finds_the_bad_unit()
    {
        EngineBench bench = new();
        bench.Primary.Content.AsSpan(0, 2048 * 512).Fill(1);
        bench.Primary.BadForWriting.Add(803);
        Assert.Equal(IoStatus.Ok, bench.Zero(0, 2048).Status);
        for (int start = 0; start < 2048; start += 256)
        {
            Outcome read = bench.Read(start, 256);
            Assert.Equal(IoStatus.Ok, read.Status);
            Assert.All(read.Data, b => Assert.Equal(0, b));
        }
        Assert.Equal(1, bench.Device.Table.Count);
    }

    [Fact]
    public void Discard_never_makes_a_lost_block_readable_nor_removes_a_remap()
    {
        EngineBench bench = new();
        bench.Primary.BadForWriting.Add(803);
        Assert.Equal(IoStatus.Ok, bench.Write(800, EngineBench.Pattern(8, 512, 9)).Status);
        Assert.Equal(IoStatus.Ok, bench.Discard(0, 2048).Status);
        Assert.Equal(9, bench.Read(803, 1).Data[0]);
        Assert.Equal(1, bench.Device.Table.Count);
    }

    [Fact]
    public void First_flush_after_a_start_reaches_every_member()
    {
        EngineBench bench = new(new BenchOptions { Spares = 3 });
        bench.Primary.Log = [];
        foreach (SimulatedDisk spare in bench.Spares)
        {
            spare.Log = [];
        }
        Assert.Equal(IoStatus.Ok, bench.Flush().Status);
        Assert.Single(bench.Primary.Log);
        Assert.All(bench.Spares, spare => Assert.Single(spare.Log!));
        Assert.Equal(IoStatus.Ok, bench.Flush().Status);
        Assert.Single(bench.Primary.Log);
    }

    [Fact]
    public void Flush_does_not_join_one_that_was_submitted_before_the_write_it_must_cover()
    {
        EngineBench bench = new();
        bench.Primary.Hang = request => request.Operation == IoOperation.Flush;
        int answered = 0;
        bench.Start(IoOperation.Flush, 0, 0, default, IoFlags.None, _ => answered++);
        bench.Loop.RunFor(Duration.FromMilliseconds(1));
        Assert.Equal(IoStatus.Ok, bench.Write(0, EngineBench.Pattern(8, 512, 1)).Status);
        bench.Start(IoOperation.Flush, 0, 0, default, IoFlags.None, _ => answered++);
        bench.Primary.Log = [];
        bench.Primary.ReleaseHanging();
        bench.Loop.RunFor(Duration.FromMilliseconds(1));
        Assert.Equal(1, answered);
        Assert.Equal(["Flush [0, 0) None"], bench.Primary.Log);
        bench.Primary.ReleaseHanging();
        bench.Loop.RunUntilIdle();
        Assert.Equal(2, answered);
    }

    [Fact]
    public void Failed_flush_is_reported_and_no_later_flush_claims_success()
    {
        EngineBench bench = new();
        bench.Primary.Fault = (n, request) => request.Operation == IoOperation.Flush && n == 0 ? 5 : 0;
        Assert.Equal(IoStatus.DeviceError, bench.Flush().Status);
        Assert.Equal(IoStatus.DeviceError, bench.Flush().Status);
        Assert.Contains(bench.Events, e => e.Kind == EngineEventKind.FlushFailed);
    }

    [Theory]
    [InlineData(true, IoStatus.Ok)]
    [InlineData(false, IoStatus.DeviceError)]
    public void Flush_waits_for_the_one_that_a_start_has_still_out_and_fails_where_that_does(
        bool isOk, IoStatus expected)
    {
        EngineBench bench = new(new BenchOptions { Spares = 2 });
        OpeningFlush opening = bench.Device.Members[1].OpeningFlush!;
        opening.Begin();
        bench.Spares[0].Log = [];
        bench.Spares[1].Log = [];
        IoStatus? answer = null;
        bench.Start(IoOperation.Flush, 0, 0, default, IoFlags.None, io => answer = io.Status);
        bench.Loop.RunUntilIdle();
        Assert.Null(answer);
        int held = bench.Device.Members[1].Index;
        Assert.Empty(bench.Spares[held].Log!);

        opening.End(isOk);
        bench.Loop.RunUntilIdle();
        Assert.Equal(expected, answer);
        Assert.Equal(isOk ? 1 : 0, bench.Spares[held].Log!.Count);
        Assert.Equal(!isOk, bench.Events.Exists(e => e.Kind == EngineEventKind.FlushFailed));
        Assert.Equal(expected, bench.Flush().Status);
    }

    [Fact]
    public void Flush_fails_from_the_beginning_where_the_one_of_the_start_has_failed()
    {
        EngineBench bench = new();
        OpeningFlush opening = bench.Device.Members[1].OpeningFlush!;
        opening.Begin();
        opening.End(isOk: false);
        Assert.Equal(IoStatus.DeviceError, bench.Flush().Status);
        Assert.True(bench.Device.Members[1].HasLostFlush);
    }

    [Fact]
    public void Block_becomes_on_spare_on_disk_after_its_data_and_before_its_write_is_answered()
    {
        EngineBench bench = new(new BenchOptions { PhysicalBytes = 512 });
        bench.Primary.BadForWriting.Add(803);
        Assert.Equal(IoStatus.Ok, bench.Write(803, EngineBench.Pattern(1, 512, 9)).Status);
        long commits = bench.Log.Commits;
        bench.Spares[0].Hang = request => request.Operation == IoOperation.Write;
        bool answered = false;
        bench.Start(IoOperation.Write, 804, 1, AlignedMemory.Allocate(512), IoFlags.None, _ =>
            answered = true);
        bench.Loop.RunFor(Duration.FromSeconds(1));
        Assert.Equal(commits, bench.Log.Commits);
        bench.Log.IsStuck = true;
        bench.Spares[0].ReleaseHanging();
        bench.Loop.RunFor(Duration.FromSeconds(1));
        Assert.False(answered);
        Assert.Equal(BlockState.OnPrimary, bench.Log.Durable[100].Blocks[4]);
        bench.Log.Unstick();
        bench.Loop.RunUntil(() => answered);
        Assert.Equal(BlockState.OnSpare, bench.Log.Durable[100].Blocks[4]);
    }

    [Fact]
    public void Overwriting_a_block_that_is_on_the_spare_needs_no_commit()
    {
        EngineBench bench = new();
        bench.Primary.BadForWriting.Add(803);
        Assert.Equal(IoStatus.Ok, bench.Write(800, EngineBench.Pattern(8, 512, 9)).Status);
        long commits = bench.Log.Commits;
        Assert.Equal(IoStatus.Ok, bench.Write(802, EngineBench.Pattern(4, 512, 8)).Status);
        Assert.Equal(commits, bench.Log.Commits);
    }

    [Fact]
    public void Lost_block_written_in_place_for_want_of_a_spare_is_recorded_before_the_answer()
    {
        EngineBench bench = new(new BenchOptions { SpareUnits = 1, PhysicalBytes = 512 });
        bench.Primary.BadForWriting.Add(0);
        Assert.Equal(IoStatus.Ok, bench.Write(0, EngineBench.Pattern(8, 512, 1)).Status);
        bench.Primary.BadForReading.UnionWith([803, 804]);
        for (int i = 0; i < 3; i++)
        {
            Assert.NotEqual(IoStatus.Ok, bench.Read(803, 2).Status);
            bench.Loop.RunFor(Duration.FromSeconds(70));
        }
        Assert.Equal(BlockState.Lost, bench.Log.Durable[100].Blocks[4]);
        bench.Primary.WritesHeal = true;
        Assert.Equal(IoStatus.Ok, bench.Write(803, EngineBench.Pattern(1, 512, 7)).Status);
        Assert.Equal(BlockState.OnPrimary, bench.Log.Durable[100].Blocks[3]);
        Assert.Equal(IoStatus.Ok, bench.Write(804, EngineBench.Pattern(1, 512, 8)).Status);
        Assert.DoesNotContain(100, bench.Log.Durable.Keys);
        Assert.Equal(0, bench.Device.Tally.LostBlocks);
        Assert.Equal(8, bench.Read(804, 1).Data[0]);
    }

    [Fact]
    public void Fua_write_to_a_block_that_was_lost_is_durable_when_answered()
    {
        EngineBench bench = new(new BenchOptions { PhysicalBytes = 512 });
        bench.Primary.BadForWriting.Add(803);
        Assert.Equal(IoStatus.Ok, bench.Write(803, EngineBench.Pattern(1, 512, 9)).Status);
        Assert.Equal(IoStatus.Ok,
            bench.Write(805, EngineBench.Pattern(1, 512, 8), IoFlags.ForceUnitAccess).Status);
        Assert.Equal(BlockState.OnSpare, bench.Log.Durable[100].Blocks[5]);
    }

    [Fact]
    public void Stop_refuses_new_requests_flushes_and_says_that_it_is_quiet()
    {
        EngineBench bench = new();
        bench.Write(0, EngineBench.Pattern(8, 512, 1));
        StopProbe probe = new();
        bench.Device.BeginStop(probe);
        bench.Loop.RunUntilIdle();
        Assert.True(probe.Flushed);
        Assert.Equal(IoStatus.ShuttingDown, bench.Read(0, 1).Status);
    }

    [Fact]
    public void Stop_records_what_was_lost_and_leaves_no_timer_behind()
    {
        EngineBench bench = new(new BenchOptions { PhysicalBytes = 512 });
        bench.Primary.BadForReading.Add(803);
        for (int i = 0; bench.Device.Tally.LostBlocks == 0; i++)
        {
            Assert.InRange(i, 0, 10);
            bench.Read(800, 8);
            if (bench.Device.Tally.LostBlocks == 0)
            {
                bench.Loop.RunFor(Duration.FromSeconds(70));
            }
        }
        StopProbe probe = new();
        bench.Device.BeginStop(probe);
        bench.Loop.RunUntil(() => probe.Flushed);
        Assert.Equal(1, bench.Log.Commits);
        Assert.False(bench.Loop.Step());
    }

    [Fact]
    public void Requests_outside_the_device_or_malformed_are_invalid()
    {
        EngineBench bench = new();
        Assert.Equal(IoStatus.Invalid, bench.Read(2047, 2).Status);
        Assert.Equal(IoStatus.Invalid,
            bench.Run(IoOperation.Read, 0, 2, AlignedMemory.Allocate(512), IoFlags.None).Status);
        Assert.Equal(IoStatus.Invalid, bench.Run(IoOperation.Flush, 0, 1, default, IoFlags.None).Status);
    }

    [Fact]
    public void Moving_units_copies_what_reads_and_names_what_does_not()
    {
        EngineBench bench = new(new BenchOptions { PhysicalBytes = 512 });
        bench.Primary.Content.AsSpan(800 * 512, 24 * 512).Fill(1);
        bench.Primary.BadForReading.Add(811);
        MoveProbe move = new() { First = new UnitNumber(100), Last = new UnitNumber(102) };
        Assert.True(bench.Device.TryStartMove(move));
        bench.Loop.RunUntilIdle();
        Assert.True(move.IsFinished);
        Assert.Equal(3, move.UnitsMoved);
        Assert.Equal(23, move.BlocksCopied);
        Assert.Equal([new Extent(new BlockNumber(811), new BlockCount(1))], move.Unread);
        bench.Primary.Content.AsSpan(800 * 512, 24 * 512).Fill(2);
        Assert.All(bench.Read(800, 11).Data, b => Assert.Equal(1, b));
        Assert.NotEqual(IoStatus.Ok, bench.Read(811, 1).Status);
    }

    [Fact]
    public void Write_that_is_under_way_is_never_lost_to_a_move()
    {
        EngineBench bench = new();
        bench.Primary.Hang = request => request.Operation == IoOperation.Write;
        bool written = false;
        BufferSlice data = AlignedMemory.Allocate(512);
        data.Span.Fill(7);
        bench.Start(IoOperation.Write, 803, 1, data, IoFlags.None, _ => written = true);
        MoveProbe move = new() { First = new UnitNumber(100), Last = new UnitNumber(100) };
        Assert.True(bench.Device.TryStartMove(move));
        bench.Loop.RunFor(Duration.FromSeconds(1));
        Assert.False(move.IsFinished);
        bench.Primary.Hang = null;
        bench.Primary.ReleaseHanging();
        bench.Loop.RunUntilIdle();
        Assert.True(written);
        Assert.True(move.IsFinished);
        Assert.Equal(7, bench.Read(803, 1).Data[0]);
    }

    [Fact]
    public void Write_that_arrives_during_a_move_waits_for_it_and_is_not_lost()
    {
        EngineBench bench = new();
        bench.Primary.Hang = request => request.Operation == IoOperation.Read;
        MoveProbe move = new() { First = new UnitNumber(100), Last = new UnitNumber(100) };
        Assert.True(bench.Device.TryStartMove(move));
        BufferSlice data = AlignedMemory.Allocate(512);
        data.Span.Fill(7);
        bool written = false;
        bench.Start(IoOperation.Write, 803, 1, data, IoFlags.None, _ => written = true);
        bench.Loop.RunFor(Duration.FromSeconds(1));
        Assert.False(written);
        bench.Primary.Hang = null;
        bench.Primary.ReleaseHanging();
        bench.Loop.RunUntilIdle();
        Assert.True(written);
        Assert.Equal(1, move.UnitsMoved);
        Assert.Equal(7, bench.Read(803, 1).Data[0]);
    }

    [Fact]
    public void Steady_reads_and_writes_allocate_nothing()
    {
        EngineBench bench = new();
        BufferSlice buffer = AlignedMemory.Allocate(4096);
        AllocationProbe probe = new(bench, buffer);
        Allocations.AssertNone(() => probe.Run(10_000));
    }

    private sealed class StopProbe : IStopOwner
    {
        public bool Flushed { get; private set; }

        public void OnQuiesced(bool flushed) => Flushed = flushed;
    }

    private sealed class MoveProbe : MoveRequest
    {
        public bool IsFinished { get; private set; }

        public override void OnFinished() => IsFinished = true;
    }

    private sealed class AllocationProbe(EngineBench bench, BufferSlice buffer) : IIoOwner
    {
        private readonly IoRequest _request = new();

        public void OnCompleted(IoRequest request)
        {
        }

        public void Run(int count)
        {
            for (int i = 0; i < count; i++)
            {
                Extent extent = new(new BlockNumber(i % 200 * 8), new BlockCount(8));
                _request.Prepare(this, (i & 1) == 0 ? IoOperation.Read : IoOperation.Write, extent, buffer);
                bench.Device.Submit(_request);
                while (bench.Loop.Step())
                {
                }
            }
        }
    }
}
