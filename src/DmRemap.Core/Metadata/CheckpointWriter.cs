using System;
using System.Buffers.Binary;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Remapping;

namespace DmRemap.Core.Metadata;

/// <summary>
/// Serialises a table into slices, one after the other, so that a checkpoint of any size needs one slice of
/// memory and never holds up the thread for long. No allocation.
/// <para>
/// The table may change between two slices: each cell is what the table says when it is written. Every change
/// made since Begin is in a journal record from the first sequence on, and records are replayed over the
/// checkpoint, the last word on a unit counting; so it makes no difference which of those changes the cells
/// show. What is needed is that everything before that sequence is in the table when Begin is called.
/// </para>
/// </summary>
public sealed class CheckpointWriter
{
    private SetDescription? _set;
    private RemapTable? _table;
    private RetiredUnits? _retired;
    private CheckpointPointer _pointer;
    private ulong _firstSequence;
    private long _capacityBytes;
    private Part _part;
    private UnitNumber _nextUnit;
    private SpareLocation _lastRetired;
    private uint _register;

    private enum Part : byte
    {
        Done = 0,
        Header = 1,
        Entries = 2,
        Retired = 3,
        Trailer = 4,
        TooLong = 5,
    }

    public bool IsDone => _part == Part.Done;

    /// <summary>The table does not fit the area: what has been written is to be forgotten.</summary>
    public bool IsTooLong => _part == Part.TooLong;

    /// <summary>Names what has been written; complete when <see cref="IsDone"/>.</summary>
    public CheckpointPointer Pointer => _pointer;

    /// <summary>Start over.</summary>
    /// <param name="set">Whose table it is.</param>
    /// <param name="table">Walked as the slices are filled.</param>
    /// <param name="retired">The same.</param>
    /// <param name="start">Area, generation and epoch of the new checkpoint.</param>
    /// <param name="firstSequence">The first record that is replayed over it.</param>
    /// <param name="capacityBytes">The area's length.</param>
    public void Begin(
        SetDescription set,
        RemapTable table,
        RetiredUnits retired,
        in CheckpointPointer start,
        ulong firstSequence,
        long capacityBytes)
    {
        _set = set;
        _table = table;
        _retired = retired;
        _firstSequence = firstSequence;
        _capacityBytes = capacityBytes;
        _pointer = new CheckpointPointer
        {
            Area = start.Area,
            Generation = start.Generation,
            Epoch = start.Epoch,
        };
        _part = Part.Header;
        _nextUnit = new UnitNumber(0);
        _lastRetired = SpareLocation.None;
        _register = Crc32C.Start;
    }

    /// <summary>
    /// Fill the next slice from its start, at least the header's 128 bytes and a multiple of 64 long. Bytes
    /// behind the checkpoint's end become zero.
    /// </summary>
    /// <returns>Bytes of the checkpoint in this slice.</returns>
    public int Fill(Span<byte> slice)
    {
        Invariant.Check(!IsDone);
        Invariant.Check(slice.Length >= CheckpointFormat.HeaderBytes);
        Invariant.Check(slice.Length % SpareLayout.CellBytes == 0);
        slice.Clear();
        int used = 0;
        while (used < slice.Length && !IsDone && !IsTooLong)
        {
            used += PutNext(slice[used..]);
        }
        return used;
    }

    private int PutNext(Span<byte> target)
    {
        if (_part == Part.Header)
        {
            PutHeader(target[..CheckpointFormat.HeaderBytes]);
            return Take(target[..CheckpointFormat.HeaderBytes], Part.Entries);
        }
        if (_pointer.LengthBytes + (2 * SpareLayout.CellBytes) > _capacityBytes)
        {
            // No room for a run and the trailer behind it. A table that fills the last cell exactly is called
            // too long: one cell early.
            _part = Part.TooLong;
            return 0;
        }
        Span<byte> cell = target[..SpareLayout.CellBytes];
        if (_part == Part.Entries)
        {
            if (TryPutRun(cell))
            {
                return Take(cell, Part.Entries);
            }
            if (IsTooLong)
            {
                return 0;
            }
            _part = Part.Retired;
        }
        if (_part == Part.Retired)
        {
            if (TryPutRetiredRun(cell))
            {
                return Take(cell, Part.Retired);
            }
            _part = Part.Trailer;
        }
        PutTrailer(cell);
        _part = Part.Done;
        return cell.Length;
    }

    private int Take(ReadOnlySpan<byte> cells, Part next)
    {
        _register = Crc32C.Append(_register, cells);
        _pointer = _pointer with { LengthBytes = _pointer.LengthBytes + cells.Length };
        _part = next;
        return cells.Length;
    }

    private void PutHeader(Span<byte> header)
    {
        CheckpointFormat.Magic.CopyTo(header);
        bool isWritten =
            _set!.SetUuid.TryWriteBytes(header[CheckpointFormat.SetUuidAt..], bigEndian: true, out _);
        Invariant.Check(isWritten);
        Put64(header, CheckpointFormat.EpochAt, _pointer.Epoch);
        Put64(header, CheckpointFormat.GenerationAt, _pointer.Generation);
        Put64(header, CheckpointFormat.FirstSequenceAt, _firstSequence);
        uint crc = Crc32C.Compute(header[..CheckpointFormat.HeaderCrcAt]);
        BinaryPrimitives.WriteUInt32LittleEndian(header[CheckpointFormat.HeaderCrcAt..], crc);
    }

    private bool TryPutRun(Span<byte> cell)
    {
        if (!_table!.TryGetNextRun(_nextUnit, out RemapEntry first, out int count))
        {
            return false;
        }
        Invariant.Check(_set!.Allows(first));
        if (_pointer.Entries + count > SpareLayout.TableEntriesMax)
        {
            // Few cells, and yet more than any superblock may name.
            _part = Part.TooLong;
            return false;
        }
        TableCell.PutRun(cell, first, count);
        _nextUnit = new UnitNumber(first.Unit.Value + count);
        _pointer = _pointer with { Runs = _pointer.Runs + 1, Entries = _pointer.Entries + count };
        return true;
    }

    private bool TryPutRetiredRun(Span<byte> cell)
    {
        if (!_retired!.TryGetRunBehind(_lastRetired, out SpareLocation first, out int count))
        {
            return false;
        }
        TableCell.PutRetired(cell, first, count);
        _lastRetired = new SpareLocation(first.Spare, new UnitNumber(first.Unit.Value + count - 1));
        _pointer = _pointer with { RetiredRuns = _pointer.RetiredRuns + 1 };
        return true;
    }

    private void PutTrailer(Span<byte> cell)
    {
        uint crc = Crc32C.Finish(_register);
        _pointer = _pointer with { Crc = crc, LengthBytes = _pointer.LengthBytes + cell.Length };
        CheckpointFormat.TrailerMagic.CopyTo(cell);
        BinaryPrimitives.WriteUInt32LittleEndian(cell[CheckpointFormat.TrailerCrcAt..], crc);
        Put64(cell, CheckpointFormat.TrailerLengthAt, (ulong)_pointer.LengthBytes);
        Put64(cell, CheckpointFormat.TrailerRunsAt, (ulong)_pointer.Runs);
        Put64(cell, CheckpointFormat.TrailerEntriesAt, (ulong)_pointer.Entries);
        Put64(cell, CheckpointFormat.TrailerRetiredRunsAt, (ulong)_pointer.RetiredRuns);
    }

    private static void Put64(Span<byte> cell, int at, ulong value) =>
        BinaryPrimitives.WriteUInt64LittleEndian(cell[at..], value);
}
