using System;
using System.Collections.Generic;
using System.IO;
using System.Runtime.InteropServices;
using DmRemap.Nbd;

namespace DmRemap.Cli.Demonstration;

/// <summary>
/// What every 4 KiB page of the demonstration's disk must hold: a version, from which its bytes follow. Two
/// versions are allowed for a page whose last write was cut off.
/// </summary>
internal sealed class DemoContent(long bytes)
{
    public const int PageBytes = 4096;
    public const int SectorBytes = 512;

    private readonly int[] _versions = new int[bytes / PageBytes];
    private readonly Dictionary<long, int> _alternatives = [];

    public long Bytes { get; } = bytes;

    /// <summary>The bytes of a page in this version.</summary>
    public static void Fill(Span<byte> page, long index, int version)
    {
        Span<ulong> words = MemoryMarshal.Cast<byte, ulong>(page);
        ulong state =
            unchecked(((ulong)index * 0x9E37_79B9_7F4A_7C15) ^ ((ulong)version * 0xD1B5_4A32_D192_ED03)) | 1;
        for (int i = 0; i < words.Length; i++)
        {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            words[i] = state;
        }
    }

    /// <summary>A file that holds these pages in this version.</summary>
    public static void WriteFile(string path, long bytes, int version)
    {
        using FileStream file = new(path, FileMode.CreateNew, FileAccess.Write, FileShare.None, 1 << 20);
        byte[] page = new byte[PageBytes];
        for (long index = 0; index < bytes / PageBytes; index++)
        {
            Fill(page, index, version);
            file.Write(page);
        }
    }

    public void Set(long page, int version)
    {
        _versions[page] = version;
        _alternatives.Remove(page);
    }

    /// <summary>The page holds what it held, or this.</summary>
    public void SetUncertain(long page, int version) => _alternatives[page] = version;

    public int VersionOf(long page) => _versions[page];

    /// <summary>
    /// Read [start, end) through the client and compare every byte. Sectors that fail are counted, not
    /// guessed.
    /// </summary>
    public Verdict Compare(DemoClient client, long start, long end, Action<long> progress)
    {
        Verdict verdict = new();
        byte[] chunk = new byte[256 * 1024];
        for (long offset = start; offset < end; offset += chunk.Length)
        {
            if (client.Read(offset, chunk) == NbdError.None)
            {
                for (int at = 0; at < chunk.Length; at += PageBytes)
                {
                    Check(verdict, (offset + at) / PageBytes, chunk.AsSpan(at, PageBytes), 0);
                }
            }
            else
            {
                CompareSectors(client, offset, offset + chunk.Length, verdict);
            }
            progress(offset + chunk.Length - start);
        }
        return verdict;
    }

    private void CompareSectors(DemoClient client, long start, long end, Verdict verdict)
    {
        Span<byte> sector = stackalloc byte[SectorBytes];
        for (long offset = start; offset < end; offset += SectorBytes)
        {
            if (client.Read(offset, sector) == NbdError.None)
            {
                Check(verdict, offset / PageBytes, sector, (int)(offset % PageBytes));
            }
            else
            {
                verdict.SectorsUnreadable++;
            }
        }
    }

    private void Check(Verdict verdict, long page, ReadOnlySpan<byte> found, int at)
    {
        Span<byte> expected = stackalloc byte[PageBytes];
        Fill(expected, page, _versions[page]);
        bool isRight = found.SequenceEqual(expected.Slice(at, found.Length));
        if (!isRight && _alternatives.TryGetValue(page, out int alternative))
        {
            Fill(expected, page, alternative);
            isRight = found.SequenceEqual(expected.Slice(at, found.Length));
        }
        verdict.BytesCompared += found.Length;
        verdict.BytesWrong += isRight ? 0 : found.Length;
    }
}

/// <summary>What a comparison found.</summary>
internal sealed class Verdict
{
    public long BytesCompared { get; set; }

    /// <summary>Counted in whole pages or sectors that differ.</summary>
    public long BytesWrong { get; set; }

    public long SectorsUnreadable { get; set; }
}
