using System;
using System.Collections.Generic;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using DmRemap.Core.Remapping;
using DmRemap.Core.Scrubbing;
using DmRemap.Engine;
using Xunit;

namespace DmRemap.Tests.Engine;

/// <summary>What did not read is tried again, in the background and when a person asks.</summary>
public sealed class UnreadableRetryTests
{
    private const int First = 800;
    private static readonly Duration s_minute = Duration.FromSeconds(60);
    private static readonly BenchOptions s_automatic = new() { RetriesUnreadable = true };

    [Fact]
    public void Suspect_unit_is_read_again_when_its_retry_is_due_and_copied_without_anybody_asking()
    {
        EngineBench bench = Filled(s_automatic);
        bench.Primary.BadForReading.Add(803);
        Assert.Equal(IoStatus.DeviceError, bench.Read(803, 1).Status);
        bench.Primary.BadForReading.Clear();
        bench.Loop.RunFor(Duration.FromSeconds(5));
        Assert.Equal(UnitState.Remapped, bench.Log.Durable[100].State);
        Assert.Equal(0, bench.Device.Suspects.Count);
    }

    [Fact]
    public void Blocks_that_never_read_are_given_up_and_tried_in_passes_whose_pauses_grow()
    {
        EngineBench bench = Filled(s_automatic);
        bench.Primary.BadForReading.Add(803);
        Assert.Equal(IoStatus.DeviceError, bench.Read(First, 8).Status);
        bench.Loop.RunFor(Duration.FromSeconds(30));
        Assert.Equal(8, bench.Device.Tally.LostBlocks);
        List<long> reads = [];
        bench.Primary.Fault = (_, request) =>
        {
            if (request.Operation == IoOperation.Read)
            {
                reads.Add(bench.Loop.Now.Nanoseconds / 1_000_000_000);
            }
            return 0;
        };
        bench.Loop.RunFor(Duration.FromSeconds(10L * 24 * 3600));
        Assert.InRange(reads.Count, 15, 25);
        for (int i = 1; i < reads.Count; i++)
        {
            Assert.InRange(reads[i] - reads[i - 1], 60, (24 * 3600) + 10);
        }
        Assert.InRange(reads[^1] - reads[^2], 24 * 3600, (24 * 3600) + 10);
        Assert.Equal(8, bench.Device.Tally.LostBlocks);
    }

    [Fact]
    public void Lost_blocks_that_read_twice_alike_are_on_a_spare_and_read_again()
    {
        EngineBench bench = Lost(s_automatic);
        bench.Primary.BadForReading.Clear();
        bench.Loop.RunFor(new Duration(2 * s_minute.Nanoseconds));
        Assert.Equal(0, bench.Device.Tally.LostBlocks);
        Assert.Equal(UnitState.Remapped, bench.Log.Durable[100].State);
        Assert.Equal(8, bench.Device.Counters.BlocksSalvaged);
        Assert.Contains(bench.Events, e => e.Kind == EngineEventKind.Salvaged);
        bench.Primary.Content.AsSpan(First * 512, 4096).Fill(2);
        Assert.All(bench.Read(First, 8).Data, b => Assert.Equal(1, b));
    }

    [Fact]
    public void Lost_block_that_reads_differently_the_second_time_stays_lost()
    {
        EngineBench bench = Lost();
        bench.Primary.BadForReading.Clear();
        bench.Primary.Fault = (_, request) =>
        {
            if (request.Operation == IoOperation.Read)
            {
                bench.Primary.Content[803 * 512]++;
            }
            return 0;
        };
        RetestProbe retest = Retest(bench, 0, 255);
        Assert.Equal((1, 0), (retest.LostUnitsTried, retest.BlocksBack));
        Assert.Equal(IoStatus.Unreadable, bench.Read(803, 1).Status);
        Assert.Equal(0, bench.Device.Allocator.TotalUnitsUsed);
    }

    /// <summary>What the primary holds there is older than what was lost.</summary>
    [Fact]
    public void Blocks_that_were_declared_or_lost_with_a_spare_unit_are_never_looked_at()
    {
        EngineBench bench = Filled(new BenchOptions { RetriesUnreadable = true, PhysicalBytes = 512 });
        DeclareProbe declared = new() { Blocks = new Extent(new BlockNumber(16), new BlockCount(8)) };
        Assert.True(bench.Device.TryStartDeclaration(declared));
        bench.Loop.RunFor(Duration.FromSeconds(1));
        bench.Primary.BadForWriting.Add(803);
        Assert.Equal(IoStatus.Ok, bench.Write(First, EngineBench.Pattern(8, 512, 9)).Status);
        bench.Spares[0].BadForReading.Add(bench.SpareBlock(bench.Log.Durable[100].Location) + 3);
        Assert.NotEqual(IoStatus.Ok, bench.Read(803, 1).Status);
        bench.Loop.RunFor(s_minute);
        Assert.Equal(9, bench.Device.Tally.LostBlocks);

        bench.Primary.Log = [];
        bench.Loop.RunFor(new Duration(100 * s_minute.Nanoseconds));
        RetestProbe retest = Retest(bench, 0, 255);
        Assert.Equal(0, retest.LostUnitsTried);
        Assert.Empty(bench.Primary.Log);
        Assert.Equal(IoStatus.Unreadable, bench.Read(803, 1).Status);
        Assert.Equal(IoStatus.Unreadable, bench.Read(16, 1).Status);
    }

    /// <summary>The drive wrote all of the physical block: what reads there is not what was lost.</summary>
    [Fact]
    public void Blocks_that_were_lost_beside_one_that_was_written_in_place_are_never_looked_at()
    {
        EngineBench bench = Lost();
        bench.Device.Allocator.SetUsable(0, false);
        bench.Primary.BadForReading.Clear();
        Assert.Equal(IoStatus.Ok, bench.Write(803, EngineBench.Pattern(1, 512, 7)).Status);
        bench.Device.Allocator.SetUsable(0, true);
        Assert.Equal(0, Retest(bench, 0, 255).LostUnitsTried);
        Assert.Equal(IoStatus.Unreadable, bench.Read(804, 1).Status);
        Assert.Equal(7, bench.Read(803, 1).Data[0]);
        Assert.Equal(UnitState.LostDeclared, bench.Log.Durable[100].State);
    }

    [Fact]
    public void Retry_of_a_disk_that_is_gone_keeps_nobody_from_the_spare()
    {
        EngineBench bench = Lost(new BenchOptions { OnGone = OnGone.HoldFor(Duration.FromSeconds(100)) });
        bench.Primary.Fault = (_, _) => 19;
        RetestProbe retest = Start(bench, 100, 100);
        bool isWritten = false;
        BufferSlice data = AlignedMemory.Allocate(512);
        bench.Start(IoOperation.Write, 803, 1, data, IoFlags.None, _ => isWritten = true);
        bench.Loop.RunFor(Duration.FromSeconds(1));
        Assert.True(bench.Device.Primary.IsGone);
        Assert.True(retest.IsFinished);
        Assert.True(isWritten);
    }

    [Fact]
    public void New_suspect_is_tried_when_it_is_due_however_far_off_the_next_pass_is()
    {
        EngineBench bench = Lost(s_automatic);
        bench.Loop.RunFor(Duration.FromSeconds(5L * 24 * 3600));
        bench.Primary.BadForReading.Add(1203);
        Assert.Equal(IoStatus.DeviceError, bench.Read(1203, 1).Status);
        bench.Primary.BadForReading.Remove(1203);
        bench.Loop.RunFor(Duration.FromSeconds(5));
        Assert.Equal(UnitState.Remapped, bench.Log.Durable[150].State);
    }

    [Fact]
    public void Part_of_a_unit_that_comes_back_is_saved_and_the_rest_stays_lost()
    {
        EngineBench bench = Lost(new BenchOptions { PhysicalBytes = 512 }, 803, 805);
        bench.Primary.BadForReading.Remove(803);
        RetestProbe retest = Retest(bench, 100, 100);
        Assert.Equal((1, 1), (retest.LostUnitsTried, retest.BlocksBack));
        Assert.All(bench.Read(First, 5).Data, b => Assert.Equal(1, b));
        Assert.Equal(IoStatus.Unreadable, bench.Read(805, 1).Status);
    }

    [Fact]
    public void Retest_reads_suspects_at_once_and_leaves_what_lies_outside_the_range()
    {
        EngineBench bench = Filled();
        foreach (int block in (int[])[803, 1203])
        {
            bench.Primary.BadForReading.Add(block);
            Assert.Equal(IoStatus.DeviceError, bench.Read(block, 1).Status);
        }
        bench.Primary.BadForReading.Clear();
        RetestProbe retest = Retest(bench, 100, 120);
        bench.Loop.RunUntilIdle();
        Assert.Equal((1, 1), (retest.SuspectsTried, retest.SuspectsGood));
        Assert.Equal(UnitState.Remapped, bench.Log.Durable[100].State);
        Assert.False(bench.Log.Durable.ContainsKey(150));
        Assert.True(bench.Device.Suspects.Contains(new UnitNumber(150)));
    }

    [Fact]
    public void Nothing_is_tried_in_a_storm_nor_copied_without_a_spare_unit()
    {
        EngineBench bench = Lost(s_automatic);
        bench.Device.Breaker.OnReadsNowhere();
        bench.Primary.BadForReading.Clear();
        bench.Primary.Log = [];
        bench.Loop.RunFor(new Duration(100 * s_minute.Nanoseconds));
        Assert.Empty(bench.Primary.Log);
        Assert.True(bench.Device.Breaker.Clear());
        bench.Device.Allocator.SetUsable(0, false);
        bench.Loop.RunFor(new Duration(100 * s_minute.Nanoseconds));
        Assert.Equal(8, bench.Device.Tally.LostBlocks);
        Assert.Equal(IoStatus.Unreadable, bench.Read(803, 1).Status);
    }

    [Fact]
    public void Write_that_arrives_while_a_lost_unit_is_tried_is_not_undone_by_it()
    {
        EngineBench bench = Lost();
        bench.Primary.BadForReading.Clear();
        bench.Primary.Hang = request => request.Operation == IoOperation.Read;
        RetestProbe retest = Start(bench, 100, 100);
        bool isWritten = false;
        BufferSlice data = AlignedMemory.Allocate(512);
        data.Span.Fill(7);
        bench.Start(IoOperation.Write, 803, 1, data, IoFlags.None, _ => isWritten = true);
        bench.Loop.RunFor(Duration.FromSeconds(1));
        Assert.False(isWritten);
        bench.Primary.Hang = null;
        bench.Primary.ReleaseHanging();
        bench.Loop.RunUntilIdle();
        Assert.True(isWritten);
        Assert.True(retest.IsFinished);
        Assert.Equal(7, bench.Read(803, 1).Data[0]);
        Assert.All(bench.Read(804, 4).Data, b => Assert.Equal(1, b));
    }

    [Fact]
    public void Stop_ends_a_retest_after_the_unit_at_hand_and_leaves_no_timer()
    {
        EngineBench bench = Lost(s_automatic);
        bench.Primary.Hang = request => request.Operation == IoOperation.Read;
        RetestProbe retest = Start(bench, 0, 255);
        StopProbe stop = new();
        bench.Device.BeginStop(stop);
        bench.Loop.RunFor(Duration.FromSeconds(1));
        Assert.False(stop.IsQuiesced);
        bench.Primary.Hang = null;
        bench.Primary.ReleaseHanging();
        bench.Loop.RunUntilIdle();
        Assert.True(retest.IsFinished);
        Assert.True(stop.IsQuiesced);
    }

    /// <summary>F-35: errors soon for who waits, and all the time a drive likes for what was lost.</summary>
    [Fact]
    public void Lost_blocks_are_read_when_the_drive_was_given_time_and_it_is_taken_back_behind_them()
    {
        EngineBench bench = Lost(s_automatic with { IsRetryPatient = true });
        Assert.False(bench.Device.Patience.IsWanted);
        bench.Primary.BadForReading.Clear();
        bench.Primary.Log = [];
        bench.Loop.RunUntil(() => bench.Device.Patience.IsWanted);
        bench.Loop.RunFor(Duration.FromSeconds(20));
        Assert.Empty(bench.Primary.Log);
        bench.Device.Patience.IsGranted = true;
        bench.Loop.RunFor(Duration.FromSeconds(5));
        Assert.Equal(0, bench.Device.Tally.LostBlocks);
        Assert.Equal(8, bench.Device.Counters.BlocksSalvaged);
        Assert.False(bench.Device.Patience.IsWanted);
    }

    [Fact]
    public void Drive_that_nobody_can_tell_anything_is_read_as_it_is()
    {
        EngineBench bench = Lost(s_automatic with { IsRetryPatient = true });
        bench.Primary.BadForReading.Clear();
        bench.Loop.RunFor(new Duration(2 * s_minute.Nanoseconds));
        Assert.Equal(0, bench.Device.Tally.LostBlocks);
        Assert.False(bench.Device.Patience.IsWanted);
    }

    [Fact]
    public void Retest_waits_for_the_drives_time_and_ends_at_once_when_it_is_abandoned()
    {
        EngineBench bench = Lost(new BenchOptions { IsRetryPatient = true });
        bench.Primary.BadForReading.Clear();
        RetestProbe abandoned = Start(bench, 0, 255);
        bench.Loop.RunFor(Duration.FromSeconds(5));
        Assert.True(bench.Device.Patience.IsWanted);
        abandoned.Abandon();
        bench.Loop.RunFor(Duration.FromSeconds(1));
        Assert.True(abandoned.IsFinished);
        Assert.Equal(0, abandoned.LostUnitsTried);
        Assert.False(bench.Device.Patience.IsWanted);

        RetestProbe retest = Start(bench, 0, 255);
        bench.Loop.RunFor(Duration.FromSeconds(5));
        Assert.False(retest.IsFinished);
        bench.Device.Patience.IsGranted = true;
        bench.Loop.RunFor(Duration.FromSeconds(2));
        Assert.True(retest.IsFinished);
        Assert.Equal((1, 8), (retest.LostUnitsTried, retest.BlocksBack));
        Assert.False(bench.Device.Patience.IsWanted);
    }

    /// <summary>Clients' reads must not take minutes for a pass that is not made.</summary>
    [Fact]
    public void Drives_time_is_given_back_while_a_pass_is_interrupted()
    {
        EngineBench bench = Lost(s_automatic with { IsRetryPatient = true });
        bench.Loop.RunUntil(() => bench.Device.Patience.IsWanted);
        bench.Device.Breaker.OnReadsNowhere();
        bench.Loop.RunFor(Duration.FromSeconds(2));
        Assert.False(bench.Device.Patience.IsWanted);
        Assert.True(bench.Device.Breaker.Clear());
        bench.Loop.RunFor(Duration.FromSeconds(15));
        Assert.True(bench.Device.Patience.IsWanted);
    }

    [Fact]
    public void Stop_does_not_wait_for_the_drives_time()
    {
        EngineBench bench = Lost(s_automatic with { IsRetryPatient = true });
        bench.Loop.RunUntil(() => bench.Device.Patience.IsWanted);
        StopProbe stop = new();
        bench.Device.BeginStop(stop);
        bench.Loop.RunUntilIdle();
        Assert.True(stop.IsQuiesced);
        Assert.False(bench.Device.Patience.IsWanted);
    }

    [Fact]
    public void Pauses_grow_from_a_minute_to_a_day_and_a_new_loss_has_its_chance_within_an_hour()
    {
        LossRetryPace pace = new();
        Assert.Equal(Duration.FromSeconds(60), pace.OnLost());
        Assert.Equal(Duration.FromSeconds(120), pace.OnPassEnded());
        for (int i = 0; i < 20; i++)
        {
            pace.OnPassEnded();
        }
        Assert.Equal(Duration.FromSeconds(24 * 3600), pace.OnPassEnded());
        Assert.Equal(Duration.FromSeconds(3600), pace.OnLost());
    }

    private static EngineBench Filled(BenchOptions? options = null)
    {
        EngineBench bench = new(options);
        bench.Primary.Content.AsSpan().Fill(1);
        return bench;
    }

    /// <summary>These blocks given up, by reads.</summary>
    private static EngineBench Lost(BenchOptions? options = null, params int[] blocks)
    {
        EngineBench bench = Filled(options);
        blocks = blocks.Length == 0 ? [803] : blocks;
        bench.Primary.BadForReading.UnionWith(Array.ConvertAll(blocks, block => (long)block));
        for (int i = 0; i < 6; i++)
        {
            bench.Read(First, 8);
            bench.Loop.RunFor(Duration.FromSeconds(5));
        }
        Assert.NotEqual(0, bench.Device.Tally.LostBlocks);
        Assert.Equal(UnitState.LostUnreadable, bench.Log.Durable[100].State);
        return bench;
    }

    private static RetestProbe Start(EngineBench bench, long first, long last)
    {
        RetestProbe retest = new() { First = new UnitNumber(first), Last = new UnitNumber(last) };
        Assert.True(bench.Device.TryStartRetest(retest));
        return retest;
    }

    private static RetestProbe Retest(EngineBench bench, long first, long last)
    {
        RetestProbe retest = Start(bench, first, last);
        bench.Loop.RunUntil(() => retest.IsFinished);
        return retest;
    }

    private sealed class RetestProbe : RetestRequest
    {
        public bool IsFinished { get; private set; }

        public override void OnFinished() => IsFinished = true;
    }

    private sealed class DeclareProbe : DeclareRequest
    {
        public override void OnFinished()
        {
        }
    }

    private sealed class StopProbe : IStopOwner
    {
        public bool IsQuiesced { get; private set; }

        public void OnQuiesced(bool flushed) => IsQuiesced = true;
    }
}
