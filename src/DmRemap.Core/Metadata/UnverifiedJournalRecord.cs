using System;
using System.Buffers.Binary;

namespace DmRemap.Core.Metadata;

/// <summary>A record whose checksum, set and place are right.</summary>
public readonly record struct JournalRecordHeader
{
    public required ulong Epoch { get; init; }

    public required ulong Sequence { get; init; }

    /// <summary>The acknowledged record before it; sequence 0: there is none.</summary>
    public required JournalLink Previous { get; init; }

    /// <summary>Highest sequence that was acknowledged when this record was written.</summary>
    public required ulong CommitPoint { get; init; }

    public required int Slots { get; init; }

    public required int Cells { get; init; }

    public required uint Crc { get; init; }

    public JournalLink Link => new(Sequence, Crc);
}

/// <summary>Bytes from a slot of the ring, and what follows it. Nothing else looks into them.</summary>
public readonly ref struct UnverifiedJournalRecord(ReadOnlySpan<byte> fromSlot)
{
    private readonly ReadOnlySpan<byte> _bytes = fromSlot;

    /// <summary>
    /// True when a whole record of this set begins here. Never throws, whatever the bytes are; reads no
    /// further than they go.
    /// </summary>
    public bool TryVerify(Guid setUuid, JournalRing ring, int slot, out JournalRecordHeader header)
    {
        header = default;
        if (_bytes.Length < JournalFormat.HeaderBytes || !_bytes.StartsWith(JournalFormat.Magic))
        {
            return false;
        }
        uint slots = Get32(JournalFormat.SlotsAt);
        bool isPlaced = slots >= 1
            && slots <= (uint)ring.SlotsPerRecordMax
            && slots * (long)ring.SlotBytes <= _bytes.Length
            && ring.SlotOf(Get64(JournalFormat.SequenceAt)) == slot
            && slot + slots <= ring.Slots;
        if (!isPlaced || new Guid(_bytes.Slice(JournalFormat.SetUuidAt, 16), bigEndian: true) != setUuid)
        {
            return false;
        }
        ReadOnlySpan<byte> record = _bytes[..((int)slots * ring.SlotBytes)];
        uint crc = Get32(JournalFormat.CrcAt);
        if (crc != JournalFormat.Checksum(record))
        {
            return false;
        }
        header = new JournalRecordHeader
        {
            Epoch = Get64(JournalFormat.EpochAt),
            Sequence = Get64(JournalFormat.SequenceAt),
            Previous = new JournalLink(Get64(JournalFormat.PreviousAt), Get32(JournalFormat.PreviousCrcAt)),
            CommitPoint = Get64(JournalFormat.CommitPointAt),
            Slots = (int)slots,
            Cells = (int)Math.Min(Get32(JournalFormat.CellsAt), int.MaxValue),
            Crc = crc,
        };
        // Behind the checksum, this is what only a bug or a forger writes; the arithmetic on it is safe then.
        int cellsMax = JournalRecordWriter.CellsFor(ring, header.Slots);
        return header.Sequence != 0
            && header.Sequence <= long.MaxValue
            && header.Cells <= cellsMax
            && header.Previous.Sequence < header.Sequence
            && header.CommitPoint < header.Sequence
            && !_bytes[JournalFormat.ZeroAt..JournalFormat.CrcAt].ContainsAnyExcept((byte)0);
    }

    private uint Get32(int at) => BinaryPrimitives.ReadUInt32LittleEndian(_bytes[at..]);

    private ulong Get64(int at) => BinaryPrimitives.ReadUInt64LittleEndian(_bytes[at..]);
}
