using System;
using System.Collections.Generic;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;
using DmRemap.Engine;
using DmRemap.Engine.Metadata;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Engine;

/// <summary>
/// What a spare that is away, ill or dying may not do: lose data, hang units, eat other spares.
/// </summary>
public sealed class RemapDeviceSpareTests
{
    [Theory]
    [InlineData(5)]
    [InlineData(61)]
    public void Spare_that_is_away_for_a_moment_loses_nothing_by_a_write(int errno)
    {
        EngineBench bench = Remapped(new BenchOptions { PhysicalBytes = 512, Spares = 2 });
        bench.Spares[0].Fault = (_, _) => errno;
        Assert.NotEqual(IoStatus.Ok, bench.Write(800, EngineBench.Pattern(1, 512, 4)).Status);
        bench.Spares[0].Fault = null;
        Outcome read = bench.Read(800, 8);
        Assert.Equal(IoStatus.Ok, read.Status);
        Assert.All(read.Data[512..], b => Assert.Equal(9, b));
        Assert.Equal(0, bench.Device.Tally.LostBlocks);
    }

    [Theory]
    [InlineData(6, true)]
    [InlineData(28, false)]
    public void Spare_that_was_away_lends_units_again_when_it_is_back_and_a_full_one_does_not(
        int errno, bool lends)
    {
        EngineBench bench = new();
        bench.Primary.BadForWriting.Add(800);
        bench.Spares[0].Fault = (_, _) => errno;
        Assert.NotEqual(IoStatus.Ok, bench.Write(800, EngineBench.Pattern(8, 512, 1)).Status);
        Assert.False(bench.Device.Allocator.IsUsable(0));
        bench.Spares[0].Fault = null;
        bench.Device.NoteSpareBack(Member.Primary);
        Assert.False(bench.Device.Allocator.IsUsable(0));
        bench.Device.NoteSpareBack(0);
        Assert.Equal(lends, bench.Device.Allocator.IsUsable(0));
        IoStatus status = bench.Write(800, EngineBench.Pattern(8, 512, 2)).Status;
        Assert.Equal(lends, status == IoStatus.Ok);
    }

    [Fact]
    public void Spare_left_out_by_the_metadata_lends_no_unit_also_when_it_is_back_and_the_other_does()
    {
        EngineBench bench = new(new BenchOptions { Spares = 2 });
        bench.Primary.BadForWriting.Add(800);
        int writes = 0;
        bench.Spares[0].Fault = (_, _) => writes++ * 0;
        ((IMembershipOwner)bench.Device).OnMemberInactive(0);
        bench.Device.NoteSpareBack(0);
        Assert.False(bench.Device.Allocator.IsUsable(0));
        Assert.Equal(IoStatus.Ok, bench.Write(800, EngineBench.Pattern(8, 512, 1)).Status);
        Assert.Equal(0, writes);
        Assert.Equal(1, bench.Device.Allocator.UnitsUsed(1));
        Assert.Contains(bench.Events, e => e.Kind == EngineEventKind.MemberInactive && e.Member == 0);
    }

    [Theory]
    [InlineData(19, false)]
    [InlineData(28, false)]
    [InlineData(61, true)]
    public void Whole_write_to_a_unit_of_a_spare_that_is_away_moves_and_retires_nothing(
        int errno, bool isBad)
    {
        EngineBench bench = Remapped(new BenchOptions { Spares = 2 });
        bench.Device.Table.TryGet(new UnitNumber(100), out RemapEntry before);
        int from = before.Location.Spare;
        bench.Spares[from].Fault = (_, _) => errno;
        bench.Events.Clear();
        Assert.Equal(IoStatus.Ok, bench.Write(800, EngineBench.Pattern(8, 512, 4)).Status);

        bench.Device.Table.TryGet(new UnitNumber(100), out RemapEntry after);
        Assert.NotEqual(isBad ? -1 : from, after.Location.Spare);
        Assert.Equal(isBad ? 1 : 0, bench.Device.Allocator.TotalUnitsRetired > 0 ? 1 : 0);
        // Of the primary, whatever the spare's was.
        Assert.Equal(before.LastErrno, after.LastErrno);
        EngineEvent moved = Assert.Single(bench.Events, e => e.Kind == EngineEventKind.Remapped);
        Assert.Equal(from, moved.Member);
        Assert.Equal(errno, moved.Errno);
    }

    /// <summary>It lends nothing any more: its refusals say nothing of each place.</summary>
    [Theory]
    [InlineData(5)]
    [InlineData(61)]
    public void Unit_that_leaves_a_spare_which_was_left_out_retires_nothing(int errno)
    {
        EngineBench bench = Remapped(new BenchOptions { Spares = 2 });
        bench.Device.Table.TryGet(new UnitNumber(100), out RemapEntry before);
        int from = before.Location.Spare;
        bench.Spares[from].Fault = (_, _) => errno;
        ((IMembershipOwner)bench.Device).OnMemberInactive(from);
        Assert.Equal(IoStatus.Ok, bench.Write(800, EngineBench.Pattern(8, 512, 4)).Status);
        bench.Device.Table.TryGet(new UnitNumber(100), out RemapEntry after);
        Assert.NotEqual(from, after.Location.Spare);
        Assert.Equal(0, bench.Device.Allocator.TotalUnitsRetired);
    }

    [Fact]
    public void Part_write_to_a_unit_of_a_spare_that_is_away_fails_and_changes_nothing()
    {
        EngineBench bench = Remapped(new BenchOptions { PhysicalBytes = 512, Spares = 2 });
        bench.Device.Table.TryGet(new UnitNumber(100), out RemapEntry before);
        bench.Spares[before.Location.Spare].Fault = (_, _) => 19;
        bench.Events.Clear();
        Assert.Equal(IoStatus.DeviceError, bench.Write(800, EngineBench.Pattern(1, 512, 4)).Status);
        bench.Device.Table.TryGet(new UnitNumber(100), out RemapEntry after);
        Assert.Equal(before, after);
        Assert.Equal(0, bench.Device.Allocator.TotalUnitsRetired);
        Assert.DoesNotContain(bench.Events, e => e.Kind == EngineEventKind.Remapped);
    }

    [Fact]
    public void Retry_that_fails_as_no_bad_sector_does_moves_nothing()
    {
        EngineBench bench = new();
        int writes = 0;
        bench.Primary.Fault = (_, request) =>
            request.Operation != IoOperation.Write ? 0 : writes++ == 0 ? 5 : 110;
        Assert.Equal(IoStatus.DeviceError, bench.Write(800, EngineBench.Pattern(8, 512, 1)).Status);
        Assert.Equal(2, writes);
        Assert.Equal(0, bench.Device.Table.Count);
        Assert.Equal(0, bench.Device.Allocator.TotalUnitsUsed);
    }

    [Theory]
    [InlineData(5)]
    [InlineData(61)]
    public void Spare_that_is_away_loses_nothing_by_reads_however_often_they_fail(int errno)
    {
        EngineBench bench = Remapped(new BenchOptions { PhysicalBytes = 512 });
        bench.Spares[0].Fault = (_, _) => errno;
        for (int i = 0; i < 6; i++)
        {
            Assert.NotEqual(IoStatus.Ok, bench.Read(800, 8).Status);
            bench.Loop.RunFor(Duration.FromSeconds(70));
        }
        bench.Spares[0].Fault = null;
        Assert.All(bench.Read(800, 8).Data, b => Assert.Equal(9, b));
    }

    /// <summary>
    /// A control asks at another copy of the superblock each time; the second is at the very end of the
    /// spare, where no more than that can be read.
    /// </summary>
    [Theory]
    [InlineData(512)]
    [InlineData(4096)]
    public void Block_of_a_spare_is_given_up_although_the_first_superblock_does_not_read_either(
        int physical)
    {
        const int SpareUnits = 128;
        long last = ((SpareUnits + 1) * 8) - 1;
        EngineBench bench = Remapped(new BenchOptions
        {
            PhysicalBytes = physical,
            SpareUnits = SpareUnits,
            SpareIdentity = new FirstAndLast(last),
        });
        bench.Device.Table.TryGet(new UnitNumber(100), out RemapEntry entry);
        bench.Spares[0].BadForReading.Add(0);
        bench.Spares[0].BadForReading.Add(bench.SpareBlock(entry.Location) + 2);
        for (int i = 0; i < 8; i++)
        {
            Assert.NotEqual(IoStatus.Ok, bench.Read(802, 1).Status);
            bench.Loop.RunFor(Duration.FromSeconds(70));
        }
        Assert.Equal(BlockState.Lost, bench.Log.Durable[100].Blocks[2]);
    }

    [Fact]
    public void Block_rewritten_on_the_spare_is_never_given_up_for_what_failed_before()
    {
        EngineBench bench = Remapped(new BenchOptions { PhysicalBytes = 512 });
        bench.Device.Table.TryGet(new UnitNumber(100), out RemapEntry entry);
        long first = bench.SpareBlock(entry.Location);
        bench.Spares[0].BadForReading.Add(first + 2);
        Assert.NotEqual(IoStatus.Ok, bench.Read(802, 1).Status);
        bench.Spares[0].BadForReading.Clear();
        Assert.Equal(IoStatus.Ok, bench.Write(802, EngineBench.Pattern(1, 512, 3)).Status);
        Assert.Equal(3, bench.Read(802, 1).Data[0]);
        bench.Spares[0].BadForReading.Add(first + 6);
        for (int i = 0; i < 4; i++)
        {
            Assert.NotEqual(IoStatus.Ok, bench.Read(806, 1).Status);
            bench.Loop.RunFor(Duration.FromSeconds(70));
        }
        Assert.Equal(BlockState.Lost, bench.Log.Durable[100].Blocks[6]);
        Assert.Equal(3, bench.Read(802, 1).Data[0]);
    }

    [Fact]
    public void Block_that_fails_for_the_first_time_is_suspect_first_whatever_its_neighbours_did()
    {
        EngineBench bench = new(new BenchOptions { PhysicalBytes = 512 });
        bench.Primary.BadForReading.Add(803);
        for (int i = 0; i < 2; i++)
        {
            Assert.NotEqual(IoStatus.Ok, bench.Read(800, 8).Status);
            bench.Loop.RunFor(Duration.FromSeconds(70));
        }
        bench.Primary.BadForReading.Add(805);
        Assert.NotEqual(IoStatus.Ok, bench.Read(800, 8).Status);
        Assert.Equal(1, bench.Device.Tally.LostBlocks);
        bench.Loop.RunFor(Duration.FromSeconds(70));
        bench.Primary.BadForReading.Remove(805);
        Assert.Equal(IoStatus.Ok, bench.Read(805, 1).Status);
    }

    [Fact]
    public void Doubt_ends_by_itself_when_the_metadata_can_be_written_again()
    {
        EngineBench bench = new();
        bench.Primary.BadForWriting.Add(803);
        bench.Log.Outcome = n => n == 0 ? CommitOutcome.Unknown : CommitOutcome.Done;
        Assert.NotEqual(IoStatus.Ok, bench.Write(803, EngineBench.Pattern(1, 512, 6)).Status);
        Assert.NotEqual(IoStatus.Ok, bench.Read(800, 1).Status);
        bench.Loop.RunFor(Duration.FromSeconds(3));
        Assert.Equal(IoStatus.Ok, bench.Read(800, 1).Status);
        Assert.False(bench.Device.IsMetadataUnavailable);
    }

    /// <summary>Nothing is in doubt, and nobody writes what would need another record.</summary>
    [Fact]
    public void Metadata_that_can_be_written_again_is_found_so_without_anybody_who_waits_for_a_record()
    {
        EngineBench bench = new();
        bench.Primary.BadForWriting.Add(803);
        bench.Log.Outcome = n => n == 0 ? CommitOutcome.Failed : CommitOutcome.Done;
        Assert.NotEqual(IoStatus.Ok, bench.Write(803, EngineBench.Pattern(1, 512, 6)).Status);
        Assert.True(bench.Device.IsMetadataUnavailable);
        bench.Loop.RunFor(Duration.FromSeconds(11));
        Assert.False(bench.Device.IsMetadataUnavailable);
        Assert.Equal(2, bench.Log.Commits);
        bench.Loop.RunFor(Duration.FromSeconds(60));
        Assert.Equal(2, bench.Log.Commits);
    }

    [Fact]
    public void Dying_spare_does_not_use_up_every_attempt_while_another_is_free()
    {
        EngineBench bench = new(new BenchOptions { Spares = 2 });
        bench.Primary.BadForWriting.Add(803);
        bench.Spares[0].Fault = (_, request) => request.Operation == IoOperation.Write ? 5 : 0;
        Assert.Equal(IoStatus.Ok, bench.Write(800, EngineBench.Pattern(8, 512, 9)).Status);
        bench.Device.Table.TryGet(new UnitNumber(100), out RemapEntry entry);
        Assert.Equal(1, entry.Location.Spare);
        Assert.InRange(bench.Device.Allocator.UnitsRetired(0), 0, 2);
        Assert.True(bench.Device.Allocator.IsUsable(0));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void Bad_units_of_the_spares_cost_attempts_and_not_the_write(int spares)
    {
        EngineBench bench = new(new BenchOptions { Spares = spares });
        bench.Primary.BadForWriting.Add(803);
        int failures = 0;
        foreach (SimulatedDisk spare in bench.Spares)
        {
            // The first five fresh units that are tried, wherever they are, are bad.
            spare.Fault = (_, request) => request.Operation == IoOperation.Write && failures++ < 5 ? 5 : 0;
        }
        Assert.Equal(IoStatus.Ok, bench.Write(800, EngineBench.Pattern(8, 512, 9)).Status);
        Assert.Equal(6, failures);
        Assert.Equal(5, bench.Device.Allocator.TotalUnitsRetired);
    }

    [Fact]
    public void Spare_that_one_repair_avoids_is_open_to_the_others()
    {
        EngineBench bench = new();
        bench.Primary.BadForWriting.Add(803);
        bench.Primary.BadForWriting.Add(1603);
        int failures = 0;
        bench.Spares[0].Fault = (_, request) =>
            request.Operation == IoOperation.Write && failures++ < 2 ? 5 : 0;
        bench.Spares[0].Hang = request => request.Operation == IoOperation.Write && failures == 2;
        IoStatus first = IoStatus.Pending;
        BufferSlice data = AlignedMemory.Allocate(4096);
        bench.Start(IoOperation.Write, 800, 8, data, IoFlags.None, request => first = request.Status);
        bench.Loop.RunUntilIdle();
        // It has met two bad units and waits for the third; meanwhile another write needs a unit.
        bench.Spares[0].Hang = null;
        Assert.Equal(IoStatus.Ok, bench.Write(1600, EngineBench.Pattern(8, 512, 9)).Status);
        bench.Spares[0].ReleaseHanging();
        bench.Loop.RunUntilIdle();
        Assert.Equal(IoStatus.Ok, first);
    }

    [Fact]
    public void Failed_control_write_moves_the_bytes_that_it_may_have_ruined()
    {
        EngineBench bench = new();
        Assert.Equal(IoStatus.Ok, bench.Write(1600, EngineBench.Pattern(8, 512, 7)).Status);
        bench.Primary.Fault = (_, request) =>
        {
            if (request.Operation != IoOperation.Write)
            {
                return 0;
            }
            // A failed write may leave anything behind.
            int start = (int)request.Extent.Start.Value * 512;
            bench.Primary.Content.AsSpan(start, request.Buffer.Length).Fill(0xBA);
            return 5;
        };
        for (int i = 0; i < 12; i++)
        {
            bench.Write(i * 8, EngineBench.Pattern(8, 512, 1));
        }
        Assert.True(bench.Device.AreWritesRejected);
        Outcome read = bench.Read(1600, 8);
        Assert.Equal(IoStatus.Ok, read.Status);
        Assert.All(read.Data, b => Assert.Equal(7, b));
    }

    /// <summary>What it spoils could not be saved, and nothing could move for knowing better.</summary>
    [Fact]
    public void No_control_is_written_where_no_spare_unit_is_free()
    {
        EngineBench bench = new(new BenchOptions { SpareUnits = 1 });
        bench.Primary.BadForWriting.Add(1600);
        Assert.Equal(IoStatus.Ok, bench.Write(1600, EngineBench.Pattern(8, 512, 1)).Status);
        Assert.Equal(0, bench.Device.Allocator.TotalUnitsAllocatable);
        Assert.Equal(IoStatus.Ok, bench.Write(80, EngineBench.Pattern(8, 512, 7)).Status);
        bench.Primary.Log = [];
        bench.Primary.Fault = (_, request) => request.Operation == IoOperation.Write ? 5 : 0;
        for (int unit = 20; unit < 40; unit++)
        {
            Assert.NotEqual(IoStatus.Ok, bench.Write(unit * 8, EngineBench.Pattern(8, 512, 2)).Status);
        }
        Assert.DoesNotContain(
            bench.Primary.Log, line => line.StartsWith("Write [80,", StringComparison.Ordinal));
        Assert.All(bench.Read(80, 8).Data, b => Assert.Equal(7, b));
    }

    [Fact]
    public void Control_repeats_only_blocks_that_the_application_wrote()
    {
        EngineBench bench = new(new BenchOptions { PhysicalBytes = 512 });
        Assert.Equal(IoStatus.Ok, bench.Write(1603, EngineBench.Pattern(2, 512, 7)).Status);
        for (long block = 0; block < 256; block++)
        {
            bench.Primary.BadForWriting.Add(block);
        }
        bench.Primary.Log = [];
        Assert.Equal(IoStatus.Ok, bench.Write(0, EngineBench.Pattern(256, 512, 1)).Status);
        List<string> elsewhere = bench.Primary.Log.FindAll(
            line => line.StartsWith("Write [1603", StringComparison.Ordinal)
                || line.StartsWith("Write [1600", StringComparison.Ordinal));
        Assert.Equal(["Write [1603, 1604) None"], elsewhere);
    }

    [Fact]
    public void Zeroes_over_a_unit_whose_rule_goes_away_meanwhile_are_split_anew()
    {
        EngineBench bench = new(new BenchOptions { PhysicalBytes = 512, SpareUnits = 1 });
        while (bench.Device.Allocator.TryAllocate(new UnitNumber(0), out _))
        {
        }
        foreach (long unit in new long[] { 100, 101 })
        {
            bench.Device.SetEntry(new RemapEntry
            {
                Unit = new UnitNumber(unit),
                State = UnitState.LostUnreadable,
                Blocks = BlockStates.AllOnPrimary.With(1, BlockState.Lost),
            });
        }
        // Unit 101 is rewritten in place, slowly; the zeroes over both wait for its hold.
        bench.Primary.Hang = request => request.Operation == IoOperation.Write;
        int ended = 0;
        BufferSlice data = AlignedMemory.Allocate(4096);
        bench.Start(IoOperation.Write, 808, 8, data, IoFlags.None, request =>
        {
            Assert.Equal(IoStatus.Ok, request.Status);
            ended++;
        });
        bench.Loop.RunFor(Duration.FromMilliseconds(1));
        bench.Start(IoOperation.WriteZeroes, 800, 16, default, IoFlags.None, request =>
        {
            Assert.Equal(IoStatus.Ok, request.Status);
            ended++;
        });
        bench.Loop.RunFor(Duration.FromMilliseconds(1));
        bench.Primary.Hang = null;
        bench.Primary.ReleaseHanging();
        bench.Loop.RunUntilIdle();
        Assert.Equal(2, ended);
        Assert.All(bench.Read(800, 16).Data, b => Assert.Equal(0, b));
    }

    [Fact]
    public void Flush_asked_from_inside_an_answer_waits_for_a_cycle_of_its_own()
    {
        EngineBench bench = new();
        bench.Primary.Hang = request => request.Operation == IoOperation.Flush;
        int answered = 0;
        // More than the device has slots for: the last ones start when the first are answered.
        for (int i = 0; i < Limits.RequestsInFlightMax + 8; i++)
        {
            bench.Start(IoOperation.Flush, 0, 0, default, IoFlags.None, _ => answered++);
        }
        bench.Loop.RunFor(Duration.FromMilliseconds(1));
        bench.Device.Primary.CompletedWrites++;
        while (bench.Primary.InFlight > 0)
        {
            int before = answered;
            bench.Primary.ReleaseHanging();
            bench.Device.Primary.CompletedWrites++;
            bench.Loop.RunFor(Duration.FromMilliseconds(1));
            Assert.True(answered > before);
            bool allAnswered = answered == Limits.RequestsInFlightMax + 8;
            // Whoever is not answered has a member flush of its own under way.
            Assert.Equal(!allAnswered, bench.Primary.InFlight > 0);
        }
        Assert.Equal(Limits.RequestsInFlightMax + 8, answered);
        Assert.True(bench.Primary.Operations >= 2);
    }

    /// <summary>Unit 100 is on spare 0, with nines.</summary>
    private static EngineBench Remapped(BenchOptions options)
    {
        EngineBench bench = new(options);
        bench.Primary.BadForWriting.Add(803);
        Assert.Equal(IoStatus.Ok, bench.Write(800, EngineBench.Pattern(8, 512, 9)).Status);
        return bench;
    }

    /// <summary>Superblocks of one block.</summary>
    private sealed class FirstAndLast(long last) : IMemberIdentity
    {
        public int Places => 2;

        public Extent PlaceAt(int index) => new(new BlockNumber(index * last), new BlockCount(1));

        public bool IsIt(int index, ReadOnlySpan<byte> content) => true;
    }
}
