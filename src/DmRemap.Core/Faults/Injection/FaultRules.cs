using System;
using System.Collections.Generic;
using System.Globalization;

namespace DmRemap.Core.Faults.Injection;

/// <summary>
/// The text form of fault rules, one a line:
/// <code>FIRST[-LAST] read|write|both [after=OPS] [tries=K] [errno=NAME] [delay=MS]</code>
/// in 512-byte sectors, both ends included; `#` begins a comment. A request of that direction that touches
/// one of the sectors fails as a whole and transfers nothing, once `after` such requests have passed; with
/// `tries` it works again after K faults. `errno` is EIO unless named; errno=OK only delays.
/// </summary>
public static class FaultRules
{
    public const int RulesMax = 4096;

    private const long SectorsMax = long.MaxValue / FaultRule.SectorBytes;
    private const long DelayMillisecondsMax = 24L * 60 * 60 * 1000;

    /// <summary>As below, for a disk of any size.</summary>
    public static FaultRulesParsed Parse(string text) => Parse(text, long.MaxValue);

    /// <summary>
    /// Every rule of the text, or every error in it; never some of both. A rule for sectors that the disk
    /// does not have would do nothing, or less than it says: it is an error.
    /// </summary>
    public static FaultRulesParsed Parse(string text, long sectors)
    {
        List<FaultRule> rules = [];
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
            string? error = TryParseLine(line, out FaultRule? rule) ?? FindBeyondEnd(rule!, sectors);
            if (error is not null)
            {
                errors.Add(new FaultRuleError(number, error));
            }
            else if (rules.Count == RulesMax)
            {
                errors.Add(new FaultRuleError(number, $"more than {RulesMax} rules"));
                break;
            }
            else
            {
                rules.Add(rule!);
            }
        }
        return errors.Count > 0 ? new FaultRulesParsed([], errors) : new FaultRulesParsed(rules, []);
    }

    /// <returns>Null, or what is wrong with the line.</returns>
    private static string? TryParseLine(ReadOnlySpan<char> line, out FaultRule? rule)
    {
        rule = null;
        ReadOnlySpan<char> range = TakeWord(ref line);
        if (!TryParseRange(range, out long first, out long last))
        {
            return $"'{range}' is not FIRST or FIRST-LAST in 512-byte sectors, with FIRST not after LAST";
        }
        ReadOnlySpan<char> word = TakeWord(ref line);
        if (word.IsEmpty)
        {
            return "which requests is missing: read, write or both";
        }
        FaultDirections directions = word switch
        {
            "read" => FaultDirections.Read,
            "write" => FaultDirections.Write,
            "both" => FaultDirections.Both,
            _ => FaultDirections.None,
        };
        if (directions == FaultDirections.None)
        {
            return $"'{word}' is not read, write or both";
        }
        FaultRule parsed = new() { FirstSector = first, LastSector = last, Directions = directions };
        HashSet<string> given = [];
        while (!line.IsEmpty)
        {
            ReadOnlySpan<char> option = TakeWord(ref line);
            string? error = ParseOption(option, ref parsed);
            if (error is not null)
            {
                return error;
            }
            string name = option[..option.IndexOf('=')].ToString();
            if (!given.Add(name))
            {
                return $"{name} is given twice";
            }
        }
        if (parsed.Errno == 0 && parsed.DelayMilliseconds == 0)
        {
            return "errno=OK without a delay does nothing";
        }
        rule = parsed;
        return null;
    }

    /// <returns>Null, or where the disk ends.</returns>
    private static string? FindBeyondEnd(FaultRule rule, long sectors)
    {
        if (rule.LastSector < sectors)
        {
            return null;
        }
        string lies = rule.FirstSector < sectors ? "reaches" : "lies";
        return $"'{rule}' {lies} beyond the end of the disk, which has {sectors} sectors of "
            + $"{FaultRule.SectorBytes} bytes (0 to {sectors - 1})";
    }

    private static string? ParseOption(ReadOnlySpan<char> option, ref FaultRule rule)
    {
        int equals = option.IndexOf('=');
        ReadOnlySpan<char> name = equals < 0 ? option : option[..equals];
        ReadOnlySpan<char> value = equals < 0 ? [] : option[(equals + 1)..];
        long number;
        switch (name)
        {
            case "after" when TryParseNumber(value, long.MaxValue, out number):
                rule = rule with { After = number };
                return null;
            case "tries" when TryParseNumber(value, long.MaxValue, out number) && number > 0:
                rule = rule with { Tries = number };
                return null;
            case "delay" when TryParseNumber(value, DelayMillisecondsMax, out number):
                rule = rule with { DelayMilliseconds = number };
                return null;
            case "errno" when FaultErrno.TryParse(value, out int errno):
                rule = rule with { Errno = errno };
                return null;
            case "after":
                return $"'{option}' is not after=OPS (a number of requests)";
            case "tries":
                return $"'{option}' is not tries=K (a number of faults, at least 1)";
            case "delay":
                return $"'{option}' is not delay=MS (milliseconds, at most a day)";
            case "errno":
                return $"'{option}' is not errno=NAME with one of {string.Join(", ", FaultErrno.Names)}";
            default:
                return $"'{option}' is not after=OPS, tries=K, errno=NAME or delay=MS";
        }
    }

    private static bool TryParseRange(ReadOnlySpan<char> range, out long first, out long last)
    {
        last = 0;
        int dash = range.IndexOf('-');
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

    private static bool TryParseNumber(ReadOnlySpan<char> text, long max, out long number) =>
        long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out number) && number <= max;

    private static ReadOnlySpan<char> TakeWord(ref ReadOnlySpan<char> line)
    {
        int end = line.IndexOfAny(' ', '\t');
        ReadOnlySpan<char> word = end < 0 ? line : line[..end];
        line = end < 0 ? [] : line[end..].TrimStart();
        return word;
    }
}

/// <param name="Rules">In the order of the text; empty when there are errors.</param>
/// <param name="Errors">In the order of the text.</param>
public sealed record FaultRulesParsed(IReadOnlyList<FaultRule> Rules, IReadOnlyList<FaultRuleError> Errors)
{
    public bool IsOk => Errors.Count == 0;
}

/// <param name="Line">From 1.</param>
/// <param name="Message">What is wrong with it.</param>
public sealed record FaultRuleError(int Line, string Message)
{
    /// <summary>Shape: "line 3: 'wirte' is not read, write or both".</summary>
    public override string ToString() => $"line {Line}: {Message}";
}
