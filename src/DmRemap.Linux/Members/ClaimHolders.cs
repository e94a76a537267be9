using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using DmRemap.Linux.Native;

namespace DmRemap.Linux.Members;

/// <summary>
/// Finds the processes behind a claim in /proc. Reads links and fdinfo only: following a link could wait for
/// the very file system that does not answer. Sees what this user may see.
/// </summary>
internal static class ClaimHolders
{
    private const string OwnProgram = "dmremap";
    private const int CommandLengthMax = 100;
    private const int ExitingFlag = 0x4; // PF_EXITING
    private const ulong KillBit = 1UL << 8; // SIGKILL is signal 9.

    /// <summary>Processes with the exclusive flock of this file.</summary>
    public static IReadOnlyList<ClaimHolder> OfFile(FileStatus file)
    {
        // "1: FLOCK  ADVISORY  WRITE 4711 fe:00:11659045 0 EOF"; on btrfs the device is not the one of stat.
        string end = $":{file.Inode}";
        bool IsClaim(int process, string descriptor, string[] information) =>
            Array.Exists(
                information, line => line.StartsWith("lock:", StringComparison.Ordinal) && IsLock(line, end));

        // The kernel remembers who took the lock. Often he still has it, and nobody else need be looked at.
        List<ClaimHolder> takers = Find(TakersOf(end), IsClaim);
        return takers.Count > 0 ? takers : Find(Processes(), IsClaim);
    }

    /// <summary>
    /// Processes that have this device open for writing or for direct I/O. The kernel does not show O_EXCL;
    /// somebody who only reads through the cache (udev, blkid) is no claim.
    /// </summary>
    public static IReadOnlyList<ClaimHolder> OfDevice(DeviceNumber device) =>
        Find(Processes(), (process, descriptor, information) =>
        {
            string link = $"/proc/{process}/fd/{descriptor}";
            string? target = FileCalls.TryReadLink(link);
            return target is not null
                && target.StartsWith("/dev/", StringComparison.Ordinal)
                && MayClaim(information)
                && FileStatus.OfPath(link) is { Kind: FileKind.Block } status
                && status.Device == device;
        });

    /// <summary>Processes that have this device or one of its partitions open, in whatever way.</summary>
    public static IReadOnlyList<ClaimHolder> OpenersOf(IReadOnlySet<DeviceNumber> devices) =>
        Find(Processes(), (process, descriptor, information) =>
        {
            string link = $"/proc/{process}/fd/{descriptor}";
            return FileCalls.TryReadLink(link) is string target
                && target.StartsWith("/dev/", StringComparison.Ordinal)
                && FileStatus.OfPath(link) is { Kind: FileKind.Block } status
                && devices.Contains(status.Device);
        });

    /// <summary>Processes that have this path open. The file itself is not looked at.</summary>
    public static IReadOnlyList<ClaimHolder> OpenersOf(string path) =>
        Find(
            Processes(),
            (process, descriptor, information) =>
                FileCalls.TryReadLink($"/proc/{process}/fd/{descriptor}") == path);

    private static bool IsLock(string line, string inodeEnd) =>
        line.Contains(" FLOCK ", StringComparison.Ordinal)
            && line.Split(' ', StringSplitOptions.RemoveEmptyEntries) is [.., string node, "0", "EOF"]
            && node.EndsWith(inodeEnd, StringComparison.Ordinal);

    /// <summary>
    /// From /proc/locks: processes that took a lock of this inode. They may have ended or passed it on.
    /// </summary>
    private static List<int> TakersOf(string inodeEnd)
    {
        List<int> processes = [];
        foreach (string line in TryRead("/proc/locks").Split('\n'))
        {
            if (IsLock(line, inodeEnd)
                && line.Split(
                    ' ', StringSplitOptions.RemoveEmptyEntries) is [.., string process, _, "0", "EOF"]
                && int.TryParse(process, NumberStyles.None, CultureInfo.InvariantCulture, out int number))
            {
                processes.Add(number);
            }
        }
        return processes;
    }

    private static List<int> Processes()
    {
        List<int> processes = [];
        foreach (string directory in Directory.EnumerateDirectories("/proc"))
        {
            string name = Path.GetFileName(directory);
            if (int.TryParse(name, NumberStyles.None, CultureInfo.InvariantCulture, out int process))
            {
                processes.Add(process);
            }
        }
        return processes;
    }

    private static List<ClaimHolder> Find(List<int> processes, Func<int, string, string[], bool> isClaim)
    {
        List<ClaimHolder> holders = [];
        foreach (int process in processes)
        {
            if (HasClaim(process, isClaim))
            {
                holders.Add(new ClaimHolder(process, CommandOf(process), IsEnding(process)));
            }
        }
        return holders;
    }

    private static bool HasClaim(int process, Func<int, string, string[], bool> isClaim)
    {
        // fdinfo, not fd: its entries are plain files, and listing it looks nothing up behind them.
        foreach (string entry in Descriptors(process))
        {
            // Descriptors come and go while they are listed; one that has gone reads as nothing.
            string[] information = TryRead(entry).Split('\n');
            if (isClaim(process, Path.GetFileName(entry), information))
            {
                return true;
            }
        }
        return false;
    }

    private static string[] Descriptors(int process)
    {
        try
        {
            return Directory.GetFiles($"/proc/{process}/fdinfo");
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return []; // It has just ended, or is another user's: the claim is then reported without a name.
        }
    }

    /// <summary>fdinfo's "flags:" are open's, in octal.</summary>
    private static bool MayClaim(string[] information)
    {
        foreach (string line in information)
        {
            if (line.StartsWith("flags:", StringComparison.Ordinal))
            {
                int flags = Convert.ToInt32(line["flags:".Length..].Trim(), 8);
                return (flags & FileNative.O_ACCMODE) != FileNative.O_RDONLY
                    || (flags & FileNative.O_DIRECT) != 0;
            }
        }
        return false;
    }

    private static string CommandOf(int process)
    {
        string[] arguments = TryRead($"/proc/{process}/cmdline").TrimEnd('\0').Split('\0');
        if (Path.GetFileName(arguments[0]) == OwnProgram)
        {
            string command = $"{OwnProgram} {string.Join(' ', arguments[1..])}".TrimEnd();
            return command.Length > CommandLengthMax ? command[..CommandLengthMax] + "..." : command;
        }
        string name = TryRead($"/proc/{process}/comm").Trim();
        return name.Length == 0 ? "name unknown" : name;
    }

    private static bool IsEnding(int process)
    {
        // "4711 (name) S ppid pgrp session tty tpgid flags ...": a name may hold anything.
        string stat = TryRead($"/proc/{process}/stat");
        string[] fields =
            stat[(stat.LastIndexOf(')') + 1)..].Split(' ', StringSplitOptions.RemoveEmptyEntries);
        if (fields.Length < 7)
        {
            return true; // Gone meanwhile.
        }
        bool isExiting =
            long.TryParse(fields[6], NumberStyles.None, CultureInfo.InvariantCulture, out long flags)
            && (flags & ExitingFlag) != 0;
        return fields[0] is "Z" or "X" || isExiting || HasPendingKill(process);
    }

    private static bool HasPendingKill(int process)
    {
        foreach (string line in TryRead($"/proc/{process}/status").Split('\n'))
        {
            bool isPending = line.StartsWith("SigPnd:", StringComparison.Ordinal)
                || line.StartsWith("ShdPnd:", StringComparison.Ordinal);
            if (isPending
                && ulong.TryParse(
                    line[7..].Trim(), NumberStyles.HexNumber, CultureInfo.InvariantCulture, out ulong signals)
                && (signals & KillBit) != 0)
            {
                return true;
            }
        }
        return false;
    }

    private static string TryRead(string path)
    {
        try
        {
            return File.ReadAllText(path);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return string.Empty;
        }
    }
}
