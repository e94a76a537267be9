using System;
using DmRemap.Core.Abstractions;

namespace DmRemap.Core.Metadata;

/// <summary>
/// The shape of the journal, the same on every member: a ring of slots. A record begins at the slot that its
/// sequence number names and occupies consecutive slots; it never wraps, so a number may be left out where
/// the ring ends.
/// <code>
///   slots      0    1    2    3    4    5    6    7      8 slots
///   records  |16       |18  |19            |22  | -  |   sequence numbers; the next record is 24, in slot 0
/// </code>
/// </summary>
/// <param name="SlotBytes">A whole number of every member's physical blocks.</param>
/// <param name="Slots">At least 4.</param>
public readonly record struct JournalRing(int SlotBytes, int Slots)
{
    public const int SlotsMin = 4;

    /// <summary>Recovery holds one place in memory: a longer one is a forger's.</summary>
    public const long BytesMax = 64L << 20;

    public long Bytes => (long)SlotBytes * Slots;

    /// <summary>A record is bounded by bytes, and by a quarter of the ring.</summary>
    public int SlotsPerRecordMax =>
        Math.Max(1, Math.Min(Limits.JournalRecordBytesMax / SlotBytes, Slots / 4));

    /// <summary>What fits every member: the largest block, the shortest ring.</summary>
    public static JournalRing Fitting(ReadOnlySpan<SpareLayout> layouts)
    {
        Invariant.Check(layouts.Length > 0);
        int slotBytes = SpareLayout.SuperblockBytes;
        long bytes = long.MaxValue;
        foreach (SpareLayout layout in layouts)
        {
            slotBytes = Math.Max(slotBytes, layout.PhysicalBlockBytes);
            bytes = Math.Min(bytes, layout.Journal1.Bytes);
        }
        JournalRing ring = new(slotBytes, (int)Math.Min(bytes / slotBytes, int.MaxValue));
        Invariant.Check(ring.Slots >= SlotsMin);
        return ring;
    }

    /// <summary>
    /// True when a journal of this shape can lie in the places of this layout, and any one commit in a record
    /// of it.
    /// </summary>
    public bool Fits(SpareLayout layout) =>
        Slots >= SlotsMin
        && SlotBytes >= SpareLayout.SuperblockBytes
        && SlotBytes <= SpareLayout.PhysicalBlockBytesMax
        && SlotBytes % layout.PhysicalBlockBytes == 0
        && Bytes <= layout.Journal1.Bytes
        && Bytes <= BytesMax
        && JournalRecordWriter.CellsFor(this, SlotsPerRecordMax) >= Limits.CommitChangesMax;

    public int SlotOf(ulong sequence) => (int)(sequence % (ulong)Slots);

    /// <summary>From the start of a place.</summary>
    public long OffsetOf(ulong sequence) => (long)SlotOf(sequence) * SlotBytes;

    /// <summary>The first sequence number from this one on at which so many slots do not wrap.</summary>
    public ulong FirstFitting(ulong sequence, int slots)
    {
        Invariant.Check(slots > 0);
        Invariant.Check(slots <= Slots);
        int slot = SlotOf(sequence);
        return slot + slots <= Slots ? sequence : sequence + (ulong)(Slots - slot);
    }

    /// <summary>
    /// The first sequence from this one on at which a record of so many slots overwrites nothing of what is
    /// needed; false: there is no room. Numbers that were burned are passed over as often as it takes: a ring
    /// in which nothing is needed is never full.
    /// </summary>
    /// <param name="sequence">Not below <paramref name="neededEnd"/>.</param>
    /// <param name="slots">Of the record.</param>
    /// <param name="neededFirst">The first sequence needed.</param>
    /// <param name="neededEnd">Behind the last one needed.</param>
    /// <param name="fitting">Where the record goes.</param>
    public bool TryFit(
        ulong sequence, int slots, ulong neededFirst, ulong neededEnd, out ulong fitting)
    {
        ulong needed = neededEnd - neededFirst;
        fitting = FirstFitting(sequence, slots);

        // The free part of the ring is in one piece or, where the ring begins anew inside it, in two.
        for (int jumps = 0; jumps < 3; jumps++)
        {
            ulong behind = (fitting - neededFirst) % (ulong)Slots;
            if (needed == 0 || (behind >= needed && behind + (ulong)slots <= (ulong)Slots))
            {
                return true;
            }
            ulong round = behind >= needed ? (ulong)Slots : 0;
            fitting = FirstFitting(fitting + round + needed - behind, slots);
        }
        return false;
    }
}
