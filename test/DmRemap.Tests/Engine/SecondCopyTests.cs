using System;
using System.Linq;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;
using DmRemap.Engine;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Engine;

/// <summary>What has failed once is on two spares, and which of them is believed (F-22).</summary>
public sealed partial class SecondCopyTests
{
    private const int First = 800;
    private const long Unit = First / 8;
    private static readonly Duration s_minute = Duration.FromSeconds(60);

    private static readonly BenchOptions s_twofold = new()
    {
        Spares = 2,
        KeepsCopies = true,
        AreCopiesInStep = true,
        OnGone = OnGone.Hold,
    };

    [Fact]
    public void Unit_that_has_moved_is_on_another_spare_soon_too()
    {
        EngineBench bench = Twofold(s_twofold);
        RemapEntry rule = Rule(bench);
        Assert.NotEqual(rule.Location.Spare, rule.Second.Spare);
        Assert.Equal(rule, bench.Log.Durable[Unit]);
        Assert.Equal((1, 1), (bench.Device.Counters.SecondCopiesMade, bench.Device.Tally.UnitsWithSecond));
        Assert.Equal(OnDisk(bench, rule.Location), OnDisk(bench, rule.Second));
        Assert.All(OnDisk(bench, rule.Second), b => Assert.Equal(9, b));
        Assert.Equal(2, bench.Device.Allocator.TotalUnitsUsed);
    }

    [Fact]
    public void Without_another_spare_there_is_no_second_copy_and_nothing_else_changes()
    {
        EngineBench bench = Twofold(s_twofold with { Spares = 1 });
        Assert.True(Rule(bench).Second.IsNone);
        Assert.All(bench.Read(First, 8).Data, b => Assert.Equal(9, b));
    }

    /// <summary>What fails comes before what is copied.</summary>
    [Fact]
    public void Second_copies_leave_a_quarter_of_a_spare_to_what_fails()
    {
        EngineBench bench = new(s_twofold with { SpareUnits = 4 });
        bench.Device.Copier.Begin();
        for (int i = 0; i < 4; i++)
        {
            bench.Primary.BadForWriting.Add(First + (i * 80));
            bench.Write(First + (i * 80), EngineBench.Pattern(8, 512, 9));
        }
        bench.Loop.RunFor(s_minute);
        Assert.True(bench.Device.Tally.UnitsWithSecond is > 0 and < 4);
        Assert.True(bench.Device.Allocator.TotalUnitsFree > 0);
    }

    [Fact]
    public void Write_is_on_both_before_it_is_answered()
    {
        EngineBench bench = Twofold(s_twofold);
        RemapEntry rule = Rule(bench);
        bench.Spares[rule.Second.Spare].Hang = request => request.Operation == IoOperation.Write;
        IoStatus? written = null;
        Start(bench, First + 2, 3, 7, status => written = status);
        bench.Loop.RunUntilIdle();
        Assert.Null(written);
        bench.Spares[rule.Second.Spare].Hang = null;
        bench.Spares[rule.Second.Spare].ReleaseHanging();
        bench.Loop.RunUntilIdle();
        Assert.Equal(IoStatus.Ok, written);
        Assert.Equal(rule, Rule(bench));
        Assert.Equal(Mixed(), OnDisk(bench, rule.Location));
        Assert.Equal(Mixed(), OnDisk(bench, rule.Second));
    }

    [Fact]
    public void Copy_that_misses_a_write_is_one_no_more_before_the_write_is_answered()
    {
        EngineBench bench = Twofold(s_twofold);
        RemapEntry rule = Rule(bench);
        bench.Spares[rule.Second.Spare].BadForWriting.Add(bench.SpareBlock(rule.Second) + 3);
        bench.Log.IsStuck = true;
        IoStatus? written = null;
        Start(bench, First + 2, 3, 7, status => written = status);
        bench.Loop.RunUntilIdle();
        Assert.Null(written);
        bench.Log.IsStuck = false;
        bench.Log.Unstick();
        bench.Loop.RunUntil(() => written is not null);
        Assert.Equal(IoStatus.Ok, written);
        Assert.True(bench.Log.Durable[Unit].Second.IsNone);
        Assert.Contains(rule.Second, bench.Log.Retired);
        bench.Spares[rule.Second.Spare].BadForWriting.Clear();
        bench.Loop.RunFor(s_minute);
        RemapEntry again = Rule(bench);
        Assert.False(again.Second.IsNone);
        Assert.NotEqual(rule.Second, again.Second);
        Assert.Equal(Mixed(), OnDisk(bench, again.Second));
    }

    [Fact]
    public void Second_copy_is_read_where_the_first_fails_and_takes_its_place()
    {
        EngineBench bench = Twofold(s_twofold);
        RemapEntry rule = Rule(bench);
        bench.Spares[rule.Location.Spare].ErrnoOfBadBlocks = 61;
        bench.Spares[rule.Location.Spare].BadForReading.Add(bench.SpareBlock(rule.Location) + 3);
        Outcome read = bench.Read(First, 8);
        Assert.Equal(IoStatus.Ok, read.Status);
        Assert.All(read.Data, b => Assert.Equal(9, b));
        Assert.True(bench.Device.Counters.ReadsFromSecond > 0);
        bench.Loop.RunFor(s_minute);
        RemapEntry after = Rule(bench);
        Assert.Equal(rule.Second, after.Location);
        Assert.False(after.Second.IsNone);
        Assert.NotEqual(rule.Location, after.Second);
        Assert.Contains(rule.Location, bench.Log.Retired);
        Assert.Equal(0, bench.Device.Tally.LostBlocks);
        Assert.All(OnDisk(bench, after.Second), b => Assert.Equal(9, b));
    }

    /// <summary>Each half of the unit is only on one of them.</summary>
    [Fact]
    public void Unit_that_leaves_a_bad_first_takes_along_what_only_the_second_reads()
    {
        EngineBench bench = Twofold(s_twofold);
        RemapEntry rule = Rule(bench);
        bench.Spares[rule.Location.Spare].BadForReading.Add(bench.SpareBlock(rule.Location) + 6);
        bench.Spares[rule.Location.Spare].BadForWriting.Add(bench.SpareBlock(rule.Location) + 2);
        Assert.Equal(IoStatus.Ok, bench.Write(First + 2, EngineBench.Pattern(3, 512, 7)).Status);
        Assert.Equal(0, bench.Device.Tally.LostBlocks);
        Assert.Equal(Mixed(), bench.Read(First, 8).Data);
    }

    /// <summary>A start that nobody vouches for: the process may have ended between the two writes.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Second_copy_counts_after_a_clean_stop_and_else_only_when_it_has_been_made_anew(bool wasClean)
    {
        EngineBench before = Twofold(s_twofold);
        RemapEntry rule = Rule(before);
        Assert.True(before.Device.AreCopiesInStep);
        EngineBench bench = Later(before, wasClean);
        if (!wasClean)
        {
            // What the first never had.
            bench.Spares[rule.Second.Spare].Content
                .AsSpan((int)bench.SpareBlock(rule.Second) * 512, 4096).Fill(5);
        }
        long bad = bench.SpareBlock(rule.Location) + 3;
        bench.Spares[rule.Location.Spare].BadForReading.Add(bad);
        Assert.Equal(wasClean, bench.Device.AreCopiesInStep);
        Assert.Equal(wasClean ? IoStatus.Ok : IoStatus.DeviceError, bench.Read(First + 3, 1).Status);
        bench.Spares[rule.Location.Spare].BadForReading.Clear();
        bench.Device.Copier.Begin();
        bench.Loop.RunFor(s_minute);
        Assert.True(bench.Device.AreCopiesInStep);
        bench.Spares[rule.Location.Spare].BadForReading.Add(bad);
        Outcome read = bench.Read(First, 8);
        Assert.Equal(IoStatus.Ok, read.Status);
        Assert.All(read.Data, b => Assert.Equal(9, b));
    }

    /// <summary>What it had acknowledged and not flushed may be old there now.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Spare_that_has_lost_its_cache_makes_copies_doubtful_until_they_are_made_anew(bool isFirst)
    {
        EngineBench bench = Twofold(s_twofold);
        RemapEntry rule = Rule(bench);
        Assert.Equal(IoStatus.Ok, bench.Flush().Status);
        bench.Write(First + 2, EngineBench.Pattern(3, 512, 7));
        int lost = isFirst ? rule.Location.Spare : rule.Second.Spare;
        bench.Spares[lost].Fault = (_, request) => request.Operation == IoOperation.Flush ? 5 : 0;
        Assert.NotEqual(IoStatus.Ok, bench.Flush().Status);
        bench.Spares[lost].Fault = null;
        Assert.False(bench.Device.AreCopiesInStep);
        bench.Loop.RunFor(s_minute);
        Assert.True(bench.Device.AreCopiesInStep);
        Assert.Equal(OnDisk(bench, rule.Location), OnDisk(bench, rule.Second));
    }

    /// <summary>The write may have reached one of them.</summary>
    [Fact]
    public void Write_that_failed_makes_the_copy_doubtful_until_it_is_made_anew()
    {
        EngineBench bench = Twofold(s_twofold);
        RemapEntry rule = Rule(bench);
        bench.Spares[rule.Second.Spare].BadForWriting.Add(bench.SpareBlock(rule.Second) + 3);
        bench.Log.Outcome = _ => CommitOutcome.Failed;
        Assert.Equal(
            IoStatus.MetadataUnavailable, bench.Write(First + 2, EngineBench.Pattern(3, 512, 7)).Status);
        Assert.False(bench.Device.AreCopiesInStep);
        bench.Spares[rule.Location.Spare].BadForReading.Add(bench.SpareBlock(rule.Location) + 3);
        Assert.Equal(IoStatus.DeviceError, bench.Read(First + 3, 1).Status);
    }

    [Fact]
    public void Spare_that_is_gone_keeps_nobody_waiting_who_needs_only_the_second()
    {
        EngineBench bench = Twofold(s_twofold);
        RemapEntry rule = Rule(bench);
        Assert.Equal(IoStatus.Ok, bench.Flush().Status);
        bench.Spares[rule.Location.Spare].Fault = (_, _) => 19;
        BufferSlice buffer = AlignedMemory.Allocate(8 * 512);
        IoStatus? read = null;
        bench.Start(IoOperation.Read, First, 8, buffer, IoFlags.None, io => read = io.Status);
        bench.Loop.RunFor(Duration.FromSeconds(1));
        Assert.Equal(IoStatus.Ok, read);
        Assert.All(buffer.Span.ToArray(), b => Assert.Equal(9, b));
        Assert.Equal(IoStatus.Ok, bench.Write(First + 2, EngineBench.Pattern(3, 512, 7)).Status);
        Assert.Equal(rule.Second.Spare, bench.Log.Durable[Unit].Location.Spare);
        Assert.Equal(Mixed(), bench.Read(First, 8).Data);
        Assert.Equal(0, bench.Device.Tally.LostBlocks);
    }

    [Fact]
    public void Second_spare_that_is_gone_keeps_no_write_waiting_and_the_record_says_what_it_misses()
    {
        EngineBench bench = Twofold(s_twofold);
        RemapEntry rule = Rule(bench);
        bench.Spares[rule.Second.Spare].Fault = (_, _) => 19;
        Assert.Equal(IoStatus.Ok, bench.Write(First + 2, EngineBench.Pattern(3, 512, 7)).Status);
        Assert.True(bench.Log.Durable[Unit].Second.IsNone);
        Assert.Equal(rule.Location, bench.Log.Durable[Unit].Location);
        // A late write may still land there.
        bench.Device.GivenBack.Settle();
        Assert.Null(bench.Log.CheckpointWaiter);
        Assert.False(bench.Device.Allocator.IsFree(rule.Second));
    }

    [Fact]
    public void Spare_that_is_emptied_holds_no_second_copy_either()
    {
        EngineBench bench = Twofold(s_twofold with { Spares = 3 });
        RemapEntry rule = Rule(bench);
        Emptying request = new() { Spare = rule.Second.Spare };
        Assert.True(bench.Device.TryStartEvacuation(request));
        bench.Loop.RunUntil(() => !bench.Device.IsEvacuating);
        Assert.True(request.IsComplete);
        Assert.True(bench.Log.Durable[Unit].Second.IsNone);
        bench.Loop.RunFor(s_minute);
        RemapEntry after = Rule(bench);
        Assert.False(after.Second.IsNone);
        Assert.NotEqual(rule.Second.Spare, after.Second.Spare);
        Assert.Equal(rule.Location, after.Location);
    }

    /// <summary>
    /// Damage to the journal could bring the old rule back, and its copy would be another's.
    /// </summary>
    [Fact]
    public void Copy_that_is_let_go_of_is_lent_again_after_a_checkpoint_only()
    {
        EngineBench bench = Twofold(s_twofold);
        RemapEntry rule = Rule(bench);
        bench.Spares[rule.Location.Spare].BadForWriting.Add(bench.SpareBlock(rule.Location) + 3);
        Assert.Equal(IoStatus.Ok, bench.Write(First, EngineBench.Pattern(8, 512, 7)).Status);
        Assert.True(bench.Log.Durable[Unit].Second.IsNone);
        Assert.False(bench.Device.Allocator.IsFree(rule.Second));
        bench.Loop.RunFor(s_minute);
        bench.Log.EndCheckpoint();
        Assert.True(bench.Device.Allocator.IsFree(rule.Second));
    }

    [Fact]
    public void First_that_stays_away_is_replaced_by_the_second_before_a_crash_makes_that_doubtful()
    {
        EngineBench bench = Twofold(s_twofold with { Spares = 3 });
        RemapEntry rule = Rule(bench);
        Assert.Equal(IoStatus.Ok, bench.Flush().Status);
        bench.Spares[rule.Location.Spare].Fault = (_, _) => 19;
        Assert.Equal(IoStatus.Ok, bench.Read(First, 8).Status);
        bench.Loop.RunFor(new Duration(s_minute.Nanoseconds * 3));
        RemapEntry after = Rule(bench);
        Assert.Equal(rule.Second, after.Location);
        Assert.Contains(bench.Events, e => e.Kind == EngineEventKind.SecondTookOver);
        Assert.NotEqual(rule.Location.Spare, after.Second.Spare);
        Assert.False(after.Second.IsNone);
        Assert.Equal(0, bench.Device.Allocator.UnitsRetired(rule.Location.Spare));
        Assert.False(bench.Device.Allocator.IsFree(rule.Location));
        Assert.All(bench.Read(First, 8).Data, b => Assert.Equal(9, b));
    }

    /// <summary>It is away, and has lost nothing.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Block_that_the_first_lost_is_not_lost_while_the_second_is_only_away(bool isMoved)
    {
        EngineBench bench = Twofold(s_twofold with { OnGone = OnGone.Fail, Spares = 3 });
        RemapEntry rule = Rule(bench);
        Assert.Equal(IoStatus.Ok, bench.Flush().Status);
        bench.Spares[rule.Location.Spare].ErrnoOfBadBlocks = 61;
        bench.Spares[rule.Location.Spare].BadForReading.Add(bench.SpareBlock(rule.Location) + 3);
        bench.Spares[rule.Second.Spare].Fault = (_, _) => 19;
        for (int i = 0; i < 4; i++)
        {
            Assert.NotEqual(IoStatus.Ok, bench.Read(First + 3, 1).Status);
            bench.Loop.RunFor(Duration.FromSeconds(5));
        }
        if (isMoved)
        {
            // Agreed is the loss of what does not read: this may read again.
            Emptying request = new() { Spare = rule.Location.Spare, AcceptsLoss = true };
            Assert.True(bench.Device.TryStartEvacuation(request));
            bench.Loop.RunUntil(() => !bench.Device.IsEvacuating);
            Assert.False(request.IsComplete);
        }
        Assert.Equal(0, bench.Device.Tally.LostBlocks);
        bench.Spares[rule.Second.Spare].Fault = null;
        bench.Loop.RunFor(s_minute);
        Outcome read = bench.Read(First, 8);
        Assert.Equal(IoStatus.Ok, read.Status);
        Assert.All(read.Data, b => Assert.Equal(9, b));
    }

    /// <summary>Both are there, and both failed by their medium: most bad sectors answer EIO.</summary>
    [Fact]
    public void Block_that_both_copies_lost_is_lost_and_the_rest_of_the_unit_can_leave_a_spare()
    {
        EngineBench bench = Twofold(s_twofold with { Spares = 3, PhysicalBytes = 512 });
        RemapEntry rule = Rule(bench);
        bench.Spares[rule.Location.Spare].BadForReading.Add(bench.SpareBlock(rule.Location) + 3);
        bench.Spares[rule.Second.Spare].BadForReading.Add(bench.SpareBlock(rule.Second) + 3);
        Emptying request = new() { Spare = rule.Location.Spare, AcceptsLoss = true };
        Assert.True(bench.Device.TryStartEvacuation(request));
        bench.Loop.RunUntil(() => !bench.Device.IsEvacuating);
        Assert.True(request.IsComplete);
        Assert.Equal(1, bench.Device.Tally.LostBlocks);
        Assert.Equal(IoStatus.Ok, bench.Read(First, 3).Status);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Read_that_both_copies_fail_is_lost_where_their_spares_read_elsewhere(bool isThere)
    {
        EngineBench bench = Twofold(s_twofold);
        RemapEntry rule = Rule(bench);
        bench.Spares[rule.Location.Spare].BadForReading.Add(bench.SpareBlock(rule.Location) + 3);
        if (isThere)
        {
            bench.Spares[rule.Second.Spare].BadForReading.Add(bench.SpareBlock(rule.Second) + 3);
        }
        else
        {
            // A link that is reset answers so, everywhere.
            bench.Spares[rule.Second.Spare].Fault = (_, io) => io.Operation == IoOperation.Read ? 5 : 0;
        }
        for (int i = 0; i < 5; i++)
        {
            Assert.NotEqual(IoStatus.Ok, bench.Read(First + 3, 1).Status);
            bench.Loop.RunFor(Duration.FromSeconds(20));
        }
        Assert.Equal(isThere, bench.Device.Tally.LostBlocks > 0);
    }

    /// <summary>As it would for a unit that is on one spare only.</summary>
    [Fact]
    public void Request_waits_when_both_are_gone()
    {
        EngineBench bench = Twofold(s_twofold);
        Assert.Equal(IoStatus.Ok, bench.Flush().Status);
        Array.ForEach(bench.Spares, spare => spare.Fault = (_, _) => 19);
        BufferSlice buffer = AlignedMemory.Allocate(8 * 512);
        IoStatus? read = null;
        bench.Start(IoOperation.Read, First, 8, buffer, IoFlags.None, io => read = io.Status);
        bench.Loop.RunFor(Duration.FromSeconds(10));
        Assert.Null(read);
        Array.ForEach(bench.Spares, spare => spare.Fault = null);
        bench.Loop.RunFor(s_minute);
        Assert.Equal(IoStatus.Ok, read);
    }

    /// <summary>It is healthy again tomorrow, and would have no unit left.</summary>
    [Fact]
    public void Spare_that_takes_nothing_for_a_while_is_not_used_up_by_copies()
    {
        EngineBench bench = new(s_twofold);
        bench.Device.Copier.Begin();
        bench.Primary.BadForWriting.Add(First + 3);
        Assert.Equal(IoStatus.Ok, bench.Write(First, EngineBench.Pattern(8, 512, 9)).Status);
        RemapEntry rule = Rule(bench);
        bool isNamed = false;
        DiskBeside(bench, rule).Fault = (_, io) => io.Operation != IoOperation.Write ? 0
            : (isNamed = !isNamed) ? 61 : 5;
        bench.Loop.RunFor(new Duration(s_minute.Nanoseconds * 5));
        Assert.True(Rule(bench).Second.IsNone);
        Assert.Equal(0, bench.Device.Allocator.TotalUnitsRetired);
        Assert.Equal(1, bench.Device.Allocator.TotalUnitsUsed);
        DiskBeside(bench, rule).Fault = null;
        bench.Loop.RunFor(s_minute);
        Assert.False(Rule(bench).Second.IsNone);
    }

    /// <summary>Neighbours are one run of the table; doubt is of one of them.</summary>
    [Fact]
    public void Doubtful_unit_inside_a_run_is_made_anew_too()
    {
        EngineBench bench = new(s_twofold);
        bench.Device.Copier.Begin();
        for (int i = 0; i < 3; i++)
        {
            bench.Primary.BadForWriting.Add(First + (i * 8));
            bench.Write(First + (i * 8), EngineBench.Pattern(8, 512, 9));
        }
        bench.Loop.RunFor(s_minute);
        Assert.Equal(3, bench.Device.Tally.UnitsWithSecond);
        Assert.Equal(1, bench.Device.Table.RunCount);
        Assert.Equal(IoStatus.Ok, bench.Flush().Status);
        bench.Write(First + 8, EngineBench.Pattern(8, 512, 7));
        int lost = Rule(bench).Second.Spare;
        bench.Spares[lost].Fault = (_, request) => request.Operation == IoOperation.Flush ? 5 : 0;
        Assert.NotEqual(IoStatus.Ok, bench.Flush().Status);
        bench.Spares[lost].Fault = null;
        Assert.False(bench.Device.AreCopiesInStep);
        bench.Loop.RunFor(s_minute);
        Assert.True(bench.Device.AreCopiesInStep);
    }

    /// <summary>Only the record is left to be made up for: a write may still land there.</summary>
    [Fact]
    public void Copy_that_missed_a_write_is_struck_out_later_where_its_record_failed()
    {
        EngineBench bench = Twofold(s_twofold with { Spares = 3 });
        RemapEntry rule = Rule(bench);
        bench.Spares[rule.Second.Spare].BadForWriting.Add(bench.SpareBlock(rule.Second) + 3);
        bench.Log.Outcome = _ => CommitOutcome.Failed;
        Assert.NotEqual(IoStatus.Ok, bench.Write(First + 2, EngineBench.Pattern(3, 512, 7)).Status);
        bench.Spares[rule.Second.Spare].BadForWriting.Clear();
        bench.Log.Outcome = null;
        bench.Loop.RunFor(s_minute);
        RemapEntry after = Rule(bench);
        Assert.False(after.Second.IsNone);
        Assert.NotEqual(rule.Second, after.Second);
        Assert.True(bench.Device.AreCopiesInStep);
        Assert.Equal(OnDisk(bench, after.Location), OnDisk(bench, after.Second));
    }

    private static SimulatedDisk DiskBeside(EngineBench bench, RemapEntry rule) =>
        bench.Spares[1 - rule.Location.Spare];

    private sealed class Emptying : EvacuationRequest
    {
        public override void OnFinished()
        {
        }
    }

    private static EngineBench Twofold(BenchOptions options)
    {
        EngineBench bench = new(options);
        bench.Device.Copier.Begin();
        bench.Primary.BadForWriting.Add(First + 3);
        Assert.Equal(IoStatus.Ok, bench.Write(First, EngineBench.Pattern(8, 512, 9)).Status);
        bench.Loop.RunFor(s_minute);
        return bench;
    }

    private static EngineBench Later(EngineBench before, bool wasClean) => new(s_twofold with
    {
        AreCopiesInStep = wasClean,
        Entries = before.Log.Durable,
        PrimaryImage = before.Primary.Content,
        SpareImages = [.. before.Spares.Select(spare => spare.Content)],
    });

    private static RemapEntry Rule(EngineBench bench)
    {
        Assert.True(bench.Device.Table.TryGet(new UnitNumber(Unit), out RemapEntry rule));
        return rule;
    }

    private static byte[] OnDisk(EngineBench bench, SpareLocation location) =>
        bench.Spares[location.Spare].Content.AsSpan((int)bench.SpareBlock(location) * 512, 4096).ToArray();

    private static byte[] Mixed() =>
    [
        .. EngineBench.Pattern(2, 512, 9), .. EngineBench.Pattern(3, 512, 7),
        .. EngineBench.Pattern(3, 512, 9),
    ];

    private static void Start(EngineBench bench, long start, int count, byte value, Action<IoStatus> then)
    {
        BufferSlice buffer = AlignedMemory.Allocate(count * 512);
        buffer.Span.Fill(value);
        bench.Start(IoOperation.Write, start, count, buffer, IoFlags.None, io => then(io.Status));
    }
}
