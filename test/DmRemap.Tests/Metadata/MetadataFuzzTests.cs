using System;
using System.Linq;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;
using DmRemap.Core.Spares;
using Xunit;

namespace DmRemap.Tests.Metadata;

/// <summary>
/// Real images with a few bytes of one structure changed, half of the time under right checksums. A start
/// refuses, or serves the table that was there, or, where checksums vouch for the change, one that
/// contradicts nothing and that the next start finds again.
/// </summary>
public sealed class MetadataFuzzTests
{
    private const int Runs = 1000;
    private const int RunsLong = 30_000;
    private const int StepsMax = 50_000;
    private const long BytesMax = 64L << 20;

    [Fact]
    public void Mutated_metadata_is_refused_or_read_right_and_never_ends_the_process()
    {
        bool isLong = Environment.GetEnvironmentVariable("DMREMAP_LONG") == "1";
        MetadataBench made = Made();
        Tally tally = default;
        for (int seed = 0; seed < (isLong ? RunsLong : Runs); seed++)
        {
            try
            {
                RunOne(made, seed, ref tally);
            }
            catch (Exception exception)
            {
                Assert.Fail($"seed={seed}: {exception}");
            }
        }

        // A fuzzer whose mutations never arrive finds nothing.
        Assert.True(tally.Refused > Runs / 20, $"{tally}");
        Assert.True(tally.Original > Runs / 20, $"{tally}");
        Assert.True(tally.Other > 5, $"{tally}");
    }

    private static void RunOne(MetadataBench made, int seed, ref Tally tally)
    {
        MetadataBench bench = made.Copy(seed);
        ImageMutation mutation = new(new Random(seed));
        for (int i = 0; i < bench.Disks.Length; i++)
        {
            mutation.ChangeOn(bench.Disks[i], i);
        }
        long before = GC.GetAllocatedBytesForCurrentThread();
        bench.BeginRecovery(0xF00DF00D12345678);
        for (int step = 0; !bench.IsAnswered; step++)
        {
            Assert.True(step < StepsMax, "it does not end");
            Assert.True(bench.Loop.Step(), "it waits for nothing");
        }
        long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        Assert.True(allocated < BytesMax, $"{allocated} bytes allocated");
        if (bench.Recovered is null)
        {
            tally.Refused++;
            Assert.NotEmpty(bench.Refusal!.Detail);
            return;
        }
        bool isOriginal = bench.Entries.AsSpan().SequenceEqual(made.Entries)
            && bench.Recovered.Retired.AsSpan().SequenceEqual(s_retired);
        tally.Original += isOriginal ? 1 : 0;
        tally.Other += isOriginal ? 0 : 1;
        bool isCut = mutation.IsOfLastRecord
            && bench.Entries.AsSpan().SequenceEqual(made.Entries.AsSpan()[..^1]);
        Assert.True(isOriginal || isCut || mutation.HasRightChecksums, "no checksum vouches for this table");
        if (!isOriginal || seed % 8 == 0)
        {
            AssertContradictsNothing(bench);
        }
    }

    private static readonly SpareLocation[] s_retired =
        [new(0, new UnitNumber(700)), new(1, new UnitNumber(5))];

    private static void AssertContradictsNothing(MetadataBench bench)
    {
        SetDescription set = bench.Recovered!.Set;
        RetiredUnits retired = new();
        foreach (SpareLocation location in bench.Recovered.Retired)
        {
            Assert.True(set.Holds(location));
            retired.Add(location);
        }
        foreach (RemapEntry entry in bench.Entries)
        {
            Assert.True(set.Allows(entry));
        }
        Assert.NotNull(AllocatorLoad.TryLoad(set, bench.Recovered.Table, retired));
        MetadataBench again = bench.Copy();
        again.Recover(0xF00DF00D12345679, new SetExpectation { AllowsMissing = true });
        Assert.True(again.Refusal is null, $"the next start: {again.Refusal}");
        Assert.Equal(bench.Entries, again.Entries);
        Assert.Equal(bench.Recovered.Retired, again.Recovered!.Retired);
        CommitAndReopen(again);
    }

    /// <summary>What was opened can be written to, and what is written counts.</summary>
    private static void CommitAndReopen(MetadataBench bench)
    {
        TableChange change = TableSample.Set1(TableSample.Lost(1));
        if (bench.Commit(change) == CommitOutcome.Done)
        {
            MetadataBench last = bench.Copy();
            last.Recover(0xF00DF00D1234567A, new SetExpectation { AllowsMissing = true });
            Assert.True(last.Refusal is null, $"after a commit: {last.Refusal}");
            Assert.Contains(change.Entry, last.Entries);
        }
    }

    private static MetadataBench Made()
    {
        MetadataBench bench = MetadataBench.Formatted(2, seed: 99);
        bench.MustRecover();
        for (int i = 0; i < 40; i++)
        {
            Assert.Equal(
                CommitOutcome.Done,
                bench.Commit(TableSample.Set1(TableSample.Remapped(10 + (3 * i), i % 2, i * 2))));
        }
        bench.Loop.RunUntilIdle();
        Assert.True(bench.Store.CheckpointsDone > 0);
        bench.Commit(TableSample.Retire(1, 5), TableSample.Remove(10));
        bench.Commit(TableSample.Retire(0, 700), TableSample.Set1(TableSample.Lost(600)));
        bench.CommitAll(
            Enumerable.Range(0, 100).Select(i => TableSample.Set1(TableSample.Lost(2000 + (2 * i)))));
        bench.CommitAll([TableSample.Set1(TableSample.Lost(9000))]);
        return bench;
    }

    private record struct Tally(int Refused, int Original, int Other);
}
