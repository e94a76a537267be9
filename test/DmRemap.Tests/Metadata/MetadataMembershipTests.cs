using System;
using System.Linq;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Engine.Metadata;
using Xunit;

namespace DmRemap.Tests.Metadata;

/// <summary>Spares that are away, come back, went their own way, or are old (F-14, F-16).</summary>
public sealed class MetadataMembershipTests
{
    private static SetExpectation Degraded { get; } = new() { AllowsMissing = true };

    [Fact]
    public void Two_spares_started_one_after_the_other_without_each_other_have_diverged()
    {
        MetadataBench made = Made();
        MetadataBench left = Alone(made, 0);
        left.Recover(0xAAAA, Degraded);
        Assert.Equal(CommitOutcome.Done, left.Commit(Lost(50)));
        MetadataBench right = Alone(made, 1);
        right.Recover(0xBBBB, Degraded);
        Assert.Equal(CommitOutcome.Done, right.Commit(Lost(60)));
        for (int more = 0; more < 3; more++)
        {
            // Whichever has the higher generation, neither wins.
            MetadataBench both = Together(left, right);
            both.Recover(0xCCCC, Degraded);
            Assert.Equal(MetadataRefusalKind.Diverged, both.Refusal!.Kind);
            left = Alone(left, 0);
            left.Recover(0xAAAB + (ulong)more, Degraded);
            Assert.Null(left.Refusal);
        }
    }

    [Fact]
    public void Two_spares_started_without_each_other_have_diverged_though_neither_committed()
    {
        MetadataBench made = Made();
        MetadataBench left = Alone(made, 0);
        left.Recover(0xAAAA, Degraded);
        MetadataBench right = Alone(made, 1);
        right.Recover(0xBBBB, Degraded);
        MetadataBench both = Together(left, right);
        both.Recover(0xCCCC);
        Assert.Equal(MetadataRefusalKind.Diverged, both.Refusal!.Kind);
        Assert.Equal(1, both.Refusal.Spare);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void One_spare_put_back_to_what_it_held_before_the_last_start_is_refused(bool isStoppedCleanly)
    {
        MetadataBench made = Made();
        made.BeginStop();
        made.Loop.RunUntilIdle();
        Assert.True(made.StoppedClean);
        MetadataBench later = made.Copy();
        later.Recover(0xE7);
        later.Loop.RunUntilIdle();
        Assert.Equal(CommitOutcome.Done, later.Commit(Lost(70)));
        if (isStoppedCleanly)
        {
            later.BeginStop();
            later.Loop.RunUntilIdle();
        }
        for (int old = 0; old < 2; old++)
        {
            SparseDisk[] disks = old == 0
                ? [made.Disks[0], later.Disks[1]]
                : [later.Disks[0], made.Disks[1]];
            MetadataBench mixed = new([.. disks.Select(disk => disk.Image.Clone())], seed: 1);
            mixed.Recover(0xE8);
            Assert.Equal(MetadataRefusalKind.SpareRolledBack, mixed.Refusal!.Kind);
            Assert.Equal(old, mixed.Refusal.Spare);
        }
        MetadataBench both = later.Copy();
        both.Recover(0xE9);
        Assert.Null(both.Refusal);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void One_spare_put_back_is_refused_also_after_the_others_went_on_without_it(bool isStoppedCleanly)
    {
        MetadataBench made = Made();
        made.BeginStop();
        made.Loop.RunUntilIdle();
        MetadataBench later = made.Copy();
        later.Recover(0xE7);
        later.Loop.RunUntilIdle();
        Assert.Equal(CommitOutcome.Done, later.Commit(Lost(70)));
        if (isStoppedCleanly)
        {
            later.BeginStop();
            later.Loop.RunUntilIdle();
        }
        MetadataBench alone = Alone(later, 1);
        alone.Recover(0xE8, Degraded);
        alone.Loop.RunUntilIdle();
        Assert.Equal(CommitOutcome.Done, alone.Commit(Lost(80)));

        // What it held before the last start with it is old; what it held at the end joins.
        MetadataBench old = new([made.Disks[0].Image.Clone(), alone.Disks[0].Image.Clone()], seed: 1);
        old.Recover(0xE9);
        Assert.Equal(MetadataRefusalKind.SpareRolledBack, old.Refusal!.Kind);
        Assert.Equal(0, old.Refusal.Spare);
        MetadataBench own = new([later.Disks[0].Image.Clone(), alone.Disks[0].Image.Clone()], seed: 1);
        own.MustRecover(0xEA);
        Assert.Equal(1, own.Recovered!.MembersResynced);
        Assert.Equal(0u, SpareSurgery.NewestOf(own.Disks[0]).Set.Members[0].SettledGeneration);
    }

    /// <summary>What is known of the others is not forgotten while one that was behind is brought up to date.
    /// </summary>
    [Fact]
    public void One_spare_put_back_is_refused_wherever_the_joining_of_another_was_cut_off()
    {
        MetadataBench made = Made();
        made.BeginStop();
        made.Loop.RunUntilIdle();
        MetadataBench later = made.Copy();
        later.Recover(0xE7);
        later.Loop.RunUntilIdle();
        MetadataBench alone = Alone(later, 0);
        alone.Recover(0xE8, Degraded);
        alone.Loop.RunUntilIdle();
        Assert.Equal(CommitOutcome.Done, alone.Commit(Lost(80)));
        alone.Loop.RunUntilIdle();
        MetadataBench joining = new([alone.Disks[0].Image.Clone(), later.Disks[1].Image.Clone()], seed: 1);
        joining.BeginRecovery(0xE9);
        Random random = new(5);
        do
        {
            MetadataBench cut = joining.Crashed(random);
            MetadataBench whole = cut.Copy();
            whole.MustRecover(0xEA);
            MetadataBench mixed = new([made.Disks[0].Image.Clone(), cut.Disks[1].Image.Clone()], seed: 1);
            mixed.Recover(0xEA);
            Assert.Equal(MetadataRefusalKind.SpareRolledBack, mixed.Refusal!.Kind);
        }
        while (joining.Loop.Step());
    }

    [Fact]
    public void A_missing_spare_is_named_in_the_new_epoch_and_not_asked_for_again()
    {
        MetadataBench made = Made();
        MetadataBench alone = Alone(made, 1);
        alone.Recover(0xE2);
        Assert.Equal(MetadataRefusalKind.MissingMember, alone.Refusal!.Kind);
        alone.Recover(0xE2, Degraded);
        Assert.Null(alone.Refusal);
        Assert.Equal(made.Entries, alone.Entries);
        Superblock newest = SpareSurgery.NewestOf(alone.Disks[0]);
        Assert.Equal(MemberState.Inactive, newest.Set.Members[0].State);
        Assert.Equal(MemberState.Active, newest.Set.Members[1].State);
        MetadataBench again = Alone(alone, 0);
        again.MustRecover(0xE3);
        Assert.Equal(made.Entries, again.Entries);
    }

    [Fact]
    public void A_spare_that_missed_a_degraded_run_joins_again_and_holds_everything()
    {
        MetadataBench made = Made();
        MetadataBench alone = Alone(made, 0);
        alone.Recover(0xE2, Degraded);
        for (int i = 0; i < 70; i++)
        {
            Assert.Equal(CommitOutcome.Done, alone.Commit(Lost(50 + (2 * i))));
        }
        MetadataBench both = new([alone.Disks[0].Image.Clone(), made.Disks[1].Image.Clone()], seed: 5);
        both.MustRecover(0xE3);
        Assert.Equal(1, both.Recovered!.MembersResynced);
        Assert.Equal(alone.Entries, both.Entries);
        Assert.Equal(CommitOutcome.Done, both.Commit(Lost(900)));

        MetadataBench returned = Alone(both, 1);
        returned.Recover(0xE4, Degraded);
        Assert.Null(returned.Refusal);
        Assert.Equal(both.Entries, returned.Entries);

        // What was once behind is a full member: it may not be left out in silence any more.
        MetadataBench other = Alone(both, 0);
        other.Recover(0xE4);
        Assert.Equal(MetadataRefusalKind.MissingMember, other.Refusal!.Kind);
    }

    [Fact]
    public void A_power_cut_at_any_event_of_a_join_loses_nothing()
    {
        MetadataBench made = Made();
        MetadataBench alone = Alone(made, 0);
        alone.Recover(0xE2, Degraded);
        Assert.Equal(CommitOutcome.Done, alone.Commit(Lost(50)));
        MetadataBench both = new([alone.Disks[0].Image.Clone(), made.Disks[1].Image.Clone()], seed: 5);
        Random random = new(5);
        int writes = 0;
        foreach (SparseDisk disk in both.Disks)
        {
            disk.Watch = request => writes += request.Operation == IoOperation.Write ? 1 : 0;
        }
        both.BeginRecovery(0xE3);
        while (!both.IsAnswered)
        {
            if (writes > 0)
            {
                MetadataBench crashed = both.Crashed(random);
                crashed.MustRecover(0xE4);
                Assert.Equal(alone.Entries, crashed.Entries);
                MetadataBench later = Alone(crashed, 1);
                later.Recover(0xE5, Degraded);
                Assert.Equal(alone.Entries, later.Entries);
            }
            Assert.True(both.Loop.Step());
        }
        Assert.True(writes > 20);
        Assert.Equal(1, both.Recovered!.MembersResynced);
    }

    [Fact]
    public void A_member_that_takes_no_write_at_a_start_is_inactive_and_the_set_starts()
    {
        MetadataBench bench = Made().Copy();
        bench.Disks[1].Fault = (_, request) => request.Operation == IoOperation.Write ? 5 : 0;
        bench.MustRecover(0xE2);
        Assert.Equal(MemberState.Inactive, bench.Store.DescriptionOf(1).State);
        MetadataBench alone = Alone(bench, 0);
        alone.MustRecover(0xE3);
        Assert.Equal(bench.Entries, alone.Entries);
    }

    /// <summary>
    /// Member 1 was left out, the others went on, then member 2 was put back to what it held before that, and
    /// member 1 served alone: with member 2 as the witness, member 0 must not look as if it had only been
    /// interrupted.
    /// </summary>
    [Fact]
    public void Who_went_on_after_a_member_was_left_out_is_not_overruled_by_an_old_image_and_that_member()
    {
        MetadataBench bench = MetadataBench.Formatted(3, seed: 31);
        bench.MustRecover();
        SparseImage old = bench.Disks[2].Image.Clone();
        bench.Disks[1].Hang = _ => true;
        Assert.Equal(CommitOutcome.Done, bench.Commit(Lost(50)));
        Assert.Equal(CommitOutcome.Done, bench.Commit(Lost(60)));
        bench.Loop.RunFor(Duration.FromSeconds(1));
        MetadataBench alone = Alone(bench, 1);
        alone.Recover(0xE2, Degraded);
        for (int unit = 70; unit < 80; unit++)
        {
            Assert.Equal(CommitOutcome.Done, alone.Commit(Lost(unit)));
        }
        MetadataBench all =
            new([bench.Disks[0].Image.Clone(), alone.Disks[0].Image.Clone(), old], seed: 32);
        all.Recover(0xE3, Degraded);
        Assert.Equal(MetadataRefusalKind.Diverged, all.Refusal?.Kind);
    }

    [Fact]
    public void A_set_whose_spares_are_all_older_shows_its_age_before_anything_is_written()
    {
        // Nothing on them tells; the host's record does, and asks in time.
        MetadataBench made = Made();
        MetadataBench older = made.Copy();
        ulong witnessed = made.Store.Generation;
        MetadataBench newer = made.Copy();
        newer.MustRecover(0xE2);
        Assert.True(newer.Store.Generation > witnessed);

        Decliner decliner = new(newer.Store.Generation);
        int writes = 0;
        foreach (SparseDisk disk in older.Disks)
        {
            disk.Watch = request => writes += request.Operation == IoOperation.Write ? 1 : 0;
        }
        new MetadataRecovery(older.Loop, older.Disks, new SetExpectation(), 0xE3, decliner).Begin();
        older.Loop.RunUntil(() => decliner.IsAnswered);
        Assert.Equal(MetadataRefusalKind.Declined, decliner.Refusal!.Kind);
        Assert.Equal(0, writes);
        older.MustRecover(0xE4);
    }

    [Fact]
    public void A_table_of_more_units_than_the_smallest_spare_has_cells_is_opened_again()
    {
        // Runs need a cell each, units do not: a small spare holds what a large one has in long runs.
        SparseImage[] images = [new(), new()];
        MetadataBench bench = Unequal(images);
        bench.Format();
        bench.MustRecover();
        int units = (int)bench.Store.EntriesMax + 1000;
        Assert.True(units < bench.Recovered!.Members[1]!.Layout.DataUnits);
        bench.CommitAll(Enumerable.Range(0, units).Select(
            unit => TableSample.Set1(TableSample.Remapped(1000 + unit, 1, unit))));
        while (SpareSurgery.NewestOf(bench.Disks[0])?.State.Checkpoint.Entries < units)
        {
            Assert.Equal(CommitOutcome.Done, bench.Commit(Lost(1)));
            bench.Loop.RunUntilIdle();
        }
        MetadataBench again = Unequal([.. images.Select(image => image.Clone())]);
        again.MustRecover(0xE2);
        Assert.Equal(bench.Entries, again.Entries);
    }

    [Fact]
    public void A_spare_that_comes_back_too_small_for_the_table_is_left_out_and_the_set_starts()
    {
        SparseImage[] images = [new(), new()];
        MetadataBench made = Unequal(images);
        made.Format();
        made.MustRecover();
        int runs = (int)made.Store.EntriesMax;
        MetadataBench large = new([images[1].Clone()], seed: 6, 128 << 20);
        large.Recover(0xE2, Degraded);
        Assert.True(large.Store.EntriesMax > runs);
        // One unit between two: each is a run of its own.
        large.CommitAll(Enumerable.Range(0, runs).Select(
            unit => TableSample.Set1(TableSample.Remapped(2 * unit, 1, unit))));
        large.Loop.RunUntilIdle();
        MetadataBench both = Unequal([images[0].Clone(), large.Disks[0].Image.Clone()]);
        both.MustRecover(0xE3);
        Assert.Equal(large.Entries, both.Entries);
        Assert.False(both.Recovered!.Members[0]!.IsActive);
        Assert.Equal(0, both.Recovered.MembersResynced);
        Assert.Equal(CommitOutcome.Done, both.Commit(Lost(100_001)));
    }

    /// <summary>The smallest spare there is, beside a larger one.</summary>
    private static MetadataBench Unequal(SparseImage[] images)
    {
        MetadataBench bench = new(images, seed: 6);
        bench.Disks[1] = new SparseDisk(bench.Loop, 128 << 20, images[1], seed: 7);
        return bench;
    }

    private static MetadataBench Made()
    {
        MetadataBench bench = MetadataBench.Formatted(2, seed: 77);
        bench.MustRecover();
        Assert.Equal(CommitOutcome.Done, bench.Commit(Lost(1), Lost(900)));
        Assert.Equal(CommitOutcome.Done, bench.Commit(Lost(3)));
        return bench;
    }

    private static MetadataBench Alone(MetadataBench bench, int spare) =>
        new([bench.Disks[spare].Image.Clone()], seed: 3);

    private static MetadataBench Together(params MetadataBench[] alone) =>
        new([.. alone.Select(bench => bench.Disks[0].Image.Clone())], seed: 3);

    private static TableChange Lost(long unit) => TableSample.Set1(TableSample.Lost(unit));

    /// <summary>Says no to a set that is older than what it remembers.</summary>
    private sealed class Decliner(ulong generation) : IMetadataRecoveryOwner
    {
        public bool IsAnswered { get; private set; }

        public MetadataRefusal? Refusal { get; private set; }

        public void OnFound(MetadataRecovery recovery)
        {
            Assert.True(recovery.Found!.Newest.State.Generation < generation);
            recovery.Decline(new MetadataRefusal(MetadataRefusalKind.Declined, -1, "older than remembered"));
        }

        public void OnRecovered(MetadataRecovery recovery)
        {
            Assert.False(IsAnswered);
            IsAnswered = true;
            Refusal = recovery.Refusal;
            Assert.Null(recovery.Recovered);
        }
    }
}
