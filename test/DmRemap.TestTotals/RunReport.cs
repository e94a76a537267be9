using System;
using System.Collections.Generic;
using System.IO;

namespace DmRemap.TestTotals;

/// <summary>Whether every test was asked for, or only those that match a name.</summary>
public enum RunScope
{
    Everything = 0,
    Filtered = 1,
}

/// <summary>
/// Adds up a run. Each step that was started is named with its exit code; it must have left `NAME.ctrf` (an
/// assembly) or `NAME.result` (a script). A step without a trustworthy file, one that ran no test, and one
/// whose exit code speaks of a failure that its file does not show, count as one failed test each: a run can
/// never look better because something broke.
/// </summary>
public sealed class RunReport
{
    /// <summary>The runner's exit code when a filter or an empty assembly leaves no test to run.</summary>
    public const int ExitCodeNoTests = 8;

    private readonly List<string> _problems = [];
    private readonly List<TestOutcome> _tests = [];
    private readonly RunScope _scope;

    public RunReport(RunScope scope) => _scope = scope;

    public Totals Totals { get; private set; }

    /// <summary>
    /// What is wrong with the run itself, one line each; each is counted as one failed test.
    /// </summary>
    public IReadOnlyList<string> Problems => _problems;

    public IReadOnlyList<TestOutcome> Tests => _tests;

    /// <summary>Adds one step's result file. Never throws for what a file can hold.</summary>
    /// <param name="directory">Where the steps left their files.</param>
    /// <param name="step">The step's name: its file's name without the ending.</param>
    /// <param name="exitCode">What the step ended with.</param>
    public void AddStep(string directory, string step, int exitCode)
    {
        Totals before = Totals;
        if (!TryRead(directory, step, exitCode))
        {
            return;
        }

        Totals added = new(
            Totals.Passed - before.Passed, Totals.Failed - before.Failed, Totals.Skipped - before.Skipped);
        if (exitCode == ExitCodeNoTests && _scope == RunScope.Filtered && added.Failed == 0)
        {
            return;
        }

        if (added.All == added.Skipped)
        {
            AddProblem($"{step}: ran no test");
        }
        else if (exitCode != 0 && added.Failed == 0)
        {
            AddProblem($"{step}: ended with {exitCode}, though its result file shows no failure");
        }
    }

    /// <summary>Counts as one test whether everything that the documents' tables name has run.</summary>
    /// <param name="documents">The texts of the documents that hold such tables.</param>
    public void AddEvidence(IEnumerable<string> documents)
    {
        List<EvidenceRow> rows = [];
        foreach (string document in documents)
        {
            rows.AddRange(EvidenceRow.Parse(document));
        }

        List<string> unproved = [.. EvidenceRow.Unproved(rows, _tests)];
        if (unproved.Count > 0 || rows.Count == 0)
        {
            unproved.Insert(0, $"evidence: {unproved.Count} claims of {rows.Count} rows are not borne out");
            AddProblem(string.Join("\n  ", unproved));
        }
        else
        {
            Totals += new Totals(1, 0, 0);
        }
    }

    /// <summary>Closes the run: one in which nothing ran at all has failed.</summary>
    public void Finish()
    {
        if (Totals.All == 0)
        {
            AddProblem("no test ran at all");
        }
    }

    private bool TryRead(string directory, string step, int exitCode)
    {
        string ctrf = Path.Combine(directory, step + ".ctrf");
        string script = Path.Combine(directory, step + ".result");
        try
        {
            if (File.Exists(ctrf))
            {
                CtrfResult result = CtrfResult.Parse(File.ReadAllText(ctrf));
                _tests.AddRange(result.Tests);
                Totals += result.Totals;
                return true;
            }

            if (File.Exists(script))
            {
                AddScript(ScriptResult.Parse(File.ReadAllText(script)));
                return true;
            }
        }
        catch (Exception error) when (error is ResultFormatException or IOException)
        {
            AddProblem($"{step}: result file cannot be used: {error.Message} (exit code {exitCode})");
            return false;
        }

        AddProblem($"{step}: left no result file (exit code {exitCode})");
        return false;
    }

    private void AddScript(IReadOnlyList<TestOutcome> tests)
    {
        foreach (TestOutcome test in tests)
        {
            _tests.Add(test);
            Totals += test.Verdict switch
            {
                TestVerdict.Passed => new Totals(1, 0, 0),
                TestVerdict.Skipped => new Totals(0, 0, 1),
                TestVerdict.Failed or TestVerdict.Unknown or _ => new Totals(0, 1, 0),
            };
        }
    }

    private void AddProblem(string problem)
    {
        _problems.Add(problem);
        Totals += new Totals(0, 1, 0);
    }
}
