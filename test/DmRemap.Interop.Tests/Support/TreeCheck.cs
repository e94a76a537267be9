using System;
using System.Collections.Generic;
using System.IO;
using Xunit;

namespace DmRemap.Interop.Tests.Support;

/// <summary>
/// Copies of a tree of files on a file system that may lose some: each file is as it was written, or fails to
/// read. A copy that cp could not finish, or that was not synchronised, may lack files and ends of files.
/// </summary>
internal sealed class TreeCheck(string tree)
{
    private readonly Dictionary<string, bool> _copies = [];
    private readonly List<string> _unread = [];

    /// <summary>What was copied.</summary>
    public string Tree { get; } = tree;

    /// <summary>The file system has taken all of it without an error.</summary>
    public bool IsAllSynced { get; set; }

    /// <summary>Files that do not read, as paths below the root of the file system: "/copy1/...".</summary>
    public IReadOnlyList<string> Unread => _unread;

    public void OnCopied(string name, bool isWhole) => _copies[name] = isWhole;

    public void Compare(string root)
    {
        foreach ((string name, bool isWhole) in _copies)
        {
            foreach (string original in Directory.GetFiles(Tree, "*", SearchOption.AllDirectories))
            {
                string file = $"/{name}/{Path.GetRelativePath(Tree, original)}";
                CompareFile(File.ReadAllBytes(original), root + file, file, isWhole && IsAllSynced);
            }
        }
    }

    private void CompareFile(byte[] expected, string path, string name, bool isWhole)
    {
        if (!isWhole && !File.Exists(path))
        {
            return;
        }
        byte[] actual;
        try
        {
            actual = File.ReadAllBytes(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            _unread.Add(name);
            return;
        }
        bool isRight = isWhole
            ? expected.AsSpan().SequenceEqual(actual)
            : expected.AsSpan().StartsWith(actual);
        Assert.True(isRight, $"{name} has {actual.Length} bytes, and not those that were written there");
    }
}
