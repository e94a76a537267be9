using System;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using System.Text.Json;
using System.Threading.Tasks;
using DmRemap.Control.Contracts;

namespace DmRemap.Cli.Losses;

/// <summary>
/// Which files have lost blocks. Asked of the served view, never of the raw main device: that one shows old
/// content where units moved, and waits where sectors are bad. Partitions are told by sfdisk, what is in them
/// by blkid, its files by the file system's own tool.
/// </summary>
internal sealed class LostFiles(ToolRun tools, string path, int blockSize, long deviceBlocks)
{
    private const int PartitionsMax = 256;

    /// <param name="FirstBlock">In blocks of the device.</param>
    /// <param name="Blocks">The same.</param>
    private readonly record struct Part(long FirstBlock, long Blocks);

    public async Task<HitFiles> FindAsync(IReadOnlyList<LostExtent> lost)
    {
        Probe whole = await ProbeAsync(new Part(0, deviceBlocks));
        if (whole.Unknown is not null)
        {
            return new HitFiles(path, [], 0, whole.Unknown);
        }
        List<Part> parts = [new Part(0, deviceBlocks)];
        if (whole.HasPartitions)
        {
            ToolAnswer table = await tools.RunAsync("sfdisk", "-J", path);
            if (table.ExitCode != 0 || !TryTakePartitions(table.Output, out parts))
            {
                string why = table.Why.Length > 0 ? table.Why : "sfdisk does not tell the partitions";
                return new HitFiles(path, [], 0, why);
            }
        }
        List<HitFileSystem> hit = [];
        long inside = 0;
        foreach (Part part in parts)
        {
            LostExtent[] here = [.. lost.Select(extent => Inside(extent, part)).Where(one => one.Blocks > 0)];
            if (here.Length > 0)
            {
                inside += here.Sum(extent => extent.Blocks);
                hit.Add(await FindInAsync(part, here));
            }
        }
        return new HitFiles(path, hit, Math.Max(0, lost.Sum(extent => extent.Blocks) - inside), null);
    }

    /// <summary>`sfdisk -J`. False: it is not of its form.</summary>
    private bool TryTakePartitions(string json, out List<Part> parts)
    {
        parts = [];
        try
        {
            using JsonDocument document = JsonDocument.Parse(json);
            JsonElement table = document.RootElement.GetProperty("partitiontable");
            long sector = table.TryGetProperty("sectorsize", out JsonElement size) ? size.GetInt64() : 512;
            if (!table.TryGetProperty("partitions", out JsonElement partitions))
            {
                return true;
            }
            foreach (JsonElement one in partitions.EnumerateArray().Take(PartitionsMax))
            {
                long start = checked(one.GetProperty("start").GetInt64() * sector);
                long bytes = checked(one.GetProperty("size").GetInt64() * sector);
                long first = start / blockSize;
                bool isInside = sector > 0 && start >= 0 && bytes > 0 && start % blockSize == 0
                    && first < deviceBlocks && bytes / blockSize <= deviceBlocks - first;
                if (isInside)
                {
                    parts.Add(new Part(first, bytes / blockSize));
                }
            }
            return true;
        }
        catch (Exception error) when (error is JsonException or KeyNotFoundException
            or InvalidOperationException or FormatException or OverflowException)
        {
            return false;
        }
    }

    private async Task<HitFileSystem> FindInAsync(Part part, LostExtent[] lost)
    {
        Probe probe = await ProbeAsync(part);
        HitFileSystem hit = new()
        {
            FirstBlock = part.FirstBlock,
            Blocks = part.Blocks,
            Kind = probe.Kind,
        };
        long offset = part.FirstBlock * blockSize;
        return probe switch
        {
            { Unknown: string why } => hit with { Unknown = why },
            { Kind: null } => hit with { Unknown = "no file system is recognised there" },
            { Kind: "ext2" or "ext3" or "ext4" } =>
                await new ExtFiles(tools, path, offset).FindAsync(hit, lost, blockSize),
            { Kind: "xfs" } => await new XfsFiles(tools, path, offset).FindAsync(hit, lost, blockSize),
            { Kind: "btrfs" } => await new BtrfsFiles(tools, path, offset).FindAsync(hit, lost, blockSize),
            _ => hit with { Unknown = $"files of {probe.Kind} are not looked up in this version" },
        };
    }

    /// <summary>
    /// blkid looks in many places, gives up at the first that does not read, and then says what it says of an
    /// empty disk. Asked for one family of file systems it looks only where those have their superblock.
    /// </summary>
    private async Task<Probe> ProbeAsync(Part part)
    {
        string[] where =
        [
            "-O", (part.FirstBlock * blockSize).ToString(CultureInfo.InvariantCulture),
            "-S", (part.Blocks * blockSize).ToString(CultureInfo.InvariantCulture), "--", path,
        ];
        Probe probe = ProbeOf(await tools.RunAsync("blkid", ["-p", "-o", "export", .. where]));
        return probe == default
            ? ProbeOf(await tools.RunAsync("blkid", ["-p", "-o", "export", "-n", "ext2,ext3,ext4", .. where]))
            : probe;
    }

    internal static Probe ProbeOf(ToolAnswer answer)
    {
        const int NothingFound = 2;
        const int SeveralFound = 8;
        if (answer.ExitCode == NothingFound && answer.Why.Length == 0)
        {
            return default;
        }
        if (answer.ExitCode == SeveralFound)
        {
            return new Probe(null, false, "it has signatures of several kinds");
        }
        if (answer.ExitCode != 0)
        {
            return new Probe(null, false, answer.Why.Length > 0 ? answer.Why : "blkid does not read it");
        }
        string? kind = Value(answer.Output, "TYPE=");
        return new Probe(kind, kind is null && Value(answer.Output, "PTTYPE=") is not null, null);
    }

    private static string? Value(string output, string head)
    {
        foreach (string line in output.Split('\n'))
        {
            if (line.StartsWith(head, StringComparison.Ordinal))
            {
                return PlainText.Of(line[head.Length..]);
            }
        }
        return null;
    }

    private static LostExtent Inside(LostExtent extent, Part part)
    {
        long first = Math.Max(extent.FirstBlock, part.FirstBlock);
        long end = Math.Min(extent.FirstBlock + extent.Blocks, part.FirstBlock + part.Blocks);
        return new LostExtent(first, Math.Max(0, end - first));
    }

    internal readonly record struct Probe(string? Kind, bool HasPartitions, string? Unknown);
}
