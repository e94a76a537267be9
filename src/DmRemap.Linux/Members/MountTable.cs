using System;
using System.Collections.Generic;
using System.IO;
using System.Text;

namespace DmRemap.Linux.Members;

/// <summary>One line of /proc/self/mountinfo.</summary>
internal sealed record Mount(
    DeviceNumber Device, string Root, string Point, string FileSystem, string Source, string Options)
{
    /// <summary>The value of "name=" among the superblock's options, or null.</summary>
    public string? Option(string name)
    {
        foreach (string option in Options.Split(','))
        {
            if (option.StartsWith(name + "=", StringComparison.Ordinal))
            {
                return option[(name.Length + 1)..];
            }
        }
        return null;
    }
}

/// <summary>Reads the kernel's two tables of who uses storage: mounts and swap.</summary>
internal static class MountTable
{
    private const int FieldsBeforeOptions = 6;

    public static List<Mount> Mounts(string procRoot)
    {
        List<Mount> mounts = [];
        foreach (string line in File.ReadLines(Path.Combine(procRoot, "self/mountinfo")))
        {
            if (TryParseMount(line, out Mount? mount))
            {
                mounts.Add(mount!);
            }
        }
        return mounts;
    }

    /// <summary>The paths of swap areas, partitions and files. Empty where the kernel has no swap.</summary>
    public static List<string> SwapPaths(string procRoot)
    {
        List<string> paths = [];
        string table = Path.Combine(procRoot, "swaps");
        if (!File.Exists(table))
        {
            return paths;
        }
        foreach (string line in File.ReadLines(table))
        {
            if (line.StartsWith('/'))
            {
                paths.Add(Unescape(line.Split([' ', '\t'], 2)[0]));
            }
        }
        return paths;
    }

    /// <summary>
    /// Shape: "36 35 98:0 /root /point rw,opts shared:1 - ext4 /dev/sda1 rw,superblock-opts".
    /// </summary>
    internal static bool TryParseMount(string line, out Mount? mount)
    {
        mount = null;
        string[] fields = line.Split(' ');
        int dash = Array.IndexOf(fields, "-", Math.Min(FieldsBeforeOptions, fields.Length));
        if (dash < FieldsBeforeOptions
            || fields.Length < dash + 4
            || !DeviceNumber.TryParse(fields[2], out DeviceNumber device))
        {
            return false;
        }
        mount = new Mount(
            device,
            Unescape(fields[3]),
            Unescape(fields[4]),
            fields[dash + 1],
            Unescape(fields[dash + 2]),
            Unescape(fields[dash + 3]));
        return true;
    }

    /// <summary>
    /// The kernel writes space, tab, newline and backslash as a backslash and three octal digits.
    /// </summary>
    internal static string Unescape(string field)
    {
        if (!field.Contains('\\'))
        {
            return field;
        }
        StringBuilder text = new(field.Length);
        for (int i = 0; i < field.Length; i++)
        {
            if (field[i] == '\\' && i + 3 < field.Length
                && IsOctal(field[i + 1]) && IsOctal(field[i + 2]) && IsOctal(field[i + 3]))
            {
                int code = ((field[i + 1] - '0') * 64) + ((field[i + 2] - '0') * 8) + (field[i + 3] - '0');
                text.Append((char)code);
                i += 3;
            }
            else
            {
                text.Append(field[i]);
            }
        }
        return text.ToString();
    }

    private static bool IsOctal(char letter) => letter is >= '0' and <= '7';
}
