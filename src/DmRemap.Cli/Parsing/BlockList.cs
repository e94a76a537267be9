using System;
using System.Collections.Generic;
using System.Globalization;

namespace DmRemap.Cli.Parsing;

/// <summary>
/// Bad places in a text: FIRST or FIRST-LAST a line, both included; what follows a # and empty lines say
/// nothing. What badblocks writes, one number a line, is of this form.
/// </summary>
internal static class BlockList
{
    public const int RunsMax = 1_000_000;

    /// <summary>Bytes of a list that are read at most.</summary>
    public const int BytesMax = 64 << 20;

    /// <summary>
    /// Ascending, without overlaps, neighbours joined. Null and a line's number with why, where a line is not
    /// of the form.
    /// </summary>
    public static List<RunText>? TryParse(string text, out string why)
    {
        List<RunText> runs = [];
        int number = 0;
        foreach (ReadOnlySpan<char> raw in text.AsSpan().EnumerateLines())
        {
            number++;
            int comment = raw.IndexOf('#');
            ReadOnlySpan<char> line = (comment < 0 ? raw : raw[..comment]).Trim();
            if (line.IsEmpty)
            {
                continue;
            }
            bool isRun = RunText.TryParse(line.ToString(), out RunText run);
            if (!isRun || runs.Count == RunsMax)
            {
                why = string.Create(
                    CultureInfo.InvariantCulture,
                    $"line {number}: {(isRun ? $"there are more than {RunsMax} runs" : RunText.Form)}");
                return null;
            }
            runs.Add(run);
        }
        why = runs.Count == 0 ? "it lists nothing" : "";
        return runs.Count == 0 ? null : Merge(runs);
    }

    private static List<RunText> Merge(List<RunText> runs)
    {
        runs.Sort((left, right) => left.First.CompareTo(right.First));
        List<RunText> merged = [];
        foreach (RunText run in runs)
        {
            if (merged.Count > 0 && run.First - 1 <= merged[^1].Last)
            {
                merged[^1] = new RunText(merged[^1].First, Math.Max(merged[^1].Last, run.Last));
            }
            else
            {
                merged.Add(run);
            }
        }
        return merged;
    }
}
