using System;
using System.Collections.Generic;
using DmRemap.Core.Abstractions;

namespace DmRemap.Linux.Members;

/// <summary>
/// What may be a member beside what. Require… refuses for good; FindConcerns lists what `--force` may
/// override. May wait for a disk that does not answer: call it after the claims are held, off the serving
/// thread.
/// </summary>
public static class MemberRules
{
    /// <exception cref="RefusalException">DMR-MEMBER-MOUNTED, -SWAP, -DEVICE-MAPPER, -RAID, -LOOP, -IN-USE
    /// (exit 4).</exception>
    public static void RequireUnused(string path)
    {
        foreach (MemberUser user in MemberInspection.FindUsers(path))
        {
            throw new RefusalException(MemberRefusals.UsedBy(path, user));
        }
    }

    /// <summary>No two members share bytes or stand on each other.</summary>
    /// <exception cref="RefusalException">DMR-MEMBER-SAME, DMR-MEMBER-OVERLAP (exit 5).</exception>
    public static void RequireApart(string main, IReadOnlyList<string> spares) =>
        RequireApart(main, spares, new BlockTopology());

    /// <summary>
    /// None of our own files (configuration, sockets, program) waits for what we serve (F-21).
    /// </summary>
    /// <exception cref="RefusalException">DMR-STATE-ON-MEMBER (exit 5).</exception>
    public static void RequireStateElsewhere(IReadOnlyList<string> statePaths, string main)
    {
        // A file's own file system is where its siblings are; only a device that is served carries somebody's
        // files.
        BlockTopology topology = new();
        foreach (string path in statePaths)
        {
            if (MemberInspection.LiesOn(path, main, topology))
            {
                throw new RefusalException(MemberRefusals.StateOnMember(path, main));
            }
        }
    }

    /// <summary>A spare that buffers would make promises of a primary that does not (F-23).</summary>
    /// <exception cref="RefusalException">DMR-SPARE-NO-DIRECT-IO (exit 5).</exception>
    public static void RequireSpareMode(bool isMainDirect, MemberFile spare)
    {
        // Where the primary is itself a rehearsal, the whole device is one, and says so.
        if (isMainDirect && !spare.IsDirect)
        {
            throw new RefusalException(MemberRefusals.SpareBuffered(spare.Path, spare.ModeReason));
        }
    }

    /// <exception cref="RefusalException">DMR-SPARE-TOO-SMALL (exit 2), with the size needed.</exception>
    public static void RequireSpareSize(string path, long bytes, long neededBytes)
    {
        if (bytes < neededBytes)
        {
            throw new RefusalException(MemberRefusals.SpareTooSmall(path, bytes, neededBytes));
        }
    }

    /// <summary>
    /// Somebody's data on a spare, and spares that fail together with the main device. All can be forced.
    /// </summary>
    public static IReadOnlyList<Refusal> FindConcerns(string main, IReadOnlyList<string> spares) =>
        FindConcerns(main, spares, new BlockTopology(), ForeignSignature.Probe);

    internal static void RequireApart(string main, IReadOnlyList<string> spares, BlockTopology topology)
    {
        for (int i = 0; i < spares.Count; i++)
        {
            RequireApart(main, spares[i], topology);
            for (int j = 0; j < i; j++)
            {
                RequireApart(spares[j], spares[i], topology);
            }
        }
    }

    internal static IReadOnlyList<Refusal> FindConcerns(
        string main,
        IReadOnlyList<string> spares,
        BlockTopology topology,
        Func<string, SignatureReport> probe)
    {
        List<Refusal> concerns = [];

        // An image file shares its disk with nearly everything; that it fails with it is no news to who made
        // it.
        bool isRealDisk = !MemberInspection.IsFileImage(main, topology);
        foreach (string spare in spares)
        {
            if (isRealDisk && MemberInspection.Relate(main, spare, topology) == MemberRelation.SameDisk)
            {
                concerns.Add(MemberRefusals.SameDisk(main, spare));
            }
            SignatureReport report = probe(spare);
            if (report.Finding == SignatureFinding.Found)
            {
                concerns.Add(MemberRefusals.ForeignData(spare, report.Description));
            }
            else if (report.Finding != SignatureFinding.Nothing)
            {
                concerns.Add(MemberRefusals.SignatureUnknown(spare, report.Description));
            }
        }
        return concerns;
    }

    private static void RequireApart(string first, string second, BlockTopology topology)
    {
        switch (MemberInspection.Relate(first, second, topology))
        {
            case MemberRelation.Apart:
            case MemberRelation.SameDisk:
                return;
            case MemberRelation.SameFile:
            case MemberRelation.SameDevice:
            case MemberRelation.SameBytes:
                throw new RefusalException(MemberRefusals.SameMember(first, second));
            case MemberRelation.FirstLiesOnSecond:
                throw new RefusalException(MemberRefusals.Overlap(first, second));
            case MemberRelation.SecondLiesOnFirst:
                throw new RefusalException(MemberRefusals.Overlap(second, first));
            case MemberRelation.Unknown:
            default:
                throw new RefusalException(MemberRefusals.Missing(
                    FileStatus.OfPath(first) is null ? first : second));
        }
    }
}
