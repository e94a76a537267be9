using System;
using System.Buffers.Binary;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Remapping;

namespace DmRemap.Core.Metadata;

/// <summary>
/// The 64-byte cells that checkpoints and journal records consist of: one for a run of entries, one for a run
/// of retired spare units. A run is consecutive units, all else alike, on consecutive spare units.
/// </summary>
internal static class TableCell
{
    public const int UnitAt = 0;
    public const int CountAt = 8;
    public const int StateAt = 12;
    public const int ReasonAt = 13;
    public const int TrialsAt = 14;
    public const int KindAt = 15;
    public const int BlocksLowAt = 16;
    public const int BlocksHighAt = 24;
    public const int Spare1At = 32;
    public const int Spare2At = 33;
    public const int ErrnoAt = 34;
    public const int DayAt = 36;
    public const int SpareUnit1At = 40;
    public const int SpareUnit2At = 48;
    public const int LaterAt = 56;

    public const byte SetKind = 0;
    public const byte RemoveKind = 1;
    public const byte RetireKind = 2;

    /// <summary>A run of entries whose first is given. The cell is all zeros before.</summary>
    public static void PutRun(Span<byte> cell, in RemapEntry first, int count)
    {
        Invariant.Check(count > 0);
        BinaryPrimitives.WriteUInt64LittleEndian(cell[UnitAt..], (ulong)first.Unit.Value);
        BinaryPrimitives.WriteUInt32LittleEndian(cell[CountAt..], (uint)count);
        cell[StateAt] = (byte)first.State;
        cell[ReasonAt] = ReasonOf(first.State);
        BinaryPrimitives.WriteUInt64LittleEndian(cell[BlocksLowAt..], first.Blocks.Low);
        BinaryPrimitives.WriteUInt64LittleEndian(cell[BlocksHighAt..], first.Blocks.High);
        BinaryPrimitives.WriteUInt16LittleEndian(cell[ErrnoAt..], first.LastErrno);
        BinaryPrimitives.WriteUInt16LittleEndian(cell[DayAt..], first.LastErrorDay);
        cell[TrialsAt] = first.Trials.Packed;
        if (!first.Location.IsNone)
        {
            cell[Spare1At] = (byte)(first.Location.Spare + 1);
            BinaryPrimitives.WriteUInt64LittleEndian(
                cell[SpareUnit1At..], (ulong)first.Location.Unit.Value);
        }
        if (!first.Second.IsNone)
        {
            cell[Spare2At] = (byte)(first.Second.Spare + 1);
            BinaryPrimitives.WriteUInt64LittleEndian(
                cell[SpareUnit2At..], (ulong)first.Second.Unit.Value);
        }
    }

    /// <summary>Units that have no entry any more.</summary>
    public static void PutRemoval(Span<byte> cell, UnitNumber first, int count)
    {
        BinaryPrimitives.WriteUInt64LittleEndian(cell[UnitAt..], (ulong)first.Value);
        BinaryPrimitives.WriteUInt32LittleEndian(cell[CountAt..], (uint)count);
        cell[KindAt] = RemoveKind;
    }

    /// <summary>Spare units that are never used again.</summary>
    public static void PutRetired(Span<byte> cell, SpareLocation first, int count)
    {
        BinaryPrimitives.WriteUInt64LittleEndian(cell[UnitAt..], (ulong)first.Unit.Value);
        BinaryPrimitives.WriteUInt32LittleEndian(cell[CountAt..], (uint)count);
        cell[KindAt] = RetireKind;
        cell[Spare1At] = (byte)(first.Spare + 1);
    }

    /// <summary>A run of entries. Hostile bytes give damage, never an exception.</summary>
    public static CheckpointDamage ReadRun(
        ReadOnlySpan<byte> cell, SetDescription set, out RemapEntry first, out int count)
    {
        first = default;
        CheckpointDamage damage = ReadUnits(cell, set, out UnitNumber unit, out count);
        if (damage == CheckpointDamage.None)
        {
            damage = ReadLocations(cell, set, count, out SpareLocation location, out SpareLocation second);
            first = new RemapEntry
            {
                Unit = unit,
                State = (UnitState)cell[StateAt],
                Location = location,
                Second = second,
                Blocks = new BlockStates(Get64(cell, BlocksLowAt), Get64(cell, BlocksHighAt)),
                LastErrno = BinaryPrimitives.ReadUInt16LittleEndian(cell[ErrnoAt..]),
                LastErrorDay = BinaryPrimitives.ReadUInt16LittleEndian(cell[DayAt..]),
                Trials = HealTrials.FromPacked(cell[TrialsAt] & HealTrials.PackedMax),
            };
        }
        if (damage != CheckpointDamage.None)
        {
            return damage;
        }
        bool isSound = cell[KindAt] == SetKind
            && cell[TrialsAt] <= HealTrials.PackedMax
            && cell[ReasonAt] == ReasonOf(first.State)
            && IsLaterZero(cell)
            && set.Allows(first);
        return isSound ? CheckpointDamage.None : CheckpointDamage.EntryContradictory;
    }

    public static CheckpointDamage ReadRemoval(
        ReadOnlySpan<byte> cell, SetDescription set, out UnitNumber first, out int count)
    {
        CheckpointDamage damage = ReadUnits(cell, set, out first, out count);
        if (damage != CheckpointDamage.None)
        {
            return damage;
        }
        bool isRestZero = !cell[StateAt..KindAt].ContainsAnyExcept((byte)0)
            && cell[KindAt] == RemoveKind
            && !cell[(KindAt + 1)..].ContainsAnyExcept((byte)0);
        return isRestZero ? CheckpointDamage.None : CheckpointDamage.EntryContradictory;
    }

    public static CheckpointDamage ReadRetired(
        ReadOnlySpan<byte> cell, SetDescription set, out SpareLocation first, out int count)
    {
        first = SpareLocation.None;
        uint rawCount = BinaryPrimitives.ReadUInt32LittleEndian(cell[CountAt..]);
        count = (int)Math.Min(rawCount, int.MaxValue);
        bool isRestZero = !cell[StateAt..KindAt].ContainsAnyExcept((byte)0)
            && cell[KindAt] == RetireKind
            && !cell[(KindAt + 1)..Spare1At].ContainsAnyExcept((byte)0)
            && !cell[(Spare1At + 1)..].ContainsAnyExcept((byte)0);
        if (!isRestZero || rawCount is 0 or > int.MaxValue || cell[Spare1At] == 0)
        {
            return CheckpointDamage.EntryContradictory;
        }
        return ReadPlace(cell[Spare1At], Get64(cell, UnitAt), count, set, out first);
    }

    /// <summary>Whether the next entry continues a run of this length.</summary>
    public static bool Continues(in RemapEntry first, in RemapEntry entry, int length)
    {
        bool followsUnit = entry.Unit.Value == first.Unit.Value + length;
        bool isAlike = entry.State == first.State
            && entry.Blocks == first.Blocks
            && entry.LastErrno == first.LastErrno
            && entry.LastErrorDay == first.LastErrorDay
            && entry.Trials == first.Trials;
        return followsUnit && isAlike
            && entry.Location == first.Location.Following(length)
            && entry.Second == first.Second.Following(length);
    }

    /// <summary>Why a unit has an entry: 0 its own writes failed, 1 unreadable, 2 declared.</summary>
    private static byte ReasonOf(UnitState state) => state switch
    {
        UnitState.LostUnreadable => 1,
        UnitState.LostDeclared => 2,
        _ => 0,
    };

    /// <summary>
    /// Fields that a later version fills. Reading past them and writing the table anew would drop them
    /// silently, so a value there is damage; a version that writes them sets a feature flag.
    /// </summary>
    private static bool IsLaterZero(ReadOnlySpan<byte> cell) =>
        BinaryPrimitives.ReadUInt16LittleEndian(cell[(DayAt + 2)..]) == 0
        && Get64(cell, LaterAt) == 0;

    private static CheckpointDamage ReadUnits(
        ReadOnlySpan<byte> cell, SetDescription set, out UnitNumber first, out int count)
    {
        ulong unit = Get64(cell, UnitAt);
        uint rawCount = BinaryPrimitives.ReadUInt32LittleEndian(cell[CountAt..]);
        ulong units = (ulong)set.Geometry.Units;
        first = default;
        count = (int)Math.Min(rawCount, int.MaxValue);
        if (rawCount is 0 or > int.MaxValue || unit >= units || rawCount > units - unit)
        {
            return CheckpointDamage.UnitOutOfBounds;
        }
        first = new UnitNumber((long)unit);
        return CheckpointDamage.None;
    }

    private static CheckpointDamage ReadLocations(
        ReadOnlySpan<byte> cell, SetDescription set, int count,
        out SpareLocation first, out SpareLocation second)
    {
        second = SpareLocation.None;
        CheckpointDamage damage =
            ReadLocation(cell[Spare1At], Get64(cell, SpareUnit1At), count, set, out first);
        return damage == CheckpointDamage.None
            ? ReadLocation(cell[Spare2At], Get64(cell, SpareUnit2At), count, set, out second)
            : damage;
    }

    private static CheckpointDamage ReadLocation(
        int sparePlusOne, ulong unit, int count, SetDescription set, out SpareLocation location)
    {
        location = SpareLocation.None;
        if (sparePlusOne == 0)
        {
            return unit == 0 ? CheckpointDamage.None : CheckpointDamage.EntryContradictory;
        }
        return ReadPlace(sparePlusOne, unit, count, set, out location);
    }

    private static CheckpointDamage ReadPlace(
        int sparePlusOne, ulong unit, int count, SetDescription set, out SpareLocation location)
    {
        location = SpareLocation.None;
        if (sparePlusOne > set.Members.Length)
        {
            return CheckpointDamage.LocationOutOfBounds;
        }
        ulong dataUnits = (ulong)set.Members[sparePlusOne - 1].DataUnits;
        if (unit >= dataUnits || (ulong)count > dataUnits - unit)
        {
            return CheckpointDamage.LocationOutOfBounds;
        }
        location = new SpareLocation(sparePlusOne - 1, new UnitNumber((long)unit));
        return CheckpointDamage.None;
    }

    private static ulong Get64(ReadOnlySpan<byte> cell, int at) =>
        BinaryPrimitives.ReadUInt64LittleEndian(cell[at..]);
}
