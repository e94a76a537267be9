using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Text.RegularExpressions;
using Xunit;

namespace DmRemap.Tests.Tidy;

public sealed class DocumentTests
{
    private static readonly Regex s_link = new(@"\]\(([^)\s]+)\)");

    /// <summary>A command, a gap, and then something that the shell would take for arguments.</summary>
    private static readonly Regex s_commandWithProse =
        new(@"^(\./\S+|dmremap|nbd\w+|u?mount|mkfs\S*)( [^#]*?)?\s{2,}(?!#)\S");

    private static readonly string[] s_required =
    [
        "README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "LICENSE",
        "docs/internals/data-flow.md", "docs/internals/fault-model.md", "docs/internals/testing.md",
        "docs/internals/glossary.md", "docs/internals/on-disk-format.md", "docs/control-protocol.md",
        "docs/messages.md",
    ];

    [Fact]
    public void Links_in_documents_lead_to_files_that_exist() =>
        Violations.AssertNone(SourceTree.Read("", ".md").SelectMany(BrokenLinks));

    [Fact]
    public void Documents_that_a_newcomer_needs_are_there() =>
        Violations.AssertNone(s_required.Where(path => !SourceTree.Exists(path)));

    [Fact]
    public void A_link_that_leads_nowhere_is_found()
    {
        SourceFile file =
            new("docs/x.md", "[a](../README.md) [b](nowhere.md) [c](https://example.org) [d](#here)\n");
        Assert.Equal(["docs/x.md: nowhere.md"], BrokenLinks(file));
    }

    [Fact]
    public void Explanations_behind_commands_are_comments_so_that_the_block_can_be_pasted() =>
        Violations.AssertNone(SourceTree.Read("", ".md").SelectMany(CommandsWithProse));

    [Fact]
    public void An_explanation_that_is_no_comment_is_found()
    {
        SourceFile file = new(
            "docs/x.md",
            "./a.sh   not in a block\n```\n./a.sh   does it\n./a.sh   # does  it\n  device:  x\n"
                + "./a.sh -b\n```\n");
        Assert.Equal(["docs/x.md:3: ./a.sh   does it"], CommandsWithProse(file));
    }

    private static IEnumerable<string> CommandsWithProse(SourceFile file)
    {
        bool isInside = false;
        string[] lines = file.Text.Split('\n');
        for (int i = 0; i < lines.Length; i++)
        {
            isInside ^= lines[i].StartsWith("```", StringComparison.Ordinal);
            if (isInside && s_commandWithProse.IsMatch(lines[i]))
            {
                yield return $"{file.Path}:{i + 1}: {lines[i]}";
            }
        }
    }

    private static IEnumerable<string> BrokenLinks(SourceFile file)
    {
        foreach (Match match in s_link.Matches(file.Text))
        {
            string target = match.Groups[1].Value;
            int anchor = target.IndexOf('#', StringComparison.Ordinal);
            string path = anchor < 0 ? target : target[..anchor];
            if (path.Length == 0 || path.Contains("://", StringComparison.Ordinal))
            {
                continue;
            }

            if (!SourceTree.Exists(Path.Combine(Path.GetDirectoryName(file.Path) ?? "", path)))
            {
                yield return $"{file.Path}: {target}";
            }
        }
    }
}
