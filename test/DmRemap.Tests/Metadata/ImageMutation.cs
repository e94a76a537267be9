using System;
using System.Buffers.Binary;
using System.Collections.Generic;
using DmRemap.Core.Metadata;

namespace DmRemap.Tests.Metadata;

/// <summary>
/// One structure changed in a few bytes: on one disk or on all, in one place or in all, with its checksum,
/// and what names that checksum, put right or not. The same on every disk, so that spares need not disagree.
/// </summary>
internal sealed class ImageMutation
{
    private static readonly byte[] s_extremes = [0, 1, 2, 3, 0x7F, 0x80, 0xFE, 0xFF];

    private readonly Kind _kind;
    private readonly int _places;
    private readonly int _disks;
    private readonly int _recordFromLast;
    private readonly List<(double At, int Width, int Change, byte Value)> _edits = [];

    public ImageMutation(Random random)
    {
        _kind = (Kind)random.Next(3);
        HasRightChecksums = random.Next(2) == 0;
        bool isEverywhere = random.Next(2) == 0;
        _places = isEverywhere ? -1 : random.Next(1, 64);
        _disks = isEverywhere ? -1 : random.Next(1, 4);
        _recordFromLast = random.Next(8);
        int edits = 1 + random.Next(3);
        for (int i = 0; i < edits; i++)
        {
            // Half of them near the start, where the fields are.
            double at = random.Next(2) == 0 ? random.NextDouble() : random.NextDouble() / 16;
            byte value = s_extremes[random.Next(s_extremes.Length)];
            _edits.Add((at, 1 << random.Next(4), random.Next(3), value));
        }
    }

    private enum Kind
    {
        Superblock = 0,
        Record = 1,
        Checkpoint = 2,
    }

    public bool HasRightChecksums { get; }

    /// <summary>Without the last record nothing proves that there was one.</summary>
    public bool IsOfLastRecord => _kind == Kind.Record && _recordFromLast == 0;

    public void ChangeOn(SparseDisk disk, int index)
    {
        if ((_disks & (1 << index)) == 0)
        {
            return;
        }
        switch (_kind)
        {
            case Kind.Superblock:
                ChangeSuperblocks(disk, Edit);
                break;
            case Kind.Record:
                ChangeRecord(disk);
                break;
            default:
                ChangeCheckpoint(disk);
                break;
        }
    }

    private void Edit(byte[] bytes)
    {
        foreach ((double at, int width, int change, byte value) in _edits)
        {
            int start = (int)(at * bytes.Length) / width * width;
            for (int i = start; i < Math.Min(start + width, bytes.Length); i++)
            {
                bytes[i] = change switch
                {
                    0 => (byte)(bytes[i] ^ (value | 1)),
                    1 => value,
                    _ => unchecked((byte)(bytes[i] + (i == start ? 1 : 0))),
                };
            }
        }
    }

    private void ChangeSuperblocks(SparseDisk disk, Action<byte[]> change)
    {
        for (int copy = 0; copy < SpareLayout.SuperblockCopies; copy++)
        {
            if ((_places & (1 << copy)) == 0)
            {
                continue;
            }
            long start = SpareSurgery.CopyStart(disk, copy);
            byte[] bytes = SpareSurgery.Read(disk, start, SpareLayout.SuperblockBytes);
            change(bytes);
            if (HasRightChecksums)
            {
                Put32(bytes, 4092, Crc32C.Compute(bytes.AsSpan(0, 4092)));
            }
            SpareSurgery.Write(disk, start, bytes);
        }
    }

    /// <summary>A record, and with right checksums the links of those behind it.</summary>
    private void ChangeRecord(SparseDisk disk)
    {
        Superblock newest = SpareSurgery.NewestOf(disk);
        JournalRing ring = newest.Set.Journal;
        for (int place = 0; place < SpareLayout.Places; place++)
        {
            if ((_places & (1 << place)) == 0)
            {
                continue;
            }
            ByteRegion region = place == 0 ? newest.Layout.Journal1 : newest.Layout.Journal2;
            byte[] bytes = SpareSurgery.Read(disk, region.Start, (int)ring.Bytes);
            List<JournalRecordHeader> records = Records(bytes, newest);
            int target = Math.Max(0, records.Count - 1 - _recordFromLast);
            uint before = records[target].Crc;
            byte[] record = BytesOf(bytes, records[target], ring);
            Edit(record);
            for (int i = target; i < records.Count; i++)
            {
                record = i == target ? record : BytesOf(bytes, records[i], ring);
                if (i > target && HasRightChecksums)
                {
                    Put32(record, 56, before);
                }
                before = HasRightChecksums ? FixRecord(record) : before;
                record.CopyTo(bytes.AsSpan((int)ring.OffsetOf(records[i].Sequence)));
            }
            SpareSurgery.Write(disk, region.Start, bytes);
        }
    }

    /// <summary>A checkpoint, and with right checksums what the superblocks say of it.</summary>
    private void ChangeCheckpoint(SparseDisk disk)
    {
        Superblock newest = SpareSurgery.NewestOf(disk);
        int length = (int)newest.State.Checkpoint.LengthBytes;
        int padded = (length + 511) / 512 * 512;
        uint crc = 0;
        for (int place = 0; place < SpareLayout.Places; place++)
        {
            if ((_places & (1 << place)) == 0)
            {
                continue;
            }
            long start = SpareSurgery.CheckpointPlace(disk, place).Start;
            byte[] bytes = SpareSurgery.Read(disk, start, padded);
            byte[] cells = bytes[..length];
            Edit(cells);
            if (HasRightChecksums)
            {
                Put32(cells, 124, Crc32C.Compute(cells.AsSpan(0, 124)));
                crc = Crc32C.Compute(cells.AsSpan(0, length - 64));
                Put32(cells, length - 56, crc);
            }
            cells.CopyTo(bytes, 0);
            SpareSurgery.Write(disk, start, bytes);
        }
        if (HasRightChecksums && crc != 0)
        {
            ChangeSuperblocks(disk, copy => Put32(copy, 132, crc));
        }
    }

    private static List<JournalRecordHeader> Records(byte[] bytes, Superblock newest)
    {
        List<JournalRecordHeader> records = [];
        JournalRing ring = newest.Set.Journal;
        for (int slot = 0; slot < ring.Slots; slot++)
        {
            UnverifiedJournalRecord record = new(bytes.AsSpan(slot * ring.SlotBytes));
            if (record.TryVerify(newest.Set.SetUuid, ring, slot, out JournalRecordHeader header))
            {
                records.Add(header);
            }
        }
        records.Sort(static (left, right) => left.Sequence.CompareTo(right.Sequence));
        return records;
    }

    private static byte[] BytesOf(byte[] ring, JournalRecordHeader header, JournalRing shape) =>
        ring.AsSpan((int)shape.OffsetOf(header.Sequence), header.Slots * shape.SlotBytes).ToArray();

    private static uint FixRecord(byte[] record)
    {
        Put32(record, 124, 0);
        uint crc = Crc32C.Compute(record);
        Put32(record, 124, crc);
        return crc;
    }

    private static void Put32(byte[] bytes, int at, uint value) =>
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(at), value);
}
