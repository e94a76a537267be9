using System.Collections.Generic;
using System.IO;
using System.Linq;
using DmRemap.Control.Contracts;
using DmRemap.Core.Abstractions;
using DmRemap.Linux.Members;
using DmRemap.Nbd;

namespace DmRemap.Cli.Composition;

/// <summary>
/// What a member is called: an absolute path, an NBD URI in its canonical form, or a size of memory.
/// </summary>
internal static class MemberPath
{
    /// <summary>From what a person wrote.</summary>
    /// <exception cref="RefusalException">DMR-NBD-URI, DMR-USAGE (exit 2).</exception>
    public static string Complete(string given)
    {
        if (given.Length == 0)
        {
            throw new RefusalException(new Refusal(
                MessageIds.Usage, ExitCode.Usage, given, "A disk or spare is given as an empty path.",
                "Give the path of a disk, partition or file, or the URI of an NBD export."));
        }
        if (MemoryDisk.IsMeant(given))
        {
            _ = MemoryDisk.BytesOf(given);
            return given;
        }
        return NbdUri.IsMeant(given) ? ParseUri(given).Text : Path.GetFullPath(given);
    }

    /// <summary>Somewhere in the file system of this machine.</summary>
    public static bool IsFile(string member) => !NbdUri.IsMeant(member) && !MemoryDisk.IsMeant(member);

    /// <exception cref="RefusalException">DMR-NBD-URI (exit 2).</exception>
    public static NbdUri ParseUri(string text)
    {
        if (NbdUri.TryParse(text, out NbdUri? uri, out string problem))
        {
            return uri!;
        }
        throw new RefusalException(new Refusal(
            "DMR-NBD-URI",
            ExitCode.Usage,
            text,
            $"\"{text}\" is not an NBD URI that this program can use: {problem}.",
            $"Write {NbdUri.Forms}."));
    }

    /// <summary>Those that can be looked at: an export always, a path that exists.</summary>
    public static IEnumerable<string> Present(IEnumerable<string> paths) =>
        paths.Where(path => !IsFile(path) || File.Exists(path));

    /// <summary>
    /// No two members share bytes or stand on each other, as far as that can be seen: of exports, only
    /// whether they are the same one under the same name.
    /// </summary>
    /// <exception cref="RefusalException">DMR-MEMBER-SAME, DMR-MEMBER-OVERLAP (exit 5).</exception>
    public static void RequireApart(string main, IReadOnlyList<string> spares)
    {
        string[] all = [main, .. spares];
        for (int i = 0; i < all.Length; i++)
        {
            if (System.Array.IndexOf(all, all[i]) != i)
            {
                throw new RefusalException(new Refusal(
                    "DMR-MEMBER-SAME",
                    ExitCode.RefusedForSafety,
                    all[i],
                    $"{all[i]} is given twice. A block moved from a member to itself would not move at all.",
                    "Give a different device or file for each."));
            }
        }
        string[] files = Files(all);
        if (files.Length > 1)
        {
            MemberRules.RequireApart(files[0], files[1..]);
        }
    }

    /// <summary>Of what is to become a spare: it is no member of the device yet, by whatever name.</summary>
    /// <exception cref="RefusalException">DMR-SPARE-MEMBER (exit 5).</exception>
    public static void RequireNoMember(string device, string path, string main, IEnumerable<string> spares)
    {
        if (IsSame(path, main))
        {
            throw new RefusalException(new Refusal(
                "DMR-SPARE-MEMBER",
                ExitCode.RefusedForSafety,
                path,
                $"{path} is the main device of {device}. A block moved from it to itself would not move at "
                    + "all.",
                "Give another disk or file."));
        }
        if (spares.Any(spare => IsSame(path, spare)))
        {
            throw new RefusalException(new Refusal(
                "DMR-SPARE-MEMBER",
                ExitCode.RefusedForSafety,
                path,
                $"{path} is a spare of {device} already.",
                $"`dmremap spare list {device}` shows its spares."));
        }
    }

    /// <summary>What lies behind a server's export cannot be seen from here.</summary>
    public static void RequireStateElsewhere(IReadOnlyList<string> statePaths, string main)
    {
        if (IsFile(main))
        {
            MemberRules.RequireStateElsewhere(statePaths, main);
        }
    }

    public static void RequireUnused(string path)
    {
        if (IsFile(path))
        {
            MemberRules.RequireUnused(path);
        }
    }

    public static void RequireSpareMode(OpenedMember main, OpenedMember spare)
    {
        if (spare.File is not null)
        {
            MemberRules.RequireSpareMode(main.IsDirect, spare.File);
        }
    }

    private static bool IsSame(string path, string member) =>
        path == member
            || (IsFile(path)
                && IsFile(member)
                && MemberInspection.Relate(path, member)
                    is MemberRelation.SameFile or MemberRelation.SameDevice or MemberRelation.SameBytes);

    public static string[] Files(IEnumerable<string> members) =>
        [.. members.Where(IsFile)];
}
