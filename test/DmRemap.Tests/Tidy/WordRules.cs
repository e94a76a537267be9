using System;
using System.Collections.Generic;
using System.Text.RegularExpressions;

namespace DmRemap.Tests.Tidy;

/// <summary>
/// Words that must not be in a file of the repository. They are put together here from two halves, because
/// this file is searched too.
/// </summary>
internal static class WordRules
{
    private static readonly (Regex Pattern, string Reason)[] s_everywhere =
    [
        (Word("TO" + "DO"), "finish it, or write down elsewhere what is missing"),
        (Word("FIX" + "ME"), "finish it, or write down elsewhere what is missing"),
        (Word("HA" + "CK"), "say what it does instead"),
        (new Regex("/ho" + "me/[a-z]"), "a path of one person's machine"),
        (new Regex("/ro" + "ot/[.a-z]"), "a path of one person's machine"),
        (new Regex("/Us" + "ers/[A-Za-z]"), "a path of one person's machine"),
        (new Regex("(?<![A-Za-z0-9.])/wo" + "rk/"), "a path of one person's machine"),
        (new Regex("/tmp/(wt|pl" + "an)\\b"), "a path of one person's machine"),
        (new Regex("\\.\\./sha" + "red"), "a file that is not in the repository"),
        (new Regex("\\b(tick" + "et|assis" + "tant|copi" + "lot)s?\\b", RegexOptions.IgnoreCase),
            "how it was made, not what it is"),
    ];

    private static readonly (Regex Pattern, string Reason)[] s_code =
    [
        (Word("NotImplemented" + "Exception"), "no stub is called done"),
        (new Regex("Thread\\.Sl" + "eep"), "wait for the event, not for time"),
        (new Regex("Debug\\.Ass" + "ert"), "it vanishes where disks fail: Invariant.Check"),
    ];

    public static IEnumerable<string> InAnyFile(SourceFile file) => Find(file, s_everywhere);

    public static IEnumerable<string> InCode(SourceFile file) => Find(file, s_code);

    private static IEnumerable<string> Find(SourceFile file, (Regex Pattern, string Reason)[] rules)
    {
        string[] lines = file.Lines;
        for (int i = 0; i < lines.Length; i++)
        {
            foreach ((Regex pattern, string reason) in rules)
            {
                Match match = pattern.Match(lines[i]);
                if (match.Success)
                {
                    yield return $"{file.Path}:{i + 1}: `{match.Value}`: {reason}";
                }
            }
        }
    }

    private static Regex Word(string word) =>
        new($"\\b{word}\\b", RegexOptions.None, TimeSpan.FromSeconds(10));
}
