using System;
using System.Collections.Generic;
using System.IO;
using System.Text.RegularExpressions;
using Xunit;

namespace DmRemap.Tests.Control;

/// <summary>docs/messages.md and the sources name the same message ids.</summary>
public sealed partial class MessagesDocumentTests
{
    [Fact]
    public void Every_message_id_of_the_sources_is_explained_and_no_other()
    {
        string root = FindRoot();
        SortedSet<string> used = [];
        foreach (string file in Directory.EnumerateFiles(
            Path.Combine(root, "src"), "*.cs", SearchOption.AllDirectories))
        {
            foreach (Match match in IdLiteral().Matches(File.ReadAllText(file)))
            {
                used.Add(match.Groups[1].Value);
            }
        }
        SortedSet<string> explained = [];
        string document = File.ReadAllText(Path.Combine(root, "docs", "messages.md"));
        foreach (Match match in IdHeading().Matches(document))
        {
            Assert.True(explained.Add(match.Groups[1].Value), $"{match.Groups[1].Value} is explained twice");
        }
        Assert.Equal(used, explained);
    }

    /// <summary>A literal that is an id, or a line of output that begins with one.</summary>
    [GeneratedRegex("\"(DMR(?:-[A-Z0-9]+)+)[\" ]")]
    private static partial Regex IdLiteral();

    [GeneratedRegex(@"^\| `(DMR(?:-[A-Z0-9]+)+)` \|", RegexOptions.Multiline)]
    private static partial Regex IdHeading();

    private static string FindRoot()
    {
        DirectoryInfo? directory = new(AppContext.BaseDirectory);
        while (directory is not null && !File.Exists(Path.Combine(directory.FullName, "DmRemap.slnx")))
        {
            directory = directory.Parent;
        }
        return directory?.FullName
            ?? throw new InvalidOperationException("the tests do not run below the repository");
    }
}
