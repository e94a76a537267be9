using System;

namespace DmRemap.Core.Metadata;

/// <summary>
/// A checkpoint is a sequence of 64-byte cells: two of header, one for each run of entries, one for each run
/// of retired spare units, one of trailer (<see cref="TableCell"/> has the runs). Byte offsets;
/// docs/internals/on-disk-format.md has the words.
/// </summary>
internal static class CheckpointFormat
{
    public const int HeaderCells = 2;
    public const int HeaderBytes = HeaderCells * SpareLayout.CellBytes;

    public const int SetUuidAt = 8;
    public const int EpochAt = 24;
    public const int GenerationAt = 32;
    public const int FirstSequenceAt = 40;
    public const int HeaderCrcAt = HeaderBytes - sizeof(uint);

    public const int TrailerCrcAt = 8;
    public const int TrailerLengthAt = 16;
    public const int TrailerRunsAt = 24;
    public const int TrailerEntriesAt = 32;
    public const int TrailerRetiredRunsAt = 40;

    public static ReadOnlySpan<byte> Magic =>
        [0x89, (byte)'d', (byte)'m', (byte)'r', (byte)'c', (byte)'k', (byte)'p', (byte)'t'];

    public static ReadOnlySpan<byte> TrailerMagic =>
        [0x89, (byte)'d', (byte)'m', (byte)'r', (byte)'c', (byte)'e', (byte)'n', (byte)'d'];
}
