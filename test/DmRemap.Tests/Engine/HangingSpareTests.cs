using System.Collections.Generic;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Remapping;
using Xunit;

namespace DmRemap.Tests.Engine;

/// <summary>A spare that does not answer keeps nobody waiting who does not need it (F-19).</summary>
public sealed class HangingSpareTests
{
    /// <summary>More than all the jobs of a line.</summary>
    private const int Many = 100;

    private static readonly Duration s_soon = Duration.FromMilliseconds(100);
    private static readonly Duration s_seconds = Duration.FromSeconds(2);
    private static readonly BufferSlice s_data = Sevens();

    [Fact]
    public void Writes_to_units_on_other_spares_go_on()
    {
        EngineBench bench = Twofold(firsts: 0, seconds: 1);
        Hang(bench, spare: 0);
        Writes stuck = new(bench, 0, Many);
        bench.Loop.RunFor(s_soon);
        Assert.Equal(0, stuck.Done);
        Writes other = new(bench, Many, 1);
        bench.Loop.RunFor(s_soon);
        Assert.Equal(1, other.Done);
        Release(bench, spare: 0);
        Assert.Equal(Many, stuck.Done);
        stuck.AssertRead();
    }

    [Fact]
    public void Second_copies_on_it_are_struck_out_and_nobody_waits_for_it_any_more()
    {
        EngineBench bench = Twofold(firsts: 0, seconds: 1);
        Hang(bench, spare: 1);
        Writes writes = new(bench, 0, Many);
        bench.Loop.RunFor(s_seconds);
        int waiting = Many - writes.Done;
        Assert.InRange(waiting, 1, 64);
        Assert.Equal(writes.Done, bench.Device.Counters.SecondsStruckOut);
        Writes later = new(bench, Many - 1, 1);
        bench.Loop.RunFor(s_soon);
        Assert.Equal(1, later.Done);
        Release(bench, spare: 1);
        Assert.Equal(Many, writes.Done);
        writes.AssertRead();
    }

    /// <summary>A disk that spins up: striking out would cost a record that waits for it, too.</summary>
    [Fact]
    public void Second_copies_are_waited_for_while_there_are_jobs_for_everybody()
    {
        EngineBench bench = Twofold(firsts: 0, seconds: 1);
        Hang(bench, spare: 1);
        Writes first = new(bench, 0, 1);
        bench.Loop.RunFor(Duration.FromSeconds(8));
        // It has answered nothing for long now.
        Writes writes = new(bench, 1, 20);
        bench.Loop.RunFor(Duration.FromSeconds(8));
        Assert.Equal((0, 0), (first.Done, writes.Done));
        Release(bench, spare: 1);
        Assert.Equal((1, 20), (first.Done, writes.Done));
        Assert.Equal(0, bench.Device.Counters.SecondsStruckOut);

        Hang(bench, spare: 1);
        Writes stuck = new(bench, 0, 1);
        bench.Loop.RunFor(Duration.FromSeconds(31));
        Writes late = new(bench, 1, 1);
        bench.Loop.RunFor(s_soon);
        Assert.Equal((0, 1), (stuck.Done, late.Done));
        Assert.Equal(1, bench.Device.Counters.SecondsStruckOut);
    }

    [Fact]
    public void No_second_copy_is_struck_out_where_the_spares_are_only_busy()
    {
        EngineBench bench = Twofold(firsts: 0, seconds: 1, latency: Duration.FromMilliseconds(200));
        Writes writes = new(bench, 0, Many);
        bench.Loop.RunUntil(() => writes.Done == Many);
        Assert.Equal(0, bench.Device.Counters.SecondsStruckOut);
        Assert.Equal(Many + 1, bench.Device.Tally.UnitsWithSecond);
    }

    [Fact]
    public void What_the_primary_refuses_goes_to_another_spare()
    {
        EngineBench bench = new(new BenchOptions { Spares = 2, SpareUnits = 256 });
        for (int unit = 0; unit < Many + 1; unit++)
        {
            bench.Primary.BadForWriting.Add(unit * 8);
        }
        Hang(bench, spare: 0);
        Writes writes = new(bench, 0, Many);
        bench.Loop.RunFor(s_seconds);
        int stuck = Many - writes.Done;
        Assert.InRange(stuck, 1, 64);
        Writes later = new(bench, Many, 1);
        bench.Loop.RunFor(s_soon);
        Assert.Equal(1, later.Done);
        Assert.Equal(1, bench.Log.Durable[Many].Location.Spare);
        Release(bench, spare: 0);
        Assert.Equal(Many, writes.Done);
        writes.AssertRead();
    }

    /// <summary>`Many` units on the first spare, copied to the second; one more on the others.</summary>
    private static EngineBench Twofold(int firsts, int seconds, Duration latency = default)
    {
        SortedDictionary<long, RemapEntry> entries = [];
        for (int unit = 0; unit < Many; unit++)
        {
            entries.Add(unit, Entry(unit, new SpareLocation(firsts, new UnitNumber(unit)),
                new SpareLocation(seconds, new UnitNumber(unit))));
        }
        entries.Add(Many, Entry(Many, new SpareLocation(1, new UnitNumber(Many)),
            new SpareLocation(2, new UnitNumber(Many))));
        return new EngineBench(new BenchOptions
        {
            Spares = 3,
            KeepsCopies = true,
            AreCopiesInStep = true,
            Entries = entries,
            LatencyMax = latency,
        });
    }

    private static RemapEntry Entry(int unit, SpareLocation first, SpareLocation second) => new()
    {
        Unit = new UnitNumber(unit),
        State = UnitState.Remapped,
        Location = first,
        Second = second,
        Blocks = BlockStates.AllOnPrimary.With(BlockStates.Mask(0, 8), BlockState.OnSpare),
        LastErrno = 5,
    };

    private static void Hang(EngineBench bench, int spare) =>
        bench.Spares[spare].Hang = request => request.Operation == IoOperation.Write;

    private static void Release(EngineBench bench, int spare)
    {
        bench.Spares[spare].Hang = null;
        bench.Spares[spare].ReleaseHanging();
        bench.Loop.RunFor(s_seconds);
    }

    private static BufferSlice Sevens()
    {
        BufferSlice data = AlignedMemory.Allocate(512);
        data.Span.Fill(7);
        return data;
    }

    /// <summary>One block into each of some units, all at once.</summary>
    private sealed class Writes
    {
        private readonly EngineBench _bench;
        private readonly int _first;
        private readonly int _count;

        public Writes(EngineBench bench, int first, int count)
        {
            (_bench, _first, _count) = (bench, first, count);
            for (int unit = first; unit < first + count; unit++)
            {
                bench.Start(IoOperation.Write, unit * 8, 1, s_data, IoFlags.None, OnDone);
            }
        }

        public int Done { get; private set; }

        public void AssertRead()
        {
            for (int unit = _first; unit < _first + _count; unit++)
            {
                Assert.All(_bench.Read(unit * 8, 1).Data, b => Assert.Equal(7, b));
            }
        }

        private void OnDone(IoRequest request)
        {
            Assert.Equal(IoStatus.Ok, request.Status);
            Done++;
        }
    }
}
