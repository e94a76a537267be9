using System;
using DmRemap.Core.Abstractions;

namespace DmRemap.Core.Metadata;

/// <summary>
/// Byte offsets in a superblock copy; docs/internals/on-disk-format.md is the same table with words. Magic,
/// version, features and checksum keep their places in every later format, so that an old program can say
/// "newer".
/// </summary>
internal static class SuperblockFormat
{
    public const uint Version = 1;

    public const int VersionAt = 8;
    public const int LengthAt = 12;
    public const int CompatibleAt = 16;
    public const int ReadOnlyCompatibleAt = 24;
    public const int IncompatibleAt = 32;
    public const int SetUuidAt = 40;
    public const int MemberUuidAt = 56;
    public const int MemberIndexAt = 72;
    public const int CopyIndexAt = 76;
    public const int MemberCountAt = 80;
    public const int StopFlagsAt = 84;
    public const int EpochAt = 88;
    public const int ParentEpochAt = 96;
    public const int GenerationAt = 104;
    public const int FirstJournalSequenceAt = 112;
    public const int JournalSlotBytesAt = 120;
    public const int JournalSlotsAt = 124;

    public const int CheckpointAreaAt = 128;
    public const int CheckpointCrcAt = 132;
    public const int CheckpointLengthAt = 136;
    public const int CheckpointRunsAt = 144;
    public const int CheckpointEntriesAt = 152;
    public const int CheckpointRetiredAt = 160;
    public const int CheckpointGenerationAt = 168;
    public const int CheckpointEpochAt = 176;
    public const int JournalHeadAt = 184;

    public const int BlockBytesAt = 192;
    public const int UnitBytesAt = 196;
    public const int PrimaryBlocksAt = 200;
    public const int AlignmentOffsetAt = 208;
    public const int PrimaryPhysicalAt = 212;
    public const int JournalHeadCrcAt = 216;

    public const int SpareBytesAt = 224;
    public const int SparePhysicalAt = 232;
    public const int JournalBytesAt = 240;
    public const int Journal1At = 248;
    public const int Journal2At = 256;
    public const int AreaBytesAt = 264;
    public const int AreaA1At = 272;
    public const int AreaA2At = 280;
    public const int AreaB1At = 288;
    public const int AreaB2At = 296;
    public const int DataStartAt = 304;
    public const int DataBytesAt = 312;

    public const int SettledGenerationAt = 320;

    public const int PrimaryBytesAt = 384;
    public const int PrimaryTextAt = 392;

    /// <summary>
    /// Kind (0: none), length, then a CRC-32C for each place of the primary (0: not known).
    /// </summary>
    public const int WitnessAt = 520;
    public const int WitnessLengthAt = 524;
    public const int WitnessWordsAt = 528;
    public const uint WitnessKind = 1;
    public const int WitnessBytes = PrimaryWitness.Places * sizeof(uint);

    public const int MembersAt = 1024;
    public const int MemberBytes = 128;
    public const int MemberStateAt = 16;
    public const int MemberBadCopiesAt = 17;
    public const int MemberBadJournalsAt = 18;
    public const int MemberBadCheckpointsAt = 19;
    public const int MemberSizeAt = 24;
    public const int MemberDataUnitsAt = 32;
    public const int MemberSettledAt = 40;

    /// <summary>Epochs before this one, the latest first: id, highest generation.</summary>
    public const int PastEpochsAt = 2048;
    public const int PastEpochBytes = 16;
    public const int PastEpochsMax = 64;

    public const int ChecksumAt = SpareLayout.SuperblockBytes - sizeof(uint);

    public const uint CleanStop = 1;

    public const uint CopiesInStep = 2;

    /// <summary>A byte that no text has, so that a transfer as text shows; then the name.</summary>
    public static ReadOnlySpan<byte> Magic =>
        [0x89, (byte)'d', (byte)'m', (byte)'r', (byte)'e', (byte)'m', (byte)'a', (byte)'p'];

    public static uint Checksum(ReadOnlySpan<byte> copy)
    {
        Invariant.Check(copy.Length == SpareLayout.SuperblockBytes);
        return Crc32C.Compute(copy[..ChecksumAt]);
    }
}
