using System;
using DmRemap.Cli.Composition;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;
using DmRemap.Engine;
using Xunit;

namespace DmRemap.Tests.Engine;

/// <summary>Blocks are lost because a person says so: an error until they are written.</summary>
public sealed class LossDeclarationTests
{
    [Fact]
    public void Declared_blocks_fail_until_they_are_written_and_their_neighbours_read()
    {
        EngineBench bench = Filled();
        DeclareProbe declared = Declare(bench, 803, 10);
        Assert.Equal((10, 0, IoStatus.Ok),
            (declared.BlocksDeclared, declared.BlocksOnSpare, declared.Error));
        Assert.Equal(UnitState.LostDeclared, bench.Log.Durable[100].State);
        Assert.Equal(UnitState.LostDeclared, bench.Log.Durable[101].State);
        Assert.Equal(10, bench.Device.Tally.LostBlocks);
        Assert.Equal(IoStatus.Unreadable, bench.Read(803, 1).Status);
        Assert.Equal(IoStatus.Unreadable, bench.Read(812, 1).Status);
        Assert.All(bench.Read(800, 3).Data, b => Assert.Equal(1, b));
        Assert.All(bench.Read(813, 3).Data, b => Assert.Equal(1, b));
        Assert.Equal(IoStatus.Ok, bench.Write(803, EngineBench.Pattern(1, 512, 7)).Status);
        Assert.Equal(7, bench.Read(803, 1).Data[0]);
        Assert.Equal(9, bench.Device.Tally.LostBlocks);
        Assert.Contains(bench.Events, e => e.Kind == EngineEventKind.Declared);
        Assert.Contains(bench.Events, e => e.Kind == EngineEventKind.RemappedDeclared);
        Assert.DoesNotContain(bench.Events, e => e.Kind == EngineEventKind.Remapped);
    }

    [Fact]
    public void A_move_of_what_is_declared_lost_says_so_and_not_that_it_does_not_read()
    {
        EngineBench bench = Filled();
        Declare(bench, 800, 8);
        MoveProbe move = new() { First = new UnitNumber(100), Last = new UnitNumber(100) };
        Assert.True(bench.Device.TryStartMove(move));
        bench.Loop.RunUntilIdle();
        Assert.Equal((1, 0), (move.UnitsFailed, move.BlocksUnread));
        Assert.Equal((IoStatus.Unreadable, UnitState.LostDeclared), (move.FirstError, move.FirstLostAs));
        Assert.Contains(
            "declared lost", DeviceHandwork.WhyUnread(move.FirstLostAs, "disk1"), StringComparison.Ordinal);
        // Where a single block is still to be had, its unit is moved, and the others stay lost.
        Declare(bench, 808, 7);
        move = new() { First = new UnitNumber(101), Last = new UnitNumber(101) };
        Assert.True(bench.Device.TryStartMove(move));
        bench.Loop.RunUntilIdle();
        Assert.Equal((1, UnitState.Healthy), (move.UnitsMoved, move.FirstLostAs));
        Assert.Equal(IoStatus.Unreadable, bench.Read(808, 1).Status);
    }

    [Fact]
    public void Declaration_is_durable_before_it_ends_and_outlives_the_process()
    {
        EngineBench bench = Filled();
        bench.Log.IsStuck = true;
        DeclareProbe declared = Start(bench, 803, 1);
        bench.Loop.RunFor(Duration.FromSeconds(10));
        Assert.False(declared.IsFinished);
        bench.Log.Unstick();
        bench.Loop.RunUntil(() => declared.IsFinished);
        EngineBench after = new(new BenchOptions
        {
            PrimaryImage = bench.Primary.PowerCut(new Random(1)),
            SpareImages = [bench.Spares[0].PowerCut(new Random(1))],
            Entries = bench.Log.Durable,
        });
        Assert.Equal(IoStatus.Unreadable, after.Read(803, 1).Status);
    }

    [Fact]
    public void What_is_on_a_spare_or_zero_by_a_rule_is_not_lost_by_it()
    {
        EngineBench bench = Filled();
        bench.Primary.BadForWriting.Add(803);
        Assert.Equal(IoStatus.Ok, bench.Write(800, EngineBench.Pattern(8, 512, 9)).Status);
        Declare(bench, 808, 2);
        Assert.Equal(IoStatus.Ok, bench.Zero(808, 1).Status);
        DeclareProbe declared = Declare(bench, 800, 16);
        Assert.Equal((6, 9), (declared.BlocksDeclared, declared.BlocksOnSpare));
        Assert.All(bench.Read(800, 8).Data, b => Assert.Equal(9, b));
        Assert.All(bench.Read(808, 1).Data, b => Assert.Equal(0, b));
        Assert.Equal(IoStatus.Unreadable, bench.Read(809, 1).Status);
    }

    [Fact]
    public void Block_that_only_the_primary_has_is_lost_by_it_though_its_unit_has_a_spare_unit()
    {
        EngineBench bench = Filled();
        bench.Primary.BadForWriting.Add(803);
        Assert.Equal(IoStatus.Ok, bench.Write(803, EngineBench.Pattern(1, 512, 9)).Status);
        Assert.Equal(BlockState.OnPrimary, bench.Log.Durable[100].Blocks[5]);
        DeclareProbe declared = Declare(bench, 800, 8);
        Assert.Equal((7, 1), (declared.BlocksDeclared, declared.BlocksOnSpare));
        Assert.Equal(UnitState.Remapped, bench.Log.Durable[100].State);
        Assert.Equal(IoStatus.Unreadable, bench.Read(805, 1).Status);
        Assert.Equal(9, bench.Read(803, 1).Data[0]);
    }

    [Theory]
    [InlineData(CommitOutcome.Failed, IoStatus.Ok)]
    [InlineData(CommitOutcome.Unknown, IoStatus.MetadataUnavailable)]
    public void Declaration_that_is_not_durable_is_said_and_shows_no_content_that_a_crash_could_take_back(
        CommitOutcome outcome, IoStatus read)
    {
        EngineBench bench = Filled();
        bench.Log.Outcome = n => n == 0 ? outcome : CommitOutcome.Done;
        DeclareProbe declared = Start(bench, 803, 1);
        bench.Loop.RunUntil(() => declared.IsFinished);
        Assert.Equal((0, IoStatus.MetadataUnavailable), (declared.BlocksDeclared, declared.Error));
        Assert.Equal(read, bench.Read(803, 1).Status);
        bench.Loop.RunFor(Duration.FromSeconds(5));
        Assert.All(bench.Read(803, 1).Data, b => Assert.Equal(1, b));
    }

    [Fact]
    public void Write_that_is_under_way_ends_before_its_block_is_declared_lost()
    {
        EngineBench bench = Filled();
        bench.Primary.Hang = request => request.Operation == IoOperation.Write;
        IoStatus? written = null;
        BufferSlice data = AlignedMemory.Allocate(512);
        bench.Start(IoOperation.Write, 803, 1, data, IoFlags.None, io => written = io.Status);
        DeclareProbe declared = Start(bench, 803, 1);
        bench.Loop.RunFor(Duration.FromSeconds(1));
        Assert.False(declared.IsFinished);
        Assert.Empty(bench.Log.Durable);
        bench.Primary.Hang = null;
        bench.Primary.ReleaseHanging();
        bench.Loop.RunUntilIdle();
        Assert.Equal(IoStatus.Ok, written);
        Assert.Equal(IoStatus.Unreadable, bench.Read(803, 1).Status);
    }

    [Fact]
    public void One_work_by_hand_at_a_time_and_none_on_a_suspended_device()
    {
        EngineBench bench = Filled();
        bench.Log.IsStuck = true;
        DeclareProbe first = Start(bench, 800, 800);
        Assert.False(bench.Device.TryStartDeclaration(new DeclareProbe { Blocks = first.Blocks }));
        bench.Device.AbandonMove();
        bench.Log.Unstick();
        bench.Loop.RunUntil(() => first.IsFinished);
        Assert.True(first.IsAbandoned);
        Assert.Equal(64 * 8, first.BlocksDeclared);
    }

    private static EngineBench Filled()
    {
        EngineBench bench = new();
        bench.Primary.Content.AsSpan().Fill(1);
        return bench;
    }

    private static DeclareProbe Start(EngineBench bench, long first, long count)
    {
        DeclareProbe request = new()
        {
            Blocks = new Extent(new BlockNumber(first), new BlockCount(count)),
        };
        Assert.True(bench.Device.TryStartDeclaration(request));
        return request;
    }

    private static DeclareProbe Declare(EngineBench bench, long first, long count)
    {
        DeclareProbe request = Start(bench, first, count);
        bench.Loop.RunUntil(() => request.IsFinished);
        return request;
    }

    private sealed class DeclareProbe : DeclareRequest
    {
        public bool IsFinished { get; private set; }

        public override void OnFinished() => IsFinished = true;
    }

    private sealed class MoveProbe : MoveRequest
    {
        public override void OnFinished()
        {
        }
    }
}
