using System.Collections.Generic;
using System.Linq;
using DmRemap.TestTotals;
using Microsoft.CodeAnalysis.CSharp.Syntax;

namespace DmRemap.Tests.Tidy;

/// <summary>The tables in the documents that name tests, and the tests that exist in the sources.</summary>
internal static class EvidenceTable
{
    private static readonly string[] s_documents = ["docs/internals/testing.md", "docs/nbd-conformance.md"];

    /// <summary>S1-S14, D1-D37, A1-A21, F-1…F-40, N1-N57.</summary>
    public static List<string> RequiredIds { get; } =
    [
        .. Series("S", 14), .. Series("D", 37), .. Series("A", 21), .. Series("F-", 40),
        .. Series("N", 57),
    ];

    public static List<EvidenceRow> ReadDocuments() =>
    [
        .. SourceTree.Read("docs", ".md").Where(file => s_documents.Contains(file.Path))
            .SelectMany(file => EvidenceRow.Parse(file.Text)),
    ];

    /// <summary>`Class.Method` of every fact and theory under test/.</summary>
    public static HashSet<string> TestsInSources() =>
        [.. SourceTree.Read("test", ".cs").SelectMany(TestsIn)];

    public static IEnumerable<string> TestsIn(SourceFile file)
    {
        foreach (var method in CodeRules.Parse(file).DescendantNodes().OfType<MethodDeclarationSyntax>())
        {
            bool isTest = method.AttributeLists.SelectMany(list => list.Attributes)
                .Any(attribute => attribute.Name.ToString() is "Fact" or "Theory");
            if (isTest && method.Parent is ClassDeclarationSyntax type)
            {
                yield return $"{type.Identifier.Text}.{method.Identifier.Text}";
            }
        }
    }

    private static IEnumerable<string> Series(string prefix, int count) =>
        Enumerable.Range(1, count).Select(number => $"{prefix}{number}");
}
