using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;

namespace DmRemap.TestTotals;

/// <summary>
/// `DmRemap.TestTotals DIRECTORY [--filtered] [--no-skips] [DOCUMENT.md …] STEP=EXITCODE …`: adds up the
/// steps' result files, checks that the tests named in the documents' tables are among those that ran, and
/// prints what failed and what was skipped and why; the last line, alone, is `N passed, N failed, N skipped`.
/// Exit code 0 only if nothing failed.
/// </summary>
internal static class Program
{
    private const int ExitFailed = 1;
    private const int ExitUsage = 2;

    private static int Main(string[] arguments)
    {
        if (arguments.Length == 0 || !Directory.Exists(arguments[0]))
        {
            Console.Error.WriteLine(
                "usage: DmRemap.TestTotals DIRECTORY [--filtered] [--no-skips] STEP=EXITCODE ...");
            return ExitUsage;
        }

        bool filtered = Array.IndexOf(arguments, "--filtered") > 0;
        bool noSkips = Array.IndexOf(arguments, "--no-skips") > 0;
        RunReport report = new(filtered ? RunScope.Filtered : RunScope.Everything);
        List<string> documents = [];
        foreach (string argument in arguments.AsSpan(1))
        {
            if (argument.EndsWith(".md", StringComparison.Ordinal))
            {
                documents.Add(File.ReadAllText(argument));
            }
            else if (argument is not ("--filtered" or "--no-skips")
                && !TryAddStep(report, arguments[0], argument))
            {
                Console.Error.WriteLine("not STEP=EXITCODE: " + argument);
                return ExitUsage;
            }
        }

        if (documents.Count > 0)
        {
            report.AddEvidence(documents);
        }

        report.Finish();
        Print(report);
        return report.Totals.Failed > 0 || (noSkips && report.Totals.Skipped > 0) ? ExitFailed : 0;
    }

    private static bool TryAddStep(RunReport report, string directory, string argument)
    {
        int equals = argument.LastIndexOf('=');
        if (equals < 1
            || !int.TryParse(argument.AsSpan(equals + 1), CultureInfo.InvariantCulture, out int code))
        {
            return false;
        }

        report.AddStep(directory, argument[..equals], code);
        return true;
    }

    private static void Print(RunReport report)
    {
        foreach (TestOutcome test in report.Tests)
        {
            if (test.Verdict == TestVerdict.Skipped)
            {
                Console.WriteLine($"skipped: {test.Name}: {test.Message}");
            }
        }

        foreach (TestOutcome test in report.Tests)
        {
            if (test.Verdict is TestVerdict.Failed or TestVerdict.Unknown)
            {
                Console.WriteLine($"FAILED: {test.Name}: {FirstLine(test.Message)}");
            }
        }

        foreach (string problem in report.Problems)
        {
            Console.WriteLine("FAILED: " + problem);
        }

        Console.WriteLine(report.Totals);
    }

    private static string FirstLine(string message)
    {
        int end = message.IndexOf('\n', StringComparison.Ordinal);
        return end < 0 ? message : message[..end];
    }
}
