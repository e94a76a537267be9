using System.Collections.Generic;
using System.Linq;
using DmRemap.Control.Contracts;
using DmRemap.Linux.Members;

namespace DmRemap.Cli.Losses;

/// <summary>What is hit in a mounted file system, by asking each of its files where it lies.</summary>
internal static class MountedHits
{
    /// <summary>Of the device; more are not asked for.</summary>
    private const int BlocksMax = 1 << 20;

    public static HitFileSystem Find(
        ToolRun limit, string mountPoint, HitFileSystem part, IReadOnlyList<LostExtent> lost,
        int deviceBlockSize)
    {
        ByteRun[] sought =
        [
            .. lost.Select(extent => new ByteRun(
                (extent.FirstBlock - part.FirstBlock) * deviceBlockSize,
                (extent.FirstBlock + extent.Blocks - part.FirstBlock) * deviceBlockSize)),
        ];
        MountedFiles files = MountedFiles.Find(mountPoint, sought, () => limit.IsOver);
        LostInPart inPart = new(lost, part.FirstBlock, ratio: 1);
        SortedSet<long> left = inPart.Blocks(BlocksMax);
        bool isMore = left.Count > BlocksMax;
        string? doubt = files.IsCut ? limit.WhyCut
            : isMore ? $"only the first {BlocksMax} blocks were looked up"
            : files.Unasked > 0
                ? $"{files.Unasked} files or folders cannot be asked; the first: {files.Problem}"
            : null;
        SortedSet<long> asked = [.. left];
        List<HitFile> hit = [];
        foreach (MountedFile file in files.Found)
        {
            SortedSet<long> blocks = [];
            foreach (ByteRun run in file.Runs)
            {
                blocks.UnionWith(asked.GetViewBetween(
                    run.Start / deviceBlockSize, (run.End - 1) / deviceBlockSize));
            }
            left.ExceptWith(blocks);
            if (blocks.Count > 0)
            {
                hit.Add(new HitFile(PlainText.Of(file.Path), file.Inode, inPart.ExtentsOf(blocks)));
            }
        }
        return part with
        {
            Files = [.. hit.OrderBy(file => file.Extents.Count > 0 ? file.Extents[0].FirstBlock : 0)],
            InNoFile = doubt is null ? inPart.ExtentsOf(left) : [],
            Unknown = doubt,
        };
    }
}
