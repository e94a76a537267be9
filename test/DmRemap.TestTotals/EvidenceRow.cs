using System.Collections.Generic;
using System.Linq;
using System.Text.RegularExpressions;

namespace DmRemap.TestTotals;

/// <summary>
/// One row of a table in the documents that says how a demand is tested: `| id | the demand | evidence |`.
/// The last cell holds names of tests, `Class.Method`, in back-quotes; and, or instead, `later: WORK` or
/// `cannot apply: WHY`.
/// </summary>
/// <param name="Id">S1, D1, A1, F-1, N1 and so on.</param>
/// <param name="Evidence">The last cell.</param>
public sealed record EvidenceRow(string Id, string Evidence)
{
    private static readonly Regex s_row = new(@"^\| *((?:[SDAN]|F-)[0-9]+) *\|.*\|([^|]*)\| *$");
    private static readonly Regex s_name = new("`([A-Za-z0-9_]+\\.[A-Za-z0-9_]+)`");
    private static readonly Regex s_excuse = new(
        "(later: (metadata|data path|faults|kernel|operate)\\b|cannot apply: \\w+)");

    public IReadOnlyList<string> Tests { get; } =
        [.. s_name.Matches(Evidence).Select(match => match.Groups[1].Value)];

    /// <summary>
    /// Whether the cell names a test, or the work that brings it, or why there can be none.
    /// </summary>
    public bool SaysSomething => Tests.Count > 0 || s_excuse.IsMatch(Evidence);

    /// <summary>The rows of one document.</summary>
    public static IReadOnlyList<EvidenceRow> Parse(string document) =>
    [
        .. document.Split('\n').Select(line => s_row.Match(line)).Where(match => match.Success)
            .Select(match => new EvidenceRow(match.Groups[1].Value, match.Groups[2].Value.Trim())),
    ];

    /// <summary>What the rows claim and a run's results do not bear out, one line each.</summary>
    public static IEnumerable<string> Unproved(
        IEnumerable<EvidenceRow> rows, IEnumerable<TestOutcome> outcomes)
    {
        ILookup<string, TestOutcome> byName = outcomes.ToLookup(outcome => ClassAndMethod(outcome));
        foreach (EvidenceRow row in rows)
        {
            foreach (string test in row.Tests)
            {
                if (!byName.Contains(test))
                {
                    yield return $"{row.Id}: {test} did not run";
                }
                else if (byName[test].Any(outcome => outcome.Verdict == TestVerdict.Skipped))
                {
                    yield return $"{row.Id}: {test} was skipped";
                }
            }
        }
    }

    private static string ClassAndMethod(TestOutcome outcome) =>
        $"{outcome.Type[(outcome.Type.LastIndexOf('.') + 1)..]}.{outcome.Method}";
}
