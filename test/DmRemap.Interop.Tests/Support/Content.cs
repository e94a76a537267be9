using System;
using System.Buffers.Binary;
using System.IO;
using Xunit;

namespace DmRemap.Interop.Tests.Support;

/// <summary>Bytes that tell where they belong, and comparisons that say where two contents part.</summary>
internal static class Content
{
    private const ulong PlaceFactor = 0x9E3779B97F4A7C15;
    private const ulong VersionFactor = 0xD1B54A32D192ED03;

    /// <summary>
    /// Different in every 8 bytes, and in every version: a block in the wrong place or of an older time
    /// shows.
    /// </summary>
    public static void Fill(Span<byte> buffer, long offset, long version)
    {
        for (int i = 0; i + 8 <= buffer.Length; i += 8)
        {
            ulong word =
                unchecked((ulong)(offset + i) * PlaceFactor + (ulong)version * VersionFactor);
            BinaryPrimitives.WriteUInt64LittleEndian(buffer[i..], word);
        }
    }

    /// <summary>
    /// The version that these bytes are in whole, at this place; null when they are of no one version.
    /// </summary>
    public static long? VersionOf(ReadOnlySpan<byte> content, long offset)
    {
        ulong first = BinaryPrimitives.ReadUInt64LittleEndian(content);
        long version =
            unchecked((long)((first - (ulong)offset * PlaceFactor) * InverseOf(VersionFactor)));
        byte[] expected = new byte[content.Length];
        Fill(expected, offset, version);
        return content.SequenceEqual(expected) ? version : null;
    }

    public static byte[] Of(long bytes, long version = 1)
    {
        byte[] content = new byte[bytes];
        Fill(content, 0, version);
        return content;
    }

    public static void AssertEqual(ReadOnlySpan<byte> expected, ReadOnlySpan<byte> actual, string what)
    {
        Assert.True(expected.Length == actual.Length,
            $"{what}: {actual.Length} bytes, expected {expected.Length}");
        int same = expected.CommonPrefixLength(actual);
        Assert.True(
            same == expected.Length,
            $"{what}: differs at byte {same} (block {same / 512}, unit {same / 4096})");
    }

    public static void AssertFile(ReadOnlySpan<byte> expected, string path) =>
        AssertEqual(expected, File.ReadAllBytes(path), path);

    /// <summary>
    /// Of an odd number, modulo 2^64; each step of Newton's doubles the bits that are right.
    /// </summary>
    private static ulong InverseOf(ulong odd)
    {
        ulong inverse = odd;
        for (int i = 0; i < 5; i++)
        {
            inverse = unchecked(inverse * (2 - odd * inverse));
        }

        return inverse;
    }

    /// <summary>With zeros, behind everybody's back.</summary>
    public static void Overwrite(string path, long at, int count)
    {
        using FileStream file = new(path, FileMode.Open);
        file.Position = at;
        file.Write(new byte[count]);
    }
}
