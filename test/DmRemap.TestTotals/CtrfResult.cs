using System.Collections.Generic;
using System.Text.Json;

namespace DmRemap.TestTotals;

/// <summary>One CTRF file, as `dotnet test --report-ctrf` writes it for one test assembly.</summary>
public sealed class CtrfResult
{
    private CtrfResult(IReadOnlyList<TestOutcome> tests, Totals totals)
    {
        Tests = tests;
        Totals = totals;
    }

    public IReadOnlyList<TestOutcome> Tests { get; }

    public Totals Totals { get; }

    /// <summary>Reads a file's text. The summary must agree with the tests it summarises.</summary>
    /// <exception cref="ResultFormatException">Not a complete CTRF report.</exception>
    public static CtrfResult Parse(string text)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(text);
            JsonElement results = document.RootElement.GetProperty("results");
            List<TestOutcome> tests = [];
            foreach (JsonElement test in results.GetProperty("tests").EnumerateArray())
            {
                tests.Add(ParseTest(test));
            }

            Totals totals = ParseSummary(results.GetProperty("summary"));
            Totals counted = Count(tests);
            if (counted != totals)
            {
                throw new ResultFormatException($"the summary says {totals}, the tests say {counted}");
            }

            return new CtrfResult(tests, totals with { Failed = totals.Failed + CountErrors(results) });
        }
        catch (JsonException error)
        {
            throw new ResultFormatException("not complete JSON: " + error.Message, error);
        }
        catch (KeyNotFoundException error)
        {
            throw new ResultFormatException("a part of the report is missing: " + error.Message, error);
        }
        catch (System.InvalidOperationException error)
        {
            throw new ResultFormatException("a part of the report has the wrong form: " + error.Message,
                error);
        }
    }

    private static TestOutcome ParseTest(JsonElement test)
    {
        string name = test.GetProperty("name").GetString() ?? "";
        JsonElement extra = test.GetProperty("extra");
        TestVerdict verdict = test.GetProperty("status").GetString() switch
        {
            "passed" => TestVerdict.Passed,
            "failed" => TestVerdict.Failed,
            "skipped" => TestVerdict.Skipped,
            _ => TestVerdict.Unknown,
        };
        string message = verdict == TestVerdict.Skipped ? Text(extra, "reason") : Text(test, "message");
        return new TestOutcome(name, Text(extra, "type"), Text(extra, "method"), verdict, message);
    }

    private static Totals ParseSummary(JsonElement summary)
    {
        int failed = summary.GetProperty("failed").GetInt32()
            + summary.GetProperty("pending").GetInt32()
            + summary.GetProperty("other").GetInt32();
        return new Totals(
            summary.GetProperty("passed").GetInt32(), failed, summary.GetProperty("skipped").GetInt32());
    }

    private static Totals Count(List<TestOutcome> tests)
    {
        Totals totals = default;
        foreach (TestOutcome test in tests)
        {
            totals += test.Verdict switch
            {
                TestVerdict.Passed => new Totals(1, 0, 0),
                TestVerdict.Skipped => new Totals(0, 0, 1),
                TestVerdict.Failed or TestVerdict.Unknown or _ => new Totals(0, 1, 0),
            };
        }

        return totals;
    }

    /// <summary>
    /// Errors outside any test (a fixture's clean-up, an assembly that would not load): failures too.
    /// </summary>
    private static int CountErrors(JsonElement results)
    {
        int errors = 0;
        if (results.TryGetProperty("extra", out JsonElement extra)
            && extra.TryGetProperty("suites", out JsonElement suites))
        {
            foreach (JsonElement suite in suites.EnumerateArray())
            {
                errors += suite.TryGetProperty("errors", out JsonElement list) ? list.GetArrayLength() : 0;
            }
        }

        return errors;
    }

    private static string Text(JsonElement element, string property) =>
        element.TryGetProperty(property, out JsonElement value) && value.ValueKind == JsonValueKind.String
            ? value.GetString() ?? ""
            : "";
}
