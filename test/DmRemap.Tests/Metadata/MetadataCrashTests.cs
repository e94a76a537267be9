using System;
using System.Collections.Generic;
using System.Linq;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;
using DmRemap.Engine.Metadata;
using Xunit;

namespace DmRemap.Tests.Metadata;

/// <summary>
/// Power cuts at every event of a run, with any subset of the blocks in flight on the medium: what recovery
/// finds is the table of the last Done commit, or one that was being written since; also when recovery itself
/// is cut, anywhere.
/// </summary>
public sealed class MetadataCrashTests
{
    private const int CommitCount = 4;

    [Theory]
    [InlineData(1, 11)]
    [InlineData(1, 12)]
    [InlineData(2, 13)]
    public void A_power_cut_at_any_event_leaves_the_last_done_table_or_the_next(int spares, int seed)
    {
        MetadataBench bench = MetadataBench.Formatted(spares, seed);
        bench.MustRecover();
        Random random = new(seed);
        ChangeSource source = bench.Changes(random);
        ModelTable done = new();
        for (int i = 0; i < CommitCount; i++)
        {
            TableChange[] changes = source.Next(1 + random.Next(4));
            ModelTable next = done.With(changes);
            CommitRequest request = bench.BeginCommit(changes);
            while (request.IsPending)
            {
                CutAndCheck(bench, random, [done, next], seed);
                Assert.True(bench.Loop.Step());
            }
            Assert.Equal(CommitOutcome.Done, request.Outcome);
            done = next;
            CutAndCheck(bench, random, [done], seed);
        }
    }

    [Fact]
    public void A_power_cut_during_recovery_at_any_event_changes_nothing()
    {
        const int Seed = 21;
        MetadataBench bench = MetadataBench.Formatted(2, Seed);
        bench.MustRecover();
        Random random = new(Seed);
        ChangeSource source = bench.Changes(random);
        TableChange[] first = source.Next(5);
        ModelTable done = new ModelTable().With(first);
        Assert.Equal(CommitOutcome.Done, bench.Commit(first));
        TableChange[] second = source.Next(3);
        CommitRequest pending = bench.BeginCommit(second);
        int cuts = 0;
        while (pending.IsPending)
        {
            if (cuts % 2 == 0)
            {
                CutRecoveryEverywhere(bench.Crashed(random), random, [done, done.With(second)]);
            }
            Assert.True(bench.Loop.Step());
            cuts++;
        }
        Assert.True(cuts > 6, $"{cuts} cuts");
    }

    [Fact]
    public void A_power_cut_at_any_event_of_create_leaves_an_empty_set_or_none()
    {
        const int Seed = 31;
        Random random = new(Seed);
        MetadataBench bench = new(spares: 2, Seed);
        MetadataFormatterProbe probe = new();
        new MetadataFormatter(bench.Loop, bench.Disks, MetadataBench.FormatRequestFor(2), probe).Begin();
        while (!probe.IsDone)
        {
            MetadataBench crashed = bench.Crashed(random);
            crashed.Recover();
            Assert.True(crashed.Recovered is null || crashed.Recovered.Table.Count == 0);
            Assert.True(bench.Loop.Step());
        }
        bench.MustRecover();
        Assert.Empty(bench.Entries);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public void After_half_of_the_superblocks_failed_and_tore_the_other_half_stays_whole(int parity)
    {
        Random random = new(41);
        MetadataBench bench = MetadataBench.Formatted(1, seed: 41);
        bench.MustRecover();
        ModelTable model = FillHalfOfTheRing(bench, bench.Changes(random));
        SparseDisk disk = bench.Disks[0];
        disk.Fault = (_, request) => IsCopyOf(request, parity) ? FailTorn(disk, request) : 0;
        bench.Loop.RunFor(Duration.FromSeconds(3));
        disk.Fault = null;
        while (bench.Store.CheckpointsDone == 0)
        {
            // More often while a whole half is in flight: only then can all of it be torn.
            int cuts = disk.InFlight == SpareLayout.SuperblockCopies / 2 ? 40 : 1;
            for (int i = 0; i < cuts; i++)
            {
                CheckTable(bench.Crashed(random), [model], seed: 41);
            }
            Assert.True(bench.Loop.Step());
        }
    }

    [Theory]
    [InlineData(1, 51)]
    [InlineData(2, 52)]
    public void A_power_cut_at_any_event_of_a_checkpoint_and_its_flip_changes_nothing(int spares, int seed)
    {
        Random random = new(seed);
        MetadataBench bench = MetadataBench.Formatted(spares, seed);
        bench.MustRecover();
        ChangeSource source = bench.Changes(random);
        ModelTable done = FillHalfOfTheRing(bench, source);
        int commits = 0;
        while (bench.Store.CheckpointsDone == 0 || commits < 3)
        {
            TableChange[] changes = source.Next(1 + random.Next(4));
            ModelTable next = done.With(changes);
            CommitRequest request = bench.BeginCommit(changes);
            while (request.IsPending)
            {
                CutAndCheck(bench, random, [done, next], seed);
                Assert.True(bench.Loop.Step());
            }
            Assert.Equal(CommitOutcome.Done, request.Outcome);
            done = next;
            commits++;
        }
        Assert.Equal(1, bench.Store.CheckpointsDone);
        CutAndCheck(bench, random, [done], seed);
    }

    [Fact]
    public void The_ring_wraps_many_times_and_every_start_finds_the_table()
    {
        Random random = new(61);
        MetadataBench bench = MetadataBench.Formatted(1, seed: 61);
        bench.MustRecover();
        ChangeSource source = bench.Changes(random);
        ModelTable model = new();
        for (int i = 0; i < 400; i++)
        {
            TableChange[] changes = source.Next(1 + random.Next(4));
            model = model.With(changes);
            Assert.Equal(CommitOutcome.Done, bench.Commit(changes));
            if (i % 7 == 0)
            {
                CheckTable(bench.Crashed(random), [model], seed: 61);
            }
        }
        Assert.True(bench.Store.CheckpointsDone > 4, $"{bench.Store.CheckpointsDone} checkpoints");
    }

    [Fact]
    public void Every_outcome_under_failing_writes_and_power_cuts_is_true()
    {
        for (int seed = 100; seed < 130; seed++)
        {
            RunWithFaultsAndCuts(seed);
        }
    }

    /// <summary>
    /// One commit at a time; any write may fail, having reached the disk in part. Failed means that no cut
    /// brings it back; Unknown that a cut may, until a later Done.
    /// </summary>
    private static void RunWithFaultsAndCuts(int seed)
    {
        MetadataBench bench = MetadataBench.Formatted(1 + (seed % 2), seed);
        bench.MustRecover();
        Random random = new(seed);
        ChangeSource source = bench.Changes(random);
        int failureRate = random.Next(5, 40);
        foreach (SparseDisk disk in bench.Disks)
        {
            disk.Fault = (_, request) => FailInPart(disk, request, random, failureRate);
        }
        ModelTable done = new();
        List<ModelTable> possible = [];
        for (int i = 0; i < 12; i++)
        {
            TableChange[] changes = source.Next(1 + random.Next(3));
            ModelTable next = done.With(changes);
            CommitRequest request = bench.BeginCommit(changes);
            while (request.IsPending)
            {
                if (random.Next(6) == 0)
                {
                    CheckTable(bench.Crashed(random), [done, next, .. possible], seed);
                }
                Assert.True(bench.Loop.Step());
            }
            if (request.Outcome == CommitOutcome.Done)
            {
                done = next;
            }
            if (request.Outcome == CommitOutcome.Unknown)
            {
                possible.Add(next);
            }
            else if (request.Outcome == CommitOutcome.Done)
            {
                // Its record links past those in doubt: they cannot win any more.
                possible.Clear();
            }
            CheckTable(bench.Crashed(random), [done, .. possible], seed);
        }
    }

    /// <summary>The next commit makes a checkpoint begin.</summary>
    private static ModelTable FillHalfOfTheRing(MetadataBench bench, ChangeSource source)
    {
        ModelTable model = new();
        while (bench.Store.JournalSlotsUsed < (bench.Store.JournalSlots / 2) - 1)
        {
            TableChange[] changes = source.Next(3);
            model = model.With(changes);
            Assert.Equal(CommitOutcome.Done, bench.Commit(changes));
        }
        TableChange[] last = source.Next(3);
        Assert.Equal(CommitOutcome.Done, bench.Commit(last));
        return model.With(last);
    }

    private static bool IsCopyOf(IoRequest request, int parity)
    {
        for (int copy = parity; copy < SpareLayout.SuperblockCopies; copy += 2)
        {
            long offset = SpareLayout.SuperblockOffset(copy, MetadataBench.SpareBytes);
            if (request.Extent.Start.Value * 512 == offset)
            {
                return request.Operation == IoOperation.Write;
            }
        }
        return false;
    }

    /// <summary>The generation at the front is the new one, the checksum at the end the old one.</summary>
    private static int FailTorn(SparseDisk disk, IoRequest request)
    {
        disk.Image.Write(request.Extent.Start.Value, request.Buffer.Span[..512]);
        return 5;
    }

    private static int FailInPart(SparseDisk disk, IoRequest request, Random random, int failureRate)
    {
        if (random.Next(100) >= failureRate || request.Operation != IoOperation.Write)
        {
            return 0;
        }
        for (int i = 0; i < request.Extent.Count.Value; i++)
        {
            if (random.Next(2) == 0)
            {
                disk.Image.Write(request.Extent.Start.Value + i, request.Buffer.Span.Slice(i * 512, 512));
            }
        }
        return 5;
    }

    private static void CutAndCheck(MetadataBench bench, Random random, ModelTable[] allowed, int seed)
    {
        for (int i = 0; i < 2; i++)
        {
            CheckTable(bench.Crashed(random), allowed, seed);
        }
    }

    private static void CheckTable(MetadataBench crashed, ModelTable[] allowed, int seed)
    {
        crashed.Recover();
        Assert.True(crashed.Refusal is null, $"refused: {crashed.Refusal}, seed={seed}");
        RecoveredSet found = crashed.Recovered!;
        Assert.True(
            allowed.Any(table => table.Equals(crashed.Entries, found.Retired)),
            $"another table, seed={seed}");

        // Recovery is idempotent: what it has shown once, every later start shows.
        RecoveredSet again = crashed.Reopened();
        Assert.Equal(crashed.Entries, MetadataBench.EntriesOf(again.Table));
        Assert.Equal(found.Retired, again.Retired);
    }

    private static void CutRecoveryEverywhere(MetadataBench crashed, Random random, ModelTable[] allowed)
    {
        crashed.BeginRecovery(0xC1);
        while (!crashed.IsAnswered)
        {
            MetadataBench cut = crashed.Crashed(random);
            cut.MustRecover(0xC2);
            RecoveredSet seen = cut.Recovered!;
            Assert.Contains(allowed, table => table.Equals(cut.Entries, seen.Retired));
            Assert.True(crashed.Loop.Step());
        }
        Assert.Null(crashed.Refusal);
        RecoveredSet found = crashed.Recovered!;
        CheckTable(crashed.Crashed(random), [new ModelTable().With(ChangesOf(found))], seed: 21);
    }

    private static IEnumerable<TableChange> ChangesOf(RecoveredSet set) =>
    [
        .. MetadataBench.EntriesOf(set.Table).Select(entry => new TableChange(TableChangeKind.Set, entry)),
        .. set.Retired.Select(location => new TableChange(
            TableChangeKind.RetireSpareUnit,
            new RemapEntry { Unit = default, State = default, Blocks = default, Location = location })),
    ];

    private sealed class MetadataFormatterProbe : IMetadataFormatOwner
    {
        public bool IsDone { get; private set; }

        public void OnFormatted(MetadataFormatter formatter) => IsDone = true;
    }
}
