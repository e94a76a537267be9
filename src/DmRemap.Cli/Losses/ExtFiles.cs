using System;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using System.Threading.Tasks;
using DmRemap.Control.Contracts;

namespace DmRemap.Cli.Losses;

/// <summary>
/// Which files of an ext2, ext3 or ext4 file system have these blocks: debugfs, which opens read-only, is
/// asked for the inodes of blocks and then for the names of inodes.
/// </summary>
internal sealed class ExtFiles(ToolRun tools, string path, long offsetBytes)
{
    /// <summary>Blocks, or inodes, that one call asks for: well below the longest argument.</summary>
    private const int AskedMax = 4096;

    /// <summary>Of the file system: more are not asked for.</summary>
    private const int BlocksMax = 65_536;

    private const int BlockBytesMax = 65_536;

    /// <summary>Below it, inodes are the file system's own: its journal, its bad blocks.</summary>
    private const long FirstInode = 11;

    private const long RootInode = 2;

    /// <summary>debugfs takes what follows a question mark as options.</summary>
    private string Target => offsetBytes == 0
        ? path
        : string.Create(CultureInfo.InvariantCulture, $"{path}?offset={offsetBytes}");

    /// <param name="part">What is known of the file system; it is returned filled in.</param>
    /// <param name="lost">The lost blocks in it, in blocks of the device.</param>
    /// <param name="deviceBlockSize">Of those.</param>
    public async Task<HitFileSystem> FindAsync(
        HitFileSystem part, IReadOnlyList<LostExtent> lost, int deviceBlockSize)
    {
        if (path.Contains('?', StringComparison.Ordinal))
        {
            return part with { Unknown = "the path has a question mark, which debugfs does not take" };
        }
        ToolAnswer stats = await tools.RunAsync("debugfs", "-R", "stats -h", Target);
        if (BlockSizeOf(stats.Output) is not int blockSize || blockSize % deviceBlockSize != 0)
        {
            return part with { Unknown = Why(stats, "debugfs does not open it") };
        }
        LostInPart inPart = new(lost, part.FirstBlock, blockSize / deviceBlockSize);
        SortedSet<long> blocks = inPart.Blocks(BlocksMax);
        bool isCut = blocks.Count > BlocksMax;
        Dictionary<long, SortedSet<long>> blocksOfInode = [];
        SortedSet<long> inNoFile = [];
        string? doubt = null;
        foreach (long[] some in blocks.Take(BlocksMax).Chunk(AskedMax))
        {
            SortedSet<long> notFound = [];
            ToolAnswer answer = await tools.RunAsync("debugfs", "-R", $"icheck {Numbers(some)}", Target);
            if (answer.ExitCode != 0
                || !TryTakeInodes(answer.Output, some, blocksOfInode, inNoFile, notFound))
            {
                return part with { Unknown = Why(answer, "debugfs does not tell the inodes of blocks") };
            }
            if (answer.Why.Length == 0)
            {
                inNoFile.UnionWith(notFound);
            }
            else if (notFound.Count > 0)
            {
                // It passes over a file whose map it cannot read, and its exit code says nothing of that: a
                // block that it did not find may be that file's.
                doubt ??= Complaint(answer);
            }
        }
        (Dictionary<long, List<string>> names, string? unknown) = await NamesAsync([.. blocksOfInode.Keys]);
        return part with
        {
            Files =
            [
                .. blocksOfInode.OrderBy(pair => pair.Value.Min).SelectMany(pair =>
                    FilesOf(pair.Key, names, inPart.ExtentsOf(pair.Value))),
            ],
            InNoFile = inPart.ExtentsOf(inNoFile),
            Unknown = doubt ?? unknown
                ?? (isCut ? $"only the first {BlocksMax} blocks were looked up" : null),
        };
    }

    /// <summary>From `stats -h`. Null: it is not said, or cannot be.</summary>
    internal static int? BlockSizeOf(string output)
    {
        foreach (string line in output.Split('\n'))
        {
            const string Head = "Block size:";
            if (line.StartsWith(Head, StringComparison.Ordinal))
            {
                bool isSize = int.TryParse(
                    line.AsSpan(Head.Length).Trim(), NumberStyles.None, CultureInfo.InvariantCulture,
                    out int size);
                return isSize && size is >= 1024 and <= BlockBytesMax ? size : null;
            }
        }
        return null;
    }

    /// <summary>
    /// `BLOCK tab INODE`, or `BLOCK tab &lt;block not found&gt;`, a line. False: not every block is answered.
    /// </summary>
    internal static bool TryTakeInodes(
        string output, long[] asked, Dictionary<long, SortedSet<long>> blocksOfInode,
        SortedSet<long> ofFileSystem, SortedSet<long> notFound)
    {
        HashSet<long> open = [.. asked];
        foreach (string line in output.Split('\n'))
        {
            int tab = line.IndexOf('\t', StringComparison.Ordinal);
            if (tab < 0 || !TryNumber(line.AsSpan(0, tab), out long block) || !open.Remove(block))
            {
                continue;
            }
            if (TryNumber(line.AsSpan(tab + 1), out long inode) && inode > 0)
            {
                bool isOwn = inode < FirstInode && inode != RootInode;
                SortedSet<long> blocks = isOwn ? ofFileSystem : OfInode(blocksOfInode, inode);
                blocks.Add(block);
            }
            else
            {
                notFound.Add(block);
            }
        }
        return open.Count == 0;
    }

    /// <summary>`INODE tab PATH` a line; others are parts of names with newlines in them, or noise.</summary>
    internal static void TakeNames(string output, HashSet<long> asked, Dictionary<long, List<string>> names)
    {
        foreach (string line in output.Split('\n'))
        {
            int tab = line.IndexOf('\t', StringComparison.Ordinal);
            bool isName = tab > 0 && TryNumber(line.AsSpan(0, tab), out long inode) && asked.Contains(inode)
                && line.AsSpan(tab + 1).StartsWith("/");
            if (!isName)
            {
                continue;
            }
            long number = long.Parse(line.AsSpan(0, tab), CultureInfo.InvariantCulture);
            if (!names.TryGetValue(number, out List<string>? known))
            {
                names[number] = known = [];
            }
            // debugfs begins the names of what lies in the root directory with two.
            known.Add(PlainText.Of("/" + line[(tab + 1)..].TrimStart('/')));
        }
    }

    private async Task<(Dictionary<long, List<string>> Names, string? Unknown)> NamesAsync(long[] inodes)
    {
        Dictionary<long, List<string>> names = [];
        string? doubt = null;
        foreach (long[] some in inodes.Chunk(AskedMax))
        {
            ToolAnswer answer = await tools.RunAsync("debugfs", "-R", $"ncheck {Numbers(some)}", Target);
            if (answer.ExitCode != 0)
            {
                return (names, Why(answer, "debugfs does not tell the names of inodes"));
            }
            TakeNames(answer.Output, [.. some], names);
            // A folder that it cannot read may have another name, or the only one.
            doubt ??= answer.Why.Length > 0 ? Complaint(answer) : null;
        }
        return (names, doubt);
    }

    private static IEnumerable<HitFile> FilesOf(
        long inode, Dictionary<long, List<string>> names, LostExtent[] extents) =>
        names.TryGetValue(inode, out List<string>? known)
            ? known.Select(name => new HitFile(name, inode, extents))
            : [new HitFile(inode == RootInode ? "/" : null, inode, extents)];

    private static SortedSet<long> OfInode(Dictionary<long, SortedSet<long>> all, long inode)
    {
        if (!all.TryGetValue(inode, out SortedSet<long>? blocks))
        {
            all[inode] = blocks = [];
        }
        return blocks;
    }

    private static string Numbers(long[] numbers) =>
        string.Join(' ', numbers.Select(number => number.ToString(CultureInfo.InvariantCulture)));

    private static bool TryNumber(ReadOnlySpan<char> text, out long number) =>
        long.TryParse(text.Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out number);

    private static string Complaint(ToolAnswer answer) => $"debugfs does not read all of it: {answer.Why}";

    private static string Why(ToolAnswer answer, string otherwise) =>
        answer.Why.Length > 0 ? answer.Why : otherwise;
}
