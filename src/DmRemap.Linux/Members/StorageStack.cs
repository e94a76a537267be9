using System;
using System.Collections.Generic;
using System.IO;
using DmRemap.Linux.Fuse;
using DmRemap.Linux.Native;

namespace DmRemap.Linux.Members;

/// <summary>A place where bytes are: a block device (Inode 0), or a file on a file system.</summary>
internal readonly record struct StorageNode(DeviceNumber Device, ulong Inode)
{
    public bool IsDevice => Inode == 0;
}

/// <summary>
/// Everything that one path stands on, found by walking down:
/// <code>
///   file ── its file system's device(s) ── partition ── disk
///                     │ dm, md: slaves      loop: backing file, and down again
/// </code>
/// What cannot be seen from here (an NBD or FUSE server's own storage, ZFS pools) ends the walk.
/// </summary>
internal sealed class StorageStack
{
    private readonly BlockTopology _topology;
    private readonly List<Mount> _mounts;
    private readonly HashSet<StorageNode> _nodes = [];
    private readonly HashSet<StorageNode> _images = [];
    private readonly HashSet<DeviceNumber> _disks = [];

    private StorageStack(BlockTopology topology, List<Mount> mounts)
    {
        _topology = topology;
        _mounts = mounts;
    }

    /// <summary>The path itself.</summary>
    public StorageNode Top { get; private init; }

    /// <summary>The path itself and all that it stands on.</summary>
    public IReadOnlySet<StorageNode> Nodes => _nodes;

    /// <summary>Nodes that hold the same bytes as the path: itself, and what a loop device shows.</summary>
    public IReadOnlySet<StorageNode> Images => _images;

    /// <summary>Devices that stand on nothing: where a head crash would hit.</summary>
    public IReadOnlySet<DeviceNumber> Disks => _disks;

    /// <summary>True when the bytes end up in a file, whatever device shows them.</summary>
    public bool IsFileImage
    {
        get
        {
            foreach (StorageNode image in _images)
            {
                if (!image.IsDevice)
                {
                    return true;
                }
            }
            return false;
        }
    }

    /// <summary>Walk down from a path; null when nothing is there. Directories count as files.</summary>
    public static StorageStack? Below(string path, BlockTopology topology)
    {
        if (FileStatus.OfPath(path) is not FileStatus status)
        {
            return null;
        }
        StorageStack stack = StartingAt(NodeOf(status), topology);
        stack.Visit(path, status, isImage: true);
        return stack;
    }

    /// <summary>Walk down from a device that need not have a node in /dev.</summary>
    public static StorageStack Below(DeviceNumber device, BlockTopology topology)
    {
        StorageStack stack = StartingAt(new StorageNode(device, 0), topology);
        stack.VisitDevice(device, isImage: true);
        return stack;
    }

    public static StorageNode NodeOf(FileStatus status) => status.Kind == FileKind.Block
        ? new StorageNode(status.Device, 0)
        : new StorageNode(status.HostDevice, status.Inode);

    private static StorageStack StartingAt(StorageNode top, BlockTopology topology)
    {
        StorageStack stack = new(topology, MountTable.Mounts(topology.ProcRoot)) { Top = top };
        stack._images.Add(top);
        return stack;
    }

    private void Visit(string path, FileStatus status, bool isImage)
    {
        if (status.Kind == FileKind.Block)
        {
            VisitDevice(status.Device, isImage);
        }
        else if (_nodes.Add(NodeOf(status)))
        {
            VisitFileSystemOf(path, status);
        }
    }

    private void VisitDevice(DeviceNumber device, bool isImage)
    {
        if (!_nodes.Add(new StorageNode(device, 0)))
        {
            return;
        }
        bool isBottom = true;
        if (_topology.DiskOf(device) is DeviceNumber disk)
        {
            isBottom = false;
            VisitDevice(disk, isImage: false);
        }
        foreach (DeviceNumber slave in _topology.SlavesOf(device))
        {
            isBottom = false;
            VisitDevice(slave, isImage: false);
        }
        if (_topology.BackingFileOf(device) is string file
            && FileStatus.KnownOfPath(file) is FileStatus backing)
        {
            isBottom = false;
            if (isImage)
            {
                _images.Add(NodeOf(backing));
            }
            Visit(file, backing, isImage);
        }
        if (isBottom)
        {
            _disks.Add(device);
        }
    }

    private void VisitFileSystemOf(string path, FileStatus status)
    {
        if (_topology.Knows(status.HostDevice))
        {
            VisitDevice(status.HostDevice, isImage: false);
            return;
        }
        if (MountOf(path) is not Mount mount)
        {
            return;
        }
        if (mount.FileSystem == "overlay")
        {
            VisitOverlay(mount);
        }
        else if (mount.FileSystem == FuseMount.FileSystem
            && FileStatus.OfPath(mount.Source) is FileStatus main)
        {
            // A device of ours, shown as a file: what is written there ends up on its main device.
            Visit(mount.Source, main, isImage: false);
        }
        else if (mount.Source.StartsWith('/')
            && FileStatus.OfPath(mount.Source) is { Kind: FileKind.Block } source)
        {
            VisitDevice(source.Device, isImage: false);
            foreach (DeviceNumber other in _topology.BtrfsDevicesWith(source.Device))
            {
                VisitDevice(other, isImage: false);
            }
        }
    }

    /// <summary>
    /// Writes go to the upper directory, reads of what was never written to the lower ones.
    /// </summary>
    private void VisitOverlay(Mount overlay)
    {
        string directories = $"{overlay.Option("upperdir")}:{overlay.Option("lowerdir")}";
        foreach (string directory in directories.Split(':', StringSplitOptions.RemoveEmptyEntries))
        {
            if (FileStatus.OfPath(directory) is FileStatus status)
            {
                Visit(directory, status, isImage: false);
            }
        }
    }

    /// <summary>
    /// The mount that shows this path: the longest mount point above it, the latest where several are.
    /// </summary>
    private Mount? MountOf(string path)
    {
        string? real = FileCalls.TryRealPath(path);
        Mount? found = null;
        foreach (Mount mount in _mounts)
        {
            if (real is not null
                && IsAtOrBelow(real, mount.Point)
                && mount.Point.Length >= (found?.Point.Length ?? 0))
            {
                found = mount;
            }
        }
        return found;
    }

    private static bool IsAtOrBelow(string path, string directory) =>
        directory == "/" || path == directory
            || (path.StartsWith(directory, StringComparison.Ordinal)
                && path[directory.Length] == Path.DirectorySeparatorChar);
}
