using System;
using System.Linq;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using Xunit;

namespace DmRemap.Tests.Metadata;

/// <summary>Whatever single copy of each structure is left: the set opens, and is whole again.</summary>
public sealed class MetadataRedundancyTests
{
    private const int Places = 4;
    private const int AllPlaces = (1 << Places) - 1;

    [Fact]
    public void A_record_is_read_from_any_of_its_places_and_refused_when_none_has_it()
    {
        MetadataBench made = Made(commits: 3);
        for (int damaged = 1; damaged <= AllPlaces; damaged++)
        {
            MetadataBench bench = made.Copy();
            DamageRecord(bench, sequence: 2, damaged);
            bench.Recover(0xE2);
            if (damaged == AllPlaces)
            {
                Assert.Equal(MetadataRefusalKind.JournalDamaged, bench.Refusal!.Kind);
                continue;
            }
            Assert.Equal(made.Entries, bench.Entries);
            Assert.Equal(1, bench.Store.CheckpointsDone);
            AssertNothingLeftToRepair(bench);
        }
    }

    [Fact]
    public void A_record_that_no_device_can_read_is_told_from_a_damaged_one()
    {
        MetadataBench made = Made(commits: 3);
        MetadataBench bench = made.Copy();
        foreach (SparseDisk disk in bench.Disks)
        {
            long[] starts =
                [.. Enumerable.Range(0, 2).Select(place => SpareSurgery.RecordStart(disk, 2, place))];
            disk.Fault = (_, request) => starts.Any(start => Covers(request, start)) ? 5 : 0;
        }
        bench.Recover(0xE2);
        Assert.Equal(MetadataRefusalKind.JournalUnreadable, bench.Refusal!.Kind);

        // Where nothing that counts lies a place may be unreadable.
        bench = made.Copy();
        foreach (SparseDisk disk in bench.Disks)
        {
            long start = SpareSurgery.RecordStart(disk, 40, 1);
            disk.Fault = (_, request) => Covers(request, start) ? 5 : 0;
        }
        bench.MustRecover(0xE2);
        Assert.Equal(made.Entries, bench.Entries);
    }

    [Fact]
    public void With_one_copy_left_of_each_structure_a_set_opens_and_has_nothing_left_to_repair()
    {
        MetadataBench made = Made(commits: 40);
        Assert.True(made.Store.CheckpointsDone > 0);
        ulong first = SpareSurgery.NewestOf(made.Disks[0]).State.FirstJournalSequence;
        Assert.True(made.Store.Sequence >= first + 3);
        for (int seed = 0; seed < 60; seed++)
        {
            Random random = new(seed);
            MetadataBench bench = made.Copy(seed);
            for (ulong sequence = first; sequence <= made.Store.Sequence; sequence++)
            {
                DamageRecord(bench, sequence, AllPlaces & ~(1 << random.Next(Places)));
            }
            DamageCheckpoint(bench, AllPlaces & ~(1 << random.Next(Places)));
            foreach (SparseDisk disk in bench.Disks)
            {
                int left = 1 << random.Next(SpareLayout.SuperblockCopies);
                SpareSurgery.DamageCopies(disk, SpareSurgery.AllCopies & ~left);
            }
            bench.Recover(0xE2);
            Assert.True(bench.Refusal is null, $"seed={seed}: {bench.Refusal}");
            Assert.Equal(made.Entries, bench.Entries);
            Assert.Equal(10, bench.Recovered!.CopiesRepaired);
            Assert.Equal(3, bench.Recovered.CheckpointPlacesBad);
            AssertNothingLeftToRepair(bench);
        }
    }

    [Fact]
    public void With_no_copy_left_of_any_one_structure_a_set_is_refused_and_nothing_is_written()
    {
        MetadataBench made = Made(commits: 40);
        ulong last = made.Store.Sequence;
        AssertRefused(
            made, MetadataRefusalKind.JournalDamaged, bench => DamageRecord(bench, last - 1, AllPlaces));
        AssertRefused(
            made, MetadataRefusalKind.CheckpointDamaged, bench => DamageCheckpoint(bench, AllPlaces));
        AssertRefused(
            made,
            MetadataRefusalKind.Damaged,
            bench => SpareSurgery.DamageCopies(bench.Disks[0], SpareSurgery.AllCopies));
    }

    [Fact]
    public void Older_superblocks_over_a_wrapped_ring_are_damage_and_never_an_older_table()
    {
        // F-15: a superblock from before the first checkpoint, in every place of every spare.
        MetadataBench made = Made(commits: 3);
        MetadataBench older = made.Copy();
        for (int i = 0; i < 150; i++)
        {
            Assert.Equal(CommitOutcome.Done, made.Commit(Lost(100 + (2 * i))));
        }
        Assert.True(made.Store.CheckpointsDone >= 3);
        AssertRefused(made, MetadataRefusalKind.JournalDamaged, bench =>
        {
            for (int i = 0; i < bench.Disks.Length; i++)
            {
                for (int copy = 0; copy < SpareLayout.SuperblockCopies; copy++)
                {
                    SpareSurgery.CopySuperblock(older.Disks[i], bench.Disks[i], copy);
                }
                for (int place = 0; place < SpareLayout.Places; place++)
                {
                    ByteRegion area = SpareSurgery.CheckpointPlace(older.Disks[i], place);
                    SpareSurgery.Write(
                        bench.Disks[i], area.Start, SpareSurgery.Read(older.Disks[i], area.Start, 4096));
                }
            }
        });
    }

    [Fact]
    public void A_power_cut_while_a_start_repairs_loses_nothing()
    {
        MetadataBench made = Made(commits: 3);
        Random random = new(9);
        for (int left = 0; left < Places; left++)
        {
            MetadataBench bench = made.Copy(left);
            DamageRecord(bench, sequence: 1, AllPlaces & ~(1 << left));
            DamageCheckpoint(bench, AllPlaces & ~(1 << (3 - left)));
            int writes = 0;
            foreach (SparseDisk disk in bench.Disks)
            {
                disk.Watch = request => writes += request.Operation == IoOperation.Write ? 1 : 0;
            }
            bench.BeginRecovery(0xE2);
            while (!bench.IsAnswered)
            {
                // Reading changes nothing.
                if (writes > 0)
                {
                    MetadataBench crashed = bench.Crashed(random);
                    crashed.MustRecover(0xE3);
                    Assert.Equal(made.Entries, crashed.Entries);
                }
                Assert.True(bench.Loop.Step());
            }
            Assert.Null(bench.Refusal);
            Assert.True(writes > 20);
        }
    }

    private static MetadataBench Made(int commits)
    {
        MetadataBench bench = MetadataBench.Formatted(2, seed: 7);
        bench.MustRecover();
        for (int i = 0; i < commits; i++)
        {
            Assert.Equal(CommitOutcome.Done, bench.Commit(Lost(2 * i)));
        }

        // A checkpoint that has begun comes to its end.
        bench.Loop.RunUntilIdle();
        return bench;
    }

    private static TableChange Lost(long unit) => TableSample.Set1(TableSample.Lost(unit));

    private static bool Covers(IoRequest request, long start) =>
        request.Extent.Start.Value * 512 <= start && start < request.Extent.End.Value * 512;

    private static void DamageRecord(MetadataBench bench, ulong sequence, int places)
    {
        for (int place = 0; place < Places; place++)
        {
            if ((places & (1 << place)) != 0)
            {
                SparseDisk disk = bench.Disks[place / 2];
                SpareSurgery.Damage(disk, SpareSurgery.RecordStart(disk, sequence, place % 2) + 70);
            }
        }
    }

    private static void DamageCheckpoint(MetadataBench bench, int places)
    {
        for (int place = 0; place < Places; place++)
        {
            if ((places & (1 << place)) != 0)
            {
                SparseDisk disk = bench.Disks[place / 2];
                SpareSurgery.Damage(disk, SpareSurgery.CheckpointPlace(disk, place % 2).Start + 130);
            }
        }
    }

    private static void AssertRefused(
        MetadataBench made, MetadataRefusalKind kind, Action<MetadataBench> damage)
    {
        MetadataBench bench = made.Copy();
        damage(bench);
        int writes = 0;
        foreach (SparseDisk disk in bench.Disks)
        {
            disk.Watch = request => writes += request.Operation == IoOperation.Write ? 1 : 0;
        }
        bench.Recover(0xE2);
        Assert.Equal(kind, bench.Refusal!.Kind);
        Assert.NotEmpty(bench.Refusal.Detail);
        Assert.Equal(0, writes);
    }

    private static void AssertNothingLeftToRepair(MetadataBench bench)
    {
        MetadataBench again = bench.Copy();
        again.MustRecover(0xE3);
        Assert.Equal(bench.Entries, again.Entries);
        Assert.Equal(0, again.Recovered!.CopiesRepaired);
        Assert.Equal(0, again.Recovered.CheckpointPlacesBad);
        Assert.Equal(0, again.Store.CheckpointsDone);
    }
}
