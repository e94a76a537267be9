using System;
using System.Buffers.Binary;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Remapping;

namespace DmRemap.Core.Metadata;

/// <summary>What links a record to the history before it.</summary>
public readonly record struct JournalLink(ulong Sequence, uint Crc);

/// <summary>
/// Puts one record together: changes in the order of their arrival, neighbours that changed alike in one
/// cell. No allocation.
/// </summary>
public sealed class JournalRecordWriter
{
    private readonly JournalRing _ring;
    private readonly int _cellsMax;
    private readonly BufferSlice _cells;
    private int _count;
    private RemapEntry _last;
    private int _lastLength;
    private TableChangeKind _lastKind;

    public JournalRecordWriter(JournalRing ring)
    {
        _ring = ring;
        _cellsMax = CellsFor(ring, ring.SlotsPerRecordMax);
        _cells = AlignedMemory.Allocate(_cellsMax * SpareLayout.CellBytes);
    }

    /// <summary>Changes that certainly fit, whatever they are.</summary>
    public int RoomFor => _cellsMax - _count - (_lastLength > 0 ? 1 : 0);

    public static int CellsFor(JournalRing ring, int slots) =>
        (slots * ring.SlotBytes / SpareLayout.CellBytes) - JournalFormat.HeaderCells;

    public void Begin()
    {
        _count = 0;
        _lastLength = 0;
    }

    public void Add(in TableChange change)
    {
        if (_lastLength > 0 && Joins(change))
        {
            _lastLength++;
            return;
        }
        Invariant.Check(RoomFor > 0);
        PutLast();
        _last = change.Entry;
        _lastKind = change.Kind;
        _lastLength = 1;
    }

    /// <summary>Slots that the record will occupy.</summary>
    public int Slots
    {
        get
        {
            int cells = _count + (_lastLength > 0 ? 1 : 0) + JournalFormat.HeaderCells;
            return ((cells * SpareLayout.CellBytes) + _ring.SlotBytes - 1) / _ring.SlotBytes;
        }
    }

    /// <summary>Write the record that has been put together, whole slots, into the buffer.</summary>
    /// <returns>The record's own link, for its successor.</returns>
    public JournalLink Finish(
        Span<byte> into, Guid setUuid, ulong epoch, ulong sequence, JournalLink previous, ulong commitPoint)
    {
        int slots = Slots;
        PutLast();
        Span<byte> record = into[..(slots * _ring.SlotBytes)];
        record.Clear();
        JournalFormat.Magic.CopyTo(record);
        bool isWritten = setUuid.TryWriteBytes(record[JournalFormat.SetUuidAt..], bigEndian: true, out _);
        Invariant.Check(isWritten);
        BinaryPrimitives.WriteUInt64LittleEndian(record[JournalFormat.EpochAt..], epoch);
        BinaryPrimitives.WriteUInt64LittleEndian(record[JournalFormat.SequenceAt..], sequence);
        BinaryPrimitives.WriteUInt64LittleEndian(record[JournalFormat.PreviousAt..], previous.Sequence);
        BinaryPrimitives.WriteUInt64LittleEndian(record[JournalFormat.CommitPointAt..], commitPoint);
        BinaryPrimitives.WriteUInt32LittleEndian(record[JournalFormat.PreviousCrcAt..], previous.Crc);
        BinaryPrimitives.WriteUInt32LittleEndian(record[JournalFormat.SlotsAt..], (uint)slots);
        BinaryPrimitives.WriteUInt32LittleEndian(record[JournalFormat.CellsAt..], (uint)_count);
        _cells.Span[..(_count * SpareLayout.CellBytes)].CopyTo(record[JournalFormat.HeaderBytes..]);
        uint crc = JournalFormat.Checksum(record);
        BinaryPrimitives.WriteUInt32LittleEndian(record[JournalFormat.CrcAt..], crc);
        return new JournalLink(sequence, crc);
    }

    private bool Joins(in TableChange change)
    {
        // What joins takes no room, so a group of commits has no other bound; replay takes no longer run.
        if (change.Kind != _lastKind || _lastLength == Limits.CommitChangesMax)
        {
            return false;
        }
        return _lastKind switch
        {
            TableChangeKind.Set => TableCell.Continues(_last, change.Entry, _lastLength),
            TableChangeKind.Remove => change.Entry.Unit.Value == _last.Unit.Value + _lastLength,
            TableChangeKind.RetireSpareUnit =>
                change.Entry.Location.Spare == _last.Location.Spare
                && change.Entry.Location.Unit.Value == _last.Location.Unit.Value + _lastLength,
            _ => false,
        };
    }

    private void PutLast()
    {
        if (_lastLength == 0)
        {
            return;
        }
        Span<byte> cell = _cells.Span.Slice(_count * SpareLayout.CellBytes, SpareLayout.CellBytes);
        cell.Clear();
        switch (_lastKind)
        {
            case TableChangeKind.Set:
                TableCell.PutRun(cell, _last, _lastLength);
                break;
            case TableChangeKind.Remove:
                TableCell.PutRemoval(cell, _last.Unit, _lastLength);
                break;
            case TableChangeKind.RetireSpareUnit:
                TableCell.PutRetired(cell, _last.Location, _lastLength);
                break;
            default:
                Invariant.Unreachable("there are three kinds of changes");
                break;
        }
        _count++;
        _lastLength = 0;
    }
}
