namespace DmRemap.TestTotals;

/// <summary>What a result file says of one test.</summary>
public enum TestVerdict
{
    /// <summary>Anything this program does not know: counted as failed, since it was not a pass.</summary>
    Unknown = 0,
    Passed = 1,
    Failed = 2,
    Skipped = 3,
}

/// <summary>One test of one result file.</summary>
/// <param name="Name">The test's display name; a theory's row carries its arguments in parentheses.</param>
/// <param name="Type">The class that holds it, with its namespace.</param>
/// <param name="Method">The method, without arguments.</param>
/// <param name="Verdict">What came out.</param>
/// <param name="Message">Why it failed or was skipped; empty for a pass.</param>
public sealed record TestOutcome(string Name, string Type, string Method, TestVerdict Verdict,
    string Message);
