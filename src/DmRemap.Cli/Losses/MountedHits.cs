using System.Collections.Generic;
using System.Linq;
using DmRemap.Control.Contracts;
using DmRemap.Linux.Members;

namespace DmRemap.Cli.Losses;

/// <summary>What is hit in a mounted file system, by asking each of its files where it lies.</summary>
internal static class MountedHits
{
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
        string? doubt = files.IsCut ? limit.WhyCut
            : files.Unasked > 0
                ? $"{files.Unasked} files or folders cannot be asked; the first: {files.Problem}"
            : null;
        LostInPart inPart = new(lost, part.FirstBlock, ratio: 1);
        SortedSet<long> left = doubt is null ? inPart.Blocks(int.MaxValue - 1) : [];
        List<HitFile> hit = [];
        foreach (MountedFile file in files.Found)
        {
            SortedSet<long> blocks = [];
            foreach (ByteRun run in file.Runs)
            {
                for (long at = run.Start / deviceBlockSize; at * deviceBlockSize < run.End; at++)
                {
                    blocks.Add(at);
                }
            }
            left.ExceptWith(blocks);
            hit.Add(new HitFile(PlainText.Of(file.Path), file.Inode, inPart.ExtentsOf(blocks)));
        }
        return part with
        {
            Files = [.. hit.OrderBy(file => file.Extents.Count > 0 ? file.Extents[0].FirstBlock : 0)],
            InNoFile = inPart.ExtentsOf(left),
            Unknown = doubt,
        };
    }
}
