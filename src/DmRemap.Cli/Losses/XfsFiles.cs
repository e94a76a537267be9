using System;
using System.Collections.Generic;
using System.Linq;
using System.Threading.Tasks;
using DmRemap.Control.Contracts;
using DmRemap.Linux.Members;

namespace DmRemap.Cli.Losses;

/// <summary>
/// Which files of an XFS file system have these blocks. Of one that is mounted each file is asked where it
/// lies: xfs_db refuses while the log is in use, and what it would read is older than what the kernel knows.
/// Else xfs_db, which opens read-only, is asked whose a block is.
/// </summary>
internal sealed class XfsFiles(ToolRun tools, string served, long offsetBytes)
{
    /// <summary>Of the file system, in one call: well below the longest argument.</summary>
    private const int BlocksMax = 4096;

    /// <param name="part">What is known of the file system; it is returned filled in.</param>
    /// <param name="lost">The lost blocks in it, in blocks of the device.</param>
    /// <param name="deviceBlockSize">Of those.</param>
    public async Task<HitFileSystem> FindAsync(
        HitFileSystem part, IReadOnlyList<LostExtent> lost, int deviceBlockSize)
    {
        PartNode? node = await Task.Run(() => PartNode.Find(served, offsetBytes));
        return node switch
        {
            null => part with { Unknown = "its partition has no device here: attach it as a block device" },
            { MountPoint: string point } =>
                await Task.Run(() => MountedHits.Find(tools, point, part, lost, deviceBlockSize)),
            _ => await AskXfsDbAsync(node, part, lost, deviceBlockSize),
        };
    }

    private async Task<HitFileSystem> AskXfsDbAsync(
        PartNode node, HitFileSystem part, IReadOnlyList<LostExtent> lost, int deviceBlockSize)
    {
        string[] target = node.IsBlockDevice ? [node.Path] : ["-f", node.Path];
        ToolAnswer super = await tools.RunAsync(
            "xfs_db", ["-r", "-c", "sb 0", "-c", "print blocksize agblocks agblklog", .. target]);
        if (XfsGeometry.Parse(super.Output) is not XfsGeometry geometry
            || geometry.BlockBytes % deviceBlockSize != 0)
        {
            return part with { Unknown = Why(super, "xfs_db does not open it") };
        }
        LostInPart inPart = new(lost, part.FirstBlock, geometry.BlockBytes / deviceBlockSize);
        SortedSet<long> blocks = inPart.Blocks(BlocksMax);
        long[] asked = [.. blocks.Take(BlocksMax)];
        // Of these blocks it tells what it takes them for: to go to each would be to read it, and it is lost.
        string list = string.Concat(asked.Select(block => $" -b {geometry.NumberOf(block)}"));
        ToolAnswer answer = await tools.RunAsync("xfs_db", ["-r", "-c", "blockget" + list, .. target]);
        if (answer.ExitCode != 0)
        {
            return part with { Unknown = Why(answer, "xfs_db does not tell whose blocks these are") };
        }
        SortedDictionary<long, SortedSet<long>> hit = InodesOf(answer.Output, geometry, blocks);
        ToolAnswer named = hit.Count == 0
            ? new ToolAnswer(0, "", "")
            : await tools.RunAsync("xfs_db",
                ["-r", "-c", "blockget -n", "-c", "ncheck" + string.Concat(hit.Keys.Select(i => $" -i {i}")),
                    .. target]);
        bool isCut = blocks.Count > BlocksMax;
        string? doubt = answer.Why.Length > 0 ? $"xfs_db does not read all of it ({answer.Why}); while it is "
                + "mounted, read-only too, its files are asked themselves"
            : named.ExitCode != 0 ? Why(named, "xfs_db does not tell the names of inodes")
            : isCut ? $"only the first {BlocksMax} blocks were looked up"
            : null;
        return Filled(part, inPart, hit, NamesOf(named.Output), asked, doubt);
    }

    private static HitFileSystem Filled(
        HitFileSystem part, LostInPart inPart, SortedDictionary<long, SortedSet<long>> hit,
        Dictionary<long, string> names, long[] asked, string? doubt)
    {
        SortedSet<long> left = doubt is null ? [.. asked] : [];
        foreach (SortedSet<long> blocks in hit.Values)
        {
            left.ExceptWith(blocks);
        }
        return part with
        {
            Files =
            [
                .. hit.OrderBy(pair => pair.Value.Min).Select(pair => new HitFile(
                    names.GetValueOrDefault(pair.Key), pair.Key, inPart.ExtentsOf(pair.Value))),
            ],
            // Of a block that it does not know it may have failed to read whose it is.
            InNoFile = inPart.ExtentsOf(left),
            Unknown = doubt,
        };
    }

    /// <summary>`setting inode to I for block AG/N`, a line for each that a file has.</summary>
    internal static SortedDictionary<long, SortedSet<long>> InodesOf(
        string output, XfsGeometry geometry, SortedSet<long> asked)
    {
        SortedDictionary<long, SortedSet<long>> hit = [];
        foreach (string line in output.Split('\n'))
        {
            if (line.Split(' ') is not ["setting", "inode", "to", string inode, "for", "block", string place]
                || !XfsGeometry.TryNumber(inode, out long number)
                || geometry.BlockAt(place) is not long block
                || !asked.Contains(block))
            {
                continue;
            }
            if (!hit.TryGetValue(number, out SortedSet<long>? blocks))
            {
                hit[number] = blocks = [];
            }
            blocks.Add(block);
        }
        return hit;
    }

    /// <summary>
    /// `INODE PATH`, a line for each; a folder's path ends with a dot. One name of each is known.
    /// </summary>
    internal static Dictionary<long, string> NamesOf(string output)
    {
        Dictionary<long, string> names = [];
        foreach (string line in output.Split('\n'))
        {
            string[] words = line.TrimStart(' ').Split(' ', 2);
            if (words.Length == 2 && XfsGeometry.TryNumber(words[0], out long inode))
            {
                string path = words[1].EndsWith("/.", StringComparison.Ordinal) ? words[1][..^2] : words[1];
                _ = names.TryAdd(inode, PlainText.Of("/" + (path == "." ? "" : path.TrimStart('/'))));
            }
        }
        return names;
    }

    private static string Why(ToolAnswer answer, string otherwise) =>
        answer.Why.Length > 0 ? answer.Why : otherwise;
}
