using System;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Benchmarks.Faults;
using DmRemap.Core.Faults.Injection.Models;

namespace DmRemap.Benchmarks.Year;

/// <summary>
/// `-- year FILE DISKS`: what rescuing, probing and scrubbing save in a year of nearline disks of 1 TiB, each
/// alone and together. docs/fault-models.md shows the picture and the table, and says what they mean.
/// </summary>
internal static class YearMeasurement
{
    /// <summary>Mean days from weak to dead; 0: never.</summary>
    private static readonly double[] s_weakDays = [1, 7, 30, 0];

    /// <summary>
    /// Disks with more are left out: there is one in seventeen of them, and one would be most of any sum.
    /// </summary>
    private const int ErrorsMax = 1000;

    private static readonly string[] s_colors =
        ["#b0b0b0", "#c8b060", "#c08040", "#a06030", "#80b0e0", "#2060c0", "#60b070", "#208040"];

    public static void Run(string path, int disks)
    {
        YearResult[][][] all = Live(disks);
        for (int mean = 0; mean < s_weakDays.Length; mean++)
        {
            Print(s_weakDays[mean], all[mean]);
        }
        using StreamWriter svg = new(path);
        Draw(svg, all);
    }

    /// <summary>By mean of the time to death, then by configuration, then by disk.</summary>
    private static YearResult[][][] Live(int disks)
    {
        YearResult[][][] results =
        [
            .. s_weakDays.Select(_ => YearOptions.All.Select(_ => new YearResult[disks]).ToArray()),
        ];
        int[] seeds = [.. Enumerable.Range(1, int.MaxValue - 1)
            .Where(seed => YearPlan.ErrorsOf(FaultModel.Nearline, seed).Length <= ErrorsMax).Take(disks)];
        Console.WriteLine(
            $"{disks} disks, of the seeds 1 to {seeds[^1]} those with {ErrorsMax} errors at most");
        int done = 0;
        Parallel.For(0, disks, disk =>
        {
            YearPlan plan = YearPlan.Of(FaultModel.Nearline, seeds[disk]);
            for (int mean = 0; mean < s_weakDays.Length; mean++)
            {
                for (int i = 0; i < YearOptions.All.Count; i++)
                {
                    results[mean][i][disk] = YearRun.Of(plan, YearOptions.All[i], s_weakDays[mean]);
                }
            }
            int count = Interlocked.Increment(ref done);
            if (count % 20 == 0)
            {
                Console.Error.WriteLine($"{count} of {disks} disks");
            }
        });
        return results;
    }

    private static void Print(double weakDays, YearResult[][] results)
    {
        Console.WriteLine(weakDays == 0
            ? "\nWeak sectors never die:\n"
            : $"\nWeak sectors die, on average {Text(weakDays)} days after:\n");
        Console.WriteLine("| on | weak sectors that died unsaved | of one disk, 10 to 90 % | moved | "
            + "lost at the end | of those known | requests failed | over 1 s |");
        Console.WriteLine("|---|--:|--:|--:|--:|--:|--:|--:|");
        for (int i = 0; i < results.Length; i++)
        {
            YearResult[] disks = results[i];
            long deaths = disks.Sum(disk => (long)disk.Deaths);
            long unsaved = disks.Sum(disk => (long)disk.DiedUnsaved);
            long lost = disks.Sum(disk => (long)disk.Lost);
            long known = disks.Sum(disk => (long)disk.LostAndKnown);
            double[] shares = Shares(disks);
            string spread = shares.Length == 0
                ? "-"
                : $"{Percent(At(shares, 0.1))} to {Percent(At(shares, 0.9))}";
            string share = deaths == 0 ? "-" : $"{unsaved} ({Percent(unsaved / (double)deaths)})";
            Console.WriteLine($"| {YearOptions.All[i].Name} | {share} | {spread} | "
                + $"{disks.Sum(disk => disk.Moved)} | {lost} | "
                + $"{Percent(known / (double)Math.Max(1, lost))} | "
                + $"{disks.Sum(disk => disk.RequestsFailed)} | "
                + $"{disks.Sum(disk => disk.RequestsSlow)} |");
        }
        YearResult[] first = results[0];
        string unread = string.Join(
            ", ", results.Select(one => one.Sum(disk => (long)disk.GivenUpThoughReadable)));
        Console.WriteLine($"\n{first.Length} disks; {first.Sum(disk => (long)disk.Errors)} sectors went bad, "
            + $"{first.Sum(disk => (long)disk.Deaths)} weak ones died; {unread} given up that read; "
            + $"{results.Sum(one => one.Count(disk => disk.IsStorm))} storms");
    }

    /// <summary>Of each disk with ten deaths or more: the share that died unsaved, ascending.</summary>
    private static double[] Shares(YearResult[] disks) =>
    [
        .. disks.Where(disk => disk.Deaths >= 10)
            .Select(disk => disk.DiedUnsaved / (double)disk.Deaths).Order(),
    ];

    private static double At(double[] sorted, double quantile) =>
        sorted[(int)Math.Round(quantile * (sorted.Length - 1))];

    private static void Draw(StreamWriter svg, YearResult[][][] all)
    {
        double width = 1.7 * PlotPanel.Width;
        svg.WriteLine($"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{PlotPanel.Number(width)}\" "
            + $"height=\"{PlotPanel.Number(PlotPanel.Height)}\" font-family=\"sans-serif\">");
        svg.WriteLine("<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>");
        for (int i = 0; i < YearOptions.All.Count; i++)
        {
            int x = (int)PlotPanel.Width + 20;
            int y = 24 + (i * 20);
            svg.WriteLine(
                $"<rect x=\"{x}\" y=\"{y}\" width=\"12\" height=\"12\" fill=\"{s_colors[i]}\"/>");
            svg.WriteLine($"<text x=\"{x + 18}\" y=\"{y + 10}\" font-size=\"12\">"
                + $"{YearOptions.All[i].Name}</text>");
        }
        PlotPanel panel = new(
            svg, 0, 0, "Weak sectors that died before their content was elsewhere",
            "mean days from weak to dead", 1, 10);
        panel.Frame();
        panel.Columns(
        [
            .. s_weakDays.Where(days => days > 0).Select((days, mean) => (
                $"{Text(days)} days",
                all[mean].Select((disks, i) => (
                    disks.Sum(disk => (double)disk.DiedUnsaved)
                        / Math.Max(1, disks.Sum(disk => disk.Deaths)),
                    s_colors[i])).ToArray())),
        ]);
        svg.WriteLine("</svg>");
    }

    private static string Percent(double share) =>
        (share * 100).ToString("0.0", CultureInfo.InvariantCulture) + " %";

    private static string Text(double number) => number.ToString("0.##", CultureInfo.InvariantCulture);
}
