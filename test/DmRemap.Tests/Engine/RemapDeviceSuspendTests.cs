using System;
using System.Collections.Generic;
using System.Linq;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;
using DmRemap.Engine;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Engine;

/// <summary>Suspending holds, drains and flushes; nothing is failed, nothing is forgotten.</summary>
public sealed class RemapDeviceSuspendTests
{
    private static readonly Duration s_long = Duration.FromSeconds(100);

    [Fact]
    public void Suspended_device_holds_requests_and_carries_them_out_after_resume()
    {
        EngineBench bench = new();
        SuspendProbe probe = Suspend(bench);
        Assert.True(probe.Flushed);
        long before = Operations(bench);
        List<long> answered = [];
        for (long i = 0; i < 10; i++)
        {
            long block = i * 8;
            BufferSlice data = AlignedMemory.Allocate(4096);
            data.Span.Fill((byte)(i + 1));
            bench.Start(IoOperation.Write, block, 8, data, IoFlags.None, request =>
            {
                Assert.Equal(IoStatus.Ok, request.Status);
                answered.Add(block);
            });
        }
        bench.Loop.RunFor(s_long);
        Assert.Empty(answered);
        Assert.Equal(before, Operations(bench));
        Assert.Equal(10, bench.Device.RequestsHeld);
        bench.Device.Resume();
        bench.Loop.RunUntilIdle();
        Assert.Equal([0, 8, 16, 24, 32, 40, 48, 56, 64, 72], answered);
        Assert.Equal(10, bench.Read(79, 1).Data[0]);
        Assert.Equal(0, bench.Device.RequestsHeld);
        // The clients waited that long, and the disk took no longer for it.
        Assert.True(bench.Device.Counters.Latencies.Writes.Summarize().Longest >= s_long);
        Assert.True(bench.Device.Primary.Latencies.Writes.Summarize().Longest < s_long);
        // The flush of the suspension is nobody's.
        Assert.Equal(0, bench.Device.Counters.Latencies.Flushes.Summarize().Count);
    }

    [Fact]
    public void Suspending_waits_for_what_is_in_flight_and_flushes_it()
    {
        EngineBench bench = new();
        bench.Primary.Hang = request => request.Operation == IoOperation.Write;
        bool written = false;
        BufferSlice data = AlignedMemory.Allocate(4096);
        data.Span.Fill(7);
        bench.Start(IoOperation.Write, 0, 8, data, IoFlags.None, _ => written = true);
        SuspendProbe probe = new();
        bench.Device.BeginSuspend(probe);
        bench.Loop.RunFor(s_long);
        Assert.Equal(0, probe.Calls);
        Assert.False(bench.Device.IsQuiesced);
        bench.Primary.ReleaseHanging();
        bench.Loop.RunUntilIdle();
        Assert.True(written);
        Assert.Equal(1, probe.Calls);
        Assert.True(bench.Device.IsQuiesced);
        for (int seed = 0; seed < 8; seed++)
        {
            // Quiesced means on the medium: the whole of it, whatever a power cut drops.
            Assert.All(bench.Primary.PowerCut(new Random(seed))[..4096], b => Assert.Equal(7, b));
        }
    }

    [Fact]
    public void Remaps_outlive_suspend_and_resume_and_a_second_round_of_both()
    {
        EngineBench bench = new();
        bench.Primary.BadForWriting.Add(803);
        Assert.Equal(IoStatus.Ok, bench.Write(800, EngineBench.Pattern(8, 512, 9)).Status);
        for (int round = 0; round < 3; round++)
        {
            Suspend(bench);
            Assert.Equal(1, bench.Device.Tally.RemappedUnits);
            bench.Device.Resume();
            Assert.All(bench.Read(800, 8).Data, b => Assert.Equal(9, b));
            Assert.Equal(IoStatus.Ok, bench.Write(808 + (8 * round), EngineBench.Pattern(8, 512, 3)).Status);
        }
        Assert.Equal(IoStatus.Ok, bench.Write(800, EngineBench.Pattern(8, 512, 8)).Status);
        Assert.All(bench.Read(800, 8).Data, b => Assert.Equal(8, b));
        Assert.Single(bench.Log.Durable);
    }

    [Fact]
    public void Repair_under_way_is_finished_and_its_entry_durable_before_it_is_quiet()
    {
        EngineBench bench = new();
        bench.Primary.BadForWriting.Add(803);
        bench.Log.IsStuck = true;
        IoStatus status = IoStatus.Pending;
        BufferSlice data = AlignedMemory.Allocate(4096);
        data.Span.Fill(9);
        bench.Start(IoOperation.Write, 800, 8, data, IoFlags.None, request => status = request.Status);
        SuspendProbe probe = new();
        bench.Device.BeginSuspend(probe);
        bench.Loop.RunFor(s_long);
        Assert.Equal(0, probe.Calls);
        bench.Log.Unstick();
        bench.Loop.RunUntilIdle();
        Assert.Equal(IoStatus.Ok, status);
        Assert.True(probe.Flushed);
        Assert.Equal(9, bench.Spares[0].Content[bench.SpareBlock(bench.Log.Durable[100].Location) * 512]);
    }

    [Fact]
    public void What_is_known_to_be_lost_is_recorded_before_it_is_quiet()
    {
        EngineBench bench = new(new BenchOptions { PhysicalBytes = 512 });
        bench.Primary.BadForReading.Add(803);
        Assert.NotEqual(IoStatus.Ok, bench.Read(803, 1).Status);
        bench.Loop.RunFor(Duration.FromSeconds(70));
        Assert.NotEqual(IoStatus.Ok, bench.Read(803, 1).Status);
        bench.Loop.RunFor(Duration.FromSeconds(70));
        // Given up only now: the record would come a second later.
        Assert.NotEqual(IoStatus.Ok, bench.Read(803, 1).Status);
        Assert.Equal(1, bench.Device.Tally.LostBlocks);
        Assert.Empty(bench.Log.Durable);
        Suspend(bench);
        Assert.Equal(BlockState.Lost, bench.Log.Durable[100].Blocks[3]);
    }

    [Fact]
    public void Quiesced_device_makes_no_io_of_its_own_but_metadata()
    {
        EngineBench bench = new();
        bench.Primary.BadForWriting.Add(803);
        // A doubt that no commit ends: the device goes on trying to, and that is metadata.
        bench.Log.Outcome = _ => CommitOutcome.Unknown;
        Assert.NotEqual(IoStatus.Ok, bench.Write(800, EngineBench.Pattern(8, 512, 9)).Status);
        Suspend(bench);
        long before = Operations(bench);
        long commits = bench.Log.Commits;
        bench.Loop.RunFor(s_long);
        Assert.Equal(before, Operations(bench));
        Assert.True(bench.Log.Commits > commits);
        bench.Log.Outcome = null;
        bench.Loop.RunFor(s_long);
        Assert.Equal(before, Operations(bench));
        bench.Device.Resume();
        Assert.Equal(IoStatus.Ok, bench.Write(800, EngineBench.Pattern(8, 512, 9)).Status);
    }

    [Fact]
    public void Move_by_hand_ends_after_its_unit_and_none_is_begun_while_suspended()
    {
        EngineBench bench = new();
        bench.Primary.Hang = request => request.Operation == IoOperation.Read;
        MoveProbe move = new() { First = new UnitNumber(100), Last = new UnitNumber(110) };
        Assert.True(bench.Device.TryStartMove(move));
        SuspendProbe probe = new();
        bench.Device.BeginSuspend(probe);
        bench.Primary.Hang = null;
        bench.Primary.ReleaseHanging();
        bench.Loop.RunUntilIdle();
        Assert.True(move.IsFinished);
        Assert.True(move.IsAbandoned);
        Assert.Equal(1, move.UnitsMoved);
        Assert.True(probe.Flushed);
        Assert.False(bench.Device.TryStartMove(
            new MoveProbe { First = new UnitNumber(0), Last = new UnitNumber(0) }));
        bench.Device.Resume();
        Assert.True(bench.Device.TryStartMove(
            new MoveProbe { First = new UnitNumber(0), Last = new UnitNumber(0) }));
        bench.Loop.RunUntilIdle();
        Assert.Equal(2, bench.Device.Tally.RemappedUnits);
    }

    [Fact]
    public void Resume_while_draining_lets_everything_go_on_and_nobody_is_told_that_it_is_quiet()
    {
        EngineBench bench = new();
        bench.Primary.Hang = _ => true;
        int answered = 0;
        bench.Start(IoOperation.Read, 0, 8, AlignedMemory.Allocate(4096), IoFlags.None, _ => answered++);
        SuspendProbe probe = new();
        bench.Device.BeginSuspend(probe);
        bench.Start(IoOperation.Read, 8, 8, AlignedMemory.Allocate(4096), IoFlags.None, _ => answered++);
        bench.Loop.RunFor(s_long);
        bench.Device.Resume();
        bench.Primary.Hang = null;
        bench.Primary.ReleaseHanging();
        bench.Loop.RunUntilIdle();
        Assert.Equal(2, answered);
        Assert.Equal(0, probe.Calls);
        Assert.False(bench.Device.IsQuiesced);
    }

    [Fact]
    public void Suspended_again_while_the_first_ones_flush_is_out_it_flushes_once_more()
    {
        EngineBench bench = new();
        bench.Primary.Hang = request => request.Operation == IoOperation.Flush;
        SuspendProbe first = new();
        bench.Device.BeginSuspend(first);
        bench.Loop.RunFor(Duration.FromSeconds(1));
        bench.Device.Resume();
        Assert.Equal(IoStatus.Ok, bench.Write(0, EngineBench.Pattern(8, 512, 7)).Status);
        SuspendProbe second = new();
        bench.Device.BeginSuspend(second);
        bench.Loop.RunFor(Duration.FromSeconds(1));
        bench.Primary.Hang = null;
        bench.Primary.ReleaseHanging();
        bench.Loop.RunUntilIdle();
        Assert.Equal(0, first.Calls);
        Assert.Equal(1, second.Calls);
        // The older flush did not cover this write.
        for (int seed = 0; seed < 8; seed++)
        {
            Assert.All(bench.Primary.PowerCut(new Random(seed))[..4096], b => Assert.Equal(7, b));
        }
    }

    [Fact]
    public void Flush_that_fails_is_quiet_too_and_said()
    {
        EngineBench bench = new();
        bench.Primary.Fault = (_, request) => request.Operation == IoOperation.Flush ? 5 : 0;
        SuspendProbe probe = Suspend(bench);
        Assert.False(probe.Flushed);
        Assert.True(bench.Device.IsQuiesced);
    }

    [Fact]
    public void Stop_of_a_suspended_device_refuses_what_it_held_and_ends_well()
    {
        EngineBench bench = new();
        Suspend(bench);
        IoStatus held = IoStatus.Pending;
        bench.Start(IoOperation.Write, 0, 8, AlignedMemory.Allocate(4096), IoFlags.None, request =>
            held = request.Status);
        bench.Loop.RunFor(s_long);
        bench.Device.RefuseRequests();
        StopProbe stop = new();
        bench.Device.BeginStop(stop);
        long before = bench.Primary.Operations;
        bench.Loop.RunUntilIdle();
        Assert.Equal(IoStatus.ShuttingDown, held);
        Assert.True(stop.Flushed);
        Assert.Equal(before, bench.Primary.Operations);
        Assert.Equal(0, bench.Device.InFlight);
    }

    [Fact]
    public void Stop_while_draining_ends_when_what_was_in_flight_has()
    {
        EngineBench bench = new();
        bench.Primary.Hang = _ => true;
        List<IoStatus> statuses = [];
        bench.Start(IoOperation.Write, 0, 8, AlignedMemory.Allocate(4096), IoFlags.None, request =>
            statuses.Add(request.Status));
        SuspendProbe suspend = new();
        bench.Device.BeginSuspend(suspend);
        bench.Start(IoOperation.Write, 8, 8, AlignedMemory.Allocate(4096), IoFlags.None, request =>
            statuses.Add(request.Status));
        StopProbe stop = new();
        bench.Device.RefuseRequests();
        bench.Device.BeginStop(stop);
        bench.Loop.RunFor(s_long);
        Assert.Equal([IoStatus.ShuttingDown], statuses);
        Assert.False(stop.Flushed);
        bench.Primary.Hang = null;
        bench.Primary.ReleaseHanging();
        bench.Loop.RunUntilIdle();
        Assert.Equal([IoStatus.ShuttingDown, IoStatus.Ok], statuses);
        Assert.True(stop.Flushed);
        Assert.Equal(0, suspend.Calls);
    }

    [Fact]
    public void More_requests_than_there_are_slots_are_held_and_all_answered()
    {
        EngineBench bench = new();
        Suspend(bench);
        int answered = 0;
        for (int i = 0; i < 3 * Limits.RequestsInFlightMax; i++)
        {
            bench.Start(IoOperation.Read, i, 1, AlignedMemory.Allocate(512), IoFlags.None, _ => answered++);
        }
        bench.Loop.RunFor(s_long);
        Assert.Equal(0, answered);
        bench.Device.Resume();
        bench.Loop.RunUntilIdle();
        Assert.Equal(3 * Limits.RequestsInFlightMax, answered);
    }

    /// <summary>Anything after anything, at random moments, on a disk with bad sectors.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(5)]
    [InlineData(6)]
    [InlineData(7)]
    [InlineData(8)]
    public void Random_commands_between_requests_lose_and_fail_nothing(int seed)
    {
        Random random = new(seed);
        EngineBench bench = new(new BenchOptions { Seed = seed, LatencyMax = Duration.FromMilliseconds(3) });
        for (int i = 0; i < 40; i++)
        {
            bench.Primary.BadForWriting.Add(random.Next(2048));
        }
        byte[] expected = new byte[256];
        // One at a time into a unit: requests that overlap have no order.
        bool[] isBusy = new bool[expected.Length];
        SuspendProbe? suspended = null;
        int asked = 0;
        int answered = 0;
        for (int step = 0; step < 4000; step++)
        {
            int unit = random.Next(expected.Length);
            switch (random.Next(16))
            {
                case 0 when suspended is null:
                    suspended = new SuspendProbe();
                    bench.Device.BeginSuspend(suspended);
                    break;
                case 1 when suspended is { Calls: 1 }:
                    CheckNothingMoves(bench, random);
                    break;
                case 2 when suspended is not null:
                    bench.Device.Resume();
                    suspended = null;
                    break;
                case < 10 when !isBusy[unit]:
                    expected[unit] = (byte)random.Next(1, 255);
                    BufferSlice data = AlignedMemory.Allocate(4096);
                    data.Span.Fill(expected[unit]);
                    isBusy[unit] = true;
                    asked++;
                    bench.Start(IoOperation.Write, unit * 8, 8, data, IoFlags.None, request =>
                    {
                        Assert.Equal(IoStatus.Ok, request.Status);
                        answered++;
                        isBusy[unit] = false;
                    });
                    break;
                default:
                    bench.Loop.RunFor(Duration.FromMilliseconds(random.Next(4)));
                    break;
            }
        }
        if (suspended is not null)
        {
            bench.Device.Resume();
        }
        bench.Loop.RunUntilIdle();
        Assert.Equal(asked, answered);
        CheckContent(bench, expected, seed);
    }

    [Fact]
    public void Requests_held_and_resumed_allocate_nothing()
    {
        EngineBench bench = new();
        BufferSlice buffer = AlignedMemory.Allocate(4096);
        IoRequest[] requests = [.. Enumerable.Range(0, 300).Select(_ => new IoRequest())];
        SilentOwner owner = new();
        SuspendProbe probe = new();
        void Round()
        {
            bench.Device.BeginSuspend(probe);
            for (int i = 0; i < requests.Length; i++)
            {
                requests[i].Prepare(
                    owner, IoOperation.Read, new Extent(new BlockNumber(i), new BlockCount(8)), buffer);
                bench.Device.Submit(requests[i]);
            }
            while (bench.Loop.Step())
            {
            }
            bench.Device.Resume();
            while (bench.Loop.Step())
            {
            }
        }
        // The suspension itself is a command, not a request: what it makes does not grow with what it holds.
        Assert.InRange(Allocations.LeastBy(Round), 0, 4096);
        Assert.InRange(owner.Completed, 600, 300 * (Allocations.Attempts + 1));
    }

    private static void CheckContent(EngineBench bench, byte[] expected, int seed)
    {
        Assert.Equal(0, bench.Device.InFlight);
        Assert.True(bench.Device.IsQuiet);
        for (int unit = 0; unit < expected.Length; unit++)
        {
            byte value = expected[unit];
            Assert.All(bench.Read(unit * 8, 8).Data, b => Assert.True(value == b, $"seed {seed}, {unit}"));
        }
    }

    private static void CheckNothingMoves(EngineBench bench, Random random)
    {
        Assert.True(bench.Device.IsQuiesced);
        long before = Operations(bench);
        bench.Loop.RunFor(Duration.FromMilliseconds(random.Next(5000)));
        Assert.Equal(before, Operations(bench));
    }

    private static SuspendProbe Suspend(EngineBench bench)
    {
        SuspendProbe probe = new();
        bench.Device.BeginSuspend(probe);
        bench.Loop.RunFor(Duration.FromMilliseconds(500));
        Assert.Equal(1, probe.Calls);
        Assert.True(bench.Device.IsQuiesced);
        return probe;
    }

    private static long Operations(EngineBench bench) =>
        bench.Primary.Operations + bench.Spares.Sum(spare => spare.Operations);

    private sealed class SuspendProbe : ISuspendOwner
    {
        public int Calls { get; private set; }

        public bool Flushed { get; private set; }

        public void OnQuiesced(bool flushed)
        {
            Calls++;
            Flushed = flushed;
        }
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

    private sealed class SilentOwner : IIoOwner
    {
        public int Completed { get; private set; }

        public void OnCompleted(IoRequest request) => Completed++;
    }
}
