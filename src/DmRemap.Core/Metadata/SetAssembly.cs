using System;
using DmRemap.Core.Abstractions;

namespace DmRemap.Core.Metadata;

/// <summary>What was found at one superblock's place.</summary>
public readonly record struct CopyReading(SuperblockVerdict Verdict, Superblock? Superblock);

/// <summary>What was found on one device offered as a spare.</summary>
public sealed record SpareReading
{
    public required DeviceGeometry Device { get; init; }

    /// <summary>By copy index.</summary>
    public required CopyReading[] Copies { get; init; }

    /// <summary>The valid copy of the highest generation; null when there is none.</summary>
    public Superblock? Newest
    {
        get
        {
            Superblock? newest = null;
            foreach (CopyReading copy in Copies)
            {
                bool isNewer = copy.Superblock is not null
                    && (newest is null || copy.Superblock.State.Generation > newest.State.Generation);
                newest = isNewer ? copy.Superblock : newest;
            }
            return newest;
        }
    }
}

/// <summary>What the caller knows from elsewhere; fields left null are not compared.</summary>
public sealed record SetExpectation
{
    public Guid? SetUuid { get; init; }

    /// <summary>What else tells the primary (its text) is compared by who can read it.</summary>
    public long? PrimaryBytes { get; init; }
}

/// <summary>A set whose members are all there and agree.</summary>
public sealed record AssembledSet
{
    /// <summary>The copy that decides: the highest generation of all members.</summary>
    public required Superblock Newest { get; init; }

    /// <summary>Member index to position in the caller's list.</summary>
    public required int[] SpareOfMember { get; init; }

    /// <summary>By member index.</summary>
    public required SpareLayout[] Layouts { get; init; }

    /// <summary>
    /// Copies that are not valid or not of the newest generation; the new epoch rewrites all of them.
    /// </summary>
    public required int CopiesStale { get; init; }

    public required int CopiesInvalid { get; init; }
}

/// <summary>
/// Decides from all superblock copies of all offered spares which set they are and which copy rules.
/// Generation decides only among copies of one set all of whose active members are here: each commit is
/// written to every copy of every member before it is acknowledged, so any one valid copy holds at least
/// everything acknowledged.
/// </summary>
public static class SetAssembly
{
    public static AssembledSet? Decide(
        SpareReading[] spares, SetExpectation expected, out MetadataRefusal? refusal)
    {
        refusal = null;
        for (int i = 0; i < spares.Length; i++)
        {
            refusal = RefusalOf(spares[i], i);
            if (refusal is not null)
            {
                return null;
            }
        }
        Superblock? newest = ChooseNewest(spares, out refusal);
        if (newest is null)
        {
            return null;
        }
        int[]? spareOfMember = Match(spares, newest, out refusal);
        if (spareOfMember is null)
        {
            return null;
        }
        refusal = RefusalOf(newest, expected);
        return refusal is null ? Assemble(spares, newest, spareOfMember) : null;
    }

    private static AssembledSet Assemble(SpareReading[] spares, Superblock newest, int[] spareOfMember)
    {
        SpareLayout[] layouts = new SpareLayout[spareOfMember.Length];
        for (int member = 0; member < layouts.Length; member++)
        {
            layouts[member] = spares[spareOfMember[member]].Newest!.Layout;
        }
        int stale = 0;
        int invalid = 0;
        foreach (SpareReading spare in spares)
        {
            foreach (CopyReading copy in spare.Copies)
            {
                invalid += copy.Superblock is null ? 1 : 0;
                bool isCurrent = copy.Superblock?.State.Generation == newest.State.Generation;
                stale += isCurrent ? 0 : 1;
            }
        }
        return new AssembledSet
        {
            Newest = newest,
            SpareOfMember = spareOfMember,
            Layouts = layouts,
            CopiesStale = stale,
            CopiesInvalid = invalid,
        };
    }

    /// <summary>One device by itself.</summary>
    private static MetadataRefusal? RefusalOf(SpareReading spare, int position)
    {
        foreach (CopyReading copy in spare.Copies)
        {
            MetadataRefusalKind kind = copy.Verdict switch
            {
                SuperblockVerdict.NewerFormat => MetadataRefusalKind.NewerFormat,
                SuperblockVerdict.UnknownFeatures => MetadataRefusalKind.UnknownFeatures,
                SuperblockVerdict.DevelopmentVersion => MetadataRefusalKind.DevelopmentVersion,
                _ => MetadataRefusalKind.None,
            };
            if (kind != MetadataRefusalKind.None)
            {
                return new MetadataRefusal(
                    kind, position, "the metadata was written by another version of this program");
            }
        }
        Superblock? newest = spare.Newest;
        if (newest is null)
        {
            return RefusalWithoutCopy(spare, position);
        }
        foreach (CopyReading copy in spare.Copies)
        {
            if (copy.Superblock is not null && !IsSameMember(copy.Superblock, newest))
            {
                return new MetadataRefusal(
                    MetadataRefusalKind.CopiesConflict,
                    position,
                    $"copies {newest.CopyIndex} and {copy.Superblock.CopyIndex} contradict each other");
            }
        }
        return RefusalOfShape(spare.Device, newest, position);
    }

    private static bool IsSameMember(Superblock copy, Superblock newest)
    {
        bool isSame = copy.Set.SetUuid == newest.Set.SetUuid
            && copy.MemberUuid == newest.MemberUuid
            && copy.MemberIndex == newest.MemberIndex
            && copy.Layout == newest.Layout;
        bool isEqualWhereItMustBe = copy.State.Generation != newest.State.Generation
            || copy.ContentChecksum == newest.ContentChecksum;
        return isSame && isEqualWhereItMustBe;
    }

    private static MetadataRefusal? RefusalOfShape(DeviceGeometry device, Superblock newest, int position)
    {
        long bytes = device.Bytes.Value;
        if (bytes != newest.Layout.SpareBytes)
        {
            return new MetadataRefusal(
                MetadataRefusalKind.WrongSize,
                position,
                $"{bytes} bytes, and it was made with {newest.Layout.SpareBytes}");
        }
        bool isFit = device.LogicalBlockSize == newest.Layout.BlockSize
            && device.PhysicalBlockBytes <= newest.Layout.SuperblockSlotBytes
            && device.AlignmentOffsetBytes == 0;
        return isFit
            ? null
            : new MetadataRefusal(
                MetadataRefusalKind.WrongBlockSize,
                position,
                $"blocks of {device.LogicalBlockSize.Bytes}/{device.PhysicalBlockBytes} bytes"
                    + $" at offset {device.AlignmentOffsetBytes}, and it was made with"
                    + $" {newest.Layout.BlockSize.Bytes}/{newest.Layout.PhysicalBlockBytes}");
    }

    private static MetadataRefusal RefusalWithoutCopy(SpareReading spare, int position)
    {
        int unreadable = 0;
        int ours = 0;
        foreach (CopyReading copy in spare.Copies)
        {
            unreadable += copy.Verdict == SuperblockVerdict.Unreadable ? 1 : 0;
            bool isBroken = copy.Verdict is SuperblockVerdict.Damaged or SuperblockVerdict.Malformed;
            ours += isBroken || copy.Verdict == SuperblockVerdict.Misplaced ? 1 : 0;
        }
        if (unreadable > 0)
        {
            return new MetadataRefusal(
                MetadataRefusalKind.Unreadable,
                position,
                $"{unreadable} of {spare.Copies.Length} copies cannot be read and no other is valid");
        }
        return ours > 0
            ? new MetadataRefusal(
                MetadataRefusalKind.Damaged,
                position,
                $"{ours} of {spare.Copies.Length} copies were found and none is valid")
            : new MetadataRefusal(MetadataRefusalKind.NoMetadata, position, "there is no metadata on it");
    }

    private static Superblock? ChooseNewest(SpareReading[] spares, out MetadataRefusal? refusal)
    {
        refusal = null;
        Superblock newest = spares[0].Newest!;
        for (int i = 1; i < spares.Length; i++)
        {
            Superblock other = spares[i].Newest!;
            if (other.Set.SetUuid != newest.Set.SetUuid)
            {
                refusal = new MetadataRefusal(
                    MetadataRefusalKind.WrongSet,
                    i,
                    $"it belongs to set {other.Set.SetUuid}, others to {newest.Set.SetUuid}");
                return null;
            }
            if (other.State.Generation == newest.State.Generation && other.State != newest.State)
            {
                refusal = new MetadataRefusal(
                    MetadataRefusalKind.CopiesConflict,
                    i,
                    "two spares tell different histories of one generation");
                return null;
            }
            newest = other.State.Generation > newest.State.Generation ? other : newest;
        }
        return newest;
    }

    private static int[]? Match(SpareReading[] spares, Superblock newest, out MetadataRefusal? refusal)
    {
        MemberDescription[] members = newest.Set.Members;
        int[] spareOfMember = new int[members.Length];
        Array.Fill(spareOfMember, -1);
        for (int i = 0; i < spares.Length; i++)
        {
            Superblock own = spares[i].Newest!;
            int member = own.MemberIndex;
            bool isListed = member < members.Length
                && members[member].Uuid == own.MemberUuid
                && members[member].State == MemberState.Active;
            if (!isListed)
            {
                refusal = new MetadataRefusal(
                    MetadataRefusalKind.NotActive, i, $"member {own.MemberUuid} is not active in the set");
                return null;
            }
            if (spareOfMember[member] >= 0)
            {
                refusal = new MetadataRefusal(
                    MetadataRefusalKind.Clone,
                    i,
                    $"it is member {own.MemberUuid}, and so is spare {spareOfMember[member]}");
                return null;
            }
            bool isAsListed = members[member].Bytes == own.Layout.SpareBytes
                && members[member].DataUnits == own.Layout.DataUnits;
            if (!isAsListed)
            {
                refusal = new MetadataRefusal(
                    MetadataRefusalKind.CopiesConflict, i, "the set lists it with another size");
                return null;
            }
            spareOfMember[member] = i;
        }
        refusal = MissingFrom(spareOfMember, members);
        return refusal is null ? spareOfMember : null;
    }

    private static MetadataRefusal? MissingFrom(int[] spareOfMember, MemberDescription[] members)
    {
        for (int member = 0; member < members.Length; member++)
        {
            if (spareOfMember[member] < 0)
            {
                return new MetadataRefusal(
                    MetadataRefusalKind.MissingMember, -1, $"member {members[member].Uuid} is not here");
            }
        }
        return null;
    }

    private static MetadataRefusal? RefusalOf(Superblock newest, SetExpectation expected)
    {
        if (expected.SetUuid is { } uuid && uuid != newest.Set.SetUuid)
        {
            return new MetadataRefusal(
                MetadataRefusalKind.WrongSet,
                -1,
                $"the spares belong to set {newest.Set.SetUuid}, not to {uuid}");
        }
        PrimaryIdentity primary = newest.Set.Primary;
        if (expected.PrimaryBytes is { } bytes && bytes != primary.Bytes)
        {
            return new MetadataRefusal(
                MetadataRefusalKind.WrongPrimary,
                -1,
                $"the main device has {bytes} bytes, and the set was made for {primary.Bytes}");
        }
        return null;
    }
}
