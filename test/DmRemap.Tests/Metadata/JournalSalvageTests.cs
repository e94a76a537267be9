using System;
using System.Collections.Generic;
using System.Linq;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;
using Xunit;

namespace DmRemap.Tests.Metadata;

/// <summary>Going on without acknowledged records that are lost: only when told to, and only then.</summary>
public sealed class JournalSalvageTests
{
    private static readonly SetExpectation s_acceptsLoss = new() { AcceptsLoss = true };

    [Theory]
    [InlineData(true, new long[] { 1, 4, 5, 6 })]
    [InlineData(false, new long[] { 1, 2, 4, 5, 6 })]
    public void A_gap_costs_itself_and_what_nothing_proves_beside_it(bool stops, long[] left)
    {
        MetadataBench bench = WithLostRecord(stops, lost: 3);
        bench.Recover();
        Assert.Equal(MetadataRefusalKind.JournalDamaged, bench.Refusal!.Kind);
        bench.Recover(0xE2, s_acceptsLoss);
        Assert.Null(bench.Refusal);
        Assert.NotNull(bench.Recovered!.RecordsLost);
        Assert.Equal(left, UnitsOf(bench));

        // Once given up, they are not missed again, and new records are kept as ever.
        Assert.Equal(CommitOutcome.Done, bench.Commit(Lost(9)));
        MetadataBench again = bench.Copy();
        again.MustRecover(0xE3);
        Assert.Null(again.Recovered!.RecordsLost);
        Assert.Equal([.. left, 9], UnitsOf(again));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_power_cut_anywhere_in_it_leaves_the_same_choice_or_its_result(bool stops)
    {
        MetadataBench bench = WithLostRecord(stops, lost: 3);
        MetadataBench whole = bench.Copy();
        whole.Recover(0xE2, s_acceptsLoss);
        long[] left = UnitsOf(whole);
        Random random = new(4);
        bench.BeginRecovery(0xE2, s_acceptsLoss);
        while (!bench.IsAnswered)
        {
            MetadataBench crashed = bench.Crashed(random);
            crashed.Recover(0xE3, s_acceptsLoss);
            Assert.Null(crashed.Refusal);
            Assert.Equal(left, UnitsOf(crashed));
            Assert.True(bench.Loop.Step());
        }
    }

    [Fact]
    public void A_whole_journal_gives_up_nothing_though_it_may()
    {
        MetadataBench bench = Made(stops: false, out _).Copy();
        bench.Recover(0xE2, s_acceptsLoss);
        Assert.Null(bench.Recovered!.RecordsLost);
        Assert.Equal([1, 2, 3, 4, 5, 6], UnitsOf(bench));
    }

    /// <summary>Six commits, a record each.</summary>
    private static MetadataBench Made(bool stops, out ulong[] sequences)
    {
        MetadataBench bench = MetadataBench.Formatted(1, seed: 11);
        bench.MustRecover();
        List<ulong> made = [];
        for (int unit = 1; unit <= 6; unit++)
        {
            Assert.Equal(CommitOutcome.Done, bench.Commit(Lost(unit)));
            made.Add(bench.Store.Sequence);
        }
        if (stops)
        {
            bench.BeginStop();
            bench.Loop.RunUntil(() => bench.StoppedClean is not null);
            Assert.True(bench.StoppedClean);
        }
        sequences = [.. made];
        return bench;
    }

    private static MetadataBench WithLostRecord(bool stops, int lost)
    {
        MetadataBench made = Made(stops, out ulong[] sequences);
        SpareLayout layout = made.Recovered!.Members[0]!.Layout;
        long offset = made.Recovered.Set.Journal.OffsetOf(sequences[lost - 1]);
        MetadataBench bench = made.Copy();
        foreach (ByteRegion place in (ByteRegion[])[layout.Journal1, layout.Journal2])
        {
            bench.Disks[0].Image.Corrupt(place.Start + offset + 80, 1, value => (byte)(value ^ 0xFF));
        }
        return bench;
    }

    private static TableChange Lost(long unit) => new(TableChangeKind.Set, new RemapEntry
    {
        Unit = new UnitNumber(unit),
        State = UnitState.LostDeclared,
        Blocks = BlockStates.AllOnPrimary.With(1, BlockState.Lost),
    });

    private static long[] UnitsOf(MetadataBench bench) =>
        [.. bench.Entries.Select(entry => entry.Unit.Value)];
}
