using System;
using System.Buffers.Binary;
using System.Collections.Generic;
using System.Runtime.InteropServices;

namespace DmRemap.Tests.Metadata.Exhaustive;

/// <summary>4096 bytes that never change.</summary>
internal sealed class Page
{
    public const int Size = 4096;

    private readonly byte[] _bytes;
    private UInt128? _hash;

    public Page(ReadOnlySpan<byte> bytes) => _bytes = bytes.ToArray();

    public ReadOnlySpan<byte> Bytes => _bytes;

    public UInt128 Hash => _hash ??= HashOf(MemoryMarshal.Cast<byte, ulong>(_bytes));

    /// <summary>This page with other bytes from an offset on.</summary>
    public static Page Patched(Page? page, int at, ReadOnlySpan<byte> bytes)
    {
        byte[] patched = page is null ? new byte[Size] : [.. page._bytes];
        bytes.CopyTo(patched.AsSpan(at));
        return new Page(patched);
    }

    public static ulong Mix(ulong hash, ulong word)
    {
        hash = unchecked((hash ^ word) * 0x9E37_79B9_7F4A_7C15);
        return hash ^ (hash >> 29);
    }

    private static UInt128 HashOf(ReadOnlySpan<ulong> words)
    {
        ulong low = 1;
        ulong high = 2;
        foreach (ulong word in words)
        {
            low = Mix(low, word);
            high = Mix(high, ~word) ^ low;
        }
        return new UInt128(high, low);
    }
}

/// <summary>
/// What is on one disk, as pages, and the highest numbers in what was written to it whole: cheap to copy, and
/// with a hash of all content.
/// </summary>
internal sealed class PageImage
{
    private readonly Dictionary<long, Page> _pages;

    public PageImage() => _pages = [];

    private PageImage(PageImage other)
    {
        _pages = new Dictionary<long, Page>(other._pages);
        SequenceEnd = other.SequenceEnd;
        Generation = other.Generation;
    }

    /// <summary>Behind every journal record that is whole, or was.</summary>
    public ulong SequenceEnd { get; private set; }

    /// <summary>The highest of the superblocks that are whole, or were.</summary>
    public ulong Generation { get; private set; }

    public PageImage Clone() => new(this);

    public UInt128 HashFor(int disk)
    {
        UInt128 sum = 0;
        foreach ((long number, Page page) in _pages)
        {
            ulong place = Page.Mix(Page.Mix(3, (ulong)number), (ulong)disk);
            UInt128 hash = page.Hash;
            ulong low = Page.Mix(place, unchecked((ulong)hash));
            sum ^= new UInt128(Page.Mix(low, (ulong)(hash >> 64)), low);
        }
        return sum;
    }

    public void Read(long at, Span<byte> into)
    {
        into.Clear();
        for (int done = 0; done < into.Length;)
        {
            int offset = (int)((at + done) % Page.Size);
            int length = Math.Min(Page.Size - offset, into.Length - done);
            if (_pages.TryGetValue((at + done) / Page.Size, out Page? page))
            {
                page.Bytes.Slice(offset, length).CopyTo(into[done..]);
            }
            done += length;
        }
    }

    /// <summary>Bytes [from, end) of a write.</summary>
    public void Apply(DiskWrite write, int from, int end)
    {
        for (int at = from; at < end;)
        {
            int offset = at % Page.Size;
            int length = Math.Min(Page.Size - offset, end - at);
            long number = (write.At + at) / Page.Size;
            Page source = write.Pages[at / Page.Size];
            _pages[number] = length == Page.Size
                ? source
                : Page.Patched(_pages.GetValueOrDefault(number), offset, source.Bytes.Slice(offset, length));
            at += length;
        }
        if (from == 0 && end == write.Bytes)
        {
            SequenceEnd = Math.Max(SequenceEnd, write.SequenceEnd);
            Generation = Math.Max(Generation, write.Generation);
        }
    }
}

/// <summary>One write to one disk: what it says is kept, whatever becomes of the buffer.</summary>
internal sealed class DiskWrite
{
    private const int JournalSequenceAt = 32;
    private const int JournalSlotsAt = 60;
    private const int GenerationAt = 104;

    public DiskWrite(int disk, long at, ReadOnlySpan<byte> bytes, bool isForced)
    {
        Disk = disk;
        At = at;
        Bytes = bytes.Length;
        IsForced = isForced;
        Pages = new Page[bytes.Length / Page.Size];
        for (int i = 0; i < Pages.Length; i++)
        {
            Pages[i] = new Page(bytes.Slice(i * Page.Size, Page.Size));
        }
        if (bytes[1..].StartsWith("dmrjrnl"u8))
        {
            ulong sequence = BinaryPrimitives.ReadUInt64LittleEndian(bytes[JournalSequenceAt..]);
            SequenceEnd = sequence + BinaryPrimitives.ReadUInt32LittleEndian(bytes[JournalSlotsAt..]);
        }
        else if (bytes[1..].StartsWith("dmremap"u8))
        {
            Generation = BinaryPrimitives.ReadUInt64LittleEndian(bytes[GenerationAt..]);
        }
    }

    public int Disk { get; }

    /// <summary>In bytes.</summary>
    public long At { get; }

    public int Bytes { get; }

    public bool IsForced { get; }

    public Page[] Pages { get; }

    /// <summary>Of a journal record; else 0.</summary>
    public ulong SequenceEnd { get; }

    /// <summary>Of a superblock; else 0.</summary>
    public ulong Generation { get; }

    /// <summary>Alike for all that were submitted with no answer between them.</summary>
    public int Batch { get; init; }

    /// <summary>Acknowledged into the disk's cache.</summary>
    public bool IsCached { get; set; }

    public bool Overlaps(DiskWrite other) =>
        Disk == other.Disk && At < other.At + other.Bytes && other.At < At + Bytes;
}
