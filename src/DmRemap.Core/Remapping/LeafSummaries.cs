using System;

namespace DmRemap.Core.Remapping;

/// <summary>
/// Where each leaf has entries, coarsely: bit i of a leaf is set when one of its units [64 i, 64 i + 64) has
/// one. They stand together and not in the leaves, so that all of them stay in the processor's cache (64
/// bytes a leaf, 512 KiB for a disk of 1 TiB): of a million scattered entries, most lookups that find nothing
/// then never touch a leaf, which would be a cache miss and a page miss each.
/// <para>
/// The writer marks what a new leaf has before it publishes the leaf, and takes marks away afterwards. So
/// while a leaf is the published one, at least its own marks are set.
/// </para>
/// </summary>
internal sealed class LeafSummaries(int leaves)
{
    public const int Words = 8;

    private const int GroupLog2 = 6;

    private readonly ulong[] _words = new ulong[leaves * Words];

    public long Bytes => (long)_words.Length * sizeof(ulong);

    /// <summary>Mark units [first, last] of a leaf in its summary.</summary>
    public static void Mark(Span<ulong> summary, int first, int last)
    {
        for (int group = first >> GroupLog2; group <= last >> GroupLog2; group++)
        {
            summary[group >> 6] |= 1UL << (group & 63);
        }
    }

    /// <summary>False when certainly none of the units [first, last] of the leaf has an entry.</summary>
    public bool MayHave(int leaf, int first, int last)
    {
        int firstGroup = first >> GroupLog2;
        int lastGroup = last >> GroupLog2;
        ReadOnlySpan<ulong> summary = _words.AsSpan(leaf * Words, Words);
        for (int word = firstGroup >> 6; word <= lastGroup >> 6; word++)
        {
            ulong mask = ulong.MaxValue;
            mask = word == firstGroup >> 6 ? mask << (firstGroup & 63) : mask;
            mask = word == lastGroup >> 6 ? mask & (ulong.MaxValue >> (63 - (lastGroup & 63))) : mask;
            if ((summary[word] & mask) != 0)
            {
                return true;
            }
        }
        return false;
    }

    /// <summary>Before a leaf is published: its marks too.</summary>
    public void Add(int leaf, ReadOnlySpan<ulong> summary)
    {
        Span<ulong> words = _words.AsSpan(leaf * Words, Words);
        for (int i = 0; i < Words; i++)
        {
            words[i] |= summary[i];
        }
    }

    /// <summary>After it was published: nothing but its marks.</summary>
    public void Set(int leaf, ReadOnlySpan<ulong> summary)
    {
        Span<ulong> words = _words.AsSpan(leaf * Words, Words);
        for (int i = 0; i < Words; i++)
        {
            words[i] = summary[i];
        }
    }
}
