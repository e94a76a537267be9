using System;
using System.Buffers.Binary;
using DmRemap.Core.Abstractions;

namespace DmRemap.Core.Metadata;

/// <summary>
/// Reads a place of a checkpoint only to see whether it holds, to the bit, the one that a pointer names.
/// </summary>
public sealed class CheckpointVerifier
{
    private CheckpointPointer _expected;
    private long _offset;
    private uint _register;

    public bool IsSound { get; private set; }

    public void Begin(in CheckpointPointer expected)
    {
        _expected = expected;
        _offset = 0;
        _register = Crc32C.Start;
        IsSound = false;
    }

    /// <summary>
    /// The next bytes, a multiple of 64; those behind the checkpoint's end are not looked at.
    /// </summary>
    public void Feed(ReadOnlySpan<byte> slice)
    {
        Invariant.Check(slice.Length % SpareLayout.CellBytes == 0);
        long bodyLeft = _expected.LengthBytes - SpareLayout.CellBytes - _offset;
        if (bodyLeft < 0)
        {
            return;
        }
        int body = (int)Math.Min(bodyLeft, slice.Length);
        _register = Crc32C.Append(_register, slice[..body]);
        _offset += body;
        if (body < slice.Length)
        {
            TakeTrailer(slice.Slice(body, SpareLayout.CellBytes));
            _offset += SpareLayout.CellBytes;
        }
    }

    private void TakeTrailer(ReadOnlySpan<byte> cell)
    {
        uint crc = BinaryPrimitives.ReadUInt32LittleEndian(cell[CheckpointFormat.TrailerCrcAt..]);
        IsSound = cell.StartsWith(CheckpointFormat.TrailerMagic)
            && crc == _expected.Crc
            && Crc32C.Finish(_register) == _expected.Crc
            && IsTrailerOf(_expected, cell);
    }

    /// <summary>
    /// The numbers of a trailer, which its checksum does not cover. Asked alike by who looks at a place and
    /// by who loads it: else a place counts as whole that no start can load.
    /// </summary>
    internal static bool IsTrailerOf(in CheckpointPointer expected, ReadOnlySpan<byte> cell) =>
        Get64(cell, CheckpointFormat.TrailerLengthAt) == (ulong)expected.LengthBytes
        && Get64(cell, CheckpointFormat.TrailerRunsAt) == (ulong)expected.Runs
        && Get64(cell, CheckpointFormat.TrailerEntriesAt) == (ulong)expected.Entries
        && Get64(cell, CheckpointFormat.TrailerRetiredRunsAt) == (ulong)expected.RetiredRuns;

    private static ulong Get64(ReadOnlySpan<byte> cell, int at) =>
        BinaryPrimitives.ReadUInt64LittleEndian(cell[at..]);
}
