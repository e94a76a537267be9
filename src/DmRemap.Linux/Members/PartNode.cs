using System.Collections.Generic;
using DmRemap.Linux.Native;

namespace DmRemap.Linux.Members;

/// <summary>
/// A device, or a partition of it, as programs that look at file systems can be given it.
/// </summary>
/// <param name="Path">A block device; a file only where the whole of it is meant.</param>
/// <param name="MountPoint">
/// Where the root of its file system is mounted; null: nowhere that is seen here.
/// </param>
public sealed record PartNode(string Path, string? MountPoint)
{
    /// <summary>A block device: a program must not be told that it is a file.</summary>
    public bool IsBlockDevice { get; init; }

    /// <summary>Null: the partition has no node here.</summary>
    /// <param name="served">The served device, as a block device or a file.</param>
    /// <param name="startBytes">Where on it the part begins; 0: the whole.</param>
    public static PartNode? Find(string served, long startBytes)
    {
        if (FileStatus.OfPath(served) is not { Kind: FileKind.Block } status)
        {
            return startBytes == 0 ? new PartNode(served, null) : null;
        }
        BlockTopology topology = new();
        DeviceNumber device = status.Device;
        if (startBytes != 0)
        {
            List<DeviceNumber> partitions = topology.PartitionsOf(device);
            int at = partitions.FindIndex(partition => topology.StartBytesOf(partition) == startBytes);
            if (at < 0)
            {
                return null;
            }
            device = partitions[at];
        }
        string path = startBytes == 0 ? served : $"/dev/{topology.NameOf(device)}";
        return new PartNode(path, MountPointOf(device, path)) { IsBlockDevice = true };
    }

    public static bool IsMountPoint(string path) =>
        MountTable.Mounts("/proc").Exists(mount => mount.Point == path);

    /// <summary>btrfs has a number of its own, and is known by the path of a device.</summary>
    private static string? MountPointOf(DeviceNumber device, string path)
    {
        string real = FileCalls.TryRealPath(path) ?? path;
        List<Mount> mounts = MountTable.Mounts("/proc");
        foreach (Mount mount in mounts)
        {
            bool isBtrfs = mount.FileSystem == "btrfs";
            bool isIt = isBtrfs ? FileCalls.TryRealPath(mount.Source) == real : mount.Device == device;
            // What is mounted over it would be asked in its place.
            if (isIt && mount.Root == "/"
                && mounts.FindLast(other => other.Point == mount.Point) == mount
                && (isBtrfs || FileStatus.OfPath(mount.Point)?.HostDevice == device))
            {
                return mount.Point;
            }
        }
        return null;
    }
}
