using System;
using System.Collections.Generic;
using System.IO;

namespace DmRemap.Tests.Tidy;

/// <summary>A file of this repository, its path relative to the root and with forward slashes.</summary>
internal sealed record SourceFile(string Path, string Text)
{
    public string[] Lines => Text.Split('\n');
}

/// <summary>The files of the repository that hold these tests, as they are on disk.</summary>
internal static class SourceTree
{
    private static readonly string[] s_skipped = ["artifacts", ".git", "bin", "obj", ".vs", "TestResults"];

    public static string Root { get; } = FindRoot();

    /// <summary>
    /// All files with one of these endings, below one folder ("" is everything), in the order of their paths.
    /// </summary>
    public static List<SourceFile> Read(string folder, params string[] endings)
    {
        List<SourceFile> files = [];
        Walk(new DirectoryInfo(System.IO.Path.Combine(Root, folder)), endings, files);
        files.Sort((left, right) => string.CompareOrdinal(left.Path, right.Path));
        Xunit.Assert.NotEmpty(files);
        return files;
    }

    public static bool Exists(string path)
    {
        string full = System.IO.Path.Combine(Root, path);
        return File.Exists(full) || Directory.Exists(full);
    }

    private static void Walk(DirectoryInfo folder, string[] endings, List<SourceFile> files)
    {
        foreach (FileInfo file in folder.EnumerateFiles())
        {
            if (Array.Exists(endings, ending => file.Name.EndsWith(ending, StringComparison.Ordinal)))
            {
                string path = System.IO.Path.GetRelativePath(Root, file.FullName);
                files.Add(new SourceFile(path, File.ReadAllText(file.FullName)));
            }
        }

        foreach (DirectoryInfo child in folder.EnumerateDirectories())
        {
            if (Array.IndexOf(s_skipped, child.Name) < 0)
            {
                Walk(child, endings, files);
            }
        }
    }

    private static string FindRoot()
    {
        DirectoryInfo? folder = new(AppContext.BaseDirectory);
        while (folder is not null && !File.Exists(System.IO.Path.Combine(folder.FullName, "DmRemap.slnx")))
        {
            folder = folder.Parent;
        }

        return folder?.FullName
            ?? throw new InvalidOperationException("DmRemap.slnx is not above the test program");
    }
}
