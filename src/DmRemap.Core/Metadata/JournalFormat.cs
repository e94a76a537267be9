using System;

namespace DmRemap.Core.Metadata;

/// <summary>
/// A journal record: two 64-byte cells of header, then one cell for each run of changes, then zeros to the
/// end of its last slot. Cells are those of a checkpoint, with a kind. Byte offsets;
/// docs/internals/on-disk-format.md has the words.
/// </summary>
internal static class JournalFormat
{
    public const int HeaderCells = 2;
    public const int HeaderBytes = HeaderCells * SpareLayout.CellBytes;

    public const int SetUuidAt = 8;
    public const int EpochAt = 24;
    public const int SequenceAt = 32;
    public const int PreviousAt = 40;
    public const int CommitPointAt = 48;
    public const int PreviousCrcAt = 56;
    public const int SlotsAt = 60;
    public const int CellsAt = 64;
    public const int ZeroAt = 68;
    public const int CrcAt = HeaderBytes - sizeof(uint);

    public static ReadOnlySpan<byte> Magic =>
        [0x89, (byte)'d', (byte)'m', (byte)'r', (byte)'j', (byte)'r', (byte)'n', (byte)'l'];

    /// <summary>Of the whole record, its own four bytes taken as zeros.</summary>
    public static uint Checksum(ReadOnlySpan<byte> record)
    {
        uint register = Crc32C.Append(Crc32C.Start, record[..CrcAt]);
        register = Crc32C.Append(register, "\0\0\0\0"u8);
        return Crc32C.Finish(Crc32C.Append(register, record[HeaderBytes..]));
    }
}
