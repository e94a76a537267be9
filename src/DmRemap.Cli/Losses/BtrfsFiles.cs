using System;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using System.Threading.Tasks;
using DmRemap.Control.Contracts;
using DmRemap.Linux.Members;

namespace DmRemap.Cli.Losses;

/// <summary>
/// Which files of a mounted btrfs file system have these blocks. Its addresses are its own: its table of
/// chunks says which of them lie on a block of the device, and the kernel which files have those.
/// </summary>
internal sealed class BtrfsFiles(ToolRun tools, string served, long offsetBytes)
{
    /// <summary>The least that a file has of a device.</summary>
    private const int SectorBytes = 4096;

    /// <summary>A call for each.</summary>
    private const int SectorsMax = 4096;

    /// <param name="part">What is known of the file system; it is returned filled in.</param>
    /// <param name="lost">The lost blocks in it, in blocks of the device.</param>
    /// <param name="deviceBlockSize">Of those.</param>
    public async Task<HitFileSystem> FindAsync(
        HitFileSystem part, IReadOnlyList<LostExtent> lost, int deviceBlockSize)
    {
        PartNode? node = await Task.Run(() => PartNode.Find(served, offsetBytes));
        if (node?.MountPoint is not string point)
        {
            return part with
            {
                Unknown = "files of btrfs are told while its top subvolume is mounted, read-only too",
            };
        }
        ToolAnswer tree =
            await tools.RunAsync("btrfs", "inspect-internal", "dump-tree", "-t", "chunk", node.Path);
        BtrfsChunks? chunks = tree.ExitCode == 0 ? BtrfsChunks.Parse(tree.Output) : null;
        if (chunks is null)
        {
            return part with { Unknown = tree.Why.Length > 0 ? tree.Why : "btrfs does not tell its chunks" };
        }
        if (chunks.IsSpread)
        {
            return part with { Unknown = "it lies on several devices, or in stripes" };
        }
        LostInPart inPart = new(lost, part.FirstBlock, SectorBytes / deviceBlockSize);
        SortedSet<long> sectors = inPart.Blocks(SectorsMax);
        Hits hits = new();
        bool isCut = sectors.Count > SectorsMax;
        string? doubt = isCut ? $"only the first {SectorsMax} blocks were looked up" : null;
        foreach (long sector in sectors.Take(SectorsMax))
        {
            if (chunks.LogicalOf(sector * SectorBytes) is not long logical)
            {
                hits.InNoFile.Add(sector);
            }
            else if (!tools.IsOver)
            {
                doubt = await AskAsync(point, logical, sector, hits) ?? doubt;
            }
            else
            {
                doubt = tools.WhyCut;
            }
        }
        return Filled(part, inPart, point, hits) with { Unknown = doubt };
    }

    /// <summary>Null, or why not all of the block's files are known.</summary>
    private async Task<string?> AskAsync(string point, long logical, long sector, Hits hits)
    {
        ToolAnswer answer = await tools.RunAsync(
            "btrfs", "inspect-internal", "logical-resolve",
            logical.ToString(CultureInfo.InvariantCulture), point);
        if (BtrfsAnswer.IsOfNoFile(answer))
        {
            hits.InNoFile.Add(sector);
            return null;
        }
        string? doubt = WhyNot(answer);
        foreach (string line in answer.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            // A name with a line break in it ends here, too.
            if (BtrfsAnswer.IsBelow(line, point) && FileNumber.Of(line) is not null)
            {
                hits.Of(line).Add(sector);
            }
            else if (BtrfsAnswer.TryTakeInSubvolume(line, out string inode, out string subvolume))
            {
                string root = point.TrimEnd('/') + "/" + subvolume;
                doubt = await AskSubvolumeAsync(root, inode, sector, hits) ?? doubt;
            }
            else
            {
                doubt = $"btrfs: {PlainText.Of(line)}";
            }
        }
        return doubt;
    }

    /// <summary>The same, of one subvolume, through the one above it.</summary>
    private async Task<string?> AskSubvolumeAsync(string root, string inode, long sector, Hits hits)
    {
        if (PartNode.IsMountPoint(root))
        {
            return $"{PlainText.Of(root)}: another file system is mounted over it";
        }
        ToolAnswer answer = await tools.RunAsync("btrfs", "inspect-internal", "inode-resolve", inode, root);
        string? doubt = WhyNot(answer);
        foreach (string line in answer.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            bool isIt = BtrfsAnswer.IsBelow(line, root)
                && FileNumber.Of(line)?.ToString(CultureInfo.InvariantCulture) == inode;
            if (isIt)
            {
                hits.Of(line).Add(sector);
            }
            doubt = isIt ? doubt : $"btrfs: {PlainText.Of(line)}";
        }
        return doubt;
    }

    /// <summary>Null: it has answered.</summary>
    private static string? WhyNot(ToolAnswer answer) =>
        answer.ExitCode == 0 && answer.Why.Length == 0 && answer.Output.Length > 0 ? null
            : answer.Why.Length > 0 ? answer.Why
            : "btrfs does not tell the files of a block";

    private static HitFileSystem Filled(HitFileSystem part, LostInPart inPart, string point, Hits hits) =>
        part with
        {
            Files =
            [
                .. hits.Files.OrderBy(pair => pair.Value.Min).Select(pair => new HitFile(
                    PlainText.Of("/" + pair.Key[point.Length..].TrimStart('/')),
                    FileNumber.Of(pair.Key) ?? 0,
                    inPart.ExtentsOf(pair.Value))),
            ],
            InNoFile = inPart.ExtentsOf(hits.InNoFile),
        };

    private sealed class Hits
    {
        public Dictionary<string, SortedSet<long>> Files { get; } = [];

        public SortedSet<long> InNoFile { get; } = [];

        public SortedSet<long> Of(string path)
        {
            if (!Files.TryGetValue(path, out SortedSet<long>? sectors))
            {
                Files[path] = sectors = [];
            }
            return sectors;
        }
    }
}
