using System;
using System.Runtime.InteropServices;

namespace DmRemap.Simulator.Client;

/// <summary>
/// What is in a sector, as one number that fills it: which sector, and which write. So a sector that is read
/// tells who wrote it, where it was meant to be, and whether it is whole. Zeros are zeros.
/// </summary>
internal static class Stamp
{
    private const int SectorBits = 24;
    private const ulong Odd = 0x9E3779B97F4A7C15;

    private static readonly ulong s_inverse = InverseOf(Odd);

    /// <summary>Version 0 is what was on the primary before it was adopted.</summary>
    public static ulong Of(long sector, long version)
    {
        unchecked
        {
            return ((((ulong)version + 1) << SectorBits) | (ulong)sector) * Odd;
        }
    }

    public static void Fill(Span<byte> sector, ulong value) =>
        MemoryMarshal.Cast<byte, ulong>(sector).Fill(value);

    /// <summary>The number that fills the sector; false when it is not one number.</summary>
    public static bool TryRead(ReadOnlySpan<byte> sector, out ulong value)
    {
        ReadOnlySpan<ulong> words = MemoryMarshal.Cast<byte, ulong>(sector);
        value = words[0];
        return !words.ContainsAnyExcept(value);
    }

    public static string Describe(ulong value)
    {
        if (value == 0)
        {
            return "zeros";
        }
        unchecked
        {
            ulong plain = value * s_inverse;
            long version = (long)(plain >> SectorBits) - 1;
            return version is >= 0 and < 10_000_000
                ? $"write {version} of sector {plain & ((1 << SectorBits) - 1)}"
                : $"0x{value:x16}, which nobody wrote";
        }
    }

    /// <summary>What was on a spare before it became one: to be read as data never.</summary>
    public static void FillForeign(long sector, Span<byte> into)
    {
        unchecked
        {
            Fill(into, 0xDBDBDB00_00000000 | (ulong)sector);
        }
    }

    public static void FillAdopted(long sector, Span<byte> into)
    {
        Fill(into, Of(sector, 0));
    }

    private static ulong InverseOf(ulong odd)
    {
        unchecked
        {
            ulong inverse = odd;
            for (int i = 0; i < 6; i++)
            {
                inverse *= 2 - (odd * inverse);
            }
            return inverse;
        }
    }
}
