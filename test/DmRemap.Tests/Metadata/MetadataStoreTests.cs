using System;
using System.Collections.Generic;
using System.Linq;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;
using DmRemap.Engine.Metadata;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Metadata;

public sealed class MetadataStoreTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(8)]
    public void Commits_survive_a_restart(int spares)
    {
        MetadataBench bench = MetadataBench.Formatted(spares, seed: spares);
        bench.MustRecover();
        Assert.Empty(bench.Recovered!.Entries);
        ChangeSource source = bench.Changes(new Random(spares));
        ModelTable model = new();
        for (int i = 0; i < 30; i++)
        {
            TableChange[] changes = source.Next(1 + (i % 5));
            model = model.With(changes);
            Assert.Equal(CommitOutcome.Done, bench.Commit(changes));
        }
        RecoveredSet reopened = bench.Reopened();
        Assert.True(model.Equals(reopened.Entries, reopened.Retired));
        Assert.False(reopened.WasCleanStop);
    }

    [Fact]
    public void Commits_made_during_a_write_share_the_next_one_and_complete_in_order()
    {
        MetadataBench bench = MetadataBench.Formatted(1, seed: 5);
        bench.MustRecover();
        long groups = bench.Store.GroupsDone;
        ChangeSource source = bench.Changes(new Random(5));
        CommitRequest[] requests = [.. Enumerable.Range(0, 20).Select(_ => bench.BeginCommit(source.Next()))];
        Assert.Empty(bench.Finished);
        bench.Loop.RunUntil(() => !requests[^1].IsPending);
        Assert.Equal(requests, bench.Finished);
        Assert.All(requests, request => Assert.Equal(CommitOutcome.Done, request.Outcome));
        Assert.Equal(groups + 2, bench.Store.GroupsDone);
    }

    [Fact]
    public void The_last_change_of_a_unit_in_a_group_wins()
    {
        MetadataBench bench = MetadataBench.Formatted(1, seed: 6);
        bench.MustRecover();
        bench.BeginCommit();
        for (int i = 0; i < 50; i++)
        {
            bench.BeginCommit(SetRemapped(7, i));
        }
        bench.BeginCommit(SetRemapped(8, 60), Remove(8));
        bench.Loop.RunUntilIdle();
        RemapEntry entry = Assert.Single(bench.Reopened().Entries);
        Assert.Equal((7 * 100) + 49, entry.Location.Unit.Value);
    }

    [Fact]
    public void An_error_at_any_operation_of_a_commit_gives_a_true_outcome_and_the_next_commit_works()
    {
        bool sawFailed = false;
        bool sawUnknown = false;
        for (int n = 0; n < 100; n++)
        {
            MetadataBench bench = MetadataBench.Formatted(2, seed: 7);
            bench.MustRecover();
            Assert.Equal(CommitOutcome.Done, bench.Commit(SetRemapped(1, 1)));
            SparseDisk disk = bench.Disks[n % 2];
            long failing = disk.Operations + (n / 2);
            disk.Fault = (operation, _) => operation == failing ? 5 : 0;
            CommitOutcome outcome = bench.Commit(SetRemapped(2, 2));
            if (outcome == CommitOutcome.Done)
            {
                Assert.True(sawFailed && sawUnknown);
                Assert.True(n / 2 >= 8, $"only {n / 2} operations");
                return;
            }
            long[] units = UnitsOf(bench);
            sawFailed |= outcome == CommitOutcome.Failed;
            sawUnknown |= outcome == CommitOutcome.Unknown;
            Assert.Equal(1, units[0]);
            Assert.True(units.Length == 1 || outcome == CommitOutcome.Unknown);
            Assert.Equal(5, bench.Store.LastFailure.Errno);
            Assert.Equal(n % 2, bench.Store.LastFailure.Member);

            // The next Done holds the changes of Done commits, not of this one.
            Assert.Equal(CommitOutcome.Done, bench.Commit(SetRemapped(3, 3)));
            Assert.Equal([1L, 3L], UnitsOf(bench));
        }
        Assert.Fail("no commit had fewer than 50 operations");
    }

    [Fact]
    public void No_place_is_written_while_a_superblock_names_it()
    {
        // The rule that keeps one table whole, checked on every write of a run with failures.
        for (int seed = 0; seed < 20; seed++)
        {
            MetadataBench bench = MetadataBench.Formatted(1, seed);
            bench.MustRecover();
            SpareLayout layout = bench.Recovered!.Members[0].Layout;
            Random random = new(seed);
            SparseDisk disk = bench.Disks[0];
            disk.Watch = request => AssertNotNamed(disk, layout, request);
            disk.Fault = (_, _) => random.Next(8) == 0 ? 5 : 0;
            ChangeSource source = bench.Changes(random);
            for (int i = 0; i < 30; i++)
            {
                bench.Commit(source.Next());
            }
            Assert.True(bench.Store.GroupsUnknown > 0);
        }
    }

    [Fact]
    public void A_write_that_never_returns_keeps_only_its_waiters_and_no_place_is_written_twice()
    {
        MetadataBench bench = MetadataBench.Formatted(2, seed: 8);
        bench.MustRecover();
        bool isHanging = false;
        bench.Disks[1].Hang = _ => isHanging = true;
        CommitRequest first = bench.BeginCommit(SetRemapped(1, 1));
        CommitRequest second = bench.BeginCommit(SetRemapped(2, 2));
        bench.Loop.RunUntilIdle();
        Assert.True(isHanging);
        Assert.True(first.IsPending && second.IsPending);
        long operations = bench.Disks[0].Operations;
        bench.BeginStop();
        CommitRequest late = bench.BeginCommit(SetRemapped(3, 3));
        bench.Loop.RunUntilIdle();
        Assert.Null(bench.StoppedClean);
        Assert.Equal(operations, bench.Disks[0].Operations);
        Assert.Empty(bench.Reopened().Entries);

        bench.Disks[1].Hang = null;
        bench.Disks[1].ReleaseHanging();
        bench.Loop.RunUntilIdle();
        Assert.Equal([first, second, late], bench.Finished);
        Assert.Equal(
            [CommitOutcome.Done, CommitOutcome.Done, CommitOutcome.Failed],
            bench.Finished.Select(request => request.Outcome));
        Assert.True(bench.StoppedClean);
        Assert.Equal(2, bench.Reopened().Entries.Length);
        Assert.True(bench.Reopened().WasCleanStop);
    }

    [Fact]
    public void A_stop_writes_the_flag_and_the_next_start_clears_it()
    {
        MetadataBench bench = MetadataBench.Formatted(1, seed: 9);
        bench.MustRecover();
        Assert.Equal(CommitOutcome.Done, bench.Commit(SetRemapped(1, 1)));
        bench.BeginStop();
        Assert.Null(bench.StoppedClean);
        bench.Loop.RunUntilIdle();
        Assert.True(bench.StoppedClean);
        Assert.Equal(CommitOutcome.Failed, bench.Commit(SetRemapped(2, 2)));

        MetadataBench next = bench.Copy();
        next.MustRecover();
        Assert.True(next.Recovered!.WasCleanStop);
        Assert.Single(next.Recovered.Entries);
        Assert.False(next.Reopened().WasCleanStop);
    }

    [Fact]
    public void A_stop_that_cannot_write_says_so_and_loses_nothing()
    {
        MetadataBench bench = MetadataBench.Formatted(1, seed: 10);
        bench.MustRecover();
        Assert.Equal(CommitOutcome.Done, bench.Commit(SetRemapped(1, 1)));
        bench.Disks[0].Fault = (_, _) => 5;
        bench.BeginStop();
        bench.Loop.RunUntilIdle();
        Assert.False(bench.StoppedClean);
        Assert.Single(bench.Reopened().Entries);
    }

    [Fact]
    public void A_stop_after_an_unknown_commit_settles_the_table_first()
    {
        MetadataBench bench = MetadataBench.Formatted(1, seed: 11);
        bench.MustRecover();
        bench.Disks[0].Fault = (_, request) => IsSuperblock(request, 5) ? 5 : 0;
        Assert.Equal(CommitOutcome.Unknown, bench.Commit(SetRemapped(1, 1)));
        bench.Disks[0].Fault = null;
        bench.BeginStop();
        bench.Loop.RunUntilIdle();
        Assert.True(bench.StoppedClean);
        Assert.Empty(bench.Reopened().Entries);
    }

    [Fact]
    public void A_table_that_does_not_fit_fails_and_a_smaller_one_works_again()
    {
        MetadataBench bench = MetadataBench.Formatted(1, seed: 12);
        bench.MustRecover();
        long max = bench.Store.EntriesMax;
        TableChange[] changes = [.. Enumerable.Range(0, (int)max + 1).Select(unit => SetLost(2 * unit))];
        Assert.Equal(CommitOutcome.Failed, bench.Commit(changes));
        Assert.True(bench.Store.IsTableFull);
        Assert.Single(bench.Finished);
        Assert.Equal(CommitOutcome.Done, bench.Commit(changes[..(int)max]));
        Assert.False(bench.Store.IsTableFull);
        Assert.Equal(max, bench.Reopened().Entries.Length);
        Assert.Equal(CommitOutcome.Failed, bench.Commit(SetRemapped(1, 1)));
        Assert.Equal(CommitOutcome.Done, bench.Commit(SetRemapped(1, 1), Remove(0)));
    }

    [Fact]
    public void All_metadata_writes_are_aligned_durable_and_outside_the_data_area()
    {
        foreach (int physical in (int[])[512, 4096, 16384, 65536])
        {
            MetadataBench bench = MetadataBench.WithPhysicalBlock(physical);
            SparseDisk disk = bench.Disks[0];
            bench.Format();
            bench.MustRecover();
            SpareLayout layout = bench.Recovered!.Members[0].Layout;
            Extent data = new(layout.DataStart, new BlockCount(layout.DataUnits * layout.BlocksPerUnit));
            int writes = 0;
            disk.Watch = request =>
            {
                writes++;
                Assert.True(request.IsForceUnitAccess);
                Assert.False(request.Extent.Overlaps(data));
                Assert.Equal(0, request.Extent.Start.Value * 512 % physical);
                Assert.Equal(0, request.Extent.Count.Value * 512 % physical);
                Assert.True(request.Buffer.Length <= disk.Geometry.TransferBytesMax);
            };
            Assert.Equal(
                CommitOutcome.Done,
                bench.Commit([.. Enumerable.Range(0, 2000).Select(unit => SetLost(2 * unit))]));
            Assert.True(writes > 8);
        }
    }

    [Fact]
    public void A_commit_in_steady_state_allocates_nothing()
    {
        SimulatedLoop loop = new();
        SimulatedDisk disk = new(loop, SimulatedDisk.MakeGeometry(Limits.SpareBytesMin / 512));
        OneSet set = new(loop, disk);
        CommitRequest request = new(4);
        Assert.Equal(0, LeastAllocatedBy(() => CommitTimes(loop, set, request, 2_000)));
    }

    /// <summary>
    /// The least of a few rounds: a collection that another thread's test causes ends this thread's
    /// allocation buffer, and the unused rest of it is counted. What allocates per commit shows in every
    /// round.
    /// </summary>
    private static long LeastAllocatedBy(Action round)
    {
        round();
        long least = long.MaxValue;
        for (int i = 0; i < 5 && least > 0; i++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            round();
            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
        }
        return least;
    }

    private static void CommitTimes(SimulatedLoop loop, OneSet set, CommitRequest request, int times)
    {
        for (int i = 0; i < times; i++)
        {
            CommitOnce(loop, set, request, i);
        }
    }

    private static void CommitOnce(SimulatedLoop loop, OneSet set, CommitRequest request, int i)
    {
        request.Prepare(set);
        request.Add(SetRemapped(i % 2, i % 100));
        request.Add(SetLost(10 + (i % 8)));
        request.Add(Remove(10 + ((i + 4) % 8)));
        set.Store!.Commit(request);
        loop.RunUntilIdle();
        Invariant.Check(request.Outcome == CommitOutcome.Done);
    }

    private static long[] UnitsOf(MetadataBench bench) =>
        [.. bench.Reopened().Entries.Select(entry => entry.Unit.Value)];

    private static bool IsSuperblock(IoRequest request, int copy) =>
        request.Extent.Start.Value * 512 == SpareLayout.SuperblockOffset(copy, MetadataBench.SpareBytes);

    private static void AssertNotNamed(SparseDisk disk, SpareLayout layout, IoRequest request)
    {
        long start = request.Extent.Start.Value * 512;
        for (int place = 0; place < SpareLayout.Places; place++)
        {
            foreach (CheckpointArea area in (CheckpointArea[])[CheckpointArea.A, CheckpointArea.B])
            {
                ByteRegion region = layout.Area(area, place);
                if (start >= region.Start && start < region.End)
                {
                    Assert.DoesNotContain(area, NamedAreas(disk));
                }
            }
        }
    }

    private static List<CheckpointArea> NamedAreas(SparseDisk disk)
    {
        List<CheckpointArea> areas = [];
        byte[] bytes = new byte[4096];
        for (int copy = 0; copy < SpareLayout.SuperblockCopies; copy++)
        {
            long first = SpareLayout.SuperblockOffset(copy, MetadataBench.SpareBytes) / 512;
            for (int i = 0; i < 8; i++)
            {
                disk.Image.Read(first + i, bytes.AsSpan(i * 512, 512));
            }
            Superblock? superblock = new UnverifiedSuperblock(bytes).Verify(
                copy, FeatureFlags.Supported, out _);
            if (superblock is not null)
            {
                areas.Add(superblock.State.Checkpoint.Area);
            }
        }
        return areas;
    }

    private static TableChange SetRemapped(long unit, long spareUnit) =>
        new(TableChangeKind.Set, new RemapEntry
        {
            Unit = new UnitNumber(unit),
            State = UnitState.Remapped,
            Location = new SpareLocation(0, new UnitNumber(spareUnit + (unit * 100))),
            Blocks = new BlockStates(0xFF, 0),
            LastErrno = 5,
        });

    private static TableChange SetLost(long unit) => new(TableChangeKind.Set, new RemapEntry
    {
        Unit = new UnitNumber(unit),
        State = UnitState.LostUnreadable,
        Blocks = BlockStates.AllOnPrimary.With(1, BlockState.Lost),
    });

    private static TableChange Remove(long unit) => SetLost(unit) with { Kind = TableChangeKind.Remove };

    /// <summary>A formatted and recovered set on one disk, without the bench's lists.</summary>
    private sealed class OneSet : IMetadataFormatOwner, IMetadataRecoveryOwner, ICommitOwner
    {
        public OneSet(SimulatedLoop loop, IBlockDevice disk)
        {
            new MetadataFormatter(loop, [disk], MetadataBench.FormatRequestFor(1), this).Begin();
            loop.RunUntilIdle();
            new MetadataRecovery(loop, [disk], new SetExpectation(), 9, this).Begin();
            loop.RunUntilIdle();
        }

        public MetadataStore? Store { get; private set; }

        public void OnFormatted(MetadataFormatter formatter) => Assert.Null(formatter.Refusal);

        public void OnRecovered(MetadataRecovery recovery) => Store = recovery.Recovered!.Store;

        public void OnCommitted(CommitRequest request) => Assert.False(request.IsPending);
    }
}
