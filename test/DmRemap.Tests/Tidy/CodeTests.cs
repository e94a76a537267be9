using System;
using System.Collections.Generic;
using System.Linq;
using Xunit;

namespace DmRemap.Tests.Tidy;

public sealed class CodeTests
{
    private readonly ITestOutputHelper _output;

    public CodeTests(ITestOutputHelper output) => _output = output;

    [Fact]
    public void Methods_are_at_most_70_lines_long() =>
        Violations.AssertNone(CodeFiles().SelectMany(CodeRules.LongMethods));

    [Fact]
    public void Files_are_at_most_500_lines_long() =>
        Violations.AssertNone(CodeFiles().SelectMany(CodeRules.LongFile));

    [Fact]
    public void Lines_are_at_most_110_characters_long() =>
        Violations.AssertNone(CodeFiles().Concat(Scripts()).SelectMany(CodeRules.LongLines));

    [Fact]
    public void Unsafe_code_is_in_the_Linux_project_only() =>
        Violations.AssertNone(
            CodeFiles().Where(file => !IsIn(file, "src/DmRemap.Linux/")).SelectMany(CodeRules.UnsafeCode));

    [Fact]
    public void Namespaces_are_folder_paths() =>
        Violations.AssertNone(CodeFiles().SelectMany(CodeRules.MisplacedNamespace));

    [Fact]
    public void No_lock_is_taken_in_the_finally_of_an_async_method() =>
        Violations.AssertNone(SourceTree.Read("src", ".cs").SelectMany(CodeRules.LocksLostToTheTrimmer));

    [Fact]
    public void A_lock_in_the_finally_of_an_async_method_is_found_and_no_other()
    {
        const string Code =
            "class A\n{\n    {0}void B()\n    {\n        try { lock (_c) { } } finally {1}\n    }\n}\n";
        const string Locked = "{ lock (_c) { } }";
        static string[] Found(string modifier, string cleanUp) =>
            [.. CodeRules.LocksLostToTheTrimmer(new SourceFile(
                "a.cs",
                Code.Replace("{0}", modifier, StringComparison.Ordinal)
                    .Replace("{1}", cleanUp, StringComparison.Ordinal)))];
        Assert.Equal(["a.cs:5: a lock in the finally of an async method"], Found("async ", Locked));
        Assert.Empty(Found("", Locked));
        Assert.Empty(Found("async ", "{ D(); }"));
    }

    [Fact]
    public void Checks_per_method_are_reported_for_each_folder()
    {
        var folders = SourceTree.Read("src", ".cs").GroupBy(file => file.Path[..file.Path.LastIndexOf('/')]);
        foreach (IGrouping<string, SourceFile> folder in folders)
        {
            int methods = folder.Sum(file => CodeRules.CountChecks(file).Methods);
            int checks = folder.Sum(file => CodeRules.CountChecks(file).Checks);
            double density = methods == 0 ? 0 : (double)checks / methods;
            _output.WriteLine(
                $"{folder.Key,-40} {methods,4} methods {checks,4} checks {density:0.00} per method");
        }
    }

    [Fact]
    public void A_method_that_is_too_long_is_found()
    {
        string body = string.Concat(Enumerable.Repeat("        _ = 1;\n", CodeRules.MethodLinesMax - 2));
        string fits = "namespace A;\ninternal sealed class B\n{\n    void C()\n    {\n" + body[..^15]
            + "    }\n}\n";
        string tooLong = "namespace A;\ninternal sealed class B\n{\n    void C()\n    {\n" + body
            + "    }\n}\n";
        Assert.Empty(CodeRules.LongMethods(new SourceFile("src/A/B.cs", fits)));
        Assert.Single(CodeRules.LongMethods(new SourceFile("src/A/B.cs", tooLong)));
    }

    [Fact]
    public void A_file_and_a_line_that_are_too_long_are_found()
    {
        string lines = string.Concat(Enumerable.Repeat("//\n", CodeRules.FileLinesMax));
        Assert.Empty(CodeRules.LongFile(new SourceFile("a.cs", lines)));
        Assert.Single(CodeRules.LongFile(new SourceFile("a.cs", lines + "//\n")));
        string line = new('/', CodeRules.LineCharactersMax);
        Assert.Empty(CodeRules.LongLines(new SourceFile("a.cs", line + "\n")));
        Assert.Equal(["a.cs:2: 111 characters, 110 are allowed"],
            CodeRules.LongLines(new SourceFile("a.cs", "\n" + line + "/\n")));
    }

    [Fact]
    public void Unsafe_code_and_a_wrong_namespace_are_found()
    {
        SourceFile file =
            new("src/A/B.cs", "namespace C;\ninternal unsafe struct D;\n// unsafe in a comment\n");
        Assert.Equal(["src/A/B.cs:2: unsafe code outside DmRemap.Linux"], CodeRules.UnsafeCode(file));
        Assert.Equal(["src/A/B.cs: namespace C, the folder says A"], CodeRules.MisplacedNamespace(file));
    }

    private static IEnumerable<SourceFile> CodeFiles() =>
        SourceTree.Read("src", ".cs").Concat(SourceTree.Read("test", ".cs"));

    private static List<SourceFile> Scripts() => SourceTree.Read("", ".sh");

    private static bool IsIn(SourceFile file, string folder) =>
        file.Path.StartsWith(folder, StringComparison.Ordinal);
}
