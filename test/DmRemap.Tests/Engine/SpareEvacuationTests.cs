using System;
using System.Linq;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;
using DmRemap.Engine;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Engine;

/// <summary>A spare is emptied while requests are served, and spares that join (F-5, F-26).</summary>
public sealed class SpareEvacuationTests
{
    private const int Unit = 8;

    [Fact]
    public void Every_unit_leaves_with_its_content_and_none_comes_back()
    {
        EngineBench bench = Moved(units: 20);
        Evacuation request = Evacuate(bench, 0);
        Assert.True(request.IsComplete);
        Assert.Equal(20, request.UnitsMoved);
        for (int i = 0; i < 20; i++)
        {
            Assert.True(bench.Device.Table.TryGet(new UnitNumber(i * 2), out RemapEntry entry));
            Assert.Equal(1, entry.Location.Spare);
            Assert.Equal(entry, bench.Log.Durable[i * 2]);
            Assert.All(bench.Read(i * 2 * Unit, Unit).Data, b => Assert.Equal((byte)(i + 1), b));
        }
        bench.Device.RemoveSpare(0);
        bench.Spares[0].Fault = (_, _) => throw new InvalidOperationException("it has left");
        bench.Primary.BadForWriting.Add(1000);
        Assert.Equal(IoStatus.Ok, bench.Write(1000, EngineBench.Pattern(Unit, 512, 77)).Status);
        Assert.Equal(IoStatus.Ok, bench.Flush().Status);
    }

    [Fact]
    public void What_does_not_read_stays_and_is_given_up_only_where_that_is_agreed()
    {
        EngineBench bench = Moved(units: 4);
        Assert.True(bench.Device.Table.TryGet(new UnitNumber(2), out RemapEntry bad));
        bench.Spares[0].BadForReading.Add(bench.SpareBlock(bad.Location));
        long free = bench.Device.Allocator.UnitsFree(1);
        Evacuation request = Evacuate(bench, 0);
        Assert.False(request.IsComplete);
        Assert.Equal((3, 1, 0), (request.UnitsMoved, request.UnitsUnread, request.BlocksLost));
        Assert.True(bench.Device.Table.TryGet(new UnitNumber(2), out RemapEntry kept));
        Assert.Equal(bad, kept);
        Assert.Equal(0, bench.Device.Tally.LostBlocks);
        // What was written for it in vain is free again.
        Assert.Equal(free - 3, bench.Device.Allocator.UnitsFree(1));

        request = Evacuate(bench, 0, acceptsLoss: true);
        Assert.True(request.IsComplete);
        Assert.Equal((0, 1, Unit), (request.UnitsMoved, request.UnitsLetGo, request.BlocksLost));
        Assert.Equal(Unit, bench.Device.Tally.LostBlocks);
        Assert.Equal(IoStatus.Unreadable, bench.Read(2 * Unit, Unit).Status);
        Assert.Contains(bench.Events, e => e.Kind == EngineEventKind.Lost);

        // What the primary holds there reads well, and is older than what was lost.
        Assert.Empty(bench.Primary.BadForReading);
        Retest retest = new() { First = new UnitNumber(0), Last = new UnitNumber(7) };
        Assert.True(bench.Device.TryStartRetest(retest));
        bench.Loop.RunUntil(() => retest.IsEnded);
        Assert.Equal(IoStatus.Unreadable, bench.Read(2 * Unit, Unit).Status);
    }

    [Fact]
    public void A_spare_that_is_away_keeps_what_it_holds_whatever_is_agreed()
    {
        EngineBench bench = Moved(units: 3);
        bench.Spares[0].Fault = (_, _) => 6;
        Evacuation request = Evacuate(bench, 0, acceptsLoss: true);
        Assert.False(request.IsComplete);
        Assert.Equal(IoStatus.DeviceError, request.FirstError);
        bench.Spares[0].Fault = null;
        bench.Device.LendFrom(0);
        for (int i = 0; i < 3; i++)
        {
            Assert.All(bench.Read(i * 2 * Unit, Unit).Data, b => Assert.Equal((byte)(i + 1), b));
        }
    }

    [Fact]
    public void A_commit_that_fails_leaves_the_unit_where_it_is_and_the_place_is_free()
    {
        EngineBench bench = Moved(units: 2);
        long free = bench.Device.Allocator.UnitsFree(1);
        bench.Log.Outcome = _ => CommitOutcome.Failed;
        Evacuation request = Evacuate(bench, 0);
        Assert.Equal(IoStatus.MetadataUnavailable, request.FirstError);
        Assert.Equal(free, bench.Device.Allocator.UnitsFree(1));
        Assert.All(bench.Read(0, Unit).Data, b => Assert.Equal(1, b));
    }

    [Fact]
    public void It_ends_after_the_unit_at_hand_and_lends_again_when_told_so()
    {
        EngineBench bench = Moved(units: 10);
        Evacuation request = new() { Spare = 0 };
        Assert.True(bench.Device.TryStartEvacuation(request));
        Assert.False(bench.Device.TryStartEvacuation(new Evacuation { Spare = 1 }));
        Assert.False(bench.Device.Allocator.IsUsable(0));
        bench.Loop.RunUntil(() => request.UnitsMoved == 2);
        bench.Device.AbandonMove();
        bench.Loop.RunUntil(() => request.IsEnded);
        Assert.False(request.IsComplete);
        Assert.InRange(request.UnitsMoved, 2, 3);
        bench.Device.LendFrom(0);
        Assert.True(bench.Device.Allocator.IsUsable(0));
    }

    /// <summary>Else a rule could name a spare that has left.</summary>
    [Fact]
    public void A_retry_that_was_given_a_unit_of_it_is_waited_for()
    {
        EngineBench bench = new(new BenchOptions { Spares = 2, RetriesUnreadable = true });
        bench.Primary.Content.AsSpan().Fill(1);
        bench.Primary.BadForReading.Add(803);
        for (int i = 0; i < 6; i++)
        {
            bench.Read(800, Unit);
            bench.Loop.RunFor(Duration.FromSeconds(5));
        }
        Assert.Equal(Unit, bench.Device.Tally.LostBlocks);
        bench.Primary.BadForReading.Clear();
        bench.Spares[0].Hang = request => request.Operation == IoOperation.Write;
        bench.Loop.RunFor(Duration.FromSeconds(120));
        Assert.Equal(1, bench.Spares[0].InFlight);
        AssertEvacuationWaitsForWhatHangs(bench);
        Assert.True(bench.Device.Table.TryGet(new UnitNumber(100), out RemapEntry entry));
        Assert.Equal(1, entry.Location.Spare);
        Assert.All(bench.Read(800, Unit).Data, b => Assert.Equal(1, b));
    }

    /// <summary>
    /// The same; a unit that was healthy waits in one line, one that is on a spare in another.
    /// </summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_write_that_was_given_a_unit_of_it_is_waited_for(bool isOnOtherSpare)
    {
        EngineBench bench = new(new BenchOptions { Spares = 2 });
        bench.Primary.BadForWriting.Add(0);
        if (isOnOtherSpare)
        {
            bench.Device.Allocator.SetUsable(0, false);
            Assert.Equal(IoStatus.Ok, bench.Write(0, EngineBench.Pattern(Unit, 512, 1)).Status);
            bench.Device.Allocator.SetUsable(0, true);
            Assert.True(bench.Device.Table.TryGet(new UnitNumber(0), out RemapEntry old));
            Assert.Equal(1, old.Location.Spare);
            bench.Spares[1].BadForWriting.Add(bench.SpareBlock(old.Location));
        }
        bench.Spares[0].Hang = request => request.Operation == IoOperation.Write;
        BufferSlice buffer = AlignedMemory.Allocate(Unit * 512);
        buffer.Span.Fill(2);
        IoStatus? written = null;
        bench.Start(IoOperation.Write, 0, Unit, buffer, IoFlags.None, io => written = io.Status);
        bench.Loop.RunFor(Duration.FromMilliseconds(500));
        Assert.Equal(1, bench.Spares[0].InFlight);
        AssertEvacuationWaitsForWhatHangs(bench);
        Assert.Equal(IoStatus.Ok, written);
        Assert.True(bench.Device.Table.TryGet(new UnitNumber(0), out RemapEntry entry));
        Assert.Equal(1, entry.Location.Spare);
        Assert.All(bench.Read(0, Unit).Data, b => Assert.Equal(2, b));
    }

    [Fact]
    public void A_flush_does_not_fail_for_a_spare_that_has_left()
    {
        EngineBench bench = Moved(units: 2);
        Assert.True(Evacuate(bench, 0).IsComplete);
        bench.Spares[0].Fault = (_, request) => request.Operation == IoOperation.Flush ? 5 : 0;
        bench.Device.RemoveSpare(0);
        Assert.Equal(IoStatus.Ok, bench.Flush().Status);
        Assert.False(bench.Device.Spare(0).HasLostFlush);
    }

    [Fact]
    public void A_write_in_the_middle_of_it_is_found_in_its_new_place()
    {
        EngineBench bench = Moved(units: 30, Duration.FromMilliseconds(2));
        Evacuation request = new() { Spare = 0 };
        Assert.True(bench.Device.TryStartEvacuation(request));
        for (int round = 0; !request.IsEnded; round++)
        {
            byte[] data = EngineBench.Pattern(Unit, 512, (byte)(100 + (round % 100)));
            Assert.Equal(IoStatus.Ok, bench.Write((round % 30) * 2 * Unit, data).Status);
            Assert.All(
                bench.Read((round % 30) * 2 * Unit, Unit).Data,
                b => Assert.Equal((byte)(100 + (round % 100)), b));
        }
        Assert.True(request.IsComplete);
    }

    [Fact]
    public void A_spare_that_joins_lends_nothing_before_it_is_counted()
    {
        EngineBench bench = new(new BenchOptions { Spares = 1, SpareUnits = 1 });
        SimulatedDisk disk = new(
            bench.Loop, SimulatedDisk.MakeGeometry(129 * Unit, 512, 4096), seed: 9, null);
        bench.Device.AddSpare(new Member(1, "spare1", disk, new BlockNumber(Unit)), 128);
        bench.Primary.BadForWriting.Add(0);
        bench.Primary.BadForWriting.Add(800);
        Assert.Equal(IoStatus.Ok, bench.Write(0, EngineBench.Pattern(Unit, 512, 1)).Status);
        Assert.Equal(IoStatus.OutOfSpares, bench.Write(800, EngineBench.Pattern(Unit, 512, 2)).Status);
        bench.Device.LendFrom(1);
        Assert.Equal(IoStatus.Ok, bench.Write(800, EngineBench.Pattern(Unit, 512, 2)).Status);
        Assert.True(bench.Device.Table.TryGet(new UnitNumber(100), out RemapEntry entry));
        Assert.Equal(1, entry.Location.Spare);
        long flushes = bench.Device.Spare(1).Flushes;
        Assert.Equal(IoStatus.Ok, bench.Flush().Status);
        Assert.Equal(flushes + 1, bench.Device.Spare(1).Flushes);
    }

    [Fact]
    public void Thresholds_are_told_once_each_and_a_move_that_was_asked_for_forecasts_nothing()
    {
        EngineBench bench = new(new BenchOptions { SpareUnits = 20 });
        for (int i = 0; i < 20; i++)
        {
            bench.Primary.BadForWriting.Add(i * 2 * Unit);
            Assert.Equal(IoStatus.Ok, bench.Write(i * 2 * Unit, EngineBench.Pattern(Unit, 512, 3)).Status);
        }
        Assert.Equal(1, bench.Events.Count(e => e.Kind == EngineEventKind.SparesLow));
        Assert.Equal(1, bench.Events.Count(e => e.Kind == EngineEventKind.SparesNearlyExhausted));
        Assert.Equal(20, bench.Device.Forecast.MovesInWindow(bench.Loop.Now));
        EngineBench asked = Moved(units: 20);
        Assert.Equal(0, asked.Device.Forecast.MovesInWindow(asked.Loop.Now));
    }

    /// <summary>Every second unit, by hand, onto spare 0.</summary>
    private static EngineBench Moved(int units, Duration latencyMax = default)
    {
        EngineBench bench = new(new BenchOptions { Spares = 2, LatencyMax = latencyMax });
        for (int i = 0; i < units; i++)
        {
            Assert.Equal(
                IoStatus.Ok, bench.Write(i * 2 * Unit, EngineBench.Pattern(Unit, 512, (byte)(i + 1))).Status);
            Move move = new() { First = new UnitNumber(i * 2), Last = new UnitNumber(i * 2) };
            Assert.True(bench.Device.TryStartMove(move));
            bench.Loop.RunUntil(() => move.IsEnded);
            Assert.Equal(1, move.UnitsMoved);
        }
        Assert.Equal(units, bench.Device.Allocator.UnitsUsed(0));
        return bench;
    }

    private static Evacuation Evacuate(EngineBench bench, int spare, bool acceptsLoss = false)
    {
        Evacuation request = new() { Spare = spare, AcceptsLoss = acceptsLoss };
        Assert.True(bench.Device.TryStartEvacuation(request));
        bench.Loop.RunUntil(() => request.IsEnded);
        return request;
    }

    /// <summary>Spare 0 leaves while a write of it hangs: not before that has come back.</summary>
    private static void AssertEvacuationWaitsForWhatHangs(EngineBench bench)
    {
        Evacuation request = new() { Spare = 0 };
        Assert.True(bench.Device.TryStartEvacuation(request));
        bench.Loop.RunFor(Duration.FromSeconds(10));
        Assert.False(request.IsEnded);
        bench.Spares[0].Hang = null;
        bench.Spares[0].ReleaseHanging();
        bench.Loop.RunUntil(() => request.IsEnded);
        Assert.True(request.IsComplete);
    }

    private sealed class Evacuation : EvacuationRequest
    {
        public bool IsEnded { get; private set; }

        public override void OnFinished() => IsEnded = true;
    }

    private sealed class Retest : RetestRequest
    {
        public bool IsEnded { get; private set; }

        public override void OnFinished() => IsEnded = true;
    }

    private sealed class Move : MoveRequest
    {
        public bool IsEnded { get; private set; }

        public override void OnFinished() => IsEnded = true;
    }
}
