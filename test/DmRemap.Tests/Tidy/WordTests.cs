using System.Collections.Generic;
using System.Linq;
using Xunit;

namespace DmRemap.Tests.Tidy;

public sealed class WordTests
{
    private static readonly string[] s_endings =
    [
        ".cs", ".md", ".sh", ".csproj", ".props", ".targets", ".slnx", ".txt", ".fio", ".yml",
        "dmremap", "run", "LICENSE", ".editorconfig", ".globalconfig", ".gitignore",
    ];

    [Fact]
    public void No_file_holds_a_word_that_must_not_appear() =>
        Violations.AssertNone(SourceTree.Read("", s_endings).SelectMany(WordRules.InAnyFile));

    [Fact]
    public void No_code_holds_a_call_that_must_not_appear()
    {
        // BannedSymbols.txt names the calls in order to ban them.
        List<SourceFile> files = SourceTree.Read("", ".cs");
        Violations.AssertNone(files.SelectMany(WordRules.InCode));
    }

    [Theory]
    [InlineData("// TO", "DO later")]
    [InlineData("// FIX", "ME")]
    [InlineData("see /ho", "me/alice/x")]
    [InlineData("see /wo", "rk/x")]
    [InlineData("see ../sha", "red/x")]
    public void A_word_that_must_not_appear_is_found(string first, string second) =>
        Assert.Single(WordRules.InAnyFile(new SourceFile("a.md", "fine\n" + first + second + "\n")));

    [Theory]
    [InlineData("Today's methods are mastodons")]
    [InlineData("a framework/library of its own")]
    public void A_word_that_only_looks_alike_is_not_found(string text) =>
        Assert.Empty(WordRules.InAnyFile(new SourceFile("a.md", text)));

    [Fact]
    public void A_call_that_must_not_appear_is_found() =>
        Assert.Single(WordRules.InCode(new SourceFile("a.cs", "throw new NotImplemented" + "Exception();")));
}
