using System;
using System.Linq;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using DmRemap.Core.Healing;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;
using DmRemap.Engine;
using Xunit;

namespace DmRemap.Tests.Engine;

/// <summary>Places that failed are rewritten, watched, and used again (P8, F-4).</summary>
public sealed class HealerTests
{
    private const int First = 800;
    private const long Unit = First / 8;
    private static readonly Duration s_hour = Duration.FromSeconds(3600);
    private static readonly BenchOptions s_healing = new() { Heal = HealPolicy.Default };

    [Fact]
    public void Place_that_keeps_what_was_written_is_in_use_again_after_three_verifications()
    {
        EngineBench bench = Remapped(s_healing);
        bench.Primary.BadForWriting.Clear();
        bench.Primary.Log = [];
        PassOnce(bench);
        Assert.Contains("Write [800, 808) ForceUnitAccess", bench.Primary.Log);
        Assert.Equal(UnitState.Probation, bench.Log.Durable[Unit].State);
        Assert.Equal(1, bench.Device.Tally.ProbationUnits);
        for (int passed = 1; passed < HealRule.PassesNeeded; passed++)
        {
            Transfer(bench);
            PassOnce(bench);
            Assert.Equal(passed, bench.Log.Durable[Unit].Trials.Passed);
        }
        Transfer(bench);
        PassOnce(bench);
        Assert.Empty(bench.Log.Durable);
        Assert.Equal((1, 1), (bench.Device.Counters.UnitsRewritten, bench.Device.Counters.UnitsHealed));
        Assert.Contains(bench.Events, e => e.Kind == EngineEventKind.Healed);
        Assert.All(bench.Read(First, 8).Data, b => Assert.Equal(9, b));
        Assert.All(bench.Primary.Content[(First * 512)..][..4096], b => Assert.Equal(9, b));
        Assert.Equal(1, bench.Device.Allocator.TotalUnitsUsed);
        bench.Log.EndCheckpoint();
        Assert.Equal(0, bench.Device.Allocator.TotalUnitsUsed);
    }

    /// <summary>What the drive's cache answers says nothing of the medium.</summary>
    [Fact]
    public void Reading_counts_only_after_the_disk_has_transferred_more_than_it_caches()
    {
        EngineBench bench = Remapped(s_healing);
        bench.Primary.BadForWriting.Clear();
        PassOnce(bench);
        PassOnce(bench);
        PassOnce(bench);
        Assert.Equal(0, bench.Log.Durable[Unit].Trials.Passed);
        Transfer(bench);
        bench.Write(First, EngineBench.Pattern(8, 512, 7));
        PassOnce(bench);
        Assert.Equal(0, bench.Log.Durable[Unit].Trials.Passed);
    }

    [Fact]
    public void Write_in_probation_is_on_both_before_it_is_answered()
    {
        EngineBench bench = InProbation();
        bench.Primary.Log = [];
        bench.Spares[0].Log = [];
        Assert.Equal(IoStatus.Ok, bench.Write(First + 2, EngineBench.Pattern(3, 512, 7)).Status);
        Assert.Equal(["Write [802, 805) ForceUnitAccess"], bench.Primary.Log);
        Assert.Contains(bench.Spares[0].Log!, line => line.StartsWith("Write", StringComparison.Ordinal));
        Assert.Equal(UnitState.Probation, bench.Log.Durable[Unit].State);
        byte[] expected = Mixed();
        Assert.Equal(expected, bench.Read(First, 8).Data);
        Assert.Equal(expected, bench.Primary.Content[(First * 512)..][..4096]);
    }

    [Fact]
    public void Copy_that_misses_a_write_ends_probation_durably_and_the_write_is_good()
    {
        EngineBench bench = InProbation();
        bench.Primary.BadForWriting.Add(803);
        Assert.Equal(IoStatus.Ok, bench.Write(First + 2, EngineBench.Pattern(3, 512, 7)).Status);
        RemapEntry rule = bench.Log.Durable[Unit];
        Assert.Equal((UnitState.Remapped, 0), (rule.State, rule.Trials.Failed));
        Assert.Equal(Mixed(), bench.Read(First, 8).Data);
        bench.Spares[0].BadForReading.Add(bench.SpareBlock(rule.Location) + 3);
        Assert.Equal(IoStatus.DeviceError, bench.Read(First, 8).Status);
    }

    /// <summary>The write may have changed the spare, or change it later.</summary>
    [Fact]
    public void Copy_is_not_believed_after_a_write_that_the_spare_failed()
    {
        EngineBench bench = InProbation();
        long spareBlock = bench.SpareBlock(bench.Log.Durable[Unit].Location);
        bench.Spares[0].Fault = (_, request) => request.Operation == IoOperation.Write ? 110 : 0;
        Assert.NotEqual(IoStatus.Ok, bench.Write(First + 2, EngineBench.Pattern(3, 512, 7)).Status);
        bench.Spares[0].Fault = null;
        bench.Spares[0].BadForReading.Add(spareBlock + 6);
        Assert.Equal(IoStatus.DeviceError, bench.Read(First + 6, 1).Status);
        Assert.Equal(0, bench.Device.Counters.ReadsFromCopies);
    }

    [Fact]
    public void Unit_that_leaves_a_bad_spare_unit_takes_along_what_only_its_copy_still_holds()
    {
        EngineBench bench = InProbation();
        long spareBlock = bench.SpareBlock(bench.Log.Durable[Unit].Location);
        bench.Spares[0].BadForReading.Add(spareBlock + 6);
        bench.Spares[0].BadForWriting.Add(spareBlock + 2);
        Assert.Equal(IoStatus.Ok, bench.Write(First + 2, EngineBench.Pattern(3, 512, 7)).Status);
        Assert.Equal(0, bench.Device.Tally.LostBlocks);
        Assert.Equal(UnitState.Remapped, bench.Log.Durable[Unit].State);
        Assert.Equal(Mixed(), bench.Read(First, 8).Data);
    }

    /// <summary>A disk that takes half a minute for a bad place holds up who changes the unit.</summary>
    [Fact]
    public void Reads_do_not_wait_for_healing()
    {
        EngineBench bench = Remapped(s_healing);
        bench.Primary.Hang = _ => true;
        bench.Loop.RunFor(new Duration(s_hour.Nanoseconds * 2));
        Assert.True(bench.Device.Holds.IsHeld(new UnitNumber(Unit)));
        Outcome read = bench.Read(First, 8);
        Assert.Equal(IoStatus.Ok, read.Status);
        Assert.All(read.Data, b => Assert.Equal(9, b));
    }

    /// <summary>A write that lands late must not find its place in use again (F-3).</summary>
    [Fact]
    public void Unit_whose_copy_is_under_way_is_not_given_back_however_long_the_disk_takes()
    {
        EngineBench bench = InProbation();
        bench.Primary.Hang = request => request.Operation == IoOperation.Write;
        bool isWritten = false;
        BufferSlice data = AlignedMemory.Allocate(3 * 512);
        data.Span.Fill(7);
        bench.Start(IoOperation.Write, First + 2, 3, data, IoFlags.None, _ => isWritten = true);
        MoveProbe back = new()
        {
            First = new UnitNumber(Unit),
            Last = new UnitNumber(Unit),
            To = MoveTarget.Primary,
        };
        Assert.True(bench.Device.TryStartMove(back));
        for (int hour = 0; hour < 2 * HealRule.PassesNeeded; hour++)
        {
            Transfer(bench, from: 1024);
            bench.Loop.RunFor(s_hour);
        }
        Assert.False(isWritten);
        Assert.False(back.IsFinished);
        Assert.Equal(UnitState.Probation, bench.Log.Durable[Unit].State);
        Assert.Equal(0, bench.Log.Durable[Unit].Trials.Passed);

        bench.Primary.Hang = null;
        bench.Primary.ReleaseHanging();
        bench.Loop.RunUntil(() => back.IsFinished);
        Assert.True(isWritten);
        Assert.Empty(bench.Log.Durable);
        Assert.Equal(Mixed(), bench.Primary.Content[(First * 512)..][..4096]);
        Assert.Equal(Mixed(), bench.Read(First, 8).Data);
    }

    /// <summary>Its process ended between the two writes: the place is not to blame.</summary>
    [Fact]
    public void Copy_of_an_earlier_life_that_differs_ends_probation_and_nothing_is_counted()
    {
        EngineBench bench = InProbation();
        EngineBench later = new(s_healing with
        {
            Entries = bench.Log.Durable,
            PrimaryImage = bench.Primary.Content,
            SpareImages = [bench.Spares[0].Content],
        });
        later.Primary.Content[803 * 512]++;
        later.Device.Healer.Begin();
        Transfer(later);
        PassOnce(later);
        RemapEntry rule = later.Log.Durable[Unit];
        Assert.Equal((UnitState.Remapped, 0), (rule.State, rule.Trials.Failed));
        Assert.Equal(0, later.Device.Counters.HealsFailed);
        Assert.All(later.Read(First, 8).Data, b => Assert.Equal(9, b));
    }

    [Fact]
    public void Probation_ends_with_the_next_write_where_healing_is_off()
    {
        EngineBench bench = InProbation();
        EngineBench off = new(new BenchOptions { Entries = bench.Log.Durable });
        off.Primary.Log = [];
        Assert.Equal(IoStatus.Ok, off.Write(First, EngineBench.Pattern(8, 512, 7)).Status);
        Assert.Empty(off.Primary.Log);
        Assert.Equal(UnitState.Remapped, off.Log.Durable[Unit].State);
    }

    /// <summary>The index of a spare that has left is another's: nothing is given back to that.</summary>
    [Fact]
    public void Unit_that_healed_before_its_spare_left_gives_nothing_back_to_the_next_one()
    {
        EngineBench bench = Healed(s_healing with { Spares = 2 });
        EvacuationProbe probe = new() { Spare = 0 };
        Assert.True(bench.Device.TryStartEvacuation(probe));
        bench.Loop.RunUntil(() => probe.IsFinished);
        bench.Device.RemoveSpare(0);
        bench.Device.Allocator.ReplaceSpare(0, 128);
        bench.Device.Allocator.SetUsable(0, true);
        for (int i = 0; i < 128; i++)
        {
            Assert.True(bench.Device.Allocator.TryAllocate(new UnitNumber(i), 1, out _));
        }
        bench.Log.EndCheckpoint();
        Assert.Equal(128, bench.Device.Allocator.UnitsUsed(0));
    }

    [Fact]
    public void Disk_that_is_gone_does_not_hold_up_a_write_in_probation()
    {
        EngineBench bench = InProbation(s_healing with { OnGone = OnGone.Default });
        bench.Primary.Fault = (_, _) => 6;
        Assert.Equal(IoStatus.Ok, bench.Write(First, EngineBench.Pattern(8, 512, 7)).Status);
        Assert.Equal(UnitState.Remapped, bench.Log.Durable[Unit].State);
        Assert.All(bench.Read(First, 8).Data, b => Assert.Equal(7, b));
    }

    [Fact]
    public void Zeroes_in_probation_end_it_and_read_as_zeros()
    {
        EngineBench bench = InProbation();
        Assert.Equal(IoStatus.Ok, bench.Zero(First, 8).Status);
        Assert.Equal(UnitState.Remapped, bench.Log.Durable[Unit].State);
        Assert.All(bench.Read(First, 8).Data, b => Assert.Equal(0, b));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Place_that_does_not_keep_what_was_written_is_left(bool isSilent)
    {
        EngineBench bench = InProbation();
        Transfer(bench);
        if (isSilent)
        {
            bench.Primary.Content[803 * 512]++;
        }
        else
        {
            bench.Primary.BadForReading.Add(803);
        }
        PassOnce(bench);
        RemapEntry rule = bench.Log.Durable[Unit];
        Assert.Equal((UnitState.Remapped, 1), (rule.State, rule.Trials.Failed));
        Assert.Equal(isSilent ? 84 : 5, rule.LastErrno);
        Assert.Equal(1, bench.Device.Counters.HealsFailed);
        Assert.Contains(bench.Events, e => e.Kind == EngineEventKind.HealFailed);
        Assert.All(bench.Read(First, 8).Data, b => Assert.Equal(9, b));
    }

    [Fact]
    public void Place_that_refuses_to_be_rewritten_is_tried_three_times_ever_more_rarely()
    {
        EngineBench bench = Remapped(s_healing);
        int[] passes = new int[20];
        int pass = 0;
        bench.Primary.Fault = (_, request) =>
        {
            passes[pass] += request.Operation == IoOperation.Write ? 1 : 0;
            return 0;
        };
        for (; pass < passes.Length; pass++)
        {
            PassOnce(bench);
        }
        Assert.Equal([0, 2, 4], passes.Select((n, i) => (n, i)).Where(p => p.n > 0).Select(p => p.i));
        Assert.Equal(HealTrials.FailedMax, bench.Log.Durable[Unit].Trials.Failed);
        Assert.Equal(UnitState.Remapped, bench.Log.Durable[Unit].State);
    }

    [Fact]
    public void Units_that_a_person_moved_stay_where_they_are()
    {
        EngineBench bench = new(s_healing);
        MoveProbe move = new() { First = new UnitNumber(Unit), Last = new UnitNumber(Unit) };
        Assert.True(bench.Device.TryStartMove(move));
        bench.Loop.RunUntil(() => move.IsFinished);
        bench.Device.Healer.Begin();
        PassOnce(bench);
        Assert.Equal(UnitState.Remapped, bench.Log.Durable[Unit].State);
    }

    /// <summary>A drive that has become read-only still reads: no place is to blame (F-17).</summary>
    [Theory]
    [InlineData(5)]
    [InlineData(61)]
    public void Drive_that_takes_no_write_at_all_fails_only_what_it_takes_to_find_out(int errno)
    {
        EngineBench bench = new(s_healing);
        Assert.Equal(IoStatus.Ok, bench.Write(0, EngineBench.Pattern(8, 512, 1)).Status);
        for (int i = 0; i < 20; i++)
        {
            bench.Primary.BadForWriting.Add(First + (i * 8));
            Assert.Equal(IoStatus.Ok, bench.Write(First + (i * 8), EngineBench.Pattern(8, 512, 9)).Status);
            Assert.Equal(IoStatus.Ok, bench.Write(0, EngineBench.Pattern(8, 512, 1)).Status);
        }
        bench.Primary.BadForWriting.Clear();
        bench.Primary.Fault = (_, request) => request.Operation == IoOperation.Write ? errno : 0;
        bench.Device.Healer.Begin();
        PassOnce(bench);
        Assert.Equal(20, bench.Device.Table.Count);
        Assert.Equal(7, bench.Log.Durable.Values.Count(rule => rule.Trials.Failed > 0));
    }

    /// <summary>A reset or a cable says nothing of the place (F-17).</summary>
    [Fact]
    public void Trouble_that_is_not_the_mediums_changes_nothing()
    {
        EngineBench bench = InProbation();
        Transfer(bench);
        bench.Primary.Fault = (_, _) => 110;
        PassOnce(bench);
        RemapEntry rule = bench.Log.Durable[Unit];
        Assert.Equal((UnitState.Probation, 0, 0), (rule.State, rule.Trials.Passed, rule.Trials.Failed));
    }

    [Fact]
    public void Spare_that_no_longer_reads_is_stood_in_for_by_a_copy_in_step_and_by_no_other()
    {
        EngineBench bench = InProbation();
        bench.Spares[0].BadForReading.Add(bench.SpareBlock(bench.Log.Durable[Unit].Location) + 3);
        Outcome read = bench.Read(First, 8);
        Assert.Equal(IoStatus.Ok, read.Status);
        Assert.All(read.Data, b => Assert.Equal(9, b));
        Assert.True(bench.Device.Counters.ReadsFromCopies > 0);
        Assert.Equal(0, bench.Device.Suspects.Count);

        // Another life, which has compared nothing.
        EngineBench later = new(s_healing with { Entries = bench.Log.Durable });
        later.Primary.Content.AsSpan(First * 512, 4096).Fill(9);
        later.Spares[0].BadForReading.Add(later.SpareBlock(bench.Log.Durable[Unit].Location) + 3);
        Assert.Equal(IoStatus.DeviceError, later.Read(First, 8).Status);
        Assert.Equal(0, later.Device.Counters.ReadsFromCopies);
    }

    [Fact]
    public void Probation_goes_on_where_an_earlier_life_left_it()
    {
        EngineBench bench = InProbation();
        Transfer(bench);
        PassOnce(bench);
        Assert.Equal(1, bench.Log.Durable[Unit].Trials.Passed);
        EngineBench later = new(s_healing with
        {
            Entries = bench.Log.Durable,
            PrimaryImage = bench.Primary.Content,
            SpareImages = [bench.Spares[0].Content],
        });
        later.Device.Healer.Begin();
        for (int pass = 0; pass < 2; pass++)
        {
            Transfer(later);
            PassOnce(later);
        }
        Assert.Empty(later.Log.Durable);
        Assert.All(later.Read(First, 8).Data, b => Assert.Equal(9, b));
    }

    [Fact]
    public void Unit_whose_record_does_not_become_durable_stays_as_it_was()
    {
        EngineBench bench = Remapped(s_healing);
        bench.Primary.BadForWriting.Clear();
        long commits = bench.Log.Commits;
        bench.Log.Outcome = i => i == commits ? CommitOutcome.Unknown : CommitOutcome.Done;
        PassOnce(bench);
        Assert.True(bench.Device.Table.TryGet(new UnitNumber(Unit), out RemapEntry rule));
        Assert.Equal(UnitState.Remapped, rule.State);
        Assert.Equal(IoStatus.Ok, bench.Write(First, EngineBench.Pattern(8, 512, 7)).Status);
        Assert.Equal(UnitState.Remapped, bench.Log.Durable[Unit].State);
        Assert.All(bench.Read(First, 8).Data, b => Assert.Equal(7, b));
    }

    [Fact]
    public void Nothing_is_rewritten_where_healing_is_off()
    {
        EngineBench off = Remapped(new BenchOptions());
        off.Primary.BadForWriting.Clear();
        PassOnce(off);
        Assert.Equal(UnitState.Remapped, off.Log.Durable[Unit].State);
    }

    private static EngineBench Remapped(BenchOptions options)
    {
        EngineBench bench = new(options);
        bench.Primary.BadForWriting.Add(803);
        Assert.Equal(IoStatus.Ok, bench.Write(First, EngineBench.Pattern(8, 512, 9)).Status);
        Assert.Equal(UnitState.Remapped, bench.Log.Durable[Unit].State);
        bench.Device.Healer.Begin();
        return bench;
    }

    private static EngineBench Healed(BenchOptions options)
    {
        EngineBench bench = InProbation(options);
        for (int pass = 0; pass < HealRule.PassesNeeded; pass++)
        {
            Transfer(bench);
            PassOnce(bench);
        }
        Assert.Empty(bench.Log.Durable);
        return bench;
    }

    private static EngineBench InProbation(BenchOptions? options = null)
    {
        EngineBench bench = Remapped(options ?? s_healing);
        bench.Primary.BadForWriting.Clear();
        PassOnce(bench);
        Assert.Equal(UnitState.Probation, bench.Log.Durable[Unit].State);
        return bench;
    }

    /// <summary>An hour at least: a pass that is off never ends.</summary>
    private static void PassOnce(EngineBench bench)
    {
        long passes = bench.Device.Healer.PassesDone;
        bench.Loop.RunFor(s_hour);
        if (bench.Device.Healer.IsOn)
        {
            bench.Loop.RunUntil(() => bench.Device.Healer.PassesDone > passes);
        }
    }

    /// <summary>As much as the disk is large.</summary>
    private static void Transfer(EngineBench bench, int from = 0)
    {
        for (int start = from; start < 2048; start += 256)
        {
            bench.Read(start, 256);
        }
    }

    private static byte[] Mixed()
    {
        byte[] expected = EngineBench.Pattern(8, 512, 9);
        expected.AsSpan(2 * 512, 3 * 512).Fill(7);
        return expected;
    }

    private sealed class EvacuationProbe : EvacuationRequest
    {
        public bool IsFinished { get; private set; }

        public override void OnFinished() => IsFinished = true;
    }

    private sealed class MoveProbe : MoveRequest
    {
        public bool IsFinished { get; private set; }

        public override void OnFinished() => IsFinished = true;
    }
}
