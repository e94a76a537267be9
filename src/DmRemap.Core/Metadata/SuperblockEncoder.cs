using System;
using System.Buffers.Binary;
using System.Text;
using DmRemap.Core.Abstractions;

namespace DmRemap.Core.Metadata;

/// <summary>Writes superblock copies of format 1. No allocation.</summary>
public static class SuperblockEncoder
{
    /// <summary>
    /// Fill one copy: at least 4096 bytes; those behind the first 4096 (a longer physical block) become zero.
    /// </summary>
    public static void Encode(
        SetDescription set,
        SpareLayout layout,
        in SuperblockState state,
        int memberIndex,
        int copyIndex,
        Span<byte> copy)
    {
        Invariant.Check(copy.Length >= SpareLayout.SuperblockBytes);
        Invariant.Check(memberIndex < set.Members.Length);
        Invariant.Check(set.Members.Length <= Limits.SparesMax);
        Invariant.Check(copyIndex < SpareLayout.SuperblockCopies);
        Invariant.Check(layout.IsConsistent());
        copy.Clear();
        Span<byte> block = copy[..SpareLayout.SuperblockBytes];
        SuperblockFormat.Magic.CopyTo(block);
        Put32(block, SuperblockFormat.VersionAt, SuperblockFormat.Version);
        Put32(block, SuperblockFormat.LengthAt, SpareLayout.SuperblockBytes);
        Put64(block, SuperblockFormat.CompatibleAt, set.Features.Compatible);
        Put64(block, SuperblockFormat.ReadOnlyCompatibleAt, set.Features.ReadOnlyCompatible);
        Put64(block, SuperblockFormat.IncompatibleAt, set.Features.Incompatible);
        PutUuid(block, SuperblockFormat.SetUuidAt, set.SetUuid);
        PutUuid(block, SuperblockFormat.MemberUuidAt, set.Members[memberIndex].Uuid);
        Put32(block, SuperblockFormat.MemberIndexAt, (uint)memberIndex);
        Put32(block, SuperblockFormat.CopyIndexAt, (uint)copyIndex);
        PutState(block, state);
        PutSet(block, set);
        PutLayout(block, layout);
        Put32(block, SuperblockFormat.ChecksumAt, SuperblockFormat.Checksum(block));
    }

    private static void PutState(Span<byte> block, in SuperblockState state)
    {
        Put32(
            block, SuperblockFormat.StopFlagsAt, (state.IsCleanStop ? SuperblockFormat.CleanStop : 0)
                | (state.AreCopiesInStep ? SuperblockFormat.CopiesInStep : 0));
        Put64(block, SuperblockFormat.EpochAt, state.Epoch);
        Put64(block, SuperblockFormat.ParentEpochAt, state.ParentEpoch);
        Put64(block, SuperblockFormat.GenerationAt, state.Generation);
        Put64(block, SuperblockFormat.SettledGenerationAt, state.SettledGeneration);
        Put64(block, SuperblockFormat.FirstJournalSequenceAt, state.FirstJournalSequence);
        CheckpointPointer checkpoint = state.Checkpoint;
        Put32(block, SuperblockFormat.CheckpointAreaAt, (uint)checkpoint.Area);
        Put32(block, SuperblockFormat.CheckpointCrcAt, checkpoint.Crc);
        Put64(block, SuperblockFormat.CheckpointLengthAt, (ulong)checkpoint.LengthBytes);
        Put64(block, SuperblockFormat.CheckpointRunsAt, (ulong)checkpoint.Runs);
        Put64(block, SuperblockFormat.CheckpointEntriesAt, (ulong)checkpoint.Entries);
        Put64(block, SuperblockFormat.CheckpointRetiredAt, (ulong)checkpoint.RetiredRuns);
        Put64(block, SuperblockFormat.CheckpointGenerationAt, checkpoint.Generation);
        Put64(block, SuperblockFormat.CheckpointEpochAt, checkpoint.Epoch);
        Put64(block, SuperblockFormat.JournalHeadAt, state.JournalHead.Sequence);
        Put32(block, SuperblockFormat.JournalHeadCrcAt, state.JournalHead.Crc);
        PutWitness(block, state.PrimaryWitness);
    }

    private static void PutWitness(Span<byte> block, in PrimaryWitness witness)
    {
        if (witness.IsNone)
        {
            return;
        }
        Put32(block, SuperblockFormat.WitnessAt, SuperblockFormat.WitnessKind);
        Put32(block, SuperblockFormat.WitnessLengthAt, SuperblockFormat.WitnessBytes);
        for (int i = 0; i < PrimaryWitness.Places; i++)
        {
            Put32(block, SuperblockFormat.WitnessWordsAt + (i * sizeof(uint)), witness[i]);
        }
    }

    private static void PutSet(Span<byte> block, SetDescription set)
    {
        Put32(block, SuperblockFormat.BlockBytesAt, (uint)set.Geometry.BlockSize.Bytes);
        Put32(block, SuperblockFormat.UnitBytesAt, (uint)set.Geometry.UnitBytes);
        Put64(block, SuperblockFormat.PrimaryBlocksAt, (ulong)set.Geometry.Blocks.Value);
        Put32(block, SuperblockFormat.AlignmentOffsetAt, (uint)set.Geometry.AlignmentOffsetBytes);
        Put32(block, SuperblockFormat.PrimaryPhysicalAt, (uint)set.PrimaryPhysicalBlockBytes);
        Put64(block, SuperblockFormat.PrimaryBytesAt, (ulong)set.Primary.Bytes);
        Encoding.UTF8.GetBytes(
            set.Primary.Text, block.Slice(SuperblockFormat.PrimaryTextAt, PrimaryIdentity.TextBytesMax));
        Put32(block, SuperblockFormat.MemberCountAt, (uint)set.Members.Length);
        for (int i = 0; i < set.Members.Length; i++)
        {
            MemberDescription member = set.Members[i];
            Span<byte> place = block.Slice(
                SuperblockFormat.MembersAt + (i * SuperblockFormat.MemberBytes),
                SuperblockFormat.MemberBytes);
            PutUuid(place, 0, member.Uuid);
            place[SuperblockFormat.MemberStateAt] = (byte)member.State;
            Put64(place, SuperblockFormat.MemberSizeAt, (ulong)member.Bytes);
            Put64(place, SuperblockFormat.MemberDataUnitsAt, (ulong)member.DataUnits);
            Put64(place, SuperblockFormat.MemberSettledAt, member.SettledGeneration);
            place[SuperblockFormat.MemberBadCopiesAt] = member.BadCopies;
            place[SuperblockFormat.MemberBadJournalsAt] = member.BadJournals;
            place[SuperblockFormat.MemberBadCheckpointsAt] = member.BadCheckpoints;
        }
        Put32(block, SuperblockFormat.JournalSlotBytesAt, (uint)set.Journal.SlotBytes);
        Put32(block, SuperblockFormat.JournalSlotsAt, (uint)set.Journal.Slots);
        int past = Math.Min(set.Past.Length, SuperblockFormat.PastEpochsMax);
        for (int i = 0; i < past; i++)
        {
            int at = SuperblockFormat.PastEpochsAt + (i * SuperblockFormat.PastEpochBytes);
            Put64(block, at, set.Past[i].Epoch);
            Put64(block, at + 8, set.Past[i].Generation);
        }
    }

    private static void PutLayout(Span<byte> block, SpareLayout layout)
    {
        Put64(block, SuperblockFormat.SpareBytesAt, (ulong)layout.SpareBytes);
        Put32(block, SuperblockFormat.SparePhysicalAt, (uint)layout.PhysicalBlockBytes);
        Put64(block, SuperblockFormat.JournalBytesAt, (ulong)layout.Journal1.Bytes);
        Put64(block, SuperblockFormat.Journal1At, (ulong)layout.Journal1.Start);
        Put64(block, SuperblockFormat.Journal2At, (ulong)layout.Journal2.Start);
        Put64(block, SuperblockFormat.AreaBytesAt, (ulong)layout.AreaA1.Bytes);
        Put64(block, SuperblockFormat.AreaA1At, (ulong)layout.AreaA1.Start);
        Put64(block, SuperblockFormat.AreaA2At, (ulong)layout.AreaA2.Start);
        Put64(block, SuperblockFormat.AreaB1At, (ulong)layout.AreaB1.Start);
        Put64(block, SuperblockFormat.AreaB2At, (ulong)layout.AreaB2.Start);
        Put64(block, SuperblockFormat.DataStartAt, (ulong)layout.Data.Start);
        Put64(block, SuperblockFormat.DataBytesAt, (ulong)layout.Data.Bytes);
    }

    private static void Put32(Span<byte> block, int at, uint value) =>
        BinaryPrimitives.WriteUInt32LittleEndian(block[at..], value);

    private static void Put64(Span<byte> block, int at, ulong value) =>
        BinaryPrimitives.WriteUInt64LittleEndian(block[at..], value);

    private static void PutUuid(Span<byte> block, int at, Guid uuid)
    {
        bool isWritten = uuid.TryWriteBytes(block[at..], bigEndian: true, out _);
        Invariant.Check(isWritten);
    }
}
