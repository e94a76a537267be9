using System;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;
using DmRemap.Engine;
using Xunit;

namespace DmRemap.Tests.Engine;

public sealed class RemapDeviceTests
{
    [Fact]
    public void Healthy_device_returns_what_was_written()
    {
        EngineBench bench = new();
        Assert.Equal(IoStatus.Ok, bench.Write(100, EngineBench.Pattern(8, 512, 7)).Status);
        Outcome read = bench.Read(98, 12);
        Assert.Equal(IoStatus.Ok, read.Status);
        Assert.All(read.Data[1024..5120], b => Assert.Equal(7, b));
        Assert.All(read.Data[..1024], b => Assert.Equal(0, b));
        Assert.Equal(0, bench.Device.Table.Count);
    }

    [Fact]
    public void Failing_write_goes_to_the_spare_inside_the_request_and_reads_back()
    {
        EngineBench bench = new();
        bench.Primary.BadForWriting.Add(803);
        bench.Primary.Content.AsSpan(800 * 512, 8 * 512).Fill(1);
        Outcome write = bench.Write(796, EngineBench.Pattern(16, 512, 9));
        Assert.Equal(IoStatus.Ok, write.Status);
        Assert.Equal(1, bench.Device.Table.Count);
        Assert.Single(bench.Log.Durable);
        Outcome read = bench.Read(790, 30);
        Assert.Equal(IoStatus.Ok, read.Status);
        Assert.All(read.Data[(6 * 512)..(22 * 512)], b => Assert.Equal(9, b));
        Assert.Contains(bench.Events, e => e.Kind == EngineEventKind.Remapped);
    }

    [Fact]
    public void Partial_write_to_a_bad_unit_keeps_its_good_neighbours_on_the_primary()
    {
        EngineBench bench = new(new BenchOptions { PhysicalBytes = 512 });
        bench.Primary.Content.AsSpan(800 * 512, 8 * 512).Fill(1);
        bench.Primary.BadForWriting.Add(803);
        Assert.Equal(IoStatus.Ok, bench.Write(803, EngineBench.Pattern(1, 512, 9)).Status);
        Outcome read = bench.Read(800, 8);
        Assert.Equal(IoStatus.Ok, read.Status);
        for (int block = 0; block < 8; block++)
        {
            Assert.Equal(block == 3 ? 9 : 1, read.Data[block * 512]);
        }
    }

    [Fact]
    public void Unreadable_block_is_an_error_for_itself_only_and_never_data()
    {
        EngineBench bench = new(new BenchOptions { PhysicalBytes = 512 });
        bench.Primary.Content.AsSpan(800 * 512, 8 * 512).Fill(1);
        bench.Primary.BadForReading.Add(803);
        Outcome read = bench.Read(800, 8);
        Assert.Equal(IoStatus.DeviceError, read.Status);
        Assert.Equal([new Extent(new BlockNumber(803), new BlockCount(1))], read.Failed);
        Assert.Equal(IoStatus.Ok, bench.Read(800, 3).Status);
        Assert.Equal(IoStatus.Ok, bench.Read(804, 4).Status);
        Assert.Equal(IoStatus.DeviceError, bench.Read(803, 1).Status);
    }

    [Fact]
    public void Unreadable_block_is_readable_again_after_it_was_written_also_when_only_it_was_written()
    {
        EngineBench bench = new(new BenchOptions { PhysicalBytes = 512 });
        bench.Primary.Content.AsSpan(800 * 512, 8 * 512).Fill(1);
        bench.Primary.BadForReading.UnionWith([803, 804]);
        Assert.Equal(IoStatus.DeviceError, bench.Read(800, 8).Status);
        Assert.Equal(IoStatus.Ok, bench.Write(803, EngineBench.Pattern(1, 512, 5)).Status);
        Outcome one = bench.Read(803, 1);
        Assert.Equal(IoStatus.Ok, one.Status);
        Assert.All(one.Data, b => Assert.Equal(5, b));
        Assert.NotEqual(IoStatus.Ok, bench.Read(804, 1).Status);
        Assert.Equal(IoStatus.Ok, bench.Read(800, 4).Status);
    }

    [Fact]
    public void Third_failed_read_declares_the_blocks_lost_and_records_it_without_being_asked()
    {
        EngineBench bench = new();
        bench.Primary.BadForReading.Add(803);
        for (int i = 0; i < 3; i++)
        {
            Assert.NotEqual(IoStatus.Ok, bench.Read(803, 1).Status);
            bench.Loop.RunFor(Duration.FromSeconds(70));
        }
        Assert.Equal(UnitState.LostUnreadable, bench.Log.Durable[100].State);
        Assert.Equal(BlockState.Lost, bench.Log.Durable[100].Blocks[3]);
        Assert.Equal(IoStatus.Unreadable, bench.Read(803, 1).Status);
    }

    [Fact]
    public void Suspect_block_fails_fast_then_is_served_when_it_reads_again()
    {
        EngineBench bench = new();
        bench.Primary.BadForReading.Add(803);
        Assert.NotEqual(IoStatus.Ok, bench.Read(803, 1).Status);
        long operations = bench.Primary.Operations;
        Assert.NotEqual(IoStatus.Ok, bench.Read(803, 1).Status);
        Assert.Equal(operations, bench.Primary.Operations);
        bench.Primary.BadForReading.Clear();
        bench.Loop.RunFor(Duration.FromSeconds(2));
        Assert.Equal(IoStatus.Ok, bench.Read(803, 1).Status);
        Assert.Equal(0, bench.Device.Suspects.Count);
    }

    [Fact]
    public void Disk_that_reads_nowhere_makes_no_block_suspect()
    {
        EngineBench bench = new();
        bench.Primary.Fault = (_, _) => 5;
        Assert.Equal(IoStatus.DeviceError, bench.Read(803, 1).Status);
        Assert.Equal(0, bench.Device.Suspects.Count);
        bench.Primary.Fault = null;
        Assert.Equal(IoStatus.Ok, bench.Read(803, 1).Status);
    }

    [Theory]
    [InlineData(6)]
    [InlineData(19)]
    [InlineData(110)]
    [InlineData(28)]
    public void Errors_that_are_not_the_mediums_never_remap(int errno)
    {
        EngineBench bench = new();
        bench.Primary.Fault = (_, request) => request.Operation == IoOperation.Write ? errno : 0;
        Assert.Equal(IoStatus.DeviceError, bench.Write(800, EngineBench.Pattern(8, 512, 1)).Status);
        Assert.Equal(0, bench.Device.Table.Count);
        Assert.Equal(0, bench.Device.Allocator.TotalUnitsUsed);
    }

    /// <summary>ENODATA is what an NVMe drive answers with that has become read-only.</summary>
    [Theory]
    [InlineData(5)]
    [InlineData(61)]
    public void Disk_that_rejects_every_write_does_not_eat_the_spare(int errno)
    {
        EngineBench bench = new();
        Assert.Equal(IoStatus.Ok, bench.Write(2000, EngineBench.Pattern(8, 512, 1)).Status);
        bench.Primary.Fault = (_, request) => request.Operation == IoOperation.Write ? errno : 0;
        for (int i = 0; i < 40; i++)
        {
            bench.Write(i * 8, EngineBench.Pattern(8, 512, 1));
        }
        Assert.True(bench.Device.AreWritesRejected);
        Assert.InRange(bench.Device.Table.Count, 0, 8);
        Assert.Single(bench.Events, e => e.Kind == EngineEventKind.WritesRejected);
    }

    [Fact]
    public void Disk_that_has_rejected_every_write_from_the_start_takes_a_bounded_part_of_the_spare()
    {
        EngineBench bench = new(new BenchOptions { Blocks = 16_384, SpareUnits = 3000 });
        bench.Primary.Fault = (_, request) => request.Operation == IoOperation.Write ? 5 : 0;
        for (int i = 0; i < 1200; i++)
        {
            bench.Write(i * 8, EngineBench.Pattern(8, 512, 1));
        }
        Assert.True(bench.Device.AreWritesRejected);
        Assert.InRange(bench.Device.Table.Count, 900, 1000);
    }

    [Fact]
    public void Dense_cluster_of_bad_sectors_is_remapped_whole_and_the_control_changes_nothing()
    {
        EngineBench bench = new();
        Assert.Equal(IoStatus.Ok, bench.Write(2000, EngineBench.Pattern(8, 512, 7)).Status);
        for (long block = 256; block < 768; block++)
        {
            bench.Primary.BadForWriting.Add(block);
        }
        Assert.Equal(IoStatus.Ok, bench.Write(256, EngineBench.Pattern(256, 512, 1)).Status);
        Assert.Equal(IoStatus.Ok, bench.Write(512, EngineBench.Pattern(256, 512, 2)).Status);
        Assert.Equal(64, bench.Device.Table.Count);
        Assert.All(bench.Read(2000, 8).Data, b => Assert.Equal(7, b));
    }

    [Fact]
    public void Failing_spare_unit_is_retired_and_replaced_in_the_same_request()
    {
        EngineBench bench = new();
        bench.Primary.BadForWriting.Add(803);
        // The allocator's first choice for unit 100 fails, wherever it lies: the whole first half of the
        // spare does.
        bench.Spares[0].Fault = (n, request) => n == 0 ? 5 : 0;
        Assert.Equal(IoStatus.Ok, bench.Write(800, EngineBench.Pattern(8, 512, 9)).Status);
        Assert.Single(bench.Log.Retired);
        Assert.Equal(9, bench.Read(800, 8).Data[0]);
        Assert.Equal(1, bench.Device.Allocator.TotalUnitsRetired);
    }

    [Fact]
    public void Remapped_unit_whose_spare_fails_on_write_moves_with_its_other_blocks()
    {
        EngineBench bench = new(new BenchOptions { PhysicalBytes = 512 });
        bench.Primary.BadForWriting.Add(803);
        Assert.Equal(IoStatus.Ok, bench.Write(800, EngineBench.Pattern(8, 512, 9)).Status);
        Assert.True(bench.Device.Table.TryGet(new UnitNumber(100), out RemapEntry before));
        long spareBlock = bench.SpareBlock(before.Location);
        bench.Spares[0].BadForWriting.Add(spareBlock + 2);
        Assert.Equal(IoStatus.Ok, bench.Write(802, EngineBench.Pattern(1, 512, 4)).Status);
        Assert.True(bench.Device.Table.TryGet(new UnitNumber(100), out RemapEntry after));
        Assert.NotEqual(before.Location, after.Location);
        byte[] data = bench.Read(800, 8).Data;
        for (int block = 0; block < 8; block++)
        {
            Assert.Equal(block == 2 ? 4 : 9, data[block * 512]);
        }
    }

    [Fact]
    public void Remapped_unit_whose_spare_cannot_be_read_is_lost_and_never_the_primarys_old_content()
    {
        EngineBench bench = new(new BenchOptions { PhysicalBytes = 512 });
        bench.Primary.Content.AsSpan(800 * 512, 8 * 512).Fill(1);
        bench.Primary.BadForWriting.Add(803);
        Assert.Equal(IoStatus.Ok, bench.Write(800, EngineBench.Pattern(8, 512, 9)).Status);
        bench.Device.Table.TryGet(new UnitNumber(100), out RemapEntry entry);
        bench.Spares[0].BadForReading.Add(bench.SpareBlock(entry.Location) + 5);
        for (int i = 0; i < 4; i++)
        {
            Outcome read = bench.Read(800, 8);
            Assert.NotEqual(IoStatus.Ok, read.Status);
            Assert.Equal([new Extent(new BlockNumber(805), new BlockCount(1))], read.Failed);
            Assert.All(bench.Read(800, 5).Data, b => Assert.Equal(9, b));
            bench.Loop.RunFor(Duration.FromSeconds(70));
        }
        Assert.Equal(BlockState.Lost, bench.Log.Durable[100].Blocks[5]);
    }

    [Fact]
    public void Exhausted_spare_fails_the_write_and_keeps_what_was_remapped()
    {
        EngineBench bench = new(new BenchOptions { SpareUnits = 2 });
        bench.Primary.BadForWriting.UnionWith([800, 808, 816]);
        Assert.Equal(IoStatus.Ok, bench.Write(800, EngineBench.Pattern(8, 512, 1)).Status);
        Assert.Equal(IoStatus.Ok, bench.Write(808, EngineBench.Pattern(8, 512, 2)).Status);
        Assert.Equal(IoStatus.OutOfSpares, bench.Write(816, EngineBench.Pattern(8, 512, 3)).Status);
        Assert.Contains(bench.Events, e => e.Kind == EngineEventKind.Exhausted);
        Assert.Equal(1, bench.Read(800, 1).Data[0]);
        Assert.Equal(2, bench.Read(808, 1).Data[0]);
    }

    [Fact]
    public void Suspect_unit_without_a_spare_is_written_in_place_and_believed_only_when_it_reads_back()
    {
        EngineBench bench = new(new BenchOptions { SpareUnits = 1 });
        bench.Primary.BadForWriting.Add(0);
        Assert.Equal(IoStatus.Ok, bench.Write(0, EngineBench.Pattern(8, 512, 1)).Status);
        bench.Primary.BadForReading.Add(803);
        Assert.NotEqual(IoStatus.Ok, bench.Read(803, 1).Status);
        Assert.Equal(IoStatus.OutOfSpares, bench.Write(803, EngineBench.Pattern(1, 512, 6)).Status);
        bench.Primary.WritesHeal = true;
        Assert.Equal(IoStatus.Ok, bench.Write(803, EngineBench.Pattern(1, 512, 7)).Status);
        Assert.Equal(7, bench.Read(803, 1).Data[0]);
    }

    [Fact]
    public void Failed_commit_fails_the_write_and_gives_the_spare_unit_back()
    {
        EngineBench bench = new();
        bench.Primary.BadForWriting.Add(803);
        bench.Log.Outcome = _ => CommitOutcome.Failed;
        Assert.Equal(IoStatus.MetadataUnavailable, bench.Write(803, EngineBench.Pattern(1, 512, 6)).Status);
        Assert.True(bench.Device.IsMetadataUnavailable);
        Assert.Equal(0, bench.Device.Allocator.TotalUnitsUsed);
        bench.Log.Outcome = null;
        Assert.Equal(IoStatus.Ok, bench.Write(803, EngineBench.Pattern(1, 512, 7)).Status);
        Assert.False(bench.Device.IsMetadataUnavailable);
        Assert.Equal(7, bench.Read(803, 1).Data[0]);
    }

    [Fact]
    public void Unknown_commit_keeps_the_unit_off_the_primary_until_a_later_commit_supersedes_it()
    {
        EngineBench bench = new();
        bench.Primary.BadForWriting.Add(803);
        bench.Log.Outcome = n => n == 0 ? CommitOutcome.Unknown : CommitOutcome.Done;
        Assert.Equal(IoStatus.MetadataUnavailable, bench.Write(803, EngineBench.Pattern(1, 512, 6)).Status);
        Assert.NotEqual(IoStatus.Ok, bench.Read(803, 1).Status);
        bench.Primary.BadForWriting.Clear();
        bench.Primary.Log = [];
        Assert.Equal(IoStatus.Ok, bench.Write(803, EngineBench.Pattern(1, 512, 7)).Status);
        Assert.DoesNotContain(bench.Primary.Log, line => line.StartsWith("Write", StringComparison.Ordinal));
        Assert.Equal(7, bench.Read(803, 1).Data[0]);
        Assert.Equal(1, bench.Device.Allocator.TotalUnitsUsed);
    }

    [Fact]
    public void Stuck_commit_delays_only_what_depends_on_it()
    {
        EngineBench bench = new();
        bench.Primary.BadForWriting.Add(803);
        bench.Log.IsStuck = true;
        bool ended = false;
        bench.Start(IoOperation.Write, 803, 1, AlignedMemory.Allocate(512), IoFlags.None, _ => ended = true);
        bench.Loop.RunFor(Duration.FromSeconds(10));
        Assert.False(ended);
        Assert.Equal(IoStatus.Ok, bench.Write(0, EngineBench.Pattern(256, 512, 3)).Status);
        Assert.Equal(3, bench.Read(0, 256).Data[5]);
        Assert.Equal(IoStatus.Ok, bench.Write(808, EngineBench.Pattern(8, 512, 3)).Status);
    }
}
