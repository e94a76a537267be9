using System;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;
using DmRemap.Engine.Metadata;
using DmRemap.Tests.Core;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Metadata;

public sealed class WitnessReadingTests : IWitnessReadingOwner
{
    private const long Units = 4096;

    private readonly SimulatedLoop _loop = new();
    private readonly SimulatedDisk _disk;
    private readonly RemapTable _table = new(Entries.Geometry(Units));
    private WitnessReading? _ended;

    public WitnessReadingTests()
    {
        _disk = new SimulatedDisk(_loop, SimulatedDisk.MakeGeometry(Units * 8));
        new Random(7).NextBytes(_disk.Content);
    }

    void IWitnessReadingOwner.OnWitnessRead(WitnessReading reading)
    {
        Assert.Null(_ended);
        _ended = reading;
    }

    [Fact]
    public void Every_place_of_a_disk_that_reads_is_known_and_the_same_again()
    {
        PrimaryWitness first = Read();
        Assert.Equal(PrimaryWitness.Places, first.CommonPlaces(first));
        Assert.Equal(first, Read());
    }

    /// <summary>The first and last byte of every range; no other place's word changes.</summary>
    [Fact]
    public void One_changed_byte_shows_in_the_place_that_holds_it()
    {
        PrimaryWitness before = Read();
        for (int place = 0; place < PrimaryWitness.Places; place++)
        {
            for (int range = 0; range < WitnessPlaces.Ranges(place); range++)
            {
                ByteRegion region = WitnessPlaces.RangeOf(place, range, _disk.Geometry.Bytes.Value);
                foreach (long at in (long[])[region.Start, region.End - 1])
                {
                    _disk.Content[at] ^= 1;
                    PrimaryWitness after = Read();
                    Assert.Equal(place, before.FirstDifference(after));
                    _disk.Content[at] ^= 1;
                }
            }
        }
    }

    [Fact]
    public void A_place_that_stops_or_begins_to_read_is_no_difference()
    {
        PrimaryWitness whole = Read();
        _disk.BadForReading.Add(3);
        _disk.BadForReading.Add(WitnessPlaces.RangeOf(20, 2, _disk.Geometry.Bytes.Value).Start / 512);
        PrimaryWitness holed = Read();
        Assert.Equal(0u, holed[0]);
        Assert.Equal(0u, holed[20]);
        Assert.Equal(PrimaryWitness.Places - 2, whole.CommonPlaces(holed));
        Assert.Equal(-1, whole.FirstDifference(holed));
        Assert.Equal(-1, holed.FirstDifference(whole));
        _disk.Content[5000] ^= 1;
        Assert.Equal(1, holed.FirstDifference(Read()));
    }

    /// <summary>A file system's superblock in a unit that was remapped is what tells most.</summary>
    [Fact]
    public void A_place_with_a_remapped_unit_is_read_after_all_others()
    {
        _table.Set(Entries.OnSpare(unit: 0, spareUnit: 3));
        _disk.Log = [];
        PrimaryWitness before = Read();
        Assert.Equal(PrimaryWitness.Places, before.CommonPlaces(before));
        Assert.StartsWith("Read [0, 8)", _disk.Log[^1], StringComparison.Ordinal);
        _disk.Content[1024] ^= 1;
        Assert.Equal(0, before.FirstDifference(Read()));
    }

    [Fact]
    public void A_place_with_lost_blocks_is_not_read()
    {
        _table.Set(Entries.Lost(16, Entries.All(BlockState.Lost)));
        _disk.Log = [];
        PrimaryWitness witness = Read();
        Assert.Equal(0u, witness[2]);
        Assert.NotEqual(0u, witness[1]);
        Assert.Equal(73, _disk.Log.Count);
    }

    [Fact]
    public void A_remapped_unit_whose_reading_has_failed_is_not_asked_again()
    {
        _table.Set(Entries.OnSpare(unit: 0, spareUnit: 3));
        _disk.Log = [];
        _ended = null;
        new WitnessReading(_loop, _disk, _table, this, isLeftOut: unit => unit.Value == 0)
            .Begin(Duration.Zero);
        _loop.RunUntil(() => _ended is not null);
        Assert.Equal(0u, _ended!.Witness[0]);
        Assert.Equal(73, _disk.Log.Count);
    }

    /// <summary>A start asks a bad disk for nothing that it cannot compare.</summary>
    [Fact]
    public void Only_places_that_were_known_are_read_again()
    {
        _disk.BadForReading.Add(3);
        PrimaryWitness holed = Read();
        _disk.BadForReading.Clear();
        _disk.Log = [];
        PrimaryWitness again = Read(known: holed);
        Assert.Equal(0u, again[0]);
        Assert.Equal(holed, again);
        Assert.Equal(73, _disk.Log.Count);
    }

    [Fact]
    public void A_disk_that_hangs_is_given_up_and_what_was_read_is_kept()
    {
        _disk.Hang = request => request.Extent.Start.Value >= 2048;
        PrimaryWitness witness = Read(Duration.FromSeconds(2));
        Assert.Equal(3, witness.CommonPlaces(witness));
        Assert.Equal(1, _disk.InFlight);
        _disk.ReleaseHanging();
        _loop.RunUntilIdle();
    }

    [Fact]
    public void A_slow_disk_is_read_no_longer_than_the_patience()
    {
        _disk.LatencyMax = Duration.FromMilliseconds(300);
        Instant begun = _loop.Now;
        PrimaryWitness witness = Read(Duration.FromSeconds(2));
        Assert.InRange((_loop.Now - begun).TotalMilliseconds, 0, 2000);
        Assert.InRange(witness.CommonPlaces(witness), 1, PrimaryWitness.Places - 1);
    }

    [Fact]
    public void A_disk_too_small_for_any_place_has_no_witness()
    {
        SimulatedDisk small = new(_loop, SimulatedDisk.MakeGeometry(1));
        new WitnessReading(_loop, small, new RemapTable(Entries.Geometry(1)), this).Begin(Duration.Zero);
        Assert.Null(_ended);
        _loop.RunUntil(() => _ended is not null);
        Assert.True(_ended!.Witness.IsNone);
    }

    private PrimaryWitness Read(Duration patience = default, PrimaryWitness known = default)
    {
        _ended = null;
        new WitnessReading(_loop, _disk, _table, this, known).Begin(patience);
        Assert.Null(_ended);
        _loop.RunUntil(() => _ended is not null);
        return _ended!.Witness;
    }
}
