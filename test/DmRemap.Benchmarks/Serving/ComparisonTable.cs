using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Linq;

namespace DmRemap.Benchmarks.Serving;

/// <summary>A comparison in Markdown: every figure with what it was measured against.</summary>
internal static class ComparisonTable
{
    public static void Write(TextWriter writer, Comparison comparison, IReadOnlyList<Goal> goals)
    {
        writer.WriteLine($"| requests/s, median | {Row(comparison.Servers.Select(server => server.Name))} |");
        writer.WriteLine($"|---|{Row(comparison.Servers.Select(_ => "--:"), "|")}|");
        foreach (Workload workload in comparison.Workloads)
        {
            writer.WriteLine($"| {workload.Name} | {Row(comparison.Servers.Select(
                server => Whole(comparison.MedianOf(server, workload))))} |");
        }
        WriteLatencies(writer, comparison);
        WriteGoals(writer, comparison, goals);
    }

    private static void WriteLatencies(TextWriter writer, Comparison comparison)
    {
        writer.WriteLine();
        writer.WriteLine("| µs: p50 / p99 / p99.9 / server's processor time for each | "
            + $"{Row(comparison.Servers.Select(server => server.Name))} |");
        writer.WriteLine($"|---|{Row(comparison.Servers.Select(_ => "--:"), "|")}|");
        foreach (Workload workload in comparison.Workloads)
        {
            writer.WriteLine($"| {workload.Name} | {Row(comparison.Servers.Select(
                server => Latencies(comparison.RunsOf(server, workload))))} |");
        }
    }

    private static void WriteGoals(TextWriter writer, Comparison comparison, IReadOnlyList<Goal> goals)
    {
        writer.WriteLine();
        writer.WriteLine(
            "| goal: times the better of | wanted | lower quartile | median | upper | p99, times |");
        writer.WriteLine("|---|--:|--:|--:|--:|--:|");
        foreach (Goal goal in goals)
        {
            Quartiles ratio = Quartiles.Of(comparison.RatiosAgainst(goal.Workload, goal.Competitor));
            Quartiles latency =
                Quartiles.Of(comparison.LatencyRatiosAgainst(goal.Workload, goal.Competitor));
            string lower = ratio.Lower >= goal.Ratio ? Two(ratio.Lower) : $"**{Two(ratio.Lower)}**";
            writer.WriteLine($"| {goal.Workload.Name}, {goal.Competitor} | {Two(goal.Ratio)} | {lower} | "
                + $"{Two(ratio.Median)} | {Two(ratio.Upper)} | {Two(latency.Median)} |");
        }
        writer.WriteLine();
        writer.WriteLine("In bold: missed. A goal is met when the lower quartile of the rounds' ratios is.");
    }

    private static string Latencies(IReadOnlyList<Measured> runs)
    {
        double p50 = Quartiles.Of(runs.Select(run => run.P50Us)).Median;
        double p99 = Quartiles.Of(runs.Select(run => run.P99Us)).Median;
        double p999 = Quartiles.Of(runs.Select(run => run.P999Us)).Median;
        double cpu = Quartiles.Of(runs.Select(run => run.ServerCpuUs)).Median;
        return $"{Whole(p50)} / {Whole(p99)} / {Whole(p999)} / {Two(cpu)}";
    }

    private static string Row(IEnumerable<string> cells, string between = " | ") =>
        string.Join(between, cells);

    private static string Whole(double value) =>
        Math.Round(value).ToString("0", CultureInfo.InvariantCulture);

    private static string Two(double value) => value.ToString("0.00", CultureInfo.InvariantCulture);
}
