using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Linq;
using System.Threading;
using System.Threading.Tasks;
using Xunit;

namespace DmRemap.Tests.Metadata.Exhaustive;

/// <summary>
/// Nothing is drawn by lot: every history of up to three operations, cut at every point, with what its
/// uncertain writes may leave. docs/internals/testing.md states the bound. Seen to fail with: records, or the
/// checkpoint, written without FUA; all superblock copies in one wave; the next sequence taken from the tail
/// of the chain; the ring freed before the superblocks that name the checkpoint are durable.
/// </summary>
public sealed class ExhaustiveCrashTests(ITestOutputHelper output)
{
    private const int OperationsMax = 3;

    private static readonly bool s_isLong = Environment.GetEnvironmentVariable("DMREMAP_LONG") == "1";

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void Every_crash_of_every_history_of_up_to_three_operations_leaves_what_was_acknowledged(
        int spares)
    {
        CrashExplorer explorer = new();
        long events = 0;
        string[] histories = [.. Histories()];
        Stopwatch watch = Stopwatch.StartNew();
        ParallelOptions options = new() { MaxDegreeOfParallelism = 2 };
        Parallel.ForEach(histories, options, history =>
            Interlocked.Add(ref events, Explore(explorer, spares, history)));
        string summary = $"{histories.Length} histories, {events} events, {explorer.Summary}";
        output.WriteLine($"{summary}; {watch.Elapsed.TotalSeconds:F1} s");
        Assert.True(!explorer.Failures.Any(), string.Join('\n', explorer.Failures.Prepend(summary)));

        // It cannot shrink in silence. A long run looks at more of everything.
        bool isOne = spares == 1;
        Assert.Equal(1 + 8 + 64 + 512, histories.Length);
        Assert.True(events >= (isOne ? 12_000 : 27_000), summary);
        Assert.True(explorer.Points >= (isOne ? 2500 : 2900), summary);
        Assert.True(explorer.Images >= (isOne ? 16_000 : 9200), summary);
        Assert.True(explorer.RecoveriesCut >= (isOne ? 120 : 50), summary);
        Assert.True(explorer.SecondPoints >= (isOne ? 500 : 240), summary);
        Assert.True(explorer.Reopened >= (isOne ? 1500 : 2400), summary);
        Assert.True(!isOne || explorer.PointsBounded == 0, summary);
        Assert.Equal(0, explorer.Overlaps);
    }

    private static long Explore(CrashExplorer explorer, int spares, string history)
    {
        if (explorer.IsBroken)
        {
            return 0;
        }
        CrashDepth depth = new(
            BoundFor(spares, history), SecondBoundFor(spares, history), s_isLong || history.Length < 3);
        CrashHistory one = new(explorer, spares, history, depth);
        try
        {
            one.Run();
        }
        catch (Exception exception)
        {
            explorer.Fail($"{spares} spares, history '{history}': {exception}");
        }
        return one.Events;
    }

    private static List<string> Histories()
    {
        List<string> all = [""];
        for (int i = 0; i < all.Count; i++)
        {
            if (all[i].Length < OperationsMax)
            {
                all.AddRange(CrashHistory.Letters.Select(letter => all[i] + letter));
            }
        }
        return all;
    }

    private static CrashBound BoundFor(int spares, string history) => (s_isLong, spares, history.Length)
        switch
    {
        (false, 1, < 2) => new CrashBound(WritesMax: 6, NearMax: 6, TornMax: 6),
        (false, 1, 2) => new CrashBound(WritesMax: 6, NearMax: 6, TornMax: 1),
        (false, 1, _) => new CrashBound(WritesMax: 6, NearMax: 6, TornMax: 0),
        (false, _, < 2) => new CrashBound(WritesMax: 4, NearMax: 12, TornMax: 1),
        (false, _, 2) => new CrashBound(WritesMax: 2, NearMax: 12, TornMax: 0),
        (false, _, _) => new CrashBound(WritesMax: 2, NearMax: 2, TornMax: 0),
        (true, 1, < 2) => new CrashBound(WritesMax: 8, NearMax: 8, TornMax: 2, CutsEverySector: true),
        (true, 1, 2) => new CrashBound(WritesMax: 6, NearMax: 8, TornMax: 6),
        (true, 1, _) => new CrashBound(WritesMax: 6, NearMax: 8, TornMax: 1),
        (true, _, < 2) => new CrashBound(WritesMax: 6, NearMax: 12, TornMax: 2),
        (true, _, 2) => new CrashBound(WritesMax: 4, NearMax: 12, TornMax: 1),
        _ => new CrashBound(WritesMax: 2, NearMax: 12, TornMax: 0),
    };

    private static CrashBound? SecondBoundFor(int spares, string history) => (spares, history.Length) switch
    {
        (1, < 2) => new CrashBound(WritesMax: 6, NearMax: 6, TornMax: 0),
        (_, < 2) => new CrashBound(WritesMax: 2, NearMax: s_isLong ? 12 : 2, TornMax: 0),
        (_, 2) when s_isLong => new CrashBound(WritesMax: 3, NearMax: 3, TornMax: 0),
        _ => null,
    };
}
