using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Security;

namespace DmRemap.Benchmarks.Serving;

/// <summary>
/// How many times the others' requests dmremap answers, as a picture: a dot for each round, a bar from lower
/// to upper quartile, a mark at the goal. The scale is logarithmic, so that twice and half are equally far.
/// </summary>
internal static class RatioPlot
{
    private const int LabelWidth = 330;
    private const int PlotWidth = 480;
    private const int RowHeight = 22;
    private const int Top = 46;

    public static void Write(string path, string title, Comparison comparison, IReadOnlyList<Goal> goals)
    {
        List<(Goal Goal, double[] Ratios)> rows =
            [.. goals.Select(goal => (goal, comparison.RatiosAgainst(goal.Workload, goal.Competitor)))];
        double most = rows.SelectMany(row => row.Ratios).Append(4).Max();
        double least = rows.SelectMany(row => row.Ratios).Append(0.5).Min();
        Scale scale = new(Math.Log2(least) - 0.1, Math.Log2(most) + 0.1);
        int height = Top + (rows.Count * RowHeight) + 30;
        using StreamWriter svg = new(path);
        svg.WriteLine($"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{LabelWidth + PlotWidth + 20}\" "
            + $"height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">");
        svg.WriteLine("<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>");
        svg.WriteLine($"<text x=\"8\" y=\"18\" font-size=\"14\">{SecurityElement.Escape(title)}</text>");
        WriteGrid(svg, scale, height);
        for (int i = 0; i < rows.Count; i++)
        {
            WriteRow(svg, scale, Top + (i * RowHeight) + (RowHeight / 2), rows[i].Goal, rows[i].Ratios);
        }
        svg.WriteLine("</svg>");
    }

    private static void WriteGrid(StreamWriter svg, in Scale scale, int height)
    {
        for (int power = (int)Math.Ceiling(scale.From); power <= scale.To; power++)
        {
            double times = Math.Pow(2, power);
            string x = Number(scale.At(times));
            string colour = power == 0 ? "#000000" : "#d0d0d0";
            svg.WriteLine($"<line x1=\"{x}\" x2=\"{x}\" y1=\"{Top - 8}\" y2=\"{height - 24}\" "
                + $"stroke=\"{colour}\"/>");
            svg.WriteLine(
                $"<text x=\"{x}\" y=\"{height - 8}\" text-anchor=\"middle\">{Number(times)}x</text>");
        }
    }

    private static void WriteRow(StreamWriter svg, in Scale scale, int y, Goal goal, double[] ratios)
    {
        Quartiles quartiles = Quartiles.Of(ratios);
        string label = $"{goal.Workload.Name} / {goal.Competitor}";
        svg.WriteLine($"<text x=\"8\" y=\"{y + 4}\">{SecurityElement.Escape(label)}</text>");
        double from = scale.At(quartiles.Lower);
        bool isMet = quartiles.Lower >= goal.Ratio;
        svg.WriteLine($"<rect x=\"{Number(from)}\" y=\"{y - 6}\" height=\"12\" "
            + $"width=\"{Number(Math.Max(2, scale.At(quartiles.Upper) - from))}\" "
            + $"fill=\"{(isMet ? "#8fc98f" : "#e0a070")}\"/>");
        foreach (double ratio in ratios)
        {
            string x = Number(scale.At(ratio));
            svg.WriteLine($"<circle cx=\"{x}\" cy=\"{y}\" r=\"2\" fill=\"#303030\"/>");
        }
        string mark = Number(scale.At(goal.Ratio));
        svg.WriteLine($"<line x1=\"{mark}\" x2=\"{mark}\" y1=\"{y - 9}\" y2=\"{y + 9}\" stroke=\"#b00000\" "
            + "stroke-width=\"2\"/>");
    }

    private static string Number(double value) => value.ToString("0.##", CultureInfo.InvariantCulture);

    /// <summary>Powers of two, from the left edge of the plot to the right one.</summary>
    private readonly record struct Scale(double From, double To)
    {
        public double At(double times) => LabelWidth
            + (PlotWidth * (Math.Log2(Math.Max(times, 1e-3)) - From) / (To - From));
    }
}
