using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using DmRemap.Linux.Native;

namespace DmRemap.Linux.Members;

/// <summary>
/// What sysfs and udev know of block devices: which is a partition of which, what a dm, md or loop device
/// stands on, what a disk is called. Roots are arguments, so that tests can build machines that do not exist.
/// </summary>
internal sealed class BlockTopology(
    string sysRoot = "/sys", string procRoot = "/proc", string udevRoot = "/run/udev")
{
    public string ProcRoot { get; } = procRoot;

    /// <summary>
    /// False for a device that sysfs does not list (a container without /sys, or an unplugged disk).
    /// </summary>
    public bool Knows(DeviceNumber device) => DirectoryOf(device) is not null;

    /// <summary>The kernel's name: "sda1", "dm-0". The number where sysfs has none.</summary>
    public string NameOf(DeviceNumber device) =>
        DirectoryOf(device) is string directory ? Path.GetFileName(directory) : device.ToString();

    /// <summary>The name people know: "sda1", or "dm-0 (vg-home)".</summary>
    public string TitleOf(DeviceNumber device)
    {
        string name = NameOf(device);
        return ReadText(device, "dm/name") is string mapped ? $"{name} ({mapped})" : name;
    }

    public bool IsPartition(DeviceNumber device) =>
        DirectoryOf(device) is string directory && File.Exists(Path.Combine(directory, "partition"));

    public bool IsMapped(DeviceNumber device) => Exists(device, "dm");

    public bool IsMd(DeviceNumber device) => Exists(device, "md");

    /// <summary>Hardware, or a partition of it: nothing that the kernel makes of other devices.</summary>
    public bool IsDrive(DeviceNumber device) => Exists(DiskOf(device) ?? device, "device");

    /// <summary>The disk that a partition lies on; null for what is no partition.</summary>
    public DeviceNumber? DiskOf(DeviceNumber partition)
    {
        if (!IsPartition(partition) || Path.GetDirectoryName(DirectoryOf(partition)) is not string disk)
        {
            return null;
        }
        return NumberIn(disk);
    }

    /// <summary>Where a partition begins on its disk; null for what is no partition.</summary>
    public long? StartBytesOf(DeviceNumber partition) =>
        long.TryParse(
            ReadText(partition, "start"), NumberStyles.None, CultureInfo.InvariantCulture, out long sectors)
            ? sectors * 512
            : null;

    public List<DeviceNumber> PartitionsOf(DeviceNumber disk)
    {
        List<DeviceNumber> partitions = [];
        if (DirectoryOf(disk) is string directory)
        {
            foreach (string child in Directory.EnumerateDirectories(directory))
            {
                if (File.Exists(Path.Combine(child, "partition")) && NumberIn(child) is DeviceNumber number)
                {
                    partitions.Add(number);
                }
            }
        }
        return partitions;
    }

    /// <summary>What stands directly on this device: dm, md, bcache ….</summary>
    public List<DeviceNumber> HoldersOf(DeviceNumber device) => Linked(device, "holders");

    /// <summary>What this device directly stands on.</summary>
    public List<DeviceNumber> SlavesOf(DeviceNumber device) => Linked(device, "slaves");

    /// <summary>
    /// The file (or device) behind a loop device; null for anything else or a detached loop.
    /// </summary>
    public string? BackingFileOf(DeviceNumber device) => ReadText(device, "loop/backing_file");

    /// <summary>Every attached loop device with the path it stands on.</summary>
    public List<(string Name, string BackingFile)> Loops()
    {
        List<(string, string)> loops = [];
        string block = Path.Combine(sysRoot, "block");
        if (Directory.Exists(block))
        {
            foreach (string directory in Directory.EnumerateFileSystemEntries(block, "loop*"))
            {
                if (TryReadText(Path.Combine(directory, "loop/backing_file")) is string file)
                {
                    loops.Add((Path.GetFileName(directory), file));
                }
            }
        }
        return loops;
    }

    /// <summary>All devices of the btrfs file system that has this one; empty where there is none.</summary>
    public List<DeviceNumber> BtrfsDevicesWith(DeviceNumber device)
    {
        string root = Path.Combine(sysRoot, "fs/btrfs");
        if (!Directory.Exists(root))
        {
            return [];
        }
        foreach (string directory in Directory.EnumerateDirectories(root))
        {
            List<DeviceNumber> members = NumbersBelow(Path.Combine(directory, "devices"));
            if (members.Contains(device))
            {
                return members;
            }
        }
        return [];
    }

    public bool IsRotational(DeviceNumber device) => ReadQueue(device, "rotational") == "1";

    /// <summary>
    /// The longest transfer that the device takes in one command, in bytes; 0 when unknown.
    /// </summary>
    public int TransferBytesMax(DeviceNumber device) =>
        int.TryParse(
            ReadQueue(device, "max_sectors_kb"),
            NumberStyles.None,
            CultureInfo.InvariantCulture,
            out int kibibytes)
            && kibibytes < int.MaxValue / 1024
            ? kibibytes * 1024
            : 0;

    /// <summary>An attribute of the disk's queue as sysfs has it, or null.</summary>
    public string? QueueOf(DeviceNumber device, string attribute) => ReadQueue(device, attribute);

    /// <summary>
    /// What the disk below takes commands as, also where this is a partition of it.
    /// </summary>
    public DriveBus BusOf(DeviceNumber device)
    {
        DeviceNumber disk = DiskOf(device) ?? device;
        string? vendor = ReadText(disk, "device/vendor");
        bool isScsi = vendor is not null && NameOf(disk).StartsWith("sd", StringComparison.Ordinal);
        return !isScsi ? DriveBus.Other : vendor == "ATA" ? DriveBus.Ata : DriveBus.Scsi;
    }

    /// <summary>The kernel's path of the disk below.</summary>
    public string DrivePathOf(DeviceNumber device) => $"/dev/{NameOf(DiskOf(device) ?? device)}";

    /// <summary>The serial number of the disk, empty when it tells none.</summary>
    public string SerialOf(DeviceNumber device) =>
        FromUdev(device, "ID_SERIAL_SHORT") ?? FromUdev(device, "ID_SERIAL") ?? FromDisk(device, "serial")
            ?? FromDisk(device, "device/serial") ?? string.Empty;

    /// <summary>The world-wide name of the disk, empty when it has none.</summary>
    public string WorldWideNameOf(DeviceNumber device) =>
        FromUdev(device, "ID_WWN_WITH_EXTENSION") ?? FromUdev(device, "ID_WWN") ?? FromDisk(device, "wwid")
            ?? FromDisk(device, "device/wwid") ?? string.Empty;

    private static string? TryReadText(string path)
    {
        try
        {
            string text = File.ReadAllText(path).Trim();
            return text.Length == 0 ? null : text;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return null; // The attribute does not exist for this kind of device, or the device has just gone.
        }
    }

    private static DeviceNumber? NumberIn(string directory) =>
        TryReadText(Path.Combine(directory, "dev")) is string text
            && DeviceNumber.TryParse(text, out DeviceNumber number)
            ? number
            : null;

    private static List<DeviceNumber> NumbersBelow(string directory)
    {
        List<DeviceNumber> numbers = [];
        if (Directory.Exists(directory))
        {
            foreach (string entry in Directory.EnumerateFileSystemEntries(directory))
            {
                if (NumberIn(entry) is DeviceNumber number)
                {
                    numbers.Add(number);
                }
            }
        }
        return numbers;
    }

    private string? DirectoryOf(DeviceNumber device)
    {
        if (device.IsAnonymous)
        {
            return null;
        }
        string? path = FileCalls.TryRealPath(Path.Combine(sysRoot, "dev/block", device.ToString()));
        return path is not null && Directory.Exists(path) ? path : null;
    }

    private bool Exists(DeviceNumber device, string attribute) =>
        DirectoryOf(device) is string directory && Directory.Exists(Path.Combine(directory, attribute));

    private List<DeviceNumber> Linked(DeviceNumber device, string attribute) =>
        DirectoryOf(device) is string directory ? NumbersBelow(Path.Combine(directory, attribute)) : [];

    private string? ReadText(DeviceNumber device, string attribute) =>
        DirectoryOf(device) is string directory ? TryReadText(Path.Combine(directory, attribute)) : null;

    private string? ReadQueue(DeviceNumber device, string attribute) =>
        ReadText(DiskOf(device) ?? device, $"queue/{attribute}");

    private string? FromDisk(DeviceNumber device, string attribute) =>
        ReadText(DiskOf(device) ?? device, attribute);

    private string? FromUdev(DeviceNumber device, string property)
    {
        DeviceNumber disk = DiskOf(device) ?? device;
        if (TryReadText(Path.Combine(udevRoot, $"data/b{disk}")) is not string record)
        {
            return null;
        }
        string prefix = $"E:{property}=";
        foreach (string line in record.Split('\n'))
        {
            if (line.StartsWith(prefix, StringComparison.Ordinal) && line.Length > prefix.Length)
            {
                return line[prefix.Length..];
            }
        }
        return null;
    }
}
