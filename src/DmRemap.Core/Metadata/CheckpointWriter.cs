using System;
using System.Buffers.Binary;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Remapping;

namespace DmRemap.Core.Metadata;

/// <summary>
/// Serialises a table into slices, one after the other, so that a checkpoint of any size needs one slice of
/// memory. No allocation. The image must not change until the last slice is filled.
/// </summary>
public sealed class CheckpointWriter
{
    private SetDescription? _set;
    private TableImage? _image;
    private CheckpointPointer _pointer;
    private Part _part;
    private int _next;
    private uint _register;

    private enum Part : byte
    {
        Done = 0,
        Header = 1,
        Entries = 2,
        Retired = 3,
        Trailer = 4,
    }

    public bool IsDone => _part == Part.Done;

    /// <summary>Names what has been written; complete when <see cref="IsDone"/>.</summary>
    public CheckpointPointer Pointer => _pointer;

    public void Begin(
        SetDescription set, TableImage image, CheckpointArea area, ulong epoch, ulong generation)
    {
        _set = set;
        _image = image;
        long runs = CountRuns(image.Entries);
        long retiredRuns = CountRetiredRuns(image.Retired);
        _pointer = new CheckpointPointer
        {
            Area = area,
            LengthBytes = (runs + retiredRuns + SpareLayout.FrameCells) * SpareLayout.CellBytes,
            Runs = runs,
            Entries = image.Count,
            RetiredRuns = retiredRuns,
            Generation = generation,
            Epoch = epoch,
        };
        _part = Part.Header;
        _next = 0;
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
        while (used < slice.Length && !IsDone)
        {
            used += PutNext(slice[used..]);
        }
        return used;
    }

    private static long CountRuns(ReadOnlySpan<RemapEntry> entries)
    {
        long runs = 0;
        while (!entries.IsEmpty)
        {
            entries = entries[CheckpointFormat.RunLength(entries)..];
            runs++;
        }
        return runs;
    }

    private static long CountRetiredRuns(ReadOnlySpan<SpareLocation> retired)
    {
        long runs = 0;
        while (!retired.IsEmpty)
        {
            retired = retired[CheckpointFormat.RetiredRunLength(retired)..];
            runs++;
        }
        return runs;
    }

    private int PutNext(Span<byte> target)
    {
        Skip();
        Span<byte> cell = target[..SpareLayout.CellBytes];
        switch (_part)
        {
            case Part.Header:
                cell = target[..CheckpointFormat.HeaderBytes];
                PutHeader(cell);
                _part = Part.Entries;
                break;
            case Part.Entries:
                PutRun(cell);
                break;
            case Part.Retired:
                PutRetiredRun(cell);
                break;
            case Part.Trailer:
                PutTrailer(cell);
                _part = Part.Done;
                return cell.Length;
            default:
                Invariant.Unreachable("nothing follows the trailer");
                break;
        }
        _register = Crc32C.Append(_register, cell);
        return cell.Length;
    }

    /// <summary>Past parts that have nothing left.</summary>
    private void Skip()
    {
        if (_part == Part.Entries && _next == _image!.Count)
        {
            _part = Part.Retired;
            _next = 0;
        }
        if (_part == Part.Retired && _next == _image!.RetiredCount)
        {
            _part = Part.Trailer;
        }
    }

    private void PutHeader(Span<byte> cell)
    {
        CheckpointFormat.Magic.CopyTo(cell);
        bool isWritten = _set!.SetUuid.TryWriteBytes(
            cell[CheckpointFormat.SetUuidAt..], bigEndian: true, out _);
        Invariant.Check(isWritten);
        Put64(cell, CheckpointFormat.EpochAt, _pointer.Epoch);
        Put64(cell, CheckpointFormat.GenerationAt, _pointer.Generation);
        Put64(cell, CheckpointFormat.LengthAt, (ulong)_pointer.LengthBytes);
        Put64(cell, CheckpointFormat.RunsAt, (ulong)_pointer.Runs);
        Put64(cell, CheckpointFormat.EntriesAt, (ulong)_pointer.Entries);
        Put64(cell, CheckpointFormat.RetiredRunsAt, (ulong)_pointer.RetiredRuns);
        Put32(cell, CheckpointFormat.HeaderCrcAt, Crc32C.Compute(cell[..CheckpointFormat.HeaderCrcAt]));
    }

    private void PutRun(Span<byte> cell)
    {
        ReadOnlySpan<RemapEntry> rest = _image!.Entries[_next..];
        ref readonly RemapEntry entry = ref rest[0];
        Invariant.Check(_set!.Allows(entry));
        int length = CheckpointFormat.RunLength(rest);
        Put64(cell, CheckpointFormat.UnitAt, (ulong)entry.Unit.Value);
        Put32(cell, CheckpointFormat.CountAt, (uint)length);
        cell[CheckpointFormat.StateAt] = (byte)entry.State;
        cell[CheckpointFormat.ReasonAt] = CheckpointFormat.ReasonOf(entry.State);
        Put64(cell, CheckpointFormat.BlocksLowAt, entry.Blocks.Low);
        Put64(cell, CheckpointFormat.BlocksHighAt, entry.Blocks.High);
        BinaryPrimitives.WriteUInt16LittleEndian(cell[CheckpointFormat.ErrnoAt..], entry.LastErrno);
        BinaryPrimitives.WriteUInt16LittleEndian(cell[CheckpointFormat.DayAt..], entry.LastErrorDay);
        if (!entry.Location.IsNone)
        {
            Invariant.Check(_set.Holds(rest[length - 1].Location));
            cell[CheckpointFormat.Spare1At] = (byte)(entry.Location.Spare + 1);
            Put64(cell, CheckpointFormat.SpareUnit1At, (ulong)entry.Location.Unit.Value);
        }
        _next += length;
    }

    private void PutRetiredRun(Span<byte> cell)
    {
        ReadOnlySpan<SpareLocation> rest = _image!.Retired[_next..];
        int length = CheckpointFormat.RetiredRunLength(rest);
        Invariant.Check(_set!.Holds(rest[length - 1]));
        Put64(cell, CheckpointFormat.RetiredUnitAt, (ulong)rest[0].Unit.Value);
        Put32(cell, CheckpointFormat.RetiredCountAt, (uint)length);
        cell[CheckpointFormat.RetiredSpareAt] = (byte)(rest[0].Spare + 1);
        _next += length;
    }

    private void PutTrailer(Span<byte> cell)
    {
        uint crc = Crc32C.Finish(_register);
        CheckpointFormat.TrailerMagic.CopyTo(cell);
        Put32(cell, CheckpointFormat.TrailerCrcAt, crc);
        _pointer = _pointer with { Crc = crc };
    }

    private static void Put32(Span<byte> cell, int at, uint value) =>
        BinaryPrimitives.WriteUInt32LittleEndian(cell[at..], value);

    private static void Put64(Span<byte> cell, int at, ulong value) =>
        BinaryPrimitives.WriteUInt64LittleEndian(cell[at..], value);
}
