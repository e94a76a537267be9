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
        [.. TestsIn([.. SourceTree.Read("test", ".cs")])];

    /// <summary>Those of an abstract class count for each class that is derived from it.</summary>
    public static IEnumerable<string> TestsIn(params SourceFile[] files)
    {
        ClassDeclarationSyntax[] classes =
        [
            .. files.SelectMany(file => CodeRules.Parse(file).DescendantNodes())
                .OfType<ClassDeclarationSyntax>(),
        ];
        ILookup<string, string> methods = classes
            .SelectMany(type => TestsIn(type).Select(method => (Type: type.Identifier.Text, method)))
            .ToLookup(test => test.Type, test => test.method);
        IEnumerable<string> own = methods.SelectMany(type => type.Select(method => $"{type.Key}.{method}"));
        IEnumerable<string> inherited = classes.SelectMany(type => BasesOf(type)
            .SelectMany(parent => methods[parent].Select(method => $"{type.Identifier.Text}.{method}")));
        return own.Concat(inherited);
    }

    private static IEnumerable<string> TestsIn(ClassDeclarationSyntax type) =>
        from method in type.Members.OfType<MethodDeclarationSyntax>()
        where method.AttributeLists.SelectMany(list => list.Attributes)
            .Any(attribute => attribute.Name.ToString() is "Fact" or "Theory")
        select method.Identifier.Text;

    private static IEnumerable<string> BasesOf(ClassDeclarationSyntax type) =>
        type.BaseList?.Types.Select(parent => parent.Type.ToString()) ?? [];

    private static IEnumerable<string> Series(string prefix, int count) =>
        Enumerable.Range(1, count).Select(number => $"{prefix}{number}");
}
