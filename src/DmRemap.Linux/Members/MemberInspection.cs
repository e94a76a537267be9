using System;
using System.Collections.Generic;
using System.IO;
using DmRemap.Linux.Native;

namespace DmRemap.Linux.Members;

public enum UserKind
{
    None = 0,
    Mount = 1,
    Swap = 2,
    DeviceMapper = 3,
    Md = 4,
    Loop = 5,

    /// <summary>Another kernel driver stands on it (bcache, drbd …).</summary>
    Other = 6,
}

/// <summary>Somebody who uses a device or file: "mounted at /home", "loop3".</summary>
/// <param name="Kind">What sort of user.</param>
/// <param name="Name">The mount point, swap area, or device that stands on it.</param>
/// <param name="Via">The part that is used when it is not the path itself ("sda1" of /dev/sda), else
/// empty.</param>
public sealed record MemberUser(UserKind Kind, string Name, string Via)
{
    /// <summary>For a sentence: "sda1 is mounted at /home".</summary>
    public override string ToString()
    {
        string what = Kind switch
        {
            UserKind.Mount => $"mounted at {Name}",
            UserKind.Swap => $"in use as swap ({Name})",
            UserKind.DeviceMapper => $"in use by the device-mapper device {Name}",
            UserKind.Md => $"in use by the RAID array {Name}",
            UserKind.Loop => $"attached to the loop device {Name}",
            _ => $"in use by the kernel's {Name}",
        };
        return Via.Length == 0 ? what : $"its part {Via} is {what}";
    }
}

/// <summary>
/// How two paths are related. The default claims nothing; every value but Apart is a reason to refuse or to
/// ask.
/// </summary>
public enum MemberRelation
{
    Unknown = 0,

    /// <summary>Nothing in common that can be seen.</summary>
    Apart = 1,

    /// <summary>One file, perhaps under two names.</summary>
    SameFile = 2,

    /// <summary>One block device, perhaps under two names.</summary>
    SameDevice = 3,

    /// <summary>Two devices that show the same bytes (a loop device and its file).</summary>
    SameBytes = 4,

    /// <summary>The first stands on the second: a partition of it, or a file or dm device on it.</summary>
    FirstLiesOnSecond = 5,

    SecondLiesOnFirst = 6,

    /// <summary>Different parts of one disk: they fail together.</summary>
    SameDisk = 7,
}

/// <summary>
/// Who uses a member, and whether two members have storage in common. Looks, never changes; may wait for a
/// file system that does not answer, so never call it on a thread that serves.
/// </summary>
public static class MemberInspection
{
    /// <summary>
    /// Kernel users of a device (or of its partitions, or of the disk it is part of) or of a file.
    /// </summary>
    public static IReadOnlyList<MemberUser> FindUsers(string path) => FindUsers(path, new BlockTopology());

    /// <summary>
    /// Processes that have a member as one that claims it would; nothing is claimed for that. Of a device,
    /// these are those who write to it, with a claim or without.
    /// </summary>
    public static IReadOnlyList<ClaimHolder> FindHolders(string path) => FileStatus.OfPath(path) switch
    {
        null => [],
        { Kind: FileKind.Block } device => ClaimHolders.OfDevice(device.Device),
        FileStatus file => ClaimHolders.OfFile(file),
    };

    /// <inheritdoc cref="MemberRelation"/>
    public static MemberRelation Relate(string first, string second) =>
        Relate(first, second, new BlockTopology());

    /// <summary>
    /// True when the path (a file, directory or device) ends up on this device or file: then our own writes
    /// to it would wait for the device that we serve (F-21).
    /// </summary>
    public static bool LiesOn(string path, string device) => LiesOn(path, device, new BlockTopology());

    internal static IReadOnlyList<MemberUser> FindUsers(string path, BlockTopology topology)
    {
        List<MemberUser> users = [];
        if (FileStatus.OfPath(path) is not FileStatus status)
        {
            return users;
        }
        if (status.Kind == FileKind.Block)
        {
            users.AddRange(FindDeviceUsers(status.Device, topology));
        }
        else
        {
            FindFileUsers(path, status, topology, users);
        }
        return users;
    }

    internal static MemberRelation Relate(string first, string second, BlockTopology topology)
    {
        if (StorageStack.Below(first, topology) is not StorageStack one
            || StorageStack.Below(second, topology) is not StorageStack two)
        {
            return MemberRelation.Unknown;
        }
        return Relate(one, two);
    }

    internal static MemberRelation Relate(StorageStack one, StorageStack two)
    {
        if (one.Top == two.Top)
        {
            return one.Top.IsDevice ? MemberRelation.SameDevice : MemberRelation.SameFile;
        }
        if (one.Images.Overlaps(two.Images))
        {
            return MemberRelation.SameBytes;
        }
        if (two.Images.Overlaps(one.Nodes))
        {
            return MemberRelation.FirstLiesOnSecond;
        }
        if (one.Images.Overlaps(two.Nodes))
        {
            return MemberRelation.SecondLiesOnFirst;
        }
        return one.Disks.Overlaps(two.Disks) ? MemberRelation.SameDisk : MemberRelation.Apart;
    }

    internal static bool LiesOn(string path, string device, BlockTopology topology) =>
        StorageStack.Below(path, topology) is StorageStack above
            && StorageStack.Below(device, topology) is StorageStack below
            && below.Images.Overlaps(above.Nodes);

    /// <summary>
    /// True when the bytes of this path are in a file, whatever device shows them: a rehearsal, not a disk.
    /// </summary>
    internal static bool IsFileImage(string path, BlockTopology topology) =>
        StorageStack.Below(path, topology) is { IsFileImage: true };

    internal static List<MemberUser> FindDeviceUsers(DeviceNumber device, BlockTopology topology)
    {
        List<MemberUser> users = [];
        List<Mount> mounts = MountTable.Mounts(topology.ProcRoot);
        List<string> swaps = MountTable.SwapPaths(topology.ProcRoot);
        HashSet<DeviceNumber> parts = [device];
        parts.UnionWith(topology.PartitionsOf(device));
        if (topology.DiskOf(device) is DeviceNumber disk)
        {
            parts.Add(disk);
        }
        foreach (DeviceNumber part in parts)
        {
            string via = part == device ? string.Empty : topology.NameOf(part);
            AddMounts(part, via, topology, mounts, users);
            AddSwaps(part, via, swaps, users);
            AddHolders(part, via, topology, users);
            AddLoops(new StorageNode(part, 0), via, string.Empty, topology, users);
        }
        return users;
    }

    private static void FindFileUsers(
        string path, FileStatus status, BlockTopology topology, List<MemberUser> users)
    {
        foreach (string swap in MountTable.SwapPaths(topology.ProcRoot))
        {
            if (FileStatus.OfPath(swap) is FileStatus other && other.IsSameFile(status))
            {
                users.Add(new MemberUser(UserKind.Swap, swap, string.Empty));
            }
        }
        string realPath = FileCalls.TryRealPath(path) ?? path;
        AddLoops(StorageStack.NodeOf(status), string.Empty, realPath, topology, users);
    }

    private static void AddMounts(
        DeviceNumber part, string via, BlockTopology topology, List<Mount> mounts, List<MemberUser> users)
    {
        HashSet<DeviceNumber> pool = [part, .. topology.BtrfsDevicesWith(part)];
        foreach (Mount mount in mounts)
        {
            bool isHere = mount.Device == part || (mount.Device.IsAnonymous && SourceIsAmong(mount, pool));
            if (isHere)
            {
                users.Add(new MemberUser(UserKind.Mount, mount.Point, via));
            }
        }
    }

    /// <summary>
    /// File systems with a device number of their own (btrfs) name one of their devices as the source.
    /// </summary>
    private static bool SourceIsAmong(Mount mount, HashSet<DeviceNumber> devices) =>
        mount.Source.StartsWith("/dev/", StringComparison.Ordinal)
            && FileStatus.OfPath(mount.Source) is { Kind: FileKind.Block } source
            && devices.Contains(source.Device);

    private static void AddSwaps(DeviceNumber part, string via, List<string> swaps, List<MemberUser> users)
    {
        foreach (string swap in swaps)
        {
            if (FileStatus.OfPath(swap) is { Kind: FileKind.Block } status && status.Device == part)
            {
                users.Add(new MemberUser(UserKind.Swap, swap, via));
            }
        }
    }

    private static void AddHolders(
        DeviceNumber part, string via, BlockTopology topology, List<MemberUser> users)
    {
        foreach (DeviceNumber holder in topology.HoldersOf(part))
        {
            UserKind kind = topology.IsMapped(holder) ? UserKind.DeviceMapper
                : topology.IsMd(holder) ? UserKind.Md
                : UserKind.Other;
            users.Add(new MemberUser(kind, topology.TitleOf(holder), via));
        }
    }

    /// <summary>
    /// Loops that stand on this node. sysfs gives a path only; where that leads nowhere from here (another
    /// mount namespace), equal text is believed. Of all loops of the machine: a server that hangs is not to
    /// hold up who asks for another one.
    /// </summary>
    private static void AddLoops(
        StorageNode node, string via, string realPath, BlockTopology topology, List<MemberUser> users)
    {
        foreach ((string name, string file) in topology.Loops())
        {
            bool isHere = FileStatus.KnownOfPath(file) is FileStatus backing
                ? StorageStack.NodeOf(backing) == node
                : realPath.Length > 0 && file == realPath;
            if (isHere)
            {
                users.Add(new MemberUser(UserKind.Loop, Path.GetFileName(name), via));
            }
        }
    }
}
