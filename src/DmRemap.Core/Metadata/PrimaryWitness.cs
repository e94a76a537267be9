using System;
using System.Runtime.CompilerServices;

namespace DmRemap.Core.Metadata;

/// <summary>
/// What the places of <see cref="WitnessPlaces"/> held at a clean stop: one CRC-32C each, 0 where it is not
/// known. Only places that are known both times are compared, so that a sector that stopped or began to read
/// proves nothing (F-16).
/// </summary>
public readonly struct PrimaryWitness : IEquatable<PrimaryWitness>
{
    public const int Places = 30;

    private readonly Words _words;

    /// <param name="crcs">By place; 0: not known.</param>
    public PrimaryWitness(ReadOnlySpan<uint> crcs) => crcs[..Places].CopyTo(_words);

    /// <summary>Nothing is known.</summary>
    public bool IsNone => !((ReadOnlySpan<uint>)_words).ContainsAnyExcept(0u);

    public uint this[int place] => _words[place];

    /// <summary>The word for a place that was read: the CRC of its bytes, never "not known".</summary>
    public static uint WordOf(uint crc) => crc == 0 ? 1 : crc;

    /// <summary>How many places are known here and in the other.</summary>
    public int CommonPlaces(in PrimaryWitness other)
    {
        int common = 0;
        for (int i = 0; i < Places; i++)
        {
            common += _words[i] != 0 && other._words[i] != 0 ? 1 : 0;
        }
        return common;
    }

    /// <summary>The first place that is known in both and differs; -1: none.</summary>
    public int FirstDifference(in PrimaryWitness other)
    {
        for (int i = 0; i < Places; i++)
        {
            bool isKnown = _words[i] != 0 && other._words[i] != 0;
            if (isKnown && _words[i] != other._words[i])
            {
                return i;
            }
        }
        return -1;
    }

    public bool Equals(PrimaryWitness other) =>
        ((ReadOnlySpan<uint>)_words).SequenceEqual((ReadOnlySpan<uint>)other._words);

    public override bool Equals(object? obj) => obj is PrimaryWitness other && Equals(other);

    public override int GetHashCode() => HashCode.Combine(_words[0], _words[Places - 1]);

    public static bool operator ==(PrimaryWitness left, PrimaryWitness right) => left.Equals(right);

    public static bool operator !=(PrimaryWitness left, PrimaryWitness right) => !left.Equals(right);

    [InlineArray(Places)]
    private struct Words
    {
        private uint _element;
    }
}
