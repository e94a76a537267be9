using System;
using System.Collections.Generic;
using System.Linq;
using DmRemap.Control.Registry;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Linux.Members;

namespace DmRemap.Cli.Composition;

/// <summary>
/// What `create` must never take, whatever it is told: the members of other sets. A spare's blocks are
/// somebody's acknowledged data, and no other program knows our superblocks. Looks at the bytes and at the
/// registry; each finds what the other cannot (a set of another machine, a main device).
/// </summary>
internal sealed class ExistingSets(IReadOnlyList<RegistryEntry> registered)
{
    /// <summary>No main device or spare that a registered device names, under whatever path.</summary>
    /// <exception cref="RefusalException">DMR-MEMBER-REGISTERED (exit 5).</exception>
    public void RequireUnregistered(IReadOnlyList<string> paths, List<string> warnings)
    {
        foreach (RegistryEntry entry in registered)
        {
            if (entry.Record is not DeviceRecord record)
            {
                warnings.Add($"the record of {entry.Name} cannot be read; whether it names one of these "
                    + "members is not known");
                continue;
            }
            foreach (string member in (string[])[record.MainPath, .. record.Spares.Select(s => s.Path)])
            {
                foreach (string path in paths.Where(path => IsShared(path, member)))
                {
                    throw new RefusalException(
                        LiesOn(path, member)
                            ? OnMember(path, member, record.Name)
                            : Registered(path, member, record.Name));
                }
            }
        }
    }

    /// <summary>
    /// No superblock of ours on a claimed spare: not even a damaged one, which may be all that is left.
    /// </summary>
    /// <exception cref="RefusalException">
    /// DMR-META-WRONG-SET (exit 5), DMR-META-UNREADABLE (exit 6) when no place can be read.
    /// </exception>
    public void RequireNoneOnSpare(OpenedMember spare)
    {
        CopyReading[] copies = ReadCopies(spare);
        foreach (CopyReading copy in copies)
        {
            bool isOurs =
                copy.Verdict is not (SuperblockVerdict.Blank or SuperblockVerdict.Foreign
                    or SuperblockVerdict.Unread or SuperblockVerdict.Unreadable);
            if (isOurs)
            {
                throw new RefusalException(OfAnotherSet(spare, copies));
            }
        }
        if (!Array.Exists(copies, copy => copy.Verdict != SuperblockVerdict.Unreadable))
        {
            throw new RefusalException(new Refusal(
                "DMR-META-UNREADABLE",
                ExitCode.MetadataUnreadable,
                spare.Path,
                $"Whether {spare.Path} is a spare of another device is not known: it cannot be read.",
                "Check its cabling and health; nothing was changed."));
        }
    }

    /// <summary>
    /// A main device may hold anything, also old blocks that once were a superblock; only one that is whole
    /// and in its own place makes it a spare. It may be a failing disk: what cannot be read is passed over.
    /// </summary>
    /// <exception cref="RefusalException">DMR-META-WRONG-SET (exit 5).</exception>
    public void RequireNoneOnMain(OpenedMember main)
    {
        CopyReading[] copies = ReadCopies(main);
        bool isSpare = Array.Exists(
            copies,
            copy => copy.Verdict is SuperblockVerdict.Valid or SuperblockVerdict.NewerFormat
                or SuperblockVerdict.UnknownFeatures or SuperblockVerdict.DevelopmentVersion);
        if (isSpare)
        {
            throw new RefusalException(OfAnotherSet(main, copies));
        }
    }

    /// <summary>A claimed device is the member of that set, by what we once wrote on it.</summary>
    /// <exception cref="RefusalException">
    /// DMR-META-WRONG-SET, DMR-META-WRONG-MEMBER (exit 5), DMR-META-NONE (exit 6).
    /// </exception>
    public static void RequireMember(OpenedMember spare, Guid set, Guid member)
    {
        Superblock? found = Array.Find(ReadCopies(spare), copy => copy.Superblock is not null).Superblock;
        if (found is null)
        {
            throw new RefusalException(new Refusal(
                "DMR-META-NONE",
                ExitCode.MetadataUnreadable,
                spare.Path,
                $"{spare.Path} holds no metadata of dm-remap that this version can read.",
                "Check the path; nothing was changed."));
        }
        if (found.Set.SetUuid == set && found.MemberUuid != member)
        {
            throw new RefusalException(new Refusal(
                "DMR-META-WRONG-MEMBER",
                ExitCode.RefusedForSafety,
                spare.Path,
                $"{spare.Path} is another spare of this very device: spare {found.MemberUuid}, not spare "
                    + $"{member}.",
                "Each spare has blocks of its own. Give the path at which the one that moved is now; nothing "
                    + "was changed."));
        }
        if (found.Set.SetUuid != set)
        {
            throw new RefusalException(new Refusal(
                "DMR-META-WRONG-SET",
                ExitCode.RefusedForSafety,
                spare.Path,
                $"{spare.Path} is a spare of another device: of set {found.Set.SetUuid}, not of set {set}.",
                "Check the path; nothing was changed."));
        }
    }

    /// <summary>By copy index. Before the member is attached.</summary>
    public static CopyReading[] ReadCopies(OpenedMember member)
    {
        CopyReading[] copies = new CopyReading[SpareLayout.SuperblockCopies];
        // Direct I/O wants whole units of its own; every copy's place is a multiple of them.
        int length = int.Max(SpareLayout.SuperblockBytes, member.File?.DirectOffsetAlignment ?? 1);
        BufferSlice buffer = AlignedMemory.Allocate(length);
        for (int copy = 0; copy < copies.Length; copy++)
        {
            long bytes = member.Geometry.Bytes.Value;
            long offset = SpareLayout.SuperblockOffset(copy, bytes);
            if (offset >= 0 && offset <= bytes - length)
            {
                copies[copy] = Read(member, copy, offset, buffer.Span);
            }
        }
        return copies;
    }

    private static bool IsShared(string path, string member) =>
        !MemoryDisk.IsMeant(path) && MemberInspection.Relate(path, member) switch
        {
            MemberRelation.Apart or MemberRelation.SameDisk => false,
            // The member is not there now: only its name can be compared.
            MemberRelation.Unknown => path == member,
            _ => true,
        };

    private static bool LiesOn(string path, string member) =>
        path != member && MemberInspection.Relate(path, member) == MemberRelation.FirstLiesOnSecond;

    private static CopyReading Read(OpenedMember member, int copy, long offset, Span<byte> buffer)
    {
        if (!member.TryRead(offset, buffer))
        {
            return new CopyReading(SuperblockVerdict.Unreadable, null);
        }
        Superblock? superblock = new UnverifiedSuperblock(buffer).Verify(
            copy, FeatureFlags.Supported, out SuperblockVerdict verdict);
        return new CopyReading(verdict, superblock);
    }

    private Refusal OfAnotherSet(OpenedMember member, CopyReading[] copies)
    {
        Guid? uuid = Array.Find(copies, copy => copy.Superblock is not null).Superblock?.Set.SetUuid;
        string? name = uuid is null
            ? null
            : registered.FirstOrDefault(entry => entry.Record?.SetUuid == uuid)?.Name;
        string what = uuid is null
            ? "metadata of dm-remap that this version cannot read"
            : $"the metadata of set {uuid}" + (name is null ? "" : $", which is {name} here");
        string wipe = member.File is null
            ? "overwrite it with zeros yourself"
            : member.File.IsBlockDevice
            ? $"overwrite it with zeros yourself (`blkdiscard -z {member.Path}`)"
            : $"remove the file yourself (`rm {member.Path}`) and make it anew";
        string forget = name is null ? "" : $"`dmremap delete {name}`, then ";
        return new Refusal(
            "DMR-META-WRONG-SET",
            ExitCode.RefusedForSafety,
            member.Path,
            $"{member.Path} is a spare of another device: it carries {what}. Blocks of that device may exist "
                + "nowhere else, so no option overrides this.",
            $"Give another one. Only if nothing of that set is needed any more: {forget}{wipe}.");
    }

    /// <summary>To delete that device would not help: it may be attached, and in use.</summary>
    private static Refusal OnMember(string path, string member, string name) => new(
        "DMR-MEMBER-REGISTERED",
        ExitCode.RefusedForSafety,
        path,
        $"{path} lies on {member}, which belongs to the device {name}: what fails there fails with it.",
        $"Give storage that does not lie on {name} or its members: another disk, or a file on one.");

    private static Refusal Registered(string path, string member, string name) => new(
        "DMR-MEMBER-REGISTERED",
        ExitCode.RefusedForSafety,
        path,
        $"{path} belongs to the device {name} already, whose record names "
            + (path == member ? "it." : $"{member}, which is the same storage or lies on it."),
        $"Give another one, or `dmremap delete {name}` if that device is not needed any more.");
}
