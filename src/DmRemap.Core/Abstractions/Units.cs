using System;

namespace DmRemap.Core.Abstractions;

/// <summary>A position on one device, in bytes from its start.</summary>
public readonly record struct ByteOffset(long Value) : IComparable<ByteOffset>
{
    public static ByteOffset operator +(ByteOffset start, ByteCount count) => new(start.Value + count.Value);

    public static ByteCount operator -(ByteOffset end, ByteOffset start) => new(end.Value - start.Value);

    public static bool operator <(ByteOffset left, ByteOffset right) => left.Value < right.Value;

    public static bool operator >(ByteOffset left, ByteOffset right) => left.Value > right.Value;

    public static bool operator <=(ByteOffset left, ByteOffset right) => left.Value <= right.Value;

    public static bool operator >=(ByteOffset left, ByteOffset right) => left.Value >= right.Value;

    public int CompareTo(ByteOffset other) => Value.CompareTo(other.Value);
}

/// <summary>A length in bytes.</summary>
public readonly record struct ByteCount(long Value) : IComparable<ByteCount>
{
    public static ByteCount operator +(ByteCount left, ByteCount right) => new(left.Value + right.Value);

    public static ByteCount operator -(ByteCount left, ByteCount right) => new(left.Value - right.Value);

    public static bool operator <(ByteCount left, ByteCount right) => left.Value < right.Value;

    public static bool operator >(ByteCount left, ByteCount right) => left.Value > right.Value;

    public static bool operator <=(ByteCount left, ByteCount right) => left.Value <= right.Value;

    public static bool operator >=(ByteCount left, ByteCount right) => left.Value >= right.Value;

    public int CompareTo(ByteCount other) => Value.CompareTo(other.Value);
}

/// <summary>The index of a logical block on one device.</summary>
public readonly record struct BlockNumber(long Value) : IComparable<BlockNumber>
{
    public static BlockNumber operator +(BlockNumber start, BlockCount count) =>
        new(start.Value + count.Value);

    public static BlockCount operator -(BlockNumber end, BlockNumber start) => new(end.Value - start.Value);

    public static bool operator <(BlockNumber left, BlockNumber right) => left.Value < right.Value;

    public static bool operator >(BlockNumber left, BlockNumber right) => left.Value > right.Value;

    public static bool operator <=(BlockNumber left, BlockNumber right) => left.Value <= right.Value;

    public static bool operator >=(BlockNumber left, BlockNumber right) => left.Value >= right.Value;

    public ByteOffset ToBytes(BlockSize size) => new(Value * size.Bytes);

    public int CompareTo(BlockNumber other) => Value.CompareTo(other.Value);
}

/// <summary>A number of logical blocks.</summary>
public readonly record struct BlockCount(long Value) : IComparable<BlockCount>
{
    public static BlockCount operator +(BlockCount left, BlockCount right) => new(left.Value + right.Value);

    public static BlockCount operator -(BlockCount left, BlockCount right) => new(left.Value - right.Value);

    public static bool operator <(BlockCount left, BlockCount right) => left.Value < right.Value;

    public static bool operator >(BlockCount left, BlockCount right) => left.Value > right.Value;

    public static bool operator <=(BlockCount left, BlockCount right) => left.Value <= right.Value;

    public static bool operator >=(BlockCount left, BlockCount right) => left.Value >= right.Value;

    public ByteCount ToBytes(BlockSize size) => new(Value * size.Bytes);

    public int CompareTo(BlockCount other) => Value.CompareTo(other.Value);
}

/// <summary>The size of a logical block in bytes: a power of two, 512 to 4096.</summary>
public readonly record struct BlockSize
{
    public BlockSize(int bytes)
    {
        Invariant.Check(bytes >= 512);
        Invariant.Check(bytes <= 4096);
        Invariant.Check((bytes & (bytes - 1)) == 0);
        Bytes = bytes;
    }

    public int Bytes { get; }

    /// <summary>The block that holds this byte.</summary>
    public BlockNumber BlockAt(ByteOffset offset) => new(offset.Value / Bytes);

    /// <summary>Whole blocks in a length; a remainder is dropped.</summary>
    public BlockCount WholeBlocks(ByteCount count) => new(count.Value / Bytes);

    public bool IsAligned(long bytes) => (bytes & (Bytes - 1)) == 0;
}

/// <summary>The index of a unit (what one remap moves) on one device.</summary>
public readonly record struct UnitNumber(long Value) : IComparable<UnitNumber>
{
    public static bool operator <(UnitNumber left, UnitNumber right) => left.Value < right.Value;

    public static bool operator >(UnitNumber left, UnitNumber right) => left.Value > right.Value;

    public static bool operator <=(UnitNumber left, UnitNumber right) => left.Value <= right.Value;

    public static bool operator >=(UnitNumber left, UnitNumber right) => left.Value >= right.Value;

    public int CompareTo(UnitNumber other) => Value.CompareTo(other.Value);
}

/// <summary>
/// A point on a monotonic clock, in nanoseconds from an origin that is fixed while the process lives.
/// </summary>
public readonly record struct Instant(long Nanoseconds) : IComparable<Instant>
{
    public static Instant operator +(Instant start, Duration length) =>
        new(start.Nanoseconds + length.Nanoseconds);

    public static Duration operator -(Instant end, Instant start) => new(end.Nanoseconds - start.Nanoseconds);

    public static bool operator <(Instant left, Instant right) => left.Nanoseconds < right.Nanoseconds;

    public static bool operator >(Instant left, Instant right) => left.Nanoseconds > right.Nanoseconds;

    public static bool operator <=(Instant left, Instant right) => left.Nanoseconds <= right.Nanoseconds;

    public static bool operator >=(Instant left, Instant right) => left.Nanoseconds >= right.Nanoseconds;

    public int CompareTo(Instant other) => Nanoseconds.CompareTo(other.Nanoseconds);
}

/// <summary>A length of time in nanoseconds.</summary>
public readonly record struct Duration(long Nanoseconds) : IComparable<Duration>
{
    public static Duration Zero => default;

    public double TotalMilliseconds => Nanoseconds / 1e6;

    public static Duration FromMilliseconds(long milliseconds) => new(milliseconds * 1_000_000);

    public static Duration FromSeconds(long seconds) => new(seconds * 1_000_000_000);

    public static bool operator <(Duration left, Duration right) => left.Nanoseconds < right.Nanoseconds;

    public static bool operator >(Duration left, Duration right) => left.Nanoseconds > right.Nanoseconds;

    public static bool operator <=(Duration left, Duration right) => left.Nanoseconds <= right.Nanoseconds;

    public static bool operator >=(Duration left, Duration right) => left.Nanoseconds >= right.Nanoseconds;

    public int CompareTo(Duration other) => Nanoseconds.CompareTo(other.Nanoseconds);
}
