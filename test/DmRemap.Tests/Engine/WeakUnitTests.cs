using System;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Remapping;
using DmRemap.Engine;
using DmRemap.Engine.Repair;
using Xunit;

namespace DmRemap.Tests.Engine;

/// <summary>
/// Units that read only after failing: served, and copied to a spare while they still can be.
/// </summary>
public sealed class WeakUnitTests
{
    private const int EnoData = 61;
    private const int Eio = 5;

    /// <summary>Blocks 800 to 807 are unit 100; so many reads of the primary that touch 803 fail.</summary>
    private static EngineBench BenchOf(int failures, int errno, BenchOptions? options = null)
    {
        EngineBench bench = new(options);
        bench.Primary.Content.AsSpan(800 * 512, 8 * 512).Fill(1);
        int left = failures;
        bench.Primary.Fault = (_, request) =>
        {
            bool isHit = request.Operation == IoOperation.Read
                && request.Extent.Overlaps(new Extent(new BlockNumber(803), new BlockCount(1)));
            return isHit && left-- > 0 ? errno : 0;
        };
        return bench;
    }

    private static void AssertRead(EngineBench bench, long start, long count)
    {
        Outcome read = bench.Read(start, count);
        Assert.Equal(IoStatus.Ok, read.Status);
        Assert.All(read.Data, value => Assert.Equal(1, value));
    }

    private static void Settle(EngineBench bench) => bench.Loop.RunFor(Duration.FromSeconds(1));

    [Theory]
    [InlineData(1, EnoData)]
    [InlineData(3, EnoData)]
    public void Unit_that_reads_after_the_medium_failed_is_served_and_copied(int failures, int errno)
    {
        EngineBench bench = BenchOf(failures, errno);
        AssertRead(bench, 802, 3);
        Settle(bench);
        Assert.Equal(UnitState.Remapped, bench.Log.Durable[100].State);
        Assert.Equal((ushort)errno, bench.Log.Durable[100].LastErrno);
        Assert.Contains(bench.Events, happened => happened.Kind == EngineEventKind.RescuedWeak);
        Assert.Equal(1, bench.Device.Counters.WeakUnitsRescued);
        Assert.Equal(0, bench.Device.Suspects.Count);
        // All of the unit, not only what was asked for; and it does not depend on the primary any more.
        bench.Primary.Fault = (_, request) => request.Operation == IoOperation.Read ? EnoData : 0;
        AssertRead(bench, 800, 8);
    }

    /// <summary>Which of them it was is not known: all of them read at the second try.</summary>
    [Fact]
    public void Read_of_several_units_that_fails_once_makes_none_of_them_weak()
    {
        EngineBench bench = BenchOf(1, EnoData);
        bench.Primary.Content.AsSpan(792 * 512, 24 * 512).Fill(1);
        AssertRead(bench, 792, 24);
        Settle(bench);
        Assert.Empty(bench.Log.Durable);
        EngineBench again = BenchOf(2, EnoData);
        again.Primary.Content.AsSpan(792 * 512, 24 * 512).Fill(1);
        AssertRead(again, 792, 24);
        Settle(again);
        Assert.Equal([100], again.Log.Durable.Keys);
    }

    /// <summary>
    /// Blocks 792 to 831 are units 99 to 103; the read of all of them fails once, and of those from 100 to
    /// the last the drive takes long over each at the second try.
    /// </summary>
    private static EngineBench BenchOfLongReads(int errno, int lastLong)
    {
        EngineBench bench = BenchOf(1, errno);
        bench.Primary.Content.AsSpan(792 * 512, 40 * 512).Fill(1);
        Extent isLong = Extent.FromBounds(new BlockNumber(800), new BlockNumber((lastLong + 1) * 8));
        bench.Primary.Hang = request => request.Operation == IoOperation.Read
            && request.Extent.Count.Value <= 8 && request.Extent.Overlaps(isLong);
        return bench;
    }

    private static void ReadThroughHangs(EngineBench bench, long start, long count)
    {
        IoRequest? done = null;
        BufferSlice buffer = AlignedMemory.Allocate((int)count * 512);
        bench.Start(IoOperation.Read, start, count, buffer, IoFlags.None, request => done = request);
        for (int i = 0; i < count && done is null; i++)
        {
            bench.Loop.RunFor(ReadRescue.LongRead);
            bench.Primary.ReleaseHanging();
            bench.Loop.RunFor(Duration.FromMilliseconds(1));
        }
        Assert.Equal(IoStatus.Ok, done!.Status);
        Assert.All(buffer.Span.ToArray(), value => Assert.Equal(1, value));
        bench.Primary.Hang = null;
        Settle(bench);
    }

    /// <summary>As drives read a weak sector: they fail, and then read it after a second of trying.</summary>
    [Theory]
    [InlineData(100)]
    [InlineData(101)]
    public void Of_several_units_that_failed_together_the_one_that_took_long_is_weak(int last)
    {
        EngineBench bench = BenchOfLongReads(EnoData, last);
        ReadThroughHangs(bench, 792, 40);
        Assert.Equal(last == 100 ? [100L] : [100L, 101L], bench.Log.Durable.Keys);
        Assert.Equal((ushort)EnoData, bench.Log.Durable[100].LastErrno);
        bench.Primary.Fault = (_, request) => request.Operation == IoOperation.Read ? EnoData : 0;
        AssertRead(bench, 800, 8);
    }

    /// <summary>
    /// A link that is reset fails, and is slow then; other places read meanwhile (F-17).
    /// </summary>
    [Theory]
    [InlineData(110)]
    [InlineData(Eio)]
    public void Unit_that_took_long_after_what_is_not_the_mediums_error_is_not_weak(int errno)
    {
        EngineBench bench = BenchOfLongReads(errno, lastLong: 100);
        ReadThroughHangs(bench, 792, 24);
        Assert.Empty(bench.Log.Durable);
    }

    [Fact]
    public void Disk_that_takes_long_over_more_units_is_slow_and_none_of_them_is_weak()
    {
        EngineBench bench = BenchOfLongReads(EnoData, lastLong: 102);
        ReadThroughHangs(bench, 792, 40);
        Assert.Empty(bench.Log.Durable);
        // They have been let go.
        Assert.Equal(IoStatus.Ok, bench.Write(800, new byte[3 * 8 * 512]).Status);
    }

    [Fact]
    public void Unit_is_served_and_stays_where_it_is_when_weak_ones_are_not_to_be_copied()
    {
        EngineBench bench = BenchOf(3, EnoData, new BenchOptions { CopiesWeak = false });
        AssertRead(bench, 802, 3);
        Settle(bench);
        Assert.Empty(bench.Log.Durable);
        Assert.Equal(0, bench.Device.Counters.WeakUnits);
        AssertRead(bench, 800, 8);
    }

    /// <summary>Another place read in between: it is this one.</summary>
    [Fact]
    public void Error_that_a_reset_makes_too_proves_the_medium_only_while_the_disk_reads_elsewhere()
    {
        EngineBench bench = BenchOf(3, Eio);
        Func<long, IoRequest, int> fault = bench.Primary.Fault!;
        bool isAsked = false;
        bench.Primary.Fault = (number, request) =>
        {
            int errno = fault(number, request);
            if (errno != 0 && !isAsked)
            {
                isAsked = true;
                bench.Start(IoOperation.Read, 0, 1, AlignedMemory.Allocate(512), IoFlags.None, null);
            }
            return errno;
        };
        AssertRead(bench, 800, 8);
        Settle(bench);
        Assert.Equal(UnitState.Remapped, bench.Log.Durable[100].State);
    }

    [Theory]
    [InlineData(1, Eio)]
    [InlineData(3, Eio)]
    [InlineData(2, 110)]
    public void Error_that_proves_nothing_moves_nothing(int failures, int errno)
    {
        EngineBench bench = BenchOf(failures, errno);
        AssertRead(bench, 800, 8);
        Settle(bench);
        Assert.Equal(0, bench.Device.Table.Count);
        Assert.Equal(0, bench.Device.Allocator.UnitsUsed(0));
    }

    /// <summary>The request's own read, the run, the piece, and so many more.</summary>
    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(9)]
    public void Piece_is_read_as_often_as_was_agreed(int retries)
    {
        EngineBench reads = BenchOf(3 + retries - 1, EnoData, new BenchOptions { ReadRetries = retries });
        AssertRead(reads, 800, 8);
        EngineBench fails = BenchOf(3 + retries, EnoData, new BenchOptions { ReadRetries = retries });
        Assert.Equal(IoStatus.DeviceError, fails.Read(800, 8).Status);
    }

    [Fact]
    public void Suspect_unit_whose_retry_reads_is_copied()
    {
        EngineBench bench = BenchOf(4, EnoData);
        Assert.Equal(IoStatus.DeviceError, bench.Read(803, 1).Status);
        Assert.Equal(1, bench.Device.Suspects.Count);
        bench.Loop.RunFor(Duration.FromSeconds(2));
        AssertRead(bench, 803, 1);
        Settle(bench);
        Assert.Equal(UnitState.Remapped, bench.Log.Durable[100].State);
    }

    [Fact]
    public void Weak_places_of_a_unit_go_and_the_one_that_never_reads_stays_an_error()
    {
        EngineBench bench = BenchOf(2, EnoData, new BenchOptions { PhysicalBytes = 512 });
        bench.Primary.BadForReading.Add(806);
        AssertRead(bench, 803, 1);
        Settle(bench);
        Assert.Equal(BlockState.OnSpare, bench.Log.Durable[100].Blocks[3]);
        Assert.Equal(BlockState.OnPrimary, bench.Log.Durable[100].Blocks[6]);
        Assert.NotEqual(IoStatus.Ok, bench.Read(806, 1).Status);
        AssertRead(bench, 800, 6);
    }

    [Fact]
    public void Several_weak_units_of_one_request_are_all_copied()
    {
        EngineBench bench = new();
        bench.Primary.Content.AsSpan().Fill(1);
        int[] left = new int[256];
        Array.Fill(left, 2, 100, 5);
        bench.Primary.Fault = (_, request) =>
        {
            long unit = request.Extent.Start.Value / 8;
            bool isOne = request.Operation == IoOperation.Read && request.Extent.Count.Value <= 8;
            return isOne ? left[unit]-- > 0 ? EnoData : 0
                : request.Operation == IoOperation.Read ? EnoData : 0;
        };
        AssertRead(bench, 796, 60);
        Settle(bench);
        Assert.Equal(5, bench.Device.Table.Count);
        Assert.Equal(5, bench.Device.Counters.WeakUnitsRescued);
        bench.Primary.Fault = null;
        bench.Primary.Content.AsSpan(800 * 512, 40 * 512).Fill(2);
        AssertRead(bench, 800, 40);
    }

    [Fact]
    public void Spare_that_hangs_does_not_hold_up_what_has_been_read()
    {
        EngineBench bench = BenchOf(2, EnoData);
        bench.Spares[0].Hang = _ => true;
        AssertRead(bench, 800, 8);
        Assert.Equal(1, bench.Spares[0].InFlight);
        Assert.Equal(0, bench.Device.Table.Count);
        bench.Spares[0].Hang = null;
        bench.Spares[0].ReleaseHanging();
        Settle(bench);
        Assert.Equal(1, bench.Device.Table.Count);
    }

    /// <summary>F-5: nothing that is acknowledged while the copy is made may be undone by it.</summary>
    [Fact]
    public void Write_to_the_unit_while_it_is_copied_is_not_lost()
    {
        EngineBench bench = BenchOf(2, EnoData);
        bench.Spares[0].Hang = request => request.Operation == IoOperation.Write;
        AssertRead(bench, 800, 8);
        bool isWritten = false;
        BufferSlice data = AlignedMemory.Allocate(512);
        data.Span.Fill(9);
        bench.Start(IoOperation.Write, 803, 1, data, IoFlags.None, _ => isWritten = true);
        Settle(bench);
        Assert.False(isWritten);
        bench.Spares[0].Hang = null;
        bench.Spares[0].ReleaseHanging();
        bench.Loop.RunUntil(() => isWritten);
        Outcome read = bench.Read(803, 1);
        Assert.All(read.Data, value => Assert.Equal(9, value));
    }

    [Fact]
    public void Without_a_spare_unit_or_with_the_breaker_tripped_the_read_is_served_and_nothing_moves()
    {
        EngineBench full = BenchOf(2, EnoData);
        full.Device.Allocator.SetUsable(0, false);
        AssertRead(full, 800, 8);
        Settle(full);
        Assert.Equal(0, full.Device.Table.Count);
        EngineBench storm = BenchOf(2, EnoData);
        storm.Device.Breaker.OnReadsNowhere();
        AssertRead(storm, 800, 8);
        Settle(storm);
        Assert.Equal(0, storm.Device.Table.Count);
    }

    [Fact]
    public void Copy_that_cannot_be_recorded_leaves_the_unit_where_it_was()
    {
        EngineBench bench = BenchOf(2, EnoData);
        bench.Log.Outcome = _ => DmRemap.Core.Metadata.CommitOutcome.Failed;
        AssertRead(bench, 800, 8);
        Settle(bench);
        Assert.Equal(0, bench.Device.Table.Count);
        Assert.Equal(0, bench.Device.Allocator.UnitsUsed(0));
        AssertRead(bench, 800, 8);
    }

    /// <summary>The spare never answers: what does not need it is served, errors are answered.</summary>
    [Fact]
    public void Hung_spare_leaves_rescues_for_reads_that_need_no_copy()
    {
        EngineBench bench = new();
        bench.Primary.Content.AsSpan().Fill(1);
        bench.Spares[0].Hang = _ => true;
        int[] left = new int[256];
        Array.Fill(left, 1);
        bench.Primary.Fault = (_, request) => request.Operation == IoOperation.Read
            && left[request.Extent.Start.Value / 8]-- > 0 ? EnoData : 0;
        for (int unit = 0; unit < 40; unit++)
        {
            AssertRead(bench, unit * 8, 8);
        }
        bench.Primary.BadForReading.Add(1600);
        Assert.NotEqual(IoStatus.Ok, bench.Read(1600, 1).Status);
        bench.Spares[0].Hang = null;
        bench.Spares[0].ReleaseHanging();
        Settle(bench);
        Assert.InRange(bench.Device.Counters.WeakUnitsRescued, 1, 16);
        Assert.True(bench.Device.IsQuiet);
    }

    /// <summary>One commit that hangs must not put every other weak unit of the request in doubt.</summary>
    [Fact]
    public void Copies_end_when_the_table_cannot_be_made_durable_and_reads_go_on()
    {
        EngineBench bench = new();
        bench.Primary.Content.AsSpan().Fill(1);
        int[] left = new int[256];
        Array.Fill(left, 2, 100, 10);
        bench.Primary.Fault = (_, request) => request.Operation == IoOperation.Read
            && (request.Extent.Count.Value > 8 || left[request.Extent.Start.Value / 8]-- > 0)
                ? EnoData : 0;
        bench.Log.Outcome = _ => DmRemap.Core.Metadata.CommitOutcome.Unknown;
        AssertRead(bench, 800, 80);
        bench.Loop.RunFor(Duration.FromMilliseconds(500));
        Assert.Equal(1, bench.Log.Commits);
        // Copied or not, whichever rule wins: the content is the same.
        AssertRead(bench, 800, 8);
        bench.Log.Outcome = null;
        Settle(bench);
        Settle(bench);
        Assert.Equal(IoStatus.Ok, bench.Write(800, EngineBench.Pattern(8, 512, 9)).Status);
        Assert.All(bench.Read(800, 8).Data, value => Assert.Equal(9, value));
    }

    [Fact]
    public void Suspend_waits_for_the_copy()
    {
        EngineBench bench = BenchOf(2, EnoData);
        bench.Spares[0].Hang = _ => true;
        AssertRead(bench, 800, 8);
        Assert.False(bench.Device.IsQuiet);
        bench.Spares[0].Hang = null;
        bench.Spares[0].ReleaseHanging();
        Settle(bench);
        Assert.True(bench.Device.IsQuiet);
    }
}
