using System;
using System.Linq;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;
using DmRemap.Engine.Metadata;
using Xunit;

namespace DmRemap.Tests.Metadata;

/// <summary>
/// A spare is added to a set that is served, and one is retired (F-26): a power cut at any event leaves the
/// set with it or without it, and it opens either way; one that has left is never believed again.
/// </summary>
public sealed class MembershipChangeTests
{
    private static readonly Guid s_added = new("3e3be4ad-0000-4000-8000-000000000001");

    [Theory]
    [InlineData(1, 31)]
    [InlineData(2, 32)]
    public void A_power_cut_at_any_event_of_an_addition_leaves_the_old_set_or_the_new_one(
        int spares, int seed)
    {
        MetadataBench bench = Served(spares, seed);
        RemapEntry[] table = bench.Entries;
        Random random = new(seed);
        SparseDisk joining = new(bench.Loop, MetadataBench.SpareBytes, new SparseImage(), seed + 99);
        Change change = new();
        bench.Store.BeginAddition(Plan(bench, joining), change);
        int counted = 0;
        int cuts = 0;
        while (!change.IsEnded)
        {
            counted += CutWith(bench, joining, random, table) ? 1 : 0;
            cuts++;
            Assert.True(bench.Loop.Step());
        }
        Assert.True(change.IsDone);
        Assert.True(CutWith(bench, joining, random, table));
        // Both came up: early cuts leave it out, late ones do not.
        Assert.InRange(counted, 1, cuts - 1);
    }

    [Fact]
    public void An_added_spare_stands_for_the_set_alone_when_it_is_counted_and_not_before()
    {
        MetadataBench bench = Served(1, 33);
        SparseDisk joining = new(bench.Loop, MetadataBench.SpareBytes, new SparseImage(), 7);
        Change change = new();
        bench.Store.BeginAddition(Plan(bench, joining), change);
        int alone = 0;
        while (!change.IsEnded)
        {
            MetadataBench without = new([joining.Image.Clone()], seed: 5);
            without.Recover(0xAB, new SetExpectation { AllowsMissing = true, Unsettled = 0 });
            alone += without.Refusal is null ? 1 : 0;
            Assert.True(without.Refusal is not null || Same(without, bench.Entries));
            Assert.True(bench.Loop.Step());
        }
        Assert.True(change.IsDone);
        bench.Loop.RunUntil(() => !bench.Store.IsWriting);
        MetadataBench last = new([joining.Image.Clone()], seed: 5);
        last.Recover(0xAC, new SetExpectation { AllowsMissing = true });
        Assert.Null(last.Refusal);
        Assert.Equal(bench.Entries, last.Entries);
        Assert.Equal(0, bench.Store.DescriptionOf(1).BadCopies);
    }

    [Fact]
    public void A_power_cut_at_any_event_of_a_retirement_leaves_a_set_that_opens()
    {
        MetadataBench bench = Served(3, 34);
        RemapEntry[] table = bench.Entries;
        Random random = new(34);
        Change change = new();
        bench.Store.BeginRetirement(1, change);
        int gone = 0;
        while (!change.IsEnded)
        {
            MetadataBench cut = bench.Crashed(random);
            cut.Recover(0xBB, new SetExpectation { Unsettled = 1 });
            Assert.True(cut.Refusal is null, $"refused: {cut.Refusal}");
            Assert.Equal(table, cut.Entries);
            gone += cut.Recovered!.SpareOfMember[1] < 0 ? 1 : 0;
            Assert.True(bench.Loop.Step());
        }
        Assert.True(change.IsDone);
        Assert.NotEqual(0, gone);
        bench.Loop.RunUntil(() => !bench.Store.IsWriting);
        Assert.Equal(MemberState.Retired, bench.Store.DescriptionOf(1).State);
    }

    [Fact]
    public void A_retired_spare_is_refused_beside_the_others_and_alone_and_its_place_is_given_away()
    {
        MetadataBench bench = Served(2, 35);
        Retire(bench, 1);
        MetadataBench both = bench.Copy();
        both.Recover(0xC1);
        Assert.Equal(MetadataRefusalKind.NotActive, both.Refusal!.Kind);
        MetadataBench alone = new([bench.Disks[1].Image.Clone()], seed: 1);
        alone.Recover(0xC2);
        Assert.Equal(MetadataRefusalKind.MissingMember, alone.Refusal!.Kind);

        SparseDisk next = new(bench.Loop, MetadataBench.SpareBytes, new SparseImage(), 8);
        Change change = new();
        MemberAddition plan = Plan(bench, next);
        Assert.Equal(1, plan.Index);
        bench.Store.BeginAddition(plan, change);
        bench.Loop.RunUntil(() => change.IsEnded);
        Assert.True(change.IsDone);
        Assert.Equal(2, bench.Store.MemberCount);
        Assert.Equal(s_added, bench.Store.DescriptionOf(1).Uuid);
        MetadataBench again = new([bench.Disks[1].Image.Clone(), bench.Disks[0].Image.Clone()], seed: 1);
        again.Recover(0xC3);
        Assert.Equal(MetadataRefusalKind.NotActive, again.Refusal!.Kind);
    }

    [Fact]
    public void Commits_go_on_while_a_spare_is_added_and_are_all_on_it()
    {
        MetadataBench bench = Served(2, 36);
        SparseDisk joining = new(bench.Loop, MetadataBench.SpareBytes, new SparseImage(), 9);
        Change change = new();
        bench.Store.BeginAddition(Plan(bench, joining), change);
        for (long unit = 5_000; !change.IsEnded; unit++)
        {
            Assert.Equal(CommitOutcome.Done, bench.Commit(TableSample.Set1(TableSample.Lost(unit))));
        }
        Assert.True(change.IsDone);
        MetadataBench alone = new([joining.Image.Clone()], seed: 1);
        alone.Recover(0xD1, new SetExpectation { AllowsMissing = true });
        Assert.Null(alone.Refusal);
        Assert.Equal(bench.Entries, alone.Entries);
    }

    [Fact]
    public void A_commit_waits_for_no_table_that_is_being_written_when_a_spare_is_to_be_added()
    {
        MetadataBench bench = Served(1, 40);
        SpareLayout layout = bench.Store.Members[0]!.Layout;
        ByteRegion[] areas = [layout.AreaA1, layout.AreaA2, layout.AreaB1, layout.AreaB2];
        bench.Disks[0].Hang = request => request.Operation == IoOperation.Write && Array.Exists(
            areas, area => area.Start <= request.Extent.Start.Value * SparseDisk.BlockBytes
                && request.Extent.Start.Value * SparseDisk.BlockBytes < area.End);
        bench.Store.Checkpoint(new Waiter());
        bench.Loop.RunFor(Duration.FromMilliseconds(100));
        Assert.NotEqual(0, bench.Disks[0].InFlight);
        SparseDisk joining = new(bench.Loop, MetadataBench.SpareBytes, new SparseImage(), 9);
        Change change = new();
        bench.Store.BeginAddition(Plan(bench, joining), change);
        Instant before = bench.Loop.Now;
        Assert.Equal(CommitOutcome.Done, bench.Commit(TableSample.Set1(TableSample.Lost(77))));
        Assert.True(bench.Loop.Now - before < Duration.FromSeconds(1));
        bench.Disks[0].Hang = null;
        bench.Disks[0].ReleaseHanging();
        bench.Loop.RunUntil(() => change.IsEnded);
        Assert.True(change.IsDone);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(3)]
    [InlineData(5)]
    public void A_spare_whose_first_superblocks_fail_is_not_counted_and_the_set_goes_on(int copy)
    {
        MetadataBench bench = Served(1, 37);
        SparseDisk joining = new(bench.Loop, MetadataBench.SpareBytes, new SparseImage(), 10);
        long place = SpareLayout.SuperblockOffset(copy, MetadataBench.SpareBytes);
        joining.Fault = (_, request) =>
            request.Operation == IoOperation.Write && request.Extent.Start.Value * 512 == place ? 5 : 0;
        Change change = new();
        bench.Store.BeginAddition(Plan(bench, joining), change);
        bench.Loop.RunUntil(() => change.IsEnded);
        Assert.False(change.IsDone);
        Assert.Equal(CommitOutcome.Done, bench.Commit(TableSample.Set1(TableSample.Lost(77))));
        Assert.Equal(MemberState.Inactive, bench.Store.DescriptionOf(1).State);
        Retire(bench, 1);
        Assert.Equal(bench.Entries, MetadataBench.EntriesOf(bench.Reopened().Table));
    }

    [Theory]
    [InlineData(Limits.SpareBytesMin - 4096, 4096, MetadataRefusalKind.TooSmall)]
    [InlineData(Limits.SpareBytesMin, 65536, MetadataRefusalKind.WrongBlockSize)]
    public void What_does_not_fit_the_set_is_refused_before_anything_is_written(
        long bytes, int physical, MetadataRefusalKind kind)
    {
        MetadataBench bench = Served(1, 38);
        SparseDisk other = new(bench.Loop, bytes, new SparseImage(), 11, physical);
        Assert.Null(bench.Store.PlanAddition(other, s_added, _ => true, out MetadataRefusal? refusal));
        Assert.Equal(kind, refusal!.Kind);
    }

    [Fact]
    public void Eight_members_are_the_most()
    {
        MetadataBench bench = Served(8, 39);
        SparseDisk other = new(bench.Loop, MetadataBench.SpareBytes, new SparseImage(), 12);
        Assert.Null(bench.Store.PlanAddition(other, s_added, _ => true, out MetadataRefusal? refusal));
        Assert.Equal(MetadataRefusalKind.TooManySpares, refusal!.Kind);
    }

    private static MetadataBench Served(int spares, int seed)
    {
        MetadataBench bench = MetadataBench.Formatted(spares, seed);
        bench.MustRecover();
        Assert.Equal(
            CommitOutcome.Done,
            bench.Commit(TableSample.Set1(TableSample.Lost(1)), TableSample.Set1(TableSample.Lost(900))));
        return bench;
    }

    private static MemberAddition Plan(MetadataBench bench, SparseDisk disk)
    {
        MemberAddition? plan =
            bench.Store.PlanAddition(disk, s_added, _ => true, out MetadataRefusal? refusal);
        Assert.True(plan is not null, $"refused: {refusal}");
        plan.Build(bench.Store.Ring);
        return plan;
    }

    private static void Retire(MetadataBench bench, int member)
    {
        Change change = new();
        bench.Store.BeginRetirement(member, change);
        bench.Loop.RunUntil(() => change.IsEnded);
        Assert.True(change.IsDone);
        bench.Loop.RunUntil(() => !bench.Store.IsWriting);
    }

    /// <summary>True: the new spare is a member after the cut.</summary>
    private static bool CutWith(MetadataBench bench, SparseDisk joining, Random random, RemapEntry[] table)
    {
        SparseImage[] images =
            [.. bench.Disks.Select(disk => disk.Crash(random)), joining.Crash(random)];
        MetadataBench cut = new(images, random.Next());
        int last = images.Length - 1;
        cut.Recover(0xBA, new SetExpectation { Unsettled = last });
        Assert.True(cut.Refusal is null, $"refused: {cut.Refusal}");
        Assert.Equal(table, cut.Entries);
        return Array.IndexOf(cut.Recovered!.SpareOfMember, last) >= 0;
    }

    private static bool Same(MetadataBench bench, RemapEntry[] entries) =>
        bench.Entries.SequenceEqual(entries);

    private sealed class Waiter : ICheckpointWaiter
    {
        public void OnCheckpointDurable()
        {
        }
    }

    private sealed class Change : IMembershipChangeOwner
    {
        public bool IsEnded { get; private set; }

        public bool IsDone { get; private set; }

        public void OnMembershipChanged(bool isDone)
        {
            Assert.False(IsEnded);
            IsEnded = true;
            IsDone = isDone;
        }
    }
}
