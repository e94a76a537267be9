using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using DmRemap.Linux.Native;

namespace DmRemap.Linux.Members;

/// <summary>
/// Finds the processes behind a claim in /proc. Reads links and fdinfo only: following a link could wait for the very
/// file system that does not answer. Sees what this user may see.
/// </summary>
internal static class ClaimHolders
{
    private const int CommandLengthMax = 100;
    private const int ExitingFlag = 0x4; // PF_EXITING
    private const ulong KillBit = 1UL << 8; // SIGKILL is signal 9.

    /// <summary>Processes with the exclusive flock of this file.</summary>
    public static IReadOnlyList<ClaimHolder> OfFile(FileStatus file)
    {
        // "1: FLOCK  ADVISORY  WRITE 4711 fe:00:11659045 0 EOF"; the device part differs from stat's on btrfs and overlay.
        string end = $":{file.Inode}";
        return Find((process, descriptor, information) =>
        {
            foreach (string line in information)
            {
                if (line.StartsWith("lock:", StringComparison.Ordinal)
                    && line.Contains(" FLOCK ", StringComparison.Ordinal)
                    && line.Split(' ', StringSplitOptions.RemoveEmptyEntries) is [.., string node, "0", "EOF"]
                    && node.EndsWith(end, StringComparison.Ordinal))
                {
                    return true;
                }
            }
            return false;
        });
    }

    /// <summary>
    /// Processes that have this device open for writing or for direct I/O. The kernel does not show O_EXCL; somebody who
    /// only reads through the cache (udev, blkid) is no claim.
    /// </summary>
    public static IReadOnlyList<ClaimHolder> OfDevice(DeviceNumber device) =>
        Find((process, descriptor, information) =>
        {
            string link = $"/proc/{process}/fd/{descriptor}";
            string? target = FileCalls.TryReadLink(link);
            return target is not null
                && target.StartsWith("/dev/", StringComparison.Ordinal)
                && MayClaim(information)
                && FileStatus.OfPath(link) is { Kind: FileKind.Block } status
                && status.Device == device;
        });

    private static List<ClaimHolder> Find(Func<int, string, string[], bool> isClaim)
    {
        List<ClaimHolder> holders = [];
        foreach (string directory in Directory.EnumerateDirectories("/proc"))
        {
            if (int.TryParse(Path.GetFileName(directory), NumberStyles.None, CultureInfo.InvariantCulture, out int process)
                && HasClaim(process, isClaim))
            {
                holders.Add(new ClaimHolder(process, CommandOf(process), IsEnding(process)));
            }
        }
        return holders;
    }

    private static bool HasClaim(int process, Func<int, string, string[], bool> isClaim)
    {
        try
        {
            // fdinfo, not fd: its entries are plain files, and listing it looks nothing up behind them.
            foreach (string entry in Directory.EnumerateFiles($"/proc/{process}/fdinfo"))
            {
                if (isClaim(process, Path.GetFileName(entry), File.ReadAllLines(entry)))
                {
                    return true;
                }
            }
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return false; // It has just ended, or it is another user's: then the claim is reported without a name.
        }
        return false;
    }

    /// <summary>fdinfo's "flags:" are open's, in octal.</summary>
    private static bool MayClaim(string[] information)
    {
        foreach (string line in information)
        {
            if (line.StartsWith("flags:", StringComparison.Ordinal))
            {
                int flags = Convert.ToInt32(line["flags:".Length..].Trim(), 8);
                return (flags & FileNative.O_ACCMODE) != FileNative.O_RDONLY || (flags & FileNative.O_DIRECT) != 0;
            }
        }
        return false;
    }

    private static string CommandOf(int process)
    {
        string command = TryRead($"/proc/{process}/cmdline").Replace('\0', ' ').Trim();
        if (command.Length == 0)
        {
            command = TryRead($"/proc/{process}/comm").Trim();
        }
        return command.Length switch
        {
            0 => "name unknown",
            > CommandLengthMax => command[..CommandLengthMax] + "...",
            _ => command,
        };
    }

    private static bool IsEnding(int process)
    {
        // "4711 (name) S ppid pgrp session tty tpgid flags ...": the name may hold anything, so count from its end.
        string stat = TryRead($"/proc/{process}/stat");
        string[] fields = stat[(stat.LastIndexOf(')') + 1)..].Split(' ', StringSplitOptions.RemoveEmptyEntries);
        if (fields.Length < 7)
        {
            return true; // Gone meanwhile.
        }
        bool isExiting = long.TryParse(fields[6], NumberStyles.None, CultureInfo.InvariantCulture, out long flags)
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
                && ulong.TryParse(line[7..].Trim(), NumberStyles.HexNumber, CultureInfo.InvariantCulture, out ulong signals)
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
