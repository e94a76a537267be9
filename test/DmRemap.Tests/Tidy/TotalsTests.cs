using System;
using System.IO;
using DmRemap.TestTotals;
using Xunit;

namespace DmRemap.Tests.Tidy;

public sealed class TotalsTests : IDisposable
{
    private const string OnePassed = """
        {"results":{"summary":{"passed":1,"failed":0,"pending":0,"skipped":0,"other":0},
        "tests":[{"name":"A.B.C","status":"passed","extra":{"type":"A.B","method":"C"}}]}}
        """;

    private readonly string _folder = Directory.CreateTempSubdirectory("dmremap-totals-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void Steps_are_added_up_over_both_kinds_of_file()
    {
        Write("a.ctrf", OnePassed);
        Write("b.result", "passed x\nskipped y: no such tool\ndone 2\n");
        RunReport report = Run(RunScope.Everything, ("a", 0), ("b", 0));
        Assert.Equal("2 passed, 0 failed, 1 skipped", report.Totals.ToString());
        Assert.Empty(report.Problems);
    }

    [Fact]
    public void A_step_without_a_result_file_is_a_failure()
    {
        Write("a.ctrf", OnePassed);
        RunReport report = Run(RunScope.Everything, ("a", 0), ("crashed", 134));
        Assert.Equal("1 passed, 1 failed, 0 skipped", report.Totals.ToString());
        Assert.Equal(["crashed: left no result file (exit code 134)"], report.Problems);
    }

    [Theory]
    [InlineData("")]
    [InlineData("{\"results\":{\"summary\":{\"passed\":1,")]
    [InlineData("[]")]
    [InlineData("{\"results\":{\"tests\":[]}}")]
    [InlineData("{\"results\":{\"summary\":{\"passed\":2,\"failed\":0,\"pending\":0,\"skipped\":0,"
        + "\"other\":0},\"tests\":[]}}")]
    public void A_result_file_that_is_cut_short_or_lies_is_a_failure(string text)
    {
        Write("a.ctrf", text);
        RunReport report = Run(RunScope.Everything, ("a", 0));
        Assert.Equal("0 passed, 1 failed, 0 skipped", report.Totals.ToString());
    }

    [Fact]
    public void An_exit_code_that_its_file_does_not_explain_is_a_failure()
    {
        Write("a.ctrf", OnePassed);
        RunReport report = Run(RunScope.Everything, ("a", 7));
        Assert.Equal("1 passed, 1 failed, 0 skipped", report.Totals.ToString());
    }

    [Fact]
    public void An_error_outside_any_test_is_a_failure()
    {
        Write("a.ctrf", OnePassed.Replace(
            "\"tests\"", "\"extra\":{\"suites\":[{\"errors\":[{}]}]},\"tests\"", StringComparison.Ordinal));
        Assert.Equal(1, Run(RunScope.Everything, ("a", 0)).Totals.Failed);
    }

    [Theory]
    [InlineData("pending")]
    [InlineData("other")]
    public void A_test_with_an_unknown_outcome_is_a_failure(string status)
    {
        Write("a.ctrf", OnePassed
            .Replace("\"passed\":1", "\"passed\":0", StringComparison.Ordinal)
            .Replace($"\"{status}\":0", $"\"{status}\":1", StringComparison.Ordinal)
            .Replace("\"status\":\"passed\"", $"\"status\":\"{status}\"", StringComparison.Ordinal));
        Assert.Equal("0 passed, 1 failed, 0 skipped", Run(RunScope.Everything, ("a", 2)).Totals.ToString());
    }

    [Fact]
    public void An_assembly_that_ran_no_test_is_a_failure_unless_a_filter_emptied_it()
    {
        Write("full.ctrf", OnePassed);
        Write("empty.ctrf", """
            {"results":{"summary":{"passed":0,"failed":0,"pending":0,"skipped":0,"other":0},"tests":[]}}
            """);
        Assert.Equal(1, Run(RunScope.Everything, ("full", 0), ("empty", 8)).Totals.Failed);
        Assert.Equal(1, Run(RunScope.Everything, ("full", 0), ("empty", 0)).Totals.Failed);
        Assert.Equal(0, Run(RunScope.Filtered, ("full", 0), ("empty", 8)).Totals.Failed);
        Assert.Equal(1, Run(RunScope.Filtered, ("empty", 8)).Totals.Failed);
        Assert.Equal(1, Run(RunScope.Everything).Totals.Failed);
    }

    [Fact]
    public void A_step_that_only_skipped_ran_no_test()
    {
        Write("a.result", "skipped x: no such tool\ndone 1\n");
        Assert.Equal("0 passed, 1 failed, 1 skipped", Run(RunScope.Everything, ("a", 0)).Totals.ToString());
        Assert.Equal("0 passed, 0 failed, 1 skipped", Run(RunScope.Filtered, ("a", 8)).Totals.ToString());
    }

    [Theory]
    [InlineData("passed x\n")]
    [InlineData("passed x\ndone 2\n")]
    [InlineData("done 0\n")]
    [InlineData("passed x\ndone 1\npassed y\n")]
    [InlineData("passed\ndone 1\n")]
    [InlineData("skipped x\ndone 1\n")]
    [InlineData("great x\ndone 1\n")]
    [InlineData("passed x\ndone many\n")]
    public void A_script_that_stopped_half_way_is_a_failure(string text)
    {
        Write("s.result", text);
        Assert.Equal(1, Run(RunScope.Everything, ("s", 0)).Totals.Failed);
    }

    [Fact]
    public void Evidence_counts_as_one_test_that_fails_when_a_named_test_did_not_run()
    {
        Write("a.ctrf", OnePassed);
        RunReport proved = Run(RunScope.Everything, ("a", 0));
        proved.AddEvidence(["| S1 | x | `B.C` |\n"]);
        Assert.Equal("2 passed, 0 failed, 0 skipped", proved.Totals.ToString());
        RunReport unproved = Run(RunScope.Everything, ("a", 0));
        unproved.AddEvidence(["| S1 | x | `B.C`, `B.D` |\n"]);
        Assert.Equal("1 passed, 1 failed, 0 skipped", unproved.Totals.ToString());
        Assert.Contains("S1: B.D did not run", Assert.Single(unproved.Problems), StringComparison.Ordinal);
        RunReport empty = Run(RunScope.Everything, ("a", 0));
        empty.AddEvidence(["a document without a table\n"]);
        Assert.Equal(1, empty.Totals.Failed);
    }

    private void Write(string name, string text) => File.WriteAllText(Path.Combine(_folder, name), text);

    private RunReport Run(RunScope scope, params (string Step, int ExitCode)[] steps)
    {
        RunReport report = new(scope);
        foreach ((string step, int exitCode) in steps)
        {
            report.AddStep(_folder, step, exitCode);
        }

        report.Finish();
        return report;
    }
}
