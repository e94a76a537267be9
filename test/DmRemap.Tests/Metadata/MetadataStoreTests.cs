using System;
using System.Collections.Generic;
using System.Linq;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;
using DmRemap.Engine.Metadata;
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
        Assert.Empty(bench.Entries);
        ChangeSource source = bench.Changes(new Random(spares));
        ModelTable model = new();
        for (int i = 0; i < 30; i++)
        {
            TableChange[] changes = source.Next(1 + (i % 5));
            model = model.With(changes);
            Assert.Equal(CommitOutcome.Done, bench.Commit(changes));
        }
        RecoveredSet reopened = bench.Reopened();
        Assert.True(model.Equals(MetadataBench.EntriesOf(reopened.Table), reopened.Retired));
        Assert.True(model.Equals(bench.Entries, reopened.Retired));
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
        RemapEntry entry = Assert.Single(MetadataBench.EntriesOf(bench.Reopened().Table));
        Assert.Equal((7 * 100) + 49, entry.Location.Unit.Value);
    }

    [Fact]
    public void An_error_at_any_operation_of_a_commit_is_survived_and_the_next_commit_works()
    {
        // A commit on two members is four writes. Each of them fails once, a few times, or for ever.
        for (int n = 0; n < 4; n++)
        {
            foreach (int repeat in (int[])[1, 2, 3, 1000])
            {
                MetadataBench bench = MetadataBench.Formatted(2, seed: 7);
                bench.MustRecover();
                Assert.Equal(CommitOutcome.Done, bench.Commit(SetRemapped(1, 1)));
                int left = repeat;
                ByteRegion place = PlaceOf(bench, n);
                bench.Disks[n / 2].Fault = (_, request) => IsIn(request, place) && left-- > 0 ? 5 : 0;
                Assert.Equal(CommitOutcome.Done, bench.Commit(SetRemapped(2, 2)));
                Assert.Equal([1L, 2L], UnitsOf(bench));
                Assert.Equal(5, bench.Store.LastFailure.Errno);
                Assert.Equal(n / 2, bench.Store.LastFailure.Target);
                int bad = bench.Store.DescriptionOf(n / 2).BadJournals;
                Assert.Equal(repeat >= 3 ? 1 << (n % 2) : 0, bad);
                Assert.Equal(CommitOutcome.Done, bench.Commit(SetRemapped(3, 3)));
                Assert.Equal([1L, 2L, 3L], UnitsOf(bench));
            }
        }
    }

    [Fact]
    public void A_record_that_no_place_takes_is_unknown_and_superseded_by_the_next()
    {
        MetadataBench bench = MetadataBench.Formatted(1, seed: 7);
        bench.MustRecover();
        SparseDisk disk = bench.Disks[0];
        bench.Disks[0].Fault = (_, request) => FailAfterWriting(disk, request);
        Assert.Equal(CommitOutcome.Unknown, bench.Commit(SetRemapped(1, 1)));
        Assert.Equal([1L], UnitsOf(bench));
        disk.Fault = null;
        Assert.Equal(CommitOutcome.Done, bench.Commit(SetRemapped(2, 2)));
        Assert.Equal([2L], UnitsOf(bench));
        Assert.Equal(1, bench.Store.GroupsUnknown);
    }

    [Fact]
    public void A_member_that_hangs_is_recorded_as_inactive_before_the_commit_is_done()
    {
        MetadataBench bench = MetadataBench.Formatted(2, seed: 8);
        bench.MustRecover();
        InactiveMembers told = new();
        bench.Store.Membership = told;
        bench.Disks[1].Hang = _ => true;
        CommitRequest request = bench.BeginCommit(SetRemapped(1, 1));
        bench.Loop.RunFor(Duration.FromMilliseconds(4900));
        Assert.True(request.IsPending);
        Assert.Empty(told.All);
        bench.Loop.RunFor(Duration.FromMilliseconds(200));
        Assert.Equal([1], told.All);
        Assert.Equal(CommitOutcome.Done, request.Outcome);
        Assert.Equal(MemberState.Inactive, bench.Store.DescriptionOf(1).State);
        Assert.True(bench.Store.TimeOuts > 0);
        Assert.Equal(2, bench.Store.Busy);

        // Without the other: it is not taken for the table, only with consent, and then it has diverged.
        MetadataBench alone = new([bench.Disks[1].Image.Clone()], seed: 1);
        alone.Recover();
        Assert.Equal(MetadataRefusalKind.MissingMember, alone.Refusal!.Kind);

        // With it: taken in again, with everything.
        MetadataBench both = bench.Copy();
        both.MustRecover();
        Assert.Equal(1, both.Recovered!.MembersResynced);
        Assert.Equal([1L], UnitsOf(both));
        MetadataBench second = new([both.Disks[1].Image.Clone()], seed: 1);
        second.Recover(0xE9, new SetExpectation { AllowsMissing = true });
        Assert.Equal(1, second.Recovered!.Table.Count);
    }

    [Fact]
    public void With_one_member_that_hangs_commits_are_unknown_then_failed_and_go_on_when_it_returns()
    {
        MetadataBench bench = MetadataBench.Formatted(1, seed: 8);
        bench.MustRecover();
        SparseDisk disk = bench.Disks[0];
        disk.Hang = _ => true;
        CommitRequest first = bench.BeginCommit(SetRemapped(1, 1));
        CommitRequest second = bench.BeginCommit(SetRemapped(2, 2));
        long operations = disk.Operations;
        bench.Loop.RunFor(Duration.FromSeconds(6));
        Assert.Equal(CommitOutcome.Unknown, first.Outcome);
        Assert.Equal(CommitOutcome.Failed, second.Outcome);

        // No place that has a write with the kernel is written again.
        Assert.Equal(operations, disk.Operations);
        Assert.Equal(2, bench.Store.Busy);
        disk.Hang = null;
        disk.ReleaseHanging();
        Assert.Equal(CommitOutcome.Done, bench.Commit(SetRemapped(3, 3)));
        Assert.Equal(0, bench.Store.Busy);
        Assert.Equal([3L], UnitsOf(bench));
    }

    [Fact]
    public void More_failed_records_than_the_ring_has_slots_do_not_fill_it()
    {
        MetadataBench bench = MetadataBench.WithPhysicalBlock(65536);
        bench.Format();
        bench.MustRecover();
        Assert.Equal(CommitOutcome.Done, bench.Commit(SetRemapped(1, 1)));
        SparseDisk disk = bench.Disks[0];
        disk.Fault = (_, request) => request.Operation == IoOperation.Write ? 5 : 0;
        for (int i = 0; i < 2 * bench.Store.JournalSlots; i++)
        {
            Assert.Equal(CommitOutcome.Unknown, bench.Commit(SetRemapped(2, 2)));
        }
        disk.Fault = null;
        Assert.Equal(CommitOutcome.Done, bench.Commit(SetRemapped(3, 3)));
        Assert.Equal([1L, 3L], UnitsOf(bench));

        // And no checkpoint is written over and over for what none can shorten.
        long operations = disk.Operations;
        bench.Loop.RunFor(Duration.FromSeconds(5));
        Assert.InRange(disk.Operations, operations, operations + 100);
        Assert.Equal(2, bench.Reopened().Table.Count);
    }

    [Fact]
    public void A_late_record_that_lands_after_its_successor_changes_nothing()
    {
        MetadataBench bench = MetadataBench.Formatted(2, seed: 8);
        bench.MustRecover();
        ByteRegion place = PlaceOf(bench, 1);
        bench.Disks[0].Hang = request => IsIn(request, place);
        Assert.Equal(CommitOutcome.Done, bench.Commit(SetRemapped(1, 1)));
        Assert.Equal(CommitOutcome.Done, bench.Commit(SetRemapped(1, 2)));
        bench.Disks[0].ReleaseHanging();
        bench.Loop.RunFor(Duration.FromSeconds(1));
        RemapEntry entry = Assert.Single(MetadataBench.EntriesOf(bench.Reopened().Table));
        Assert.Equal(102, entry.Location.Unit.Value);
    }

    [Fact]
    public void No_place_is_written_while_a_superblock_names_it()
    {
        // The rule that keeps one table whole, checked on every write of a run with failures.
        for (int seed = 0; seed < 20; seed++)
        {
            MetadataBench bench = MetadataBench.Formatted(1, seed);
            bench.MustRecover();
            SpareLayout layout = bench.Recovered!.Members[0]!.Layout;
            Random random = new(seed);
            SparseDisk disk = bench.Disks[0];
            disk.Watch =
                request => AssertNotNamed(disk, layout, request, bench.Store.DescriptionOf(0).BadCopies);
            disk.Fault = (_, _) => random.Next(12) == 0 ? 5 : 0;
            ChangeSource source = bench.Changes(random);
            for (int i = 0; i < 200; i++)
            {
                bench.Commit(source.Next());
            }
            Assert.True(bench.Store.CheckpointsDone > 0);
        }
    }

    [Fact]
    public void A_stop_waits_for_what_is_stuck_and_cancel_ends_the_waiting()
    {
        MetadataBench bench = MetadataBench.Formatted(1, seed: 8);
        bench.MustRecover();
        bench.Disks[0].Hang = _ => true;
        CommitRequest first = bench.BeginCommit(SetRemapped(1, 1));
        CommitRequest second = bench.BeginCommit(SetRemapped(2, 2));
        bench.BeginStop();
        CommitRequest late = bench.BeginCommit(SetRemapped(3, 3));
        bench.Loop.RunFor(Duration.FromSeconds(1));
        Assert.Equal([late], bench.Finished);
        Assert.Equal(CommitOutcome.Failed, late.Outcome);
        Assert.Null(bench.StoppedClean);
        long operations = bench.Disks[0].Operations;
        bench.Store.Cancel();
        Assert.Equal(CommitOutcome.Unknown, first.Outcome);
        Assert.Equal(CommitOutcome.Failed, second.Outcome);
        Assert.False(bench.StoppedClean);
        bench.Disks[0].ReleaseHanging();
        bench.Loop.RunUntilIdle();
        Assert.Equal(operations, bench.Disks[0].Operations);
        Assert.Equal(0, bench.Store.Busy);
    }

    [Fact]
    public void A_stop_comes_after_every_commit_that_was_there_before_it()
    {
        for (int seed = 0; seed < 20; seed++)
        {
            MetadataBench bench = MetadataBench.Formatted(2, seed);
            bench.MustRecover();
            CommitRequest[] requests =
                [.. Enumerable.Range(1, 3).Select(unit => bench.BeginCommit(SetRemapped(unit, unit)))];
            bench.BeginStop();
            bench.Loop.RunUntil(() => bench.StoppedClean is not null);
            Assert.True(bench.StoppedClean);
            Assert.All(requests, request => Assert.Equal(CommitOutcome.Done, request.Outcome));
            Assert.True(bench.Reopened().WasCleanStop);
        }
    }

    [Fact]
    public void A_stop_with_a_write_that_comes_back_is_clean()
    {
        MetadataBench bench = MetadataBench.Formatted(2, seed: 8);
        bench.MustRecover();
        bench.Disks[1].Hang = _ => true;
        CommitRequest first = bench.BeginCommit(SetRemapped(1, 1));
        bench.BeginStop();
        bench.Loop.RunFor(Duration.FromSeconds(1));
        bench.Disks[1].Hang = null;
        bench.Disks[1].ReleaseHanging();
        bench.Loop.RunUntilIdle();
        Assert.Equal(CommitOutcome.Done, first.Outcome);
        Assert.True(bench.StoppedClean);
        Assert.True(bench.Reopened().WasCleanStop);
        Assert.Equal([1L], UnitsOf(bench));
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
        Assert.Single(next.Entries);
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
        Assert.Single(MetadataBench.EntriesOf(bench.Reopened().Table));
    }

    [Fact]
    public void A_table_that_does_not_fit_fails_and_a_smaller_one_works_again()
    {
        MetadataBench bench = MetadataBench.Formatted(1, seed: 12);
        bench.MustRecover();
        int next = 0;
        CommitOutcome outcome = CommitOutcome.Done;
        while (outcome == CommitOutcome.Done)
        {
            TableChange[] more = [.. Enumerable.Range(next, 200).Select(i => SetLost(2 * i))];
            outcome = bench.Commit(more);
            next += outcome == CommitOutcome.Done ? more.Length : 0;
        }
        Assert.Equal(CommitOutcome.Failed, outcome);
        Assert.True(bench.Store.IsTableFull);
        Assert.InRange(next, bench.Store.EntriesMax - 1200, bench.Store.EntriesMax);
        Assert.Equal(next, bench.Reopened().Table.Count);

        // What makes room is always taken.
        TableChange[] removals = [.. Enumerable.Range(0, 400).Select(i => Remove(2 * i))];
        Assert.Equal(CommitOutcome.Done, bench.Commit(removals));
        Assert.Equal(CommitOutcome.Done, bench.Commit(SetRemapped(1, 1)));
        Assert.False(bench.Store.IsTableFull);
        bench.Loop.RunUntilIdle();
        Assert.Equal(next - 400 + 1, bench.Reopened().Table.Count);
    }

    [Fact]
    public void Commits_under_way_count_against_what_the_table_can_hold()
    {
        const int Each = 200;
        MetadataBench bench = MetadataBench.Formatted(1, seed: 13);
        bench.MustRecover();
        long most = bench.Store.EntriesMax;
        CommitRequest[] all =
        [
            .. Enumerable.Range(0, (int)(most / Each) + 20).Select(group => bench.BeginCommit(
                [.. Enumerable.Range(group * Each, Each).Select(i => SetLost(2 * i))])),
        ];
        bench.Loop.RunUntilIdle();
        int done = all.Count(request => request.Outcome == CommitOutcome.Done);
        Assert.InRange(done * Each, 1, most);
        Assert.Equal(done * Each, bench.Reopened().Table.Count);
        Assert.True(bench.Store.IsTableFull);
        Assert.True(bench.Store.CheckpointsDone > 0);
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
            SpareLayout layout = bench.Recovered!.Members[0]!.Layout;
            Extent data = new(layout.DataStart, new BlockCount(layout.DataUnits * layout.BlocksPerUnit));
            int writes = 0;
            disk.Watch = request =>
            {
                if (request.Operation == IoOperation.Read)
                {
                    return;
                }
                writes++;
                Assert.True(request.IsForceUnitAccess);
                Assert.False(request.Extent.Overlaps(data));
                Assert.Equal(0, request.Extent.Start.Value * 512 % physical);
                Assert.Equal(0, request.Extent.Count.Value * 512 % physical);
                Assert.True(request.Buffer.Length <= disk.Geometry.TransferBytesMax);
            };
            bench.CommitAll(Enumerable.Range(0, 5_000).Select(unit => SetLost(2 * unit)));
            bench.Loop.RunUntilIdle();
            Assert.True(bench.Store.CheckpointsDone > 0);
            Assert.True(writes > 8);
        }
    }

    private static long[] UnitsOf(MetadataBench bench) =>
        [.. MetadataBench.EntriesOf(bench.Reopened().Table).Select(entry => entry.Unit.Value)];

    /// <summary>Journal place n % 2 of member n / 2.</summary>
    private static ByteRegion PlaceOf(MetadataBench bench, int n)
    {
        SpareLayout layout = bench.Recovered!.Members[n / 2]!.Layout;
        return n % 2 == 0 ? layout.Journal1 : layout.Journal2;
    }

    private static bool IsIn(IoRequest request, ByteRegion region)
    {
        long start = request.Extent.Start.Value * 512;
        return request.Operation == IoOperation.Write && start >= region.Start && start < region.End;
    }

    /// <summary>The write has landed, and its completion says that it failed.</summary>
    private static int FailAfterWriting(SparseDisk disk, IoRequest request)
    {
        for (int i = 0; i < request.Extent.Count.Value && request.Operation == IoOperation.Write; i++)
        {
            disk.Image.Write(request.Extent.Start.Value + i, request.Buffer.Span.Slice(i * 512, 512));
        }
        return 5;
    }

    private static void AssertNotNamed(
        SparseDisk disk, SpareLayout layout, IoRequest request, byte badCopies)
    {
        long start = request.Extent.Start.Value * 512;
        for (int place = 0; place < SpareLayout.Places; place++)
        {
            foreach (CheckpointArea area in (CheckpointArea[])[CheckpointArea.A, CheckpointArea.B])
            {
                ByteRegion region = layout.Area(area, place);
                if (start >= region.Start && start < region.End)
                {
                    bool isRead = request.Operation == IoOperation.Read;
                    Assert.True(isRead || !NamedAreas(disk, badCopies).Contains(area));
                }
            }
        }
    }

    private static List<CheckpointArea> NamedAreas(SparseDisk disk, byte badCopies)
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
            if (superblock is not null && (badCopies & (1 << copy)) == 0)
            {
                areas.Add(superblock.State.Checkpoint.Area);
            }
        }
        return areas;
    }

    internal static TableChange SetRemapped(long unit, long spareUnit) =>
        new(TableChangeKind.Set, new RemapEntry
        {
            Unit = new UnitNumber(unit),
            State = UnitState.Remapped,
            Location = new SpareLocation(0, new UnitNumber(spareUnit + (unit * 100))),
            Blocks = new BlockStates(0xFF, 0),
            LastErrno = 5,
        });

    internal static TableChange SetLost(long unit) => new(TableChangeKind.Set, new RemapEntry
    {
        Unit = new UnitNumber(unit),
        State = UnitState.LostUnreadable,
        Blocks = BlockStates.AllOnPrimary.With(1, BlockState.Lost),
    });

    internal static TableChange Remove(long unit) => SetLost(unit) with { Kind = TableChangeKind.Remove };

    private sealed class InactiveMembers : IMembershipOwner
    {
        public List<int> All { get; } = [];

        public void OnMemberInactive(int member) => All.Add(member);
    }
}
