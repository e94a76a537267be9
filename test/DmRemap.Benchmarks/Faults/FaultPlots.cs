using System;
using System.IO;
using DmRemap.Core.Faults.Injection.Models;

namespace DmRemap.Benchmarks.Faults;

/// <summary>
/// `-- faults FILE`: what the models generate beside what is published, as one picture. docs/fault-models.md
/// shows it, and says where each number is from.
/// </summary>
internal static class FaultPlots
{
    private const string Nearline = "#2060c0";
    private const string Enterprise = "#208040";
    private const string Published = "#b00000";
    private const int Margin = 34;

    public static void Run(string path)
    {
        FaultSamples nearline = new(FaultModel.Nearline);
        FaultSamples enterprise = new(FaultModel.Enterprise);
        using StreamWriter svg = new(path);
        double width = 2 * PlotPanel.Width;
        double height = (3 * PlotPanel.Height) + Margin;
        svg.WriteLine($"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{PlotPanel.Number(width)}\" "
            + $"height=\"{PlotPanel.Number(height)}\" font-family=\"sans-serif\">");
        svg.WriteLine("<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>");
        Legend(svg);
        DrawCounts(new PlotPanel(
            svg, 0, Margin, "Disks with at least n errors", "errors of an affected disk", 1, 20_000),
            nearline, enterprise);
        DrawMonth(new PlotPanel(
            svg, PlotPanel.Width, Margin, "More errors within a month of the first", "", 1, 10),
            nearline, enterprise);
        DrawGaps(new PlotPanel(
            svg, 0, Margin + PlotPanel.Height, "Time to the next error, in a burst", "seconds", 1, 1e6),
            nearline, enterprise);
        DrawDistances(new PlotPanel(
            svg, PlotPanel.Width, Margin + PlotPanel.Height, "Distance to the next error", "bytes", 4096,
            1e12), nearline, enterprise);
        DrawTenths(new PlotPanel(
            svg, 0, Margin + (2 * PlotPanel.Height), "First errors by tenths of the disk", "", 1, 10),
            nearline, enterprise);
        svg.WriteLine("</svg>");
        Console.WriteLine($"{path}: {FaultSamples.Disks} affected disks of each model");
    }

    private static void Legend(StreamWriter svg)
    {
        (string Color, string Text)[] entries =
        [
            (Nearline, "generated, nearline"), (Enterprise, "generated, enterprise"),
            (Published, "published"),
        ];
        for (int i = 0; i < entries.Length; i++)
        {
            int x = 20 + (i * 170);
            svg.WriteLine(
                $"<rect x=\"{x}\" y=\"12\" width=\"12\" height=\"12\" fill=\"{entries[i].Color}\"/>");
            svg.WriteLine($"<text x=\"{x + 18}\" y=\"22\" font-size=\"12\">{entries[i].Text}</text>");
        }
    }

    private static void DrawCounts(PlotPanel panel, FaultSamples nearline, FaultSamples enterprise)
    {
        panel.Frame((1, "1"), (10, "10"), (50, "50"), (1000, "1000"), (10_000, "10,000"));
        panel.Curve(nearline.Counts, isAtLeast: true, Nearline, "none");
        panel.Curve(enterprise.Counts, isAtLeast: true, Enterprise, "4 3");
        panel.Published(50, 0.18, 0.2, "below 0.2 at 50");
        panel.Published(1000, 0.05, 0.066, "0.058 at 1000");
    }

    private static void DrawMonth(PlotPanel panel, FaultSamples nearline, FaultSamples enterprise)
    {
        panel.Frame();
        panel.Columns(
            ("nearline, 1 more", [(nearline.MoreWithinMonth(1), Nearline), (0.548, Published)]),
            ("50 more", [(nearline.MoreWithinMonth(50), Nearline), (0.05, Published)]),
            ("enterprise, 1 more", [(enterprise.MoreWithinMonth(1), Enterprise), (0.620, Published)]),
            ("50 more", [(enterprise.MoreWithinMonth(50), Enterprise), (0.10, Published)]));
    }

    private static void DrawGaps(PlotPanel panel, FaultSamples nearline, FaultSamples enterprise)
    {
        panel.Frame((1, "1"), (60, "minute"), (3600, "hour"), (86_400, "day"), (604_800, "week"));
        panel.Curve(nearline.Gaps, isAtLeast: false, Nearline, "none");
        panel.Curve(enterprise.Gaps, isAtLeast: false, Enterprise, "4 3");
        panel.Published(60, 0.4, 0.8, "0.4 to 0.8 within a minute");
    }

    private static void DrawDistances(PlotPanel panel, FaultSamples nearline, FaultSamples enterprise)
    {
        panel.Frame((51_200, "100 sectors"), (1e7, "10 MB"), (1e9, "1 GB"), (1e12, "1 TB"));
        panel.Curve(nearline.Distances, isAtLeast: false, Nearline, "none");
        panel.Curve(enterprise.Distances, isAtLeast: false, Enterprise, "4 3");
        panel.Published(1e7, 0.5, 0.65, "0.5, many models above 0.6");
    }

    private static void DrawTenths(PlotPanel panel, FaultSamples nearline, FaultSamples enterprise)
    {
        panel.Frame();
        (string, (double, string)[])[] groups = new (string, (double, string)[])[10];
        for (int i = 0; i < groups.Length; i++)
        {
            (double, string)[] bars = i == 0
                ? [(nearline.Tenths[i], Nearline), (enterprise.Tenths[i], Enterprise), (0.5, Published),
                    (0.2, "#e08080")]
                : [(nearline.Tenths[i], Nearline), (enterprise.Tenths[i], Enterprise)];
            groups[i] = ($"{i + 1}.", bars);
        }
        panel.Columns(groups);
    }
}
