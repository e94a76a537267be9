using System;
using System.Buffers.Binary;
using System.Text;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Remapping;

namespace DmRemap.Core.Metadata;

/// <summary>What 4096 bytes at a superblock's place turned out to be.</summary>
public enum SuperblockVerdict : byte
{
    /// <summary>Not looked at.</summary>
    Unread = 0,

    Valid = 1,

    /// <summary>Nothing but zeros.</summary>
    Blank = 2,

    /// <summary>Something else: the magic is missing.</summary>
    Foreign = 3,

    /// <summary>Ours once, but the checksum is wrong: torn or rotten.</summary>
    Damaged = 4,

    /// <summary>Whole, but of another copy: a misdirected write, or a copied image.</summary>
    Misplaced = 5,

    /// <summary>Whole, and its fields contradict each other.</summary>
    Malformed = 6,

    /// <summary>Whole, of a later format.</summary>
    NewerFormat = 7,

    /// <summary>Whole, with features that this version does not know.</summary>
    UnknownFeatures = 8,

    /// <summary>Whole, made by a development version; this version does not open those.</summary>
    DevelopmentVersion = 9,

    /// <summary>The device could not read the place.</summary>
    Unreadable = 10,
}

/// <summary>
/// Bytes from a superblock's place. Nothing but <see cref="Verify"/> looks into them, and arithmetic on its
/// fields starts only when the checksum and the bounds hold.
/// </summary>
public readonly ref struct UnverifiedSuperblock
{
    private readonly ReadOnlySpan<byte> _block;

    /// <param name="copy">At least 4096 bytes, the first of which are the copy.</param>
    public UnverifiedSuperblock(ReadOnlySpan<byte> copy)
    {
        Invariant.Check(copy.Length >= SpareLayout.SuperblockBytes);
        _block = copy[..SpareLayout.SuperblockBytes];
    }

    /// <summary>The superblock, or null and why not. Never throws, whatever the bytes are.</summary>
    /// <param name="expectedCopyIndex">The place it was read from, 0 to 5.</param>
    /// <param name="supported">What the reader understands.</param>
    /// <param name="verdict">Valid exactly when a superblock is returned.</param>
    public Superblock? Verify(int expectedCopyIndex, FeatureFlags supported, out SuperblockVerdict verdict)
    {
        verdict = VerdictOnFrame(supported);
        if (verdict != SuperblockVerdict.Valid)
        {
            return null;
        }
        if (Get32(SuperblockFormat.CopyIndexAt) != expectedCopyIndex)
        {
            verdict = SuperblockVerdict.Misplaced;
            return null;
        }
        Superblock? superblock = Parse(expectedCopyIndex);
        if (superblock is null)
        {
            verdict = SuperblockVerdict.Malformed;
        }
        return superblock;
    }

    private SuperblockVerdict VerdictOnFrame(FeatureFlags supported)
    {
        if (!_block.ContainsAnyExcept((byte)0))
        {
            return SuperblockVerdict.Blank;
        }
        if (!_block.StartsWith(SuperblockFormat.Magic))
        {
            return SuperblockVerdict.Foreign;
        }
        if (Get32(SuperblockFormat.ChecksumAt) != SuperblockFormat.Checksum(_block))
        {
            return SuperblockVerdict.Damaged;
        }
        if (Get32(SuperblockFormat.VersionAt) > SuperblockFormat.Version)
        {
            return SuperblockVerdict.NewerFormat;
        }
        FeatureFlags features = Features();
        if ((features.Incompatible & ~supported.Incompatible & FeatureFlags.Development) != 0)
        {
            return SuperblockVerdict.DevelopmentVersion;
        }
        bool isKnown = features.CanBeOpenedBy(supported);
        return isKnown ? SuperblockVerdict.Valid : SuperblockVerdict.UnknownFeatures;
    }

    private Superblock? Parse(int copyIndex)
    {
        bool isFormatOne = Get32(SuperblockFormat.VersionAt) == SuperblockFormat.Version
            && Get32(SuperblockFormat.LengthAt) == SpareLayout.SuperblockBytes;
        UnitGeometry? geometry = ParseGeometry();
        if (!isFormatOne || geometry is null)
        {
            return null;
        }
        MemberDescription[]? members = ParseMembers();
        SpareLayout? layout = ParseLayout(geometry);
        if (members is null || layout is null)
        {
            return null;
        }
        uint memberIndex = Get32(SuperblockFormat.MemberIndexAt);
        if (memberIndex >= members.Length || !IsSelfConsistent(members[memberIndex], layout))
        {
            return null;
        }
        JournalRing ring = new(
            (int)Math.Min(Get32(SuperblockFormat.JournalSlotBytesAt), int.MaxValue),
            (int)Math.Min(Get32(SuperblockFormat.JournalSlotsAt), int.MaxValue));
        SuperblockState state = ParseState();
        if (!ring.Fits(layout) || !IsStatePlausible(state))
        {
            return null;
        }
        long primaryBytes = GetPositive(SuperblockFormat.PrimaryBytesAt);
        bool isPrimaryWhole = primaryBytes >= geometry.Blocks.ToBytes(geometry.BlockSize).Value;
        if (!IsCheckpointPlausible(state.Checkpoint, layout) || !isPrimaryWhole)
        {
            return null;
        }
        return new Superblock
        {
            Set = new SetDescription
            {
                SetUuid = GetUuid(SuperblockFormat.SetUuidAt),
                Features = Features(),
                Geometry = geometry,
                PrimaryPhysicalBlockBytes = (int)GetPositive32(SuperblockFormat.PrimaryPhysicalAt),
                Primary = new PrimaryIdentity
                {
                    Bytes = primaryBytes,
                    Text = GetText(SuperblockFormat.PrimaryTextAt),
                },
                Members = members,
                Journal = ring,
                Past = ParsePast(),
            },
            MemberIndex = (int)memberIndex,
            Layout = layout,
            State = state,
            CopyIndex = copyIndex,
            ContentChecksum = ContentChecksum(),
        };
    }

    private SuperblockState ParseState() => new()
    {
        Epoch = Get64(SuperblockFormat.EpochAt),
        ParentEpoch = Get64(SuperblockFormat.ParentEpochAt),
        Generation = Get64(SuperblockFormat.GenerationAt),
        SettledGeneration = Get64(SuperblockFormat.SettledGenerationAt),
        FirstJournalSequence = Get64(SuperblockFormat.FirstJournalSequenceAt),
        JournalHead = new JournalLink(
            Get64(SuperblockFormat.JournalHeadAt), Get32(SuperblockFormat.JournalHeadCrcAt)),
        PrimaryWitness = ParseWitness(),
        IsCleanStop = (Get32(SuperblockFormat.StopFlagsAt) & SuperblockFormat.CleanStop) != 0,
        AreCopiesInStep = (Get32(SuperblockFormat.StopFlagsAt) & SuperblockFormat.CopiesInStep) != 0,
        Checkpoint = new CheckpointPointer
        {
            Area = (CheckpointArea)Math.Min(Get32(SuperblockFormat.CheckpointAreaAt), byte.MaxValue),
            Crc = Get32(SuperblockFormat.CheckpointCrcAt),
            LengthBytes = GetPositive(SuperblockFormat.CheckpointLengthAt),
            Runs = GetPositive(SuperblockFormat.CheckpointRunsAt),
            Entries = GetPositive(SuperblockFormat.CheckpointEntriesAt),
            RetiredRuns = GetPositive(SuperblockFormat.CheckpointRetiredAt),
            Generation = Get64(SuperblockFormat.CheckpointGenerationAt),
            Epoch = Get64(SuperblockFormat.CheckpointEpochAt),
        },
    };

    /// <summary>None where a later version has written another kind.</summary>
    private PrimaryWitness ParseWitness()
    {
        bool isKnown = Get32(SuperblockFormat.WitnessAt) == SuperblockFormat.WitnessKind
            && Get32(SuperblockFormat.WitnessLengthAt) == SuperblockFormat.WitnessBytes;
        Span<uint> words = stackalloc uint[PrimaryWitness.Places];
        for (int i = 0; i < words.Length; i++)
        {
            words[i] = isKnown ? Get32(SuperblockFormat.WitnessWordsAt + (i * sizeof(uint))) : 0;
        }
        return new PrimaryWitness(words);
    }

    /// <summary>Sequences stay below 2^63, so that sums of them and of slots do not wrap.</summary>
    private static bool IsStatePlausible(in SuperblockState state) =>
        state.Epoch != 0
        && state.FirstJournalSequence is >= 1 and <= long.MaxValue
        && state.JournalHead.Sequence <= long.MaxValue
        && state.JournalHead.Sequence >= state.FirstJournalSequence - 1
        && state.Generation <= long.MaxValue
        && state.SettledGeneration <= state.Generation;

    private PastEpoch[] ParsePast()
    {
        int count = 0;
        while (count < SuperblockFormat.PastEpochsMax && Get64(PastAt(count)) != 0)
        {
            count++;
        }
        PastEpoch[] past = new PastEpoch[count];
        for (int i = 0; i < count; i++)
        {
            past[i] = new PastEpoch(Get64(PastAt(i)), Get64(PastAt(i) + 8));
        }
        return past;
    }

    private static int PastAt(int index) =>
        SuperblockFormat.PastEpochsAt + (index * SuperblockFormat.PastEpochBytes);

    private static bool IsCheckpointPlausible(in CheckpointPointer checkpoint, SpareLayout layout)
    {
        bool fitsArea = checkpoint.LengthBytes >= 0 && checkpoint.LengthBytes <= layout.AreaA1.Bytes;
        if (checkpoint.Area > CheckpointArea.B || !fitsArea)
        {
            return false;
        }
        long cells = checkpoint.LengthBytes / SpareLayout.CellBytes;
        return checkpoint.Runs >= 0
            && checkpoint.RetiredRuns >= 0
            && checkpoint.Runs <= cells
            && checkpoint.RetiredRuns <= cells
            && checkpoint.LengthBytes % SpareLayout.CellBytes == 0
            && checkpoint.Runs + checkpoint.RetiredRuns + SpareLayout.FrameCells == cells
            && checkpoint.Entries >= checkpoint.Runs
            && checkpoint.Entries <= SpareLayout.TableEntriesMax;
    }

    private static bool IsSelfConsistent(MemberDescription self, SpareLayout layout) =>
        self.State is MemberState.Active
        && self.Bytes == layout.SpareBytes
        && self.DataUnits == layout.DataUnits;

    private UnitGeometry? ParseGeometry()
    {
        long blockBytes = GetPositive32(SuperblockFormat.BlockBytesAt);
        long unitBytes = GetPositive32(SuperblockFormat.UnitBytesAt);
        long blocks = GetPositive(SuperblockFormat.PrimaryBlocksAt);
        long offset = GetPositive32(SuperblockFormat.AlignmentOffsetAt);
        long physical = GetPositive32(SuperblockFormat.PrimaryPhysicalAt);
        bool blockFits = blockBytes is 512 or 1024 or 2048 or 4096;
        bool unitFits = unitBytes >= Limits.UnitBytesMin
            && (unitBytes & (unitBytes - 1)) == 0
            && unitBytes <= blockBytes * Limits.UnitBlocksMax
            && unitBytes <= Limits.SliceBytes
            && unitBytes >= blockBytes;
        bool sizesFit = blocks > 0 && offset >= 0 && physical > 0;
        if (!blockFits || !unitFits || !sizesFit)
        {
            return null;
        }
        if (blocks > Limits.UnitsMax * (unitBytes / blockBytes) || offset % blockBytes != 0)
        {
            return null;
        }
        return new UnitGeometry(
            new BlockSize((int)blockBytes), (int)unitBytes, new BlockCount(blocks), (int)offset);
    }

    private SpareLayout? ParseLayout(UnitGeometry geometry)
    {
        long spareBytes = GetPositive(SuperblockFormat.SpareBytesAt);
        long physical = GetPositive32(SuperblockFormat.SparePhysicalAt);
        bool physicalFits = physical >= geometry.BlockSize.Bytes
            && physical <= SpareLayout.PhysicalBlockBytesMax
            && (physical & (physical - 1)) == 0;
        if (spareBytes < Limits.SpareBytesMin || !physicalFits)
        {
            return null;
        }
        long journalBytes = GetPositive(SuperblockFormat.JournalBytesAt);
        long areaBytes = GetPositive(SuperblockFormat.AreaBytesAt);
        SpareLayout layout = new()
        {
            SpareBytes = spareBytes,
            BlockSize = geometry.BlockSize,
            PhysicalBlockBytes = (int)physical,
            UnitBytes = geometry.UnitBytes,
            Journal1 = new ByteRegion(GetPositive(SuperblockFormat.Journal1At), journalBytes),
            Journal2 = new ByteRegion(GetPositive(SuperblockFormat.Journal2At), journalBytes),
            AreaA1 = new ByteRegion(GetPositive(SuperblockFormat.AreaA1At), areaBytes),
            AreaA2 = new ByteRegion(GetPositive(SuperblockFormat.AreaA2At), areaBytes),
            AreaB1 = new ByteRegion(GetPositive(SuperblockFormat.AreaB1At), areaBytes),
            AreaB2 = new ByteRegion(GetPositive(SuperblockFormat.AreaB2At), areaBytes),
            Data = new ByteRegion(
                GetPositive(SuperblockFormat.DataStartAt), GetPositive(SuperblockFormat.DataBytesAt)),
        };
        return layout.IsConsistent() ? layout : null;
    }

    private MemberDescription[]? ParseMembers()
    {
        uint count = Get32(SuperblockFormat.MemberCountAt);
        if (count is 0 or > Limits.SparesMax)
        {
            return null;
        }
        MemberDescription[] members = new MemberDescription[count];
        for (int i = 0; i < members.Length; i++)
        {
            int at = SuperblockFormat.MembersAt + (i * SuperblockFormat.MemberBytes);
            MemberDescription member = new()
            {
                Uuid = GetUuid(at),
                State = (MemberState)_block[at + SuperblockFormat.MemberStateAt],
                Bytes = GetPositive(at + SuperblockFormat.MemberSizeAt),
                DataUnits = GetPositive(at + SuperblockFormat.MemberDataUnitsAt),
                SettledGeneration = Get64(at + SuperblockFormat.MemberSettledAt),
                BadCopies = _block[at + SuperblockFormat.MemberBadCopiesAt],
                BadJournals = _block[at + SuperblockFormat.MemberBadJournalsAt],
                BadCheckpoints = _block[at + SuperblockFormat.MemberBadCheckpointsAt],
            };
            bool isSane = member.State is MemberState.Active or MemberState.Inactive or MemberState.Retired
                && member.Bytes >= 0
                && member.DataUnits >= 1
                && member.DataUnits <= member.Bytes / Limits.UnitBytesMin
                && member.DataUnits <= SpareLayout.TableEntriesMax;
            if (!isSane || IsUuidIn(members, i, member.Uuid))
            {
                return null;
            }
            members[i] = member;
        }
        return members;
    }

    private static bool IsUuidIn(MemberDescription[] members, int count, Guid uuid)
    {
        for (int i = 0; i < count; i++)
        {
            if (members[i].Uuid == uuid)
            {
                return true;
            }
        }
        return false;
    }

    private uint ContentChecksum()
    {
        uint register = Crc32C.Append(Crc32C.Start, _block[..SuperblockFormat.CopyIndexAt]);
        register = Crc32C.Append(
            register, _block[SuperblockFormat.MemberCountAt..SuperblockFormat.ChecksumAt]);
        return Crc32C.Finish(register);
    }

    private FeatureFlags Features() => new(
        Get64(SuperblockFormat.CompatibleAt),
        Get64(SuperblockFormat.ReadOnlyCompatibleAt),
        Get64(SuperblockFormat.IncompatibleAt));

    private uint Get32(int at) => BinaryPrimitives.ReadUInt32LittleEndian(_block[at..]);

    private ulong Get64(int at) => BinaryPrimitives.ReadUInt64LittleEndian(_block[at..]);

    /// <summary>-1 where the field does not fit a signed number: no check lets that pass.</summary>
    private long GetPositive(int at)
    {
        ulong value = Get64(at);
        return value > long.MaxValue ? -1 : (long)value;
    }

    private long GetPositive32(int at)
    {
        uint value = Get32(at);
        return value > int.MaxValue ? -1 : value;
    }

    private Guid GetUuid(int at) => new(_block.Slice(at, 16), bigEndian: true);

    private string GetText(int at)
    {
        ReadOnlySpan<byte> bytes = _block.Slice(at, PrimaryIdentity.TextBytesMax);
        int end = bytes.IndexOf((byte)0);
        return Encoding.UTF8.GetString(end < 0 ? bytes : bytes[..end]);
    }
}
