using System;
using System.Collections.Generic;
using System.Globalization;

namespace DmRemap.Core.Faults.Injection;

/// <summary>
/// Defects as text, a run of 512-byte sectors a line:
/// <code>FIRST[-LAST] [KIND] [tries=K] [delay=MS] [lasting]</code>
/// both ends included; `#` begins a comment. Without a kind they are pending. A physical sector that is
/// touched is bad as a whole.
/// </summary>
public static class DefectText
{
    /// <summary>What is written on one line, without comments; runs as they are, in sectors.</summary>
    public static string? TryParseLine(
        ReadOnlySpan<char> line, long sectors, out DefectRun run)
    {
        run = default;
        line = line.Trim();
        ReadOnlySpan<char> range = TakeWord(ref line);
        if (!TryParseRange(range, out long first, out long last))
        {
            return $"'{range}' is not FIRST or FIRST-LAST in 512-byte sectors, with FIRST not after LAST";
        }
        if (last >= sectors)
        {
            return $"'{range}' lies beyond the end of the disk, which has {sectors} sectors of "
                + $"{FaultRule.SectorBytes} bytes (0 to {sectors - 1})";
        }
        Defect defect = new() { Kind = DefectKind.Pending };
        bool hasTries = false;
        bool isFirstWord = true;
        while (!line.IsEmpty)
        {
            ReadOnlySpan<char> word = TakeWord(ref line);
            string? error = ParseWord(word, isFirstWord, ref defect, ref hasTries);
            if (error is not null)
            {
                return error;
            }
            isFirstWord = false;
        }
        if (defect.Kind == DefectKind.Weak && !hasTries)
        {
            defect.TriesLeft = 1;
        }
        if (defect.Kind != DefectKind.Weak && hasTries)
        {
            return "tries= belongs to weak sectors";
        }
        if (defect.IsLasting && !DefectKinds.IsEndedByWrites(defect.Kind))
        {
            return $"{DefectKinds.NameOf(defect.Kind)} is lasting by itself: no write ends it";
        }
        run = new DefectRun(first, last, defect);
        return null;
    }

    /// <summary>Every run of the text, or the first errors in it; never some of both.</summary>
    public static DefectsParsed Parse(string text, long sectors)
    {
        List<DefectRun> runs = [];
        List<FaultRuleError> errors = [];
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
            string? error = TryParseLine(line, sectors, out DefectRun run);
            if (error is null)
            {
                runs.Add(run);
                continue;
            }
            errors.Add(new FaultRuleError(number, error));
            if (errors.Count == DefectsParsed.ErrorsMax)
            {
                break;
            }
        }
        return errors.Count > 0 ? new DefectsParsed([], errors) : new DefectsParsed(runs, []);
    }

    /// <summary>As a line that parses to an equal run.</summary>
    public static string Of(DefectRun run)
    {
        string range = run.First == run.Last
            ? run.First.ToString(CultureInfo.InvariantCulture)
            : string.Create(CultureInfo.InvariantCulture, $"{run.First}-{run.Last}");
        string tries = run.Defect.Kind == DefectKind.Weak
            ? string.Create(CultureInfo.InvariantCulture, $" tries={run.Defect.TriesLeft}")
            : "";
        string delay = run.Defect.DelayMilliseconds > 0
            ? string.Create(CultureInfo.InvariantCulture, $" delay={run.Defect.DelayMilliseconds}")
            : "";
        string lasting = run.Defect.IsLasting ? " lasting" : "";
        return $"{range} {DefectKinds.NameOf(run.Defect.Kind)}{tries}{delay}{lasting}";
    }

    internal static bool TryParseNumber(ReadOnlySpan<char> text, long max, out long number) =>
        long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out number) && number <= max;

    private static string? ParseWord(
        ReadOnlySpan<char> word, bool isFirst, ref Defect defect, ref bool hasTries)
    {
        if (isFirst && DefectKinds.TryParse(word, out DefectKind kind))
        {
            defect.Kind = kind;
            return null;
        }
        const int DelayMax = 24 * 60 * 60 * 1000;
        if (word.StartsWith("tries=") && TryParseNumber(word["tries=".Length..], 1000, out long tries))
        {
            defect.TriesLeft = (int)tries;
            hasTries = true;
            return null;
        }
        if (word.StartsWith("delay=") && TryParseNumber(word["delay=".Length..], DelayMax, out long delay))
        {
            defect.DelayMilliseconds = (int)delay;
            return null;
        }
        if (word.SequenceEqual("lasting"))
        {
            defect.IsLasting = true;
            return null;
        }
        string kinds = string.Join(", ", DefectKinds.Names);
        return $"'{word}' is not a kind ({kinds}), tries=K (at most 1000), delay=MS (at most a day) "
            + "or lasting";
    }

    private static bool TryParseRange(ReadOnlySpan<char> range, out long first, out long last)
    {
        const long SectorsMax = long.MaxValue / FaultRule.SectorBytes;
        int dash = range.IndexOf('-');
        last = 0;
        if (dash < 0)
        {
            bool isNumber = TryParseNumber(range, SectorsMax, out first);
            last = first;
            return isNumber;
        }
        return TryParseNumber(range[..dash], SectorsMax, out first)
            && TryParseNumber(range[(dash + 1)..], SectorsMax, out last)
            && first <= last;
    }

    private static ReadOnlySpan<char> TakeWord(ref ReadOnlySpan<char> line)
    {
        int end = line.IndexOfAny(' ', '\t');
        ReadOnlySpan<char> word = end < 0 ? line : line[..end];
        line = end < 0 ? [] : line[end..].TrimStart();
        return word;
    }
}

/// <param name="First">In 512-byte sectors.</param>
/// <param name="Last">Included.</param>
/// <param name="Defect">Of each of them.</param>
public readonly record struct DefectRun(long First, long Last, Defect Defect)
{
    /// <summary>The physical sectors that it touches, at most as many as may be added at once.</summary>
    public static bool TryPlace(IReadOnlyList<DefectRun> runs, int physicalSectors, List<PlacedDefect> placed)
    {
        foreach (DefectRun run in runs)
        {
            long first = run.First / physicalSectors;
            long last = run.Last / physicalSectors;
            if (last - first >= DefectMap.DefectsMax - placed.Count)
            {
                return false;
            }
            for (long each = first; each <= last; each++)
            {
                placed.Add(new PlacedDefect(each, run.Defect));
            }
        }
        return true;
    }
}

/// <param name="Runs">In the order of the text; empty when there are errors.</param>
/// <param name="Errors">In the order of the text.</param>
public sealed record DefectsParsed(IReadOnlyList<DefectRun> Runs, IReadOnlyList<FaultRuleError> Errors)
{
    /// <summary>The rest would say the same.</summary>
    public const int ErrorsMax = 20;

    public bool IsOk => Errors.Count == 0;

    /// <summary>What else there is to know of the text; empty: nothing.</summary>
    public string Note { get; init; } = "";
}
