using System;
using System.Collections.Generic;
using System.Globalization;

namespace DmRemap.TestTotals;

/// <summary>
/// What a test script leaves behind, one line for each test: `passed NAME`, `failed NAME: WHY`, `skipped
/// NAME: WHY`, and as its very last line `done N`, N being the number of lines above: a script that died
/// half-way has none.
/// </summary>
public static class ScriptResult
{
    /// <exception cref="ResultFormatException">Cut short, or a line of unknown form.</exception>
    public static IReadOnlyList<TestOutcome> Parse(string text)
    {
        List<TestOutcome> tests = [];
        int done = -1;
        foreach (string line in text.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            if (done >= 0)
            {
                throw new ResultFormatException("something follows the last line: " + line);
            }

            int space = line.IndexOf(' ', StringComparison.Ordinal);
            string rest = space < 0 ? "" : line[(space + 1)..];
            if (rest.Length == 0)
            {
                throw new ResultFormatException("not a result line: " + line);
            }

            if (line.StartsWith("done ", StringComparison.Ordinal))
            {
                done = ParseCount(rest);
                continue;
            }

            tests.Add(ParseTest(line[..space], rest));
        }

        if (done != tests.Count)
        {
            throw new ResultFormatException(
                $"{tests.Count} results, but the last line says {done} (-1: there is none)");
        }

        return tests;
    }

    private static int ParseCount(string text) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int count)
            ? count
            : throw new ResultFormatException("not a number: " + text);

    private static TestOutcome ParseTest(string word, string rest)
    {
        int colon = rest.IndexOf(": ", StringComparison.Ordinal);
        string name = colon < 0 ? rest : rest[..colon];
        string message = colon < 0 ? "" : rest[(colon + 2)..];
        TestVerdict verdict = word switch
        {
            "passed" => TestVerdict.Passed,
            "failed" => TestVerdict.Failed,
            "skipped" => TestVerdict.Skipped,
            _ => throw new ResultFormatException("not a result line: " + word),
        };
        if (verdict == TestVerdict.Skipped && message.Length == 0)
        {
            throw new ResultFormatException("a skip without a reason: " + name);
        }

        return new TestOutcome(name, "", name, verdict, message);
    }
}
