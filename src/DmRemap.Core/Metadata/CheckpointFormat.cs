using System;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Remapping;

namespace DmRemap.Core.Metadata;

/// <summary>
/// A checkpoint is a sequence of 64-byte cells: two of header, one for each run of entries, one for each run
/// of retired spare units, one of trailer. Byte offsets in each; docs/internals/on-disk-format.md has the
/// words.
/// </summary>
internal static class CheckpointFormat
{
    public const int HeaderCells = 2;
    public const int HeaderBytes = HeaderCells * SpareLayout.CellBytes;

    public const int SetUuidAt = 8;
    public const int EpochAt = 24;
    public const int GenerationAt = 32;
    public const int LengthAt = 40;
    public const int RunsAt = 48;
    public const int EntriesAt = 56;
    public const int RetiredRunsAt = 64;
    public const int HeaderCrcAt = HeaderBytes - sizeof(uint);

    public const int UnitAt = 0;
    public const int CountAt = 8;
    public const int StateAt = 12;
    public const int ReasonAt = 13;
    public const int ProbationCountAt = 14;
    public const int BlocksLowAt = 16;
    public const int BlocksHighAt = 24;
    public const int Spare1At = 32;
    public const int Spare2At = 33;
    public const int ErrnoAt = 34;
    public const int DayAt = 36;
    public const int SpareUnit1At = 40;
    public const int SpareUnit2At = 48;
    public const int ProbationDueAt = 56;

    public const int RetiredUnitAt = 0;
    public const int RetiredCountAt = 8;
    public const int RetiredSpareAt = 12;

    public const int TrailerCrcAt = 8;

    public static ReadOnlySpan<byte> Magic =>
        [0x89, (byte)'d', (byte)'m', (byte)'r', (byte)'c', (byte)'k', (byte)'p', (byte)'t'];

    public static ReadOnlySpan<byte> TrailerMagic =>
        [0x89, (byte)'d', (byte)'m', (byte)'r', (byte)'c', (byte)'e', (byte)'n', (byte)'d'];

    /// <summary>Why a unit has an entry: 0 its own writes failed, 1 unreadable, 2 declared.</summary>
    public static byte ReasonOf(UnitState state) => state switch
    {
        UnitState.LostUnreadable => 1,
        UnitState.LostDeclared => 2,
        _ => 0,
    };

    /// <summary>
    /// How many entries from the first on form one run: consecutive units on consecutive spare units, all
    /// else equal.
    /// </summary>
    public static int RunLength(ReadOnlySpan<RemapEntry> entries)
    {
        Invariant.Check(!entries.IsEmpty);
        ref readonly RemapEntry first = ref entries[0];
        int length = 1;
        while (length < entries.Length && Continues(first, entries[length], length))
        {
            length++;
        }
        return length;
    }

    public static int RetiredRunLength(ReadOnlySpan<SpareLocation> retired)
    {
        Invariant.Check(!retired.IsEmpty);
        int length = 1;
        while (length < retired.Length
            && retired[length].Spare == retired[0].Spare
            && retired[length].Unit.Value == retired[0].Unit.Value + length)
        {
            length++;
        }
        return length;
    }

    private static bool Continues(in RemapEntry first, in RemapEntry entry, int distance)
    {
        bool followsUnit = entry.Unit.Value == first.Unit.Value + distance;
        bool isAlike = entry.State == first.State
            && entry.Blocks == first.Blocks
            && entry.LastErrno == first.LastErrno
            && entry.LastErrorDay == first.LastErrorDay;
        if (!followsUnit || !isAlike || entry.Location.IsNone != first.Location.IsNone)
        {
            return false;
        }
        return first.Location.IsNone
            || (entry.Location.Spare == first.Location.Spare
                && entry.Location.Unit.Value == first.Location.Unit.Value + distance);
    }
}
