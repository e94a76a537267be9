using System;
using System.Linq;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;
using DmRemap.Engine;
using Xunit;

namespace DmRemap.Tests.Engine;

/// <summary>Units go back to the primary because a person asks (F-4, F-5).</summary>
public sealed class UnitReturnTests
{
    private const int Eio = 5;
    private const long First = 800;
    private static readonly UnitNumber s_unit = new(100);

    [Fact]
    public void Returned_unit_is_on_the_primary_its_rule_is_gone_and_its_spare_unit_free_after_a_checkpoint()
    {
        EngineBench bench = Remapped(EngineBench.Pattern(8, 512, 9));
        bench.Primary.Log = [];
        MoveProbe back = Return(bench, 100, 100);
        Assert.Equal((1, 0, 8), (back.UnitsMoved, back.UnitsFailed, back.BlocksCopied));
        Assert.Empty(bench.Log.Durable);
        Assert.Equal(0, bench.Device.Table.Count);
        Assert.All(bench.Read(First, 8).Data, b => Assert.Equal(9, b));
        Assert.All(bench.Primary.Content[(int)(First * 512)..][..4096], b => Assert.Equal(9, b));
        Assert.Contains("Write [800, 808) ForceUnitAccess", bench.Primary.Log);
        Assert.Contains(bench.Events, e => e.Kind == EngineEventKind.Returned);
        Assert.Equal(1, bench.Device.Counters.UnitsReturned);

        Assert.Equal(1, bench.Device.Allocator.TotalUnitsUsed);
        bench.Log.EndCheckpoint();
        Assert.Equal(0, bench.Device.Allocator.TotalUnitsUsed);
    }

    /// <summary>It is carried out when the disk likes: the unit may be another's then (F-38).</summary>
    [Fact]
    public void Spare_unit_that_a_read_is_still_out_at_is_not_free_after_a_checkpoint()
    {
        EngineBench bench = Remapped(EngineBench.Pattern(8, 512, 9));
        bool isFirst = true;
        bench.Spares[0].Hang = request =>
        {
            bool isIt = isFirst && request.Operation == IoOperation.Read;
            isFirst &= !isIt;
            return isIt;
        };
        bool isRead = false;
        bench.Start(
            IoOperation.Read, First, 8, AlignedMemory.Allocate(4096), IoFlags.None, _ => isRead = true);
        Assert.Equal(1, Return(bench, 100, 100).UnitsMoved);
        bench.Log.EndCheckpoint();
        Assert.Equal(1, bench.Device.Allocator.TotalUnitsUsed);
        bench.Spares[0].ReleaseHanging();
        bench.Loop.RunUntil(() => isRead);
        bench.Device.GivenBack.Settle();
        bench.Log.EndCheckpoint();
        Assert.Equal(0, bench.Device.Allocator.TotalUnitsUsed);
    }

    [Fact]
    public void Rule_is_dissolved_only_after_the_copy_was_written_and_read_back()
    {
        EngineBench bench = Remapped(EngineBench.Pattern(8, 512, 9));
        bench.Primary.Hang = _ => true;
        MoveProbe back = Start(bench, 100, 100);
        for (int step = 0; step < 2; step++)
        {
            bench.Loop.RunFor(Duration.FromSeconds(1));
            Assert.Equal(UnitState.Remapped, bench.Log.Durable[100].State);
            bench.Primary.ReleaseHanging();
        }
        bench.Primary.Hang = null;
        bench.Loop.RunUntil(() => back.IsFinished);
        Assert.Empty(bench.Log.Durable);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Unit_stays_on_its_spare_when_the_primary_does_not_take_it_or_reads_back_something_else(
        bool isWrite)
    {
        EngineBench bench = Remapped(EngineBench.Pattern(8, 512, 9));
        if (isWrite)
        {
            bench.Primary.BadForWriting.Add(803);
        }
        else
        {
            bench.Primary.Fault = (_, request) =>
            {
                if (request.Operation == IoOperation.Read && request.Extent.Start.Value == First)
                {
                    bench.Primary.Content[803 * 512] = 1;
                }
                return 0;
            };
        }
        MoveProbe back = Return(bench, 100, 100);
        Assert.Equal((0, 1), (back.UnitsMoved, back.UnitsFailed));
        Assert.Equal(IoStatus.DeviceError, back.FirstError);
        Assert.Equal([new Extent(new BlockNumber(First), new BlockCount(8))], back.Unread);
        Assert.All(bench.Read(First, 8).Data, b => Assert.Equal(9, b));
        Assert.Equal(1, bench.Device.Table.Count);
        Assert.Null(bench.Log.CheckpointWaiter);
    }

    [Fact]
    public void Zero_blocks_are_written_and_lost_ones_stay_lost_whatever_the_primary_holds_there()
    {
        BenchOptions small = new() { PhysicalBytes = 512 };
        EngineBench bench = Remapped(EngineBench.Pattern(8, 512, 9), small);
        Assert.Equal(IoStatus.Ok, bench.Zero(800, 2).Status);
        bench.Spares[0].BadForReading.Add(bench.SpareBlock(bench.Log.Durable[100].Location) + 5);
        GiveUp(bench, 805);
        bench.Primary.Content.AsSpan((int)First * 512, 4096).Fill(0x77);

        MoveProbe back = Return(bench, 100, 100);
        Assert.Equal((1, 7, 1), (back.UnitsMoved, back.BlocksCopied, back.BlocksLost));
        RemapEntry left = bench.Log.Durable[100];
        Assert.Equal((UnitState.LostDeclared, true), (left.State, left.Location.IsNone));
        Assert.Equal(0x77, bench.Primary.Content[805 * 512]);
        Assert.Equal(IoStatus.Unreadable, bench.Read(805, 1).Status);
        Assert.All(bench.Read(800, 2).Data, b => Assert.Equal(0, b));
        Assert.All(bench.Read(802, 3).Data, b => Assert.Equal(9, b));
        Assert.All(bench.Read(806, 2).Data, b => Assert.Equal(9, b));
    }

    /// <summary>The write of a physical block can ruin its blocks that only the primary has.</summary>
    [Fact]
    public void Blocks_that_only_the_primary_has_are_on_the_spare_before_anything_is_written_beside_them()
    {
        EngineBench bench = Partly(EngineBench.Pattern(1, 512, 9));
        Assert.Equal(BlockState.OnPrimary, bench.Log.Durable[100].Blocks[4]);
        bench.Primary.Fault = (_, request) =>
        {
            if (request.Operation != IoOperation.Write)
            {
                return 0;
            }
            Assert.Equal(BlockState.OnSpare, bench.Log.Durable[100].Blocks[4]);
            bench.Primary.Content.AsSpan((int)First * 512, 4096).Fill(0xEE);
            return Eio;
        };
        MoveProbe back = Return(bench, 100, 100);
        Assert.Equal(1, back.UnitsFailed);
        bench.Primary.Fault = null;
        byte[] data = bench.Read(First, 8).Data;
        for (int block = 0; block < 8; block++)
        {
            Assert.Equal(block == 3 ? 9 : 1, data[block * 512]);
        }
    }

    [Fact]
    public void Unit_of_which_a_block_does_not_read_stays_as_it_is_and_nothing_is_written()
    {
        EngineBench bench = Remapped(EngineBench.Pattern(8, 512, 9));
        bench.Spares[0].BadForReading.Add(bench.SpareBlock(bench.Log.Durable[100].Location) + 5);
        bench.Primary.Log = [];
        RemapEntry before = bench.Log.Durable[100];
        MoveProbe back = Return(bench, 100, 100);
        Assert.Equal(IoStatus.Unreadable, back.FirstError);
        Assert.Equal(before, bench.Log.Durable[100]);
        Assert.DoesNotContain(bench.Primary.Log, line => line.StartsWith("Write", StringComparison.Ordinal));
    }

    [Fact]
    public void Write_that_arrives_while_the_unit_goes_back_waits_and_is_not_lost()
    {
        EngineBench bench = Remapped(EngineBench.Pattern(8, 512, 9));
        bench.Spares[0].Hang = request => request.Operation == IoOperation.Read;
        MoveProbe back = Start(bench, 100, 100);
        bool isWritten = false;
        BufferSlice data = AlignedMemory.Allocate(512);
        data.Span.Fill(7);
        bench.Start(IoOperation.Write, 803, 1, data, IoFlags.None, _ => isWritten = true);
        bench.Loop.RunFor(Duration.FromSeconds(1));
        Assert.False(isWritten);
        bench.Spares[0].Hang = null;
        bench.Spares[0].ReleaseHanging();
        bench.Loop.RunUntilIdle();
        Assert.True(isWritten);
        Assert.Equal(1, back.UnitsMoved);
        Assert.Equal(7, bench.Read(803, 1).Data[0]);
        Assert.Equal(7, bench.Primary.Content[803 * 512]);
    }

    [Theory]
    [InlineData(CommitOutcome.Failed)]
    [InlineData(CommitOutcome.Unknown)]
    public void Commit_that_is_not_durable_leaves_the_unit_on_its_spare_and_later_writes_safe(
        CommitOutcome outcome)
    {
        EngineBench bench = Remapped(EngineBench.Pattern(8, 512, 9));
        long commits = bench.Log.Commits;
        bench.Log.Outcome = n => n == commits ? outcome : CommitOutcome.Done;
        MoveProbe back = Return(bench, 100, 100);
        Assert.Equal(IoStatus.MetadataUnavailable, back.FirstError);
        Assert.Null(bench.Log.CheckpointWaiter);
        Assert.All(bench.Read(First, 8).Data, b => Assert.Equal(9, b));
        Assert.Equal(IoStatus.Ok, bench.Write(803, EngineBench.Pattern(1, 512, 7)).Status);
        bench.Loop.RunUntilIdle();
        Assert.Equal(7, bench.Read(803, 1).Data[0]);
        Assert.Equal(BlockState.OnSpare, bench.Log.Durable[100].Blocks[3]);
    }

    [Fact]
    public void Range_passes_over_units_without_a_spare_unit_and_ends_where_the_primary_is_away()
    {
        EngineBench bench = new();
        foreach (int unit in (int[])[100, 102, 104])
        {
            bench.Primary.BadForWriting.Add((unit * 8) + 3);
            Assert.Equal(IoStatus.Ok, bench.Write(unit * 8, EngineBench.Pattern(8, 512, 9)).Status);
        }
        bench.Primary.BadForWriting.Clear();
        const int Gone = 19;
        bench.Primary.Fault = (_, request) =>
            request.Operation == IoOperation.Write && request.Extent.Start.Value >= 102 * 8 ? Gone : 0;
        MoveProbe back = Return(bench, 0, 255);
        Assert.Equal((1, 1), (back.UnitsMoved, back.UnitsFailed));
        Assert.True(back.IsAbandoned);
        Assert.Equal(2, bench.Device.Table.Count);

        bench.Log.EndCheckpoint();
        bench.Primary.Fault = null;
        back = Return(bench, 0, 255);
        Assert.Equal((2, 0, 254), (back.UnitsMoved, back.UnitsFailed, back.UnitsAlreadyMoved));
    }

    [Fact]
    public void Nothing_goes_back_in_a_storm()
    {
        EngineBench bench = Remapped(EngineBench.Pattern(8, 512, 9));
        bench.Device.Breaker.OnReadsNowhere();
        MoveProbe back = Return(bench, 0, 255);
        Assert.Equal((0, 1, true), (back.UnitsMoved, back.UnitsFailed, back.IsAbandoned));
        Assert.Single(bench.Log.Durable);
    }

    /// <summary>The old rule or the new one, each with the right content.</summary>
    [Fact]
    public void Power_cut_at_any_moment_leaves_the_content()
    {
        for (int steps = 0; steps < 40; steps++)
        {
            EngineBench bench = Remapped(EngineBench.Pattern(8, 512, 9));
            Assert.Equal(IoStatus.Ok, bench.Flush().Status);
            MoveProbe back = Start(bench, 100, 100);
            for (int step = 0; step < steps && !back.IsFinished; step++)
            {
                bench.Loop.Step();
            }
            for (int seed = 0; seed < 4; seed++)
            {
                Random random = new(seed);
                EngineBench after = new(new BenchOptions
                {
                    PrimaryImage = bench.Primary.PowerCut(random),
                    SpareImages = [bench.Spares[0].PowerCut(random)],
                    Entries = bench.Log.AfterCrash(random),
                });
                Outcome read = after.Read(First, 8);
                Assert.Equal(IoStatus.Ok, read.Status);
                Assert.True(read.Data.All(b => b == 9), $"after {steps} steps, seed {seed}");
            }
        }
    }

    private static EngineBench Remapped(byte[] data, BenchOptions? options = null)
    {
        EngineBench bench = new(options);
        bench.Primary.Content.AsSpan((int)First * 512, 4096).Fill(1);
        bench.Primary.BadForWriting.Add(803);
        Assert.Equal(IoStatus.Ok, bench.Write(First, data).Status);
        bench.Primary.BadForWriting.Clear();
        Assert.Equal(UnitState.Remapped, bench.Log.Durable[100].State);
        return bench;
    }

    /// <summary>Block 3 of the unit on the spare, the others on the primary.</summary>
    private static EngineBench Partly(byte[] block)
    {
        EngineBench bench = new();
        bench.Primary.Content.AsSpan((int)First * 512, 4096).Fill(1);
        bench.Primary.BadForWriting.Add(803);
        Assert.Equal(IoStatus.Ok, bench.Write(803, block).Status);
        bench.Primary.BadForWriting.Clear();
        return bench;
    }

    private static void GiveUp(EngineBench bench, long block)
    {
        while (bench.Device.Tally.LostBlocks == 0)
        {
            bench.Read(block, 1);
            bench.Loop.RunFor(Duration.FromSeconds(70));
        }
    }

    private static MoveProbe Start(EngineBench bench, long first, long last)
    {
        MoveProbe back = new()
        {
            First = new UnitNumber(first),
            Last = new UnitNumber(last),
            To = MoveTarget.Primary,
        };
        Assert.True(bench.Device.TryStartMove(back));
        return back;
    }

    private static MoveProbe Return(EngineBench bench, long first, long last)
    {
        MoveProbe back = Start(bench, first, last);
        bench.Loop.RunUntil(() => back.IsFinished);
        bench.Loop.RunFor(Duration.FromSeconds(2));
        Assert.False(bench.Device.Holds.IsHeld(s_unit));
        return back;
    }

    private sealed class MoveProbe : MoveRequest
    {
        public bool IsFinished { get; private set; }

        public override void OnFinished() => IsFinished = true;
    }
}
