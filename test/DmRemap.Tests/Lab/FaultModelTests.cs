using System;
using System.Collections.Generic;
using System.Linq;
using DmRemap.Core.Faults.Injection;
using DmRemap.Core.Faults.Injection.Models;
using Xunit;

namespace DmRemap.Tests.Lab;

/// <summary>
/// The faults of some thousand disks against what is published (docs/fault-models.md names the sources). The
/// seeds are fixed, so a run cannot fail by chance; tolerances are about four standard deviations of what so
/// many disks give.
/// </summary>
public sealed class FaultModelTests
{
    private const int Disks = 4000;
    private const int DisksOfFlash = 2000;
    private const double Day = 86_400;

    /// <summary>1 TiB of physical sectors of 4096 bytes.</summary>
    private static readonly DiskShape s_disk = new(1L << 28, 4096);
    private static readonly Dictionary<string, double[][]> s_ages = [];

    [Theory]
    [InlineData("nearline", 0.0315)]
    [InlineData("enterprise", 0.0146)]
    public void As_many_disks_have_errors_in_a_year_as_were_found(string name, double share)
    {
        const int Many = 40_000;
        int affected = Enumerable.Range(0, Many).Count(seed => Plan(name, seed, DiskChoice.Any).IsAffected);
        AssertNear(share, (double)affected / Many, 0.0035);
    }

    [Theory]
    [InlineData("nearline")]
    [InlineData("enterprise")]
    public void Most_disks_have_few_errors_and_some_have_thousands(string name)
    {
        double[][] disks = AgesOf(name);
        // More than 80 % of affected disks have fewer than 50; 0.2 % of all, 6 % of affected, more than 1000.
        AssertNear(0.80, Share(disks, ages => ages.Length < 50), 0.025);
        AssertNear(0.058, Share(disks, ages => ages.Length >= 1000), 0.015);
    }

    [Theory]
    [InlineData("nearline", 0.548, 0.05)]
    [InlineData("enterprise", 0.620, 0.10)]
    public void More_errors_come_within_a_month_as_often_as_they_did(string name, double one, double fifty)
    {
        double[][] disks = AgesOf(name);
        AssertNear(one, Share(disks, ages => InMonth(ages) >= 1), 0.032);
        AssertNear(fifty, Share(disks, ages => InMonth(ages) >= 50), 0.02);
    }

    [Theory]
    [InlineData("nearline")]
    [InlineData("enterprise")]
    public void Errors_come_in_bursts_of_minutes_that_last_two_weeks(string name)
    {
        double[][] disks = [.. AgesOf(name).Where(ages => ages.Length >= 10)];
        Assert.True(disks.Length > 1000);
        // 40 to 80 % of errors come less than a minute after the one before.
        double[] shares = [.. disks.Select(ages =>
            ages.Zip(ages.Skip(1)).Skip(1).Average(pair => pair.Second - pair.First < 60 ? 1.0 : 0))];
        Assert.InRange(shares.Average(), 0.5, 0.7);
        Assert.True(shares.Count(share => share is >= 0.3 and <= 0.9) > shares.Length * 0.9);
        // Nearly all of a disk's errors in one period of two weeks.
        Assert.All(disks, ages => Assert.InRange(ages[^1] - ages[1], 0, 14.01 * Day));
    }

    [Theory]
    [InlineData("nearline")]
    [InlineData("enterprise")]
    public void Errors_cluster_and_prefer_the_beginning_of_the_disk(string name)
    {
        long[][] disks = [.. Affected(name).Select(plan => Defects(plan)
            .Select(arrival => arrival.Defect.Physical).ToArray())];
        AssertNear(0.35, Share(disks, places => places[0] < s_disk.Physicals / 10), 0.032);
        long[][] several = [.. disks.Where(places => places.Length >= 2)];
        long near = 10_000_000 / 4096;
        // More than half of errors have another within 10 MB; of those next ones most within 100 sectors.
        double[] distances = [.. several.Select(places => (double)Math.Abs(places[1] - places[0]))];
        double nearShare = distances.Average(distance => distance <= near ? 1.0 : 0);
        Assert.InRange(nearShare, 0.55, 0.65);
        double closeShare = distances.Where(distance => distance <= near)
            .Average(distance => distance * 8 <= 100 ? 1.0 : 0);
        Assert.InRange(closeShare, 0.55, 0.75);
        double adjoining = several.Average(places => places.Zip(places.Skip(1))
            .Average(pair => Math.Abs(pair.Second - pair.First) == 1 ? 1.0 : 0));
        Assert.InRange(adjoining, 0.002, 0.025);
    }

    [Fact]
    public void Flash_has_errors_after_errors_and_hundreds_of_dead_blocks_after_a_few()
    {
        FaultPlan[] plans = [.. Affected("worn-flash").Take(DisksOfFlash)];
        int[][] months = [.. plans.Select(plan => Pages(plan)
            .Select(age => (int)(age / (365 * Day / 12))).Distinct().Order().ToArray())];
        // A month after one with an error: 30 %; after one without: 2 %.
        List<(bool Had, bool Has)> pairs = [];
        foreach (int[] had in months)
        {
            for (int month = had[0]; month < 11; month++)
            {
                pairs.Add((had.Contains(month), had.Contains(month + 1)));
            }
        }
        AssertNear(0.30, pairs.Where(pair => pair.Had).Average(pair => pair.Has ? 1.0 : 0), 0.04);
        AssertNear(0.02, pairs.Where(pair => !pair.Had).Average(pair => pair.Has ? 1.0 : 0), 0.008);

        int[] blocks = [.. plans.Select(plan => Defects(plan).Count() / 64)];
        AssertNear(0.55, blocks.Average(count => count > 0 ? 1.0 : 0), 0.045);
        int[] few = [.. blocks.Where(count => count >= 3)];
        AssertNear(0.5, few.Average(count => count >= 90 ? 1.0 : 0), 0.09);
    }

    [Fact]
    public void Disks_are_slow_for_as_many_hours_as_was_measured()
    {
        (string, double)[] models = [("nearline", 0.002), ("worn-flash", 0.006)];
        foreach ((string name, double share) in models)
        {
            FaultArrival[] slow = [.. Affected(name).Take(DisksOfFlash).SelectMany(plan => plan.Arrivals)
                .Where(arrival => arrival.Kind == FaultArrivalKind.Slow)];
            double total = slow.Sum(arrival => arrival.Length.Nanoseconds / 1e9);
            AssertNear(share, total / (DisksOfFlash * 365 * Day), share * 0.06);
            // 40 % of them last longer than an hour.
            AssertNear(0.4, slow.Average(arrival => arrival.Length.Nanoseconds > 3600e9 ? 1.0 : 0), 0.02);
        }
    }

    [Fact]
    public void Scratch_comes_back_at_the_distance_of_a_track()
    {
        foreach (FaultPlan plan in Affected("scratch").Take(300))
        {
            FaultArrival[] defects = [.. Defects(plan)];
            Assert.InRange(defects.Length, 1, 6000);
            Assert.True(defects[^1].Age.Nanoseconds - defects[0].Age.Nanoseconds < 6 * 3600e9);
            long[] gaps = [.. defects.Zip(defects.Skip(1))
                .Select(pair => pair.Second.Defect.Physical - pair.First.Defect.Physical)
                .Where(gap => gap > 1)];
            // Most tracks follow one another; where one was not hit, the gap is twice as long.
            long usual = gaps.Order().ElementAt(gaps.Length / 2);
            Assert.True(gaps.Count(gap => Math.Abs(gap - usual) <= 5) > gaps.Length * 0.6);
        }
    }

    [Fact]
    public void Mix_of_defects_is_that_of_the_model()
    {
        foreach (FaultModel model in FaultModel.All)
        {
            // One of each disk: those of one block of flash are all alike.
            DefectKind[] kinds = [.. Affected(model.Name).Take(DisksOfFlash)
                .Select(plan => Defects(plan).First())
                .Select(arrival => arrival.Defect.Defect.Kind)];
            AssertNear(model.Mix.Pending, Of(DefectKind.Pending), 0.045);
            AssertNear(model.Mix.Weak, Of(DefectKind.Weak), 0.045);
            AssertNear(model.Mix.Dead, Of(DefectKind.Dead), 0.045);
            AssertNear(model.Mix.Unwritable, Of(DefectKind.Unwritable), 0.045);
            Assert.Equal(
                1, model.Mix.Pending + model.Mix.Weak + model.Mix.Dead + model.Mix.Unwritable, 1e-9);

            double Of(DefectKind kind) => kinds.Average(each => each == kind ? 1.0 : 0);
        }
    }

    [Fact]
    public void Same_seed_is_the_same_disk_and_another_is_another()
    {
        foreach (FaultModel model in FaultModel.All)
        {
            FaultPlan one = Plan(model.Name, 5, DiskChoice.Affected);
            Assert.Equal(one.Arrivals, Plan(model.Name, 5, DiskChoice.Affected).Arrivals);
            Assert.NotEqual(one.Arrivals, Plan(model.Name, 6, DiskChoice.Affected).Arrivals);
            Assert.Equal(one.Arrivals, one.Arrivals.OrderBy(arrival => arrival.Age.Nanoseconds));
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(10)]
    [InlineData(4096)]
    public void Defects_lie_on_the_disk_however_small_it_is_and_each_place_once(long physicals)
    {
        DiskShape small = new(physicals, 4096);
        foreach (FaultModel model in FaultModel.All)
        {
            for (ulong seed = 0; seed < 300; seed++)
            {
                FaultPlan plan = FaultPlan.Of(model, small, seed, DiskChoice.Affected);
                long[] places = [.. Defects(plan).Select(arrival => arrival.Defect.Physical)];
                Assert.NotEmpty(places);
                Assert.All(places, place => Assert.InRange(place, 0, physicals - 1));
                Assert.Equal(places.Length, places.Distinct().Count());
            }
        }
    }

    private static double[][] AgesOf(string name)
    {
        lock (s_ages)
        {
            if (!s_ages.TryGetValue(name, out double[][]? ages))
            {
                ages = [.. Affected(name).Select(plan => Defects(plan)
                    .Select(arrival => arrival.Age.Nanoseconds / 1e9).ToArray())];
                s_ages[name] = ages;
            }
            return ages;
        }
    }

    private static int InMonth(double[] ages) => ages.Skip(1).Count(age => age - ages[0] <= 30 * Day);

    private static IEnumerable<FaultArrival> Defects(FaultPlan plan) =>
        plan.Arrivals.Where(arrival => arrival.Kind == FaultArrivalKind.Defect);

    /// <summary>The ages of single sectors; those of blocks come 64 at a time.</summary>
    private static IEnumerable<double> Pages(FaultPlan plan) => Defects(plan)
        .GroupBy(arrival => arrival.Age.Nanoseconds).Where(group => group.Count() == 1)
        .Select(group => group.Key / 1e9);

    private static IEnumerable<FaultPlan> Affected(string name) =>
        Enumerable.Range(0, Disks).Select(seed => Plan(name, seed, DiskChoice.Affected));

    private static FaultPlan Plan(string name, int seed, DiskChoice choice) =>
        FaultPlan.Of(FaultModel.Find(name)!, s_disk, (ulong)seed, choice);

    private static double Share<T>(IReadOnlyCollection<T> disks, Func<T, bool> isSo) =>
        (double)disks.Count(isSo) / disks.Count;

    private static void AssertNear(double expected, double actual, double tolerance) =>
        Assert.InRange(actual, expected - tolerance, expected + tolerance);
}
