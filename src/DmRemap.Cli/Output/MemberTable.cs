using System;
using System.IO;
using DmRemap.Control.Contracts;

namespace DmRemap.Cli.Output;

/// <summary>
/// The members, one a line. A path that is too long for its column gets a line of its own: it is never
/// shortened, since people copy it.
/// </summary>
internal sealed class MemberTable(TextWriter writer, int width)
{
    private const string Indent = "  ";

    /// <summary>Every column but the path, with the spaces between them.</summary>
    private const int OtherColumnsWidth = 2 + 1 + 8 + 1 + 8 + 1 + 6 + 1 + 6 + 1 + 6 + 2 + 14;

    /// <summary>Over the three columns that count errors, to their width.</summary>
    private const string ErrorsHead = "------ ERRORS ------";

    private readonly int _pathWidth = Math.Max(12, width - OtherColumnsWidth);

    public void WriteHead()
    {
        string before = $"{Indent}{"".PadRight(_pathWidth)} {"",-8} {"",-8} ";
        writer.WriteLine(before + ErrorsHead);
        WriteCells("MEMBER", "ROLE", "STATE", "READ", "WRITE", "FLUSH", "SPARE UNITS");
    }

    public void WriteRow(string path, string role, string state, MemberErrors? errors, string units)
    {
        string shown = path;
        if (path.Length > _pathWidth)
        {
            writer.WriteLine($"{Indent}{path}");
            shown = "";
        }
        WriteCells(
            shown,
            role,
            state,
            errors is null ? "-" : Amounts.Count(errors.Reads),
            errors is null ? "-" : Amounts.Count(errors.Writes),
            errors is null ? "-" : Amounts.Count(errors.Flushes),
            units);
    }

    private void WriteCells(
        string path, string role, string state, string reads, string writes, string flushes, string units)
    {
        string line = $"{Indent}{path.PadRight(_pathWidth)} {role,-8} {state,-8} "
            + $"{reads,6} {writes,6} {flushes,6}  {units}";
        writer.WriteLine(line.TrimEnd());
    }
}
