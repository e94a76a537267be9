using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Security;

namespace DmRemap.Benchmarks.Faults;

/// <summary>
/// One panel of a picture: shares from 0 to 1 over something on a logarithmic scale. What is published is
/// drawn in red, what is generated in blue and green.
/// </summary>
internal sealed class PlotPanel(
    StreamWriter svg, double left, double top, string title, string axis, double from, double to)
{
    public const double Width = 340;
    public const double Height = 210;

    private const double PlotTop = 30;
    private const double PlotLeft = 40;
    private const double PlotWidth = Width - PlotLeft - 16;
    private const double PlotHeight = Height - PlotTop - 44;

    public static string Number(double value) => value.ToString("0.##", CultureInfo.InvariantCulture);

    public void Frame(params (double At, string Label)[] marks)
    {
        Text(left + PlotLeft, top + 16, title, 12, "start");
        Text(left + PlotLeft + (PlotWidth / 2), top + Height - 8, axis, 10, "middle");
        for (int i = 0; i <= 4; i++)
        {
            double y = Y(i / 4.0);
            string right = Number(left + PlotLeft + PlotWidth);
            svg.WriteLine($"<line x1=\"{Number(left + PlotLeft)}\" x2=\"{right}\" "
                + $"y1=\"{Number(y)}\" y2=\"{Number(y)}\" stroke=\"#e0e0e0\"/>");
            Text(left + PlotLeft - 5, y + 4, Number(i / 4.0), 10, "end");
        }
        foreach ((double at, string label) in marks)
        {
            Text(X(at), top + PlotTop + PlotHeight + 14, label, 10, "middle");
        }
    }

    /// <summary>The share of the samples that are at least x, or at most x.</summary>
    public void Curve(double[] samples, bool isAtLeast, string color, string dash)
    {
        double[] sorted = [.. samples.Order()];
        List<string> points = [];
        const int Steps = 200;
        for (int i = 0; i <= Steps; i++)
        {
            double x = from * Math.Pow(to / from, (double)i / Steps);
            double below = isAtLeast
                ? sorted.Count(sample => sample < x) / (double)sorted.Length
                : sorted.Count(sample => sample <= x) / (double)sorted.Length;
            points.Add($"{Number(X(x))},{Number(Y(isAtLeast ? 1 - below : below))}");
        }
        svg.WriteLine($"<polyline fill=\"none\" stroke=\"{color}\" stroke-width=\"1.6\" "
            + $"stroke-dasharray=\"{dash}\" points=\"{string.Join(' ', points)}\"/>");
    }

    /// <summary>A published share, or the range of several.</summary>
    public void Published(double at, double low, double high, string label)
    {
        svg.WriteLine($"<line x1=\"{Number(X(at))}\" x2=\"{Number(X(at))}\" y1=\"{Number(Y(low))}\" "
            + $"y2=\"{Number(Y(high))}\" stroke=\"#b00000\" stroke-width=\"3\"/>");
        svg.WriteLine($"<circle cx=\"{Number(X(at))}\" cy=\"{Number(Y((low + high) / 2))}\" r=\"4\" "
            + "fill=\"#b00000\"/>");
        bool isFarRight = X(at) > left + PlotLeft + (PlotWidth * 0.7);
        Text(
            X(at) + (isFarRight ? -8 : 8), Y((low + high) / 2) - 6, label, 10, isFarRight ? "end" : "start");
    }

    /// <summary>Columns beside each other: a label, then pairs of a height and a color.</summary>
    public void Columns(params (string Label, (double Height, string Color)[] Bars)[] groups)
    {
        double step = PlotWidth / groups.Length;
        for (int i = 0; i < groups.Length; i++)
        {
            double start = left + PlotLeft + (i * step);
            double width = step * 0.8 / groups[i].Bars.Length;
            for (int j = 0; j < groups[i].Bars.Length; j++)
            {
                (double height, string color) = groups[i].Bars[j];
                double x = start + (step * 0.1) + (j * width);
                svg.WriteLine($"<rect x=\"{Number(x)}\" y=\"{Number(Y(height))}\" "
                    + $"width=\"{Number(width - 1)}\" height=\"{Number(Y(0) - Y(height))}\" "
                    + $"fill=\"{color}\"/>");
            }
            Text(start + (step / 2), top + PlotTop + PlotHeight + 14, groups[i].Label, 9, "middle");
        }
    }

    private void Text(double x, double y, string text, int size, string anchor) => svg.WriteLine(
        $"<text x=\"{Number(x)}\" y=\"{Number(y)}\" font-size=\"{size}\" text-anchor=\"{anchor}\">"
            + $"{SecurityElement.Escape(text)}</text>");

    private double X(double value) =>
        left + PlotLeft + (PlotWidth * Math.Log(Math.Clamp(value, from, to) / from) / Math.Log(to / from));

    private double Y(double share) => top + PlotTop + (PlotHeight * (1 - share));
}
