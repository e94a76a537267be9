using System.Collections.Generic;
using System.Linq;
using DmRemap.TestTotals;
using Xunit;

namespace DmRemap.Tests.Tidy;

public sealed class EvidenceTableTests
{
    [Fact]
    public void Every_demand_has_exactly_one_row()
    {
        List<string> ids = [.. EvidenceTable.ReadDocuments().Select(row => row.Id)];
        Violations.AssertNone(EvidenceTable.RequiredIds.Except(ids));
        Violations.AssertNone(ids.GroupBy(id => id).Where(group => group.Count() > 1).Select(g => g.Key));
    }

    [Fact]
    public void Every_row_names_tests_or_says_why_there_are_none()
    {
        List<EvidenceRow> rows = EvidenceTable.ReadDocuments();
        Violations.AssertNone(rows.Where(row => !row.SaysSomething).Select(row => row.Id));
    }

    [Fact]
    public void Every_test_that_a_row_names_exists()
    {
        HashSet<string> tests = EvidenceTable.TestsInSources();
        List<string> missing = [];
        foreach (EvidenceRow row in EvidenceTable.ReadDocuments())
        {
            missing.AddRange(
                row.Tests.Where(test => !tests.Contains(test)).Select(test => $"{row.Id}: {test}"));
        }

        Violations.AssertNone(missing);
    }

    [Theory]
    [InlineData("", false)]
    [InlineData("soon", false)]
    [InlineData("later", false)]
    [InlineData("later: when there is time", false)]
    [InlineData("later: metadata", true)]
    [InlineData("cannot apply: no kernel module", true)]
    [InlineData("`FooTests.Bar_does`", true)]
    public void A_row_says_something_only_with_a_test_or_a_named_work(string evidence, bool expected) =>
        Assert.Equal(expected, new EvidenceRow("S1", evidence).SaysSomething);

    [Fact]
    public void A_row_is_read_with_its_tests()
    {
        EvidenceRow row = Assert.Single(EvidenceRow.Parse(
            "| id | what | tests |\n|---|---|---|\n| F-2 | late | `A.B_c`, `D.E`; later: faults |\n"));
        Assert.Equal("F-2", row.Id);
        Assert.Equal(["A.B_c", "D.E"], row.Tests);
    }

    [Fact]
    public void A_test_in_the_sources_is_found_by_its_attribute()
    {
        SourceFile file =
            new("test/A.cs", "class B { [Fact] void C() {} [Theory, X] void D(int e) {} void F() {} }");
        Assert.Equal(["B.C", "B.D"], EvidenceTable.TestsIn(file));
    }

    [Fact]
    public void A_test_of_a_contract_is_found_in_each_class_that_is_held_to_it()
    {
        SourceFile contract = new("test/A.cs", "abstract class A { [Fact] void C() {} }");
        SourceFile held = new("test/B.cs", "class B() : A(1), I { [Fact] void D() {} } class E() : A(2);");
        Assert.Equal(["A.C", "B.D", "B.C", "E.C"], EvidenceTable.TestsIn(contract, held));
    }

    [Fact]
    public void A_test_counts_as_run_only_if_no_row_of_it_was_skipped()
    {
        EvidenceRow row = new("S1", "`FooTests.Bar`");
        TestOutcome ran = new("N.FooTests.Bar(1)", "N.FooTests", "Bar", TestVerdict.Passed, "");
        TestOutcome skipped = ran with { Verdict = TestVerdict.Skipped };
        TestOutcome other = ran with { Type = "N.OtherFooTests" };
        Assert.Empty(EvidenceRow.Unproved([row], [ran]));
        Assert.Equal(["S1: FooTests.Bar was skipped"], EvidenceRow.Unproved([row], [ran, skipped]));
        Assert.Equal(["S1: FooTests.Bar did not run"], EvidenceRow.Unproved([row], [other]));
        Assert.Equal(["S1: FooTests.Bar did not run"], EvidenceRow.Unproved([row], []));
    }
}
