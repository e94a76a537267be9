using System.Numerics;
using DmRemap.Core.Abstractions;

namespace DmRemap.Core.Remapping;

/// <summary>Where one logical block of a unit that has a table entry lives. On disk: two bits.</summary>
public enum BlockState : byte
{
    /// <summary>Still on the primary, which could read it or was never asked to.</summary>
    OnPrimary = 0,

    /// <summary>In the entry's spare unit, at the same index.</summary>
    OnSpare = 1,

    /// <summary>Its content is gone: reads fail until it is written.</summary>
    Lost = 2,

    /// <summary>Reads as zeros; it occupies no spare.</summary>
    Zero = 3,
}

/// <summary>
/// The states of the (at most 64) blocks of one unit, two bits a block in two words: bit i of
/// <see cref="Low"/> and of
/// <see cref="High"/> make the state of block i.
/// </summary>
public readonly record struct BlockStates(ulong Low, ulong High)
{
    /// <summary>Every block still on the primary.</summary>
    public static BlockStates AllOnPrimary => default;

    public BlockState this[int block]
    {
        get
        {
            Invariant.Check(block >= 0);
            Invariant.Check(block < Limits.UnitBlocksMax);
            return (BlockState)(((Low >> block) & 1) | (((High >> block) & 1) << 1));
        }
    }

    /// <summary>A mask with bits [first, first + count).</summary>
    public static ulong Mask(int first, int count)
    {
        Invariant.Check(first >= 0);
        Invariant.Check(count >= 0);
        Invariant.Check(first + count <= Limits.UnitBlocksMax);
        return count == 0 ? 0 : (ulong.MaxValue >> (Limits.UnitBlocksMax - count)) << first;
    }

    /// <summary>These states with every block of the mask in one state.</summary>
    public BlockStates With(ulong mask, BlockState state)
    {
        ulong low = ((uint)state & 1) != 0 ? Low | mask : Low & ~mask;
        ulong high = ((uint)state & 2) != 0 ? High | mask : High & ~mask;
        return new BlockStates(low, high);
    }

    /// <summary>The blocks that are in this state, as a mask over all 64 places.</summary>
    public ulong MaskOf(BlockState state)
    {
        ulong low = ((uint)state & 1) != 0 ? Low : ~Low;
        ulong high = ((uint)state & 2) != 0 ? High : ~High;
        return low & high;
    }

    /// <summary>True when the blocks of this mask share one state, and no other block has any.</summary>
    public bool IsUniform(ulong mask) => (Low == 0 || Low == mask) && (High == 0 || High == mask);

    public int Count(BlockState state, int blocks) => BitOperations.PopCount(MaskOf(state) & Mask(0, blocks));

    /// <summary>
    /// How many blocks from <paramref name="first"/> on (below <paramref name="end"/>) share its state.
    /// </summary>
    public int RunLength(int first, int end)
    {
        Invariant.Check(first < end);
        ulong same = MaskOf(this[first]) >> first;
        return System.Math.Min(BitOperations.TrailingZeroCount(~same), end - first);
    }
}
