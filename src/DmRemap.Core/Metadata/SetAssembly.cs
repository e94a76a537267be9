using System;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Remapping;

namespace DmRemap.Core.Metadata;

/// <summary>
/// Decides from all superblock copies of all offered spares which set they are and which copy rules.
/// Generation decides only among copies of one history: each epoch names the ones before it, and a spare
/// whose last epoch is not among them, or went further there, has gone its own way (F-14). A generation is
/// acknowledged only when it is on every copy of every active member, or the copies that lack it are named
/// as bad: so any one valid copy of them holds at least everything acknowledged.
/// </summary>
public static class SetAssembly
{
    public static AssembledSet? Decide(
        SpareReading[] spares, SetExpectation expected, out MetadataRefusal? refusal)
    {
        if (expected.Unsettled is not int position || IsOfSet(spares, position))
        {
            return DecideAll(spares, expected, out refusal);
        }
        // What it says of the set is nothing: it was never counted, or is counted no more (F-26).
        SpareReading[] others = [.. spares[..position], .. spares[(position + 1)..]];
        AssembledSet? set = DecideAll(others, expected, out refusal);
        refusal = refusal is null || refusal.Spare < position
            ? refusal
            : refusal with { Spare = refusal.Spare + 1 };
        return set is null ? null : set with
        {
            SpareOfMember = Array.ConvertAll(set.SpareOfMember, at => at < position ? at : at + 1),
        };
    }

    /// <summary>
    /// Do the others list this spare? By their newest word; the only spare there is speaks for itself.
    /// </summary>
    private static bool IsOfSet(SpareReading[] spares, int position)
    {
        Superblock? newest = null;
        for (int i = 0; i < spares.Length; i++)
        {
            Superblock? other = i == position ? null : spares[i].Newest;
            newest = other is not null && (newest is null || IsNewer(other, newest)) ? other : newest;
        }
        Superblock? own = spares[position].Newest;
        if (newest is null)
        {
            return spares.Length == 1;
        }
        return own is not null
            && own.Set.SetUuid == newest.Set.SetUuid
            && Array.Exists(
                newest.Set.Members,
                member => member.Uuid == own.MemberUuid && member.State != MemberState.Retired);
    }

    private static AssembledSet? DecideAll(
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
        refusal = MissingFrom(spareOfMember, newest.Set.Members, expected)
            ?? RollbackIn(spares, spareOfMember, newest)
            ?? RefusalOf(newest, expected);
        return refusal is null ? Assemble(spares, newest, spareOfMember) : null;
    }

    private static AssembledSet Assemble(SpareReading[] spares, Superblock newest, int[] spareOfMember)
    {
        int members = spareOfMember.Length;
        SpareLayout?[] layouts = new SpareLayout?[members];
        MemberRole[] roles = new MemberRole[members];
        int stale = 0;
        int invalid = 0;
        ulong generationMax = 0;
        ulong epochGeneration = newest.State.Generation;
        ulong settled = ulong.MaxValue;
        for (int member = 0; member < members; member++)
        {
            if (spareOfMember[member] < 0)
            {
                continue;
            }
            SpareReading spare = spares[spareOfMember[member]];
            layouts[member] = spare.Newest!.Layout;
            ulong generation = spare.Newest.State.Generation;
            generationMax = Math.Max(generationMax, generation);
            bool isOfEpoch = spare.Newest.State.Epoch == newest.State.Epoch;
            epochGeneration = Math.Max(epochGeneration, isOfEpoch ? generation : 0);
            bool isActive = newest.Set.Members[member].State == MemberState.Active;
            roles[member] = isActive ? MemberRole.Active : MemberRole.Joining;
            settled = isActive ? Math.Min(settled, spare.Newest.State.Generation) : settled;
            foreach (CopyReading copy in isActive ? spare.Copies : [])
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
            Roles = roles,
            GenerationMax = generationMax,
            EpochGeneration = epochGeneration,
            GenerationSettled = Math.Max(settled, newest.State.SettledGeneration),
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
        int at = 0;
        for (int i = 1; i < spares.Length; i++)
        {
            Superblock other = spares[i].Newest!;
            Superblock best = spares[at].Newest!;
            if (other.Set.SetUuid != best.Set.SetUuid)
            {
                refusal = new MetadataRefusal(
                    MetadataRefusalKind.WrongSet,
                    i,
                    $"it belongs to set {other.Set.SetUuid}, others to {best.Set.SetUuid}");
                return null;
            }
            at = IsNewer(other, best) ? i : at;
        }
        refusal = RefusalOfHistories(spares, at);
        if (refusal is not { Kind: MetadataRefusalKind.Diverged })
        {
            return refusal is null ? spares[at].Newest : null;
        }
        // The highest number may be one that nothing relied on, of a spare that the others left behind.
        Superblock? newest = null;
        for (int i = 0; i < spares.Length; i++)
        {
            Superblock candidate = spares[i].Newest!;
            bool isFurther = newest is null || IsNewer(candidate, newest);
            bool mayDecide = isFurther && !IsOvertaken(candidate, spares);
            newest = mayDecide && RefusalOfHistories(spares, i) is null ? candidate : newest;
        }
        refusal = newest is null ? refusal : null;
        return newest;
    }

    /// <summary>Another spare went on from where this one is: what it says of the others is old.</summary>
    private static bool IsOvertaken(Superblock candidate, SpareReading[] spares) => Array.Exists(
        spares,
        other => other.Newest!.State.Generation > candidate.State.Generation
            && (other.Newest.State.Epoch == candidate.State.Epoch
                || HasPast(other.Newest, candidate.State.Epoch)));

    private static bool IsNewer(Superblock other, Superblock best) =>
        other.State.Generation > best.State.Generation
        || (other.State.Generation == best.State.Generation && HasPast(other, best.State.Epoch));

    /// <summary>Null: all are of the history of this one.</summary>
    private static MetadataRefusal? RefusalOfHistories(SpareReading[] spares, int newest)
    {
        MetadataRefusal? refusal = null;
        for (int i = 0; i < spares.Length && refusal is null; i++)
        {
            refusal = RefusalOfHistory(spares, spares[newest].Newest!, spares[i].Newest!, i);
        }
        return refusal;
    }

    private static MetadataRefusal? RefusalOfHistory(
        SpareReading[] spares, Superblock newest, Superblock other, int position)
    {
        if (other.State.Epoch == newest.State.Epoch)
        {
            bool isContradiction =
                other.State.Generation == newest.State.Generation && other.State != newest.State;
            return isContradiction
                ? new MetadataRefusal(
                    MetadataRefusalKind.CopiesConflict,
                    position,
                    "two spares tell different histories of one generation")
                : null;
        }
        if (IsBehind(newest, other) || IsAheadInVain(spares, newest, other))
        {
            return null;
        }
        return new MetadataRefusal(
            MetadataRefusalKind.Diverged,
            position,
            $"its history (epoch {other.State.Epoch:x16}, generation {other.State.Generation}) is not"
                + $" part of the others' (epoch {newest.State.Epoch:x16},"
                + $" generation {newest.State.Generation}): both went on without each other");
    }

    private static bool IsBehind(Superblock newest, Superblock other) => Array.Exists(
        newest.Set.Past,
        past => past.Epoch == other.State.Epoch && other.State.Generation <= past.Generation);

    /// <summary>
    /// It has generations that were being written when power failed, and the members that went on without it
    /// have none of them. Where it counts one of those members as active, nothing relied on them: who is
    /// active only becomes less while a set is served, so each needed that member, or was written before
    /// anything was served. The spare is only behind, also when that member is itself left behind by now.
    /// That holds for the last epoch that they have in common, and for one begun behind it by a start that
    /// had not come further there than the others; and not where that member is known to have had more: then
    /// it went on from an old image of itself (F-16).
    /// </summary>
    private static bool IsAheadInVain(SpareReading[] spares, Superblock newest, Superblock other)
    {
        PastEpoch[] theirs = other.Set.Past;
        PastEpoch common = Array.Find(
            newest.Set.Past,
            past => past.Epoch == other.State.Epoch
                || (theirs.Length > 0 && past.Epoch == theirs[0].Epoch
                    && theirs[0].Generation <= past.Generation));
        // What everybody had before it went its own way, in its own numbers: an epoch of its own counts on
        // from where its start was, and the others may have been further.
        ulong before = other.State.Epoch == common.Epoch || theirs.Length == 0
            ? common.Generation
            : theirs[0].Generation;
        MemberDescription[] members = newest.Set.Members;
        int own = other.MemberIndex;
        bool isLeftOut = own < members.Length && IsWithoutTable(members[own]);
        bool isShared = false;
        for (int member = 0; member < Math.Min(members.Length, other.Set.Members.Length); member++)
        {
            MemberDescription theirView = other.Set.Members[member];
            isShared |= member != own
                && WentOn(spares, newest, member, common)
                && theirView.State == MemberState.Active
                && theirView.ReachedGeneration(other.State) <= before;
        }
        return common.Epoch != 0 && isLeftOut && isShared;
    }

    /// <summary>
    /// It has taken part in what followed, or could not have taken part in anything else: it is the one that
    /// tells, or it is known to have had more, or its own copies, which are here, are of this history. That
    /// the others count it as active proves nothing: their start may have ended before it got a word of it.
    /// </summary>
    private static bool WentOn(SpareReading[] spares, Superblock newest, int member, PastEpoch common) =>
        member == newest.MemberIndex
        || newest.Set.Members[member].ReachedGeneration(newest.State) > common.Generation
        || Array.Exists(
            spares,
            spare => spare.Newest!.MemberIndex == member
                && (spare.Newest.State.Epoch == newest.State.Epoch || IsBehind(newest, spare.Newest)));

    /// <summary>
    /// What its own copies say counts for nothing: it missed something, or it joins, and has not got the
    /// generation that counts it as active yet.
    /// </summary>
    private static bool IsWithoutTable(MemberDescription member) =>
        member.State == MemberState.Inactive
        || (member.State == MemberState.Active && member.SettledGeneration != 0);

    private static bool HasPast(Superblock superblock, ulong epoch) =>
        Array.Exists(superblock.Set.Past, past => past.Epoch == epoch);

    private static int[]? Match(SpareReading[] spares, Superblock newest, out MetadataRefusal? refusal)
    {
        MemberDescription[] members = newest.Set.Members;
        int[] spareOfMember = new int[members.Length];
        Array.Fill(spareOfMember, -1);
        refusal = null;
        for (int i = 0; i < spares.Length; i++)
        {
            Superblock own = spares[i].Newest!;
            int member = own.MemberIndex;
            bool isListed = member < members.Length
                && members[member].Uuid == own.MemberUuid
                && members[member].State is MemberState.Active or MemberState.Inactive;
            if (!isListed)
            {
                refusal = new MetadataRefusal(
                    MetadataRefusalKind.NotActive, i, $"member {own.MemberUuid} is not one of the set");
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
                && members[member].DataUnits == own.Layout.DataUnits
                && IsSameGrid(own.Set.Geometry, newest.Set.Geometry)
                && newest.Set.Journal.Fits(own.Layout)
                && (members[member].State != MemberState.Active
                    || newest.State.Checkpoint.LengthBytes <= own.Layout.AreaA1.Bytes);
            if (!isAsListed)
            {
                refusal = new MetadataRefusal(
                    MetadataRefusalKind.CopiesConflict, i, "the set lists it with another size");
                return null;
            }
            spareOfMember[member] = i;
        }
        return spareOfMember;
    }

    private static bool IsSameGrid(UnitGeometry one, UnitGeometry other) =>
        one.BlockSize == other.BlockSize
        && one.UnitBytes == other.UnitBytes
        && one.Blocks == other.Blocks
        && one.Shift == other.Shift;

    /// <summary>
    /// A member whose copies are all older than what it is known to have had: an active one, what every
    /// active member once had; one that the others went on without, what it had then. Its metadata could be
    /// mended from the others, the data that it holds could not.
    /// </summary>
    private static MetadataRefusal? RollbackIn(
        SpareReading[] spares, int[] spareOfMember, Superblock newest)
    {
        for (int member = 0; member < spareOfMember.Length; member++)
        {
            int position = spareOfMember[member];
            ulong reached = newest.Set.Members[member].ReachedGeneration(newest.State);
            ulong generation = position < 0 ? 0 : spares[position].Newest!.State.Generation;
            if (position >= 0 && generation < reached)
            {
                return new MetadataRefusal(
                    MetadataRefusalKind.SpareRolledBack,
                    position,
                    $"it is at generation {generation}, and had reached {reached}");
            }
        }
        return null;
    }

    private static MetadataRefusal? MissingFrom(
        int[] spareOfMember, MemberDescription[] members, SetExpectation expected)
    {
        int activeHere = 0;
        int missing = -1;
        for (int member = 0; member < members.Length; member++)
        {
            bool isActive = members[member].State == MemberState.Active;
            activeHere += isActive && spareOfMember[member] >= 0 ? 1 : 0;
            missing = isActive && spareOfMember[member] < 0 && missing < 0 ? member : missing;
        }
        bool isEnough = activeHere > 0 && (missing < 0 || expected.AllowsMissing);
        return isEnough
            ? null
            : new MetadataRefusal(
                MetadataRefusalKind.MissingMember,
                -1,
                missing < 0 ? "no member that holds the table is here"
                    : $"member {members[missing].Uuid} is not here");
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
