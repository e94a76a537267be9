using System.Collections.Generic;
using DmRemap.Control.Contracts;

namespace DmRemap.Cli.Losses;

/// <summary>What `lost --files` found.</summary>
/// <param name="AskedOf">The served device as a file or block device; null: there is none to ask.</param>
/// <param name="FileSystems">Those that have lost blocks.</param>
/// <param name="OutsideBlocks">Lost blocks that lie in no partition.</param>
/// <param name="Unknown">Why nothing could be asked; null when it could.</param>
internal sealed record HitFiles(
    string? AskedOf, IReadOnlyList<HitFileSystem> FileSystems, long OutsideBlocks, string? Unknown);

/// <summary>A partition, or the whole device, with lost blocks in it.</summary>
internal sealed record HitFileSystem
{
    /// <summary>In blocks of the device.</summary>
    public required long FirstBlock { get; init; }

    public required long Blocks { get; init; }

    /// <summary>As blkid calls it; null: nothing was recognised.</summary>
    public string? Kind { get; init; }

    public IReadOnlyList<HitFile> Files { get; init; } = [];

    /// <summary>Lost blocks that no file has: free space, or the file system's own.</summary>
    public IReadOnlyList<LostExtent> InNoFile { get; init; } = [];

    /// <summary>Why it is not known which files are hit, or not of all blocks; null when it is.</summary>
    public string? Unknown { get; init; }
}

/// <param name="Path">In its file system; null: the inode has no name that could be found.</param>
/// <param name="Inode">Its number.</param>
/// <param name="Extents">The lost blocks, in blocks of the device.</param>
internal sealed record HitFile(string? Path, long Inode, IReadOnlyList<LostExtent> Extents);
