using System;
using System.Collections.Generic;

namespace DmRemap.Simulator.Disks;

/// <summary>
/// 4 KiB of a disk: what reads see, and what a power cut leaves. What is wrong with its sectors is known to
/// the disk.
/// </summary>
internal sealed class Page
{
    public const int Bytes = 4096;
    public const int SectorBytes = 512;
    public const int Sectors = Bytes / SectorBytes;

    private readonly byte[] _current = new byte[Bytes];
    private readonly byte[] _durable = new byte[Bytes];

    public long Index { get; set; }

    /// <summary>One bit for each sector: its current content is not durable.</summary>
    public byte Dirty { get; set; }

    /// <summary>It stands in the disk's list of pages that may be dirty.</summary>
    public bool IsListed { get; set; }

    public long[] WrittenAt { get; } = new long[Sectors];

    public Span<byte> Current(int sector) => _current.AsSpan(sector * SectorBytes, SectorBytes);

    public Span<byte> Durable(int sector) => _durable.AsSpan(sector * SectorBytes, SectorBytes);

    public Span<byte> Current(int sector, int count) =>
        _current.AsSpan(sector * SectorBytes, count * SectorBytes);

    public void Store(int sector)
    {
        Current(sector).CopyTo(Durable(sector));
        Dirty &= (byte)(0xFF ^ (1 << sector));
    }

    public void Drop(int sector)
    {
        Durable(sector).CopyTo(Current(sector));
        Dirty &= (byte)(0xFF ^ (1 << sector));
    }

    public void Reset(long index)
    {
        Index = index;
        Dirty = 0;
        IsListed = false;
        WrittenAt.AsSpan().Clear();
    }

    public void CopyFrom(Page other)
    {
        other._durable.CopyTo(_durable, 0);
        other._durable.CopyTo(_current, 0);
    }
}

/// <summary>Pages of finished runs, used again: one for each thread of runs.</summary>
internal sealed class PagePool
{
    private readonly Stack<Page> _free = new();

    public Page Rent(long index)
    {
        Page page = _free.Count > 0 ? _free.Pop() : new Page();
        page.Reset(index);
        return page;
    }

    public void Return(Page page) => _free.Push(page);
}
