using System;
using DmRemap.Core.Abstractions;

namespace DmRemap.Simulator.Disks;

/// <summary>What operations do to the content. Each returns an errno, or -1.</summary>
internal sealed partial class SimulatedDisk
{
    private const int Ok = -1;

    private int Apply(DiskOperation operation)
    {
        IoRequest request = operation.Request!;
        switch (request.Operation)
        {
            case IoOperation.Read:
                return operation.Origin == IoOrigin.Metadata && Troubles.MetadataReadsStrange > 0
                    ? ReadStrangely(request)
                    : Read(request);
            case IoOperation.Write:
            case IoOperation.WriteZeroes:
                return Write(request);
            case IoOperation.Flush:
                if (Troubles.TakesCacheAtFlush(operation.Origin))
                {
                    if (DropCache())
                    {
                        OnCacheLost?.Invoke();
                    }
                    return 5;
                }
                return Flush(operation.Covers);
            case IoOperation.Discard:
                Discard(request);
                return Ok;
            case IoOperation.None:
            default:
                Invariant.Unreachable("not an operation");
                return Ok;
        }
    }

    private long FirstSector(IoRequest request) =>
        request.Extent.Start.Value * (Geometry.LogicalBlockSize.Bytes / Page.SectorBytes);

    private int SectorCount(IoRequest request) =>
        (int)(request.Extent.Count.Value * (Geometry.LogicalBlockSize.Bytes / Page.SectorBytes));

    private int Read(IoRequest request)
    {
        long first = FirstSector(request);
        int count = SectorCount(request);
        Span<byte> into = request.Buffer.Span;
        bool isBad = false;
        for (int done = 0; done < count;)
        {
            long sector = first + done;
            int inPage = (int)(sector % Page.Sectors);
            int run = Math.Min(Page.Sectors - inPage, count - done);
            isBad |= IsUnreadable(sector, run);
            if (_pages[sector / Page.Sectors] is Page page)
            {
                page.Current(inPage, run).CopyTo(into[(done * Page.SectorBytes)..]);
            }
            else
            {
                for (int i = 0; i < run; i++)
                {
                    _initial(sector + i, into.Slice((done + i) * Page.SectorBytes, Page.SectorBytes));
                }
            }
            done += run;
        }
        if (!isBad)
        {
            return Ok;
        }
        Troubles.NoteMediumRead(first);
        into.Fill(0xEE);
        return Traits.MediumErrno;
    }

    /// <summary>
    /// Of these, the medium is asked for what the cache does not hold. Each of them is tried, as the sectors
    /// of a physical one are.
    /// </summary>
    private bool IsUnreadable(long first, int count)
    {
        bool isBad = false;
        for (int i = 0; i < count && _medium.Defects.Count > 0; i++)
        {
            isBad |= !IsDirtyAt(first + i) && AskMedium(IoOperation.Read, first + i) != 0;
        }
        return isBad;
    }

    /// <summary>What the medium makes of it, an errno or 0.</summary>
    private int AskMedium(IoOperation operation, long sector) =>
        _medium.Decide(operation, IoFlags.ForceUnitAccess, sector, 1, new Instant(_universe.Now)).Errno;

    private bool TakesWrites(long sector) =>
        _medium.Defects.Count == 0 || AskMedium(IoOperation.Write, sector) == 0;

    private int Write(IoRequest request)
    {
        long first = FirstSector(request);
        int count = SectorCount(request);
        bool isForced = request.IsForceUnitAccess || !Traits.HasVolatileCache;
        if (RefusesAny(first, count, isForced) || IsPartOfUnreadable(first, count))
        {
            ApplyPart(request);
            Troubles.MediumWriteErrors++;
            return Traits.MediumErrno;
        }
        _writes++;
        for (int i = 0; i < count; i++)
        {
            WriteSector(first + i, BytesFor(request, i), isForced);
        }
        return Ok;
    }

    /// <summary>A sector's new bytes; empty for zeros.</summary>
    private static ReadOnlySpan<byte> BytesFor(IoRequest request, int sector) =>
        request.Operation == IoOperation.Write
            ? request.Buffer.Span.Slice(sector * Page.SectorBytes, Page.SectorBytes)
            : default;

    private bool RefusesAny(long first, int count, bool isForced)
    {
        if (Traits.ErrorsAtFlush && !isForced)
        {
            return false;
        }
        for (int i = 0; i < count; i++)
        {
            if (!TakesWrites(first + i))
            {
                return true;
            }
        }
        return false;
    }

    /// <summary>
    /// A part of a physical sector is written by reading the rest of it: where that does not read, the write
    /// fails.
    /// </summary>
    private bool IsPartOfUnreadable(long first, int count) =>
        PhysicalSectors > 1
        && (IsUnreadableOutside(first, first, first + count)
            || IsUnreadableOutside(first + count - 1, first, first + count));

    private bool IsUnreadableOutside(long place, long first, long end)
    {
        long start = PhysicalStart(place);
        for (long sector = start; sector < start + PhysicalSectors; sector++)
        {
            bool isOutside = sector < first || sector >= end;
            if (isOutside && sector >= 0 && sector < Sectors && IsRuined(sector))
            {
                return true;
            }
        }
        return false;
    }

    /// <summary>A write that fails: its good sectors may hold either, its bad ones may be ruined.</summary>
    private void ApplyPart(IoRequest request)
    {
        long first = FirstSector(request);
        int count = SectorCount(request);
        bool isForced = request.IsForceUnitAccess || !Traits.HasVolatileCache;
        _writes++;
        for (int i = 0; i < count; i++)
        {
            if (TakesWrites(first + i))
            {
                if (_dice.OneIn(2))
                {
                    WriteSector(first + i, BytesFor(request, i), isForced);
                }
            }
            else if (Traits.FailedWritesRuin && !IsDirtyAt(first + i) && _dice.OneIn(2))
            {
                Ruin(first + i);
            }
        }
    }

    private void WriteSector(long sector, ReadOnlySpan<byte> bytes, bool isForced)
    {
        Page page = PageOf(sector);
        int inPage = (int)(sector % Page.Sectors);
        bool isDirty = (page.Dirty & (1 << inPage)) != 0;
        // What a flush under way covers must not be replaced by what it does not.
        if (isDirty && (_flushesInFlight > 0 || _dice.Percent(Traits.DestagePercent)))
        {
            TryStore(page, inPage);
        }
        Span<byte> current = page.Current(inPage);
        if (bytes.IsEmpty)
        {
            current.Clear();
        }
        else
        {
            bytes.CopyTo(current);
        }
        if (isForced)
        {
            TryStore(page, inPage);
            return;
        }
        if ((page.Dirty & (1 << inPage)) == 0)
        {
            // Since when it holds what is not stored: that is what a flush must cover.
            page.WrittenAt[inPage] = _writes;
        }
        page.Dirty |= (byte)(1 << inPage);
        if (!page.IsListed)
        {
            page.IsListed = true;
            _maybeDirty.Add(page);
        }
    }

    /// <summary>From the cache to the medium; false when the medium does not take it.</summary>
    private bool TryStore(Page page, int sector)
    {
        long number = (page.Index * Page.Sectors) + sector;
        if (!TakesWrites(number))
        {
            return false;
        }
        page.Store(sector);
        bool wasBad = IsBad(number);
        _medium.AfterDone(IoOperation.Write, number, 1, default);
        if (wasBad && !IsBad(number))
        {
            OnHealed?.Invoke(number);
        }
        return true;
    }

    private int Flush(long covers)
    {
        bool isWhole = true;
        int kept = 0;
        for (int i = 0; i < _maybeDirty.Count; i++)
        {
            Page page = _maybeDirty[i];
            for (int sector = 0; sector < Page.Sectors; sector++)
            {
                if ((page.Dirty & (1 << sector)) != 0 && page.WrittenAt[sector] <= covers)
                {
                    isWhole &= TryStore(page, sector);
                }
            }
            if (page.Dirty != 0)
            {
                _maybeDirty[kept++] = page;
            }
            else
            {
                page.IsListed = false;
            }
        }
        _maybeDirty.RemoveRange(kept, _maybeDirty.Count - kept);
        Troubles.HasFailedFlush |= !isWhole;
        if (!isWhole)
        {
            DropWhatFailed();
        }
        return isWhole ? Ok : 5;
    }

    /// <summary>
    /// A drive that could not store something says so once, and forgets it: the next flush succeeds. So it
    /// does with what came after the flush, which nobody has asked about yet.
    /// </summary>
    private void DropWhatFailed()
    {
        foreach (Page page in _maybeDirty)
        {
            for (int sector = 0; sector < Page.Sectors; sector++)
            {
                long number = (page.Index * Page.Sectors) + sector;
                if ((page.Dirty & (1 << sector)) != 0 && !TakesWrites(number) && _dice.OneIn(2))
                {
                    page.Drop(sector);
                    OnDropped?.Invoke(number);
                }
            }
        }
    }

    /// <summary>Each sector reads as before or as zeros.</summary>
    private void Discard(IoRequest request)
    {
        long first = FirstSector(request);
        int count = SectorCount(request);
        _writes++;
        for (int i = 0; i < count; i++)
        {
            if (_dice.OneIn(2) && !RefusesAny(first + i, 1, isForced: false))
            {
                WriteSector(first + i, default, isForced: !Traits.HasVolatileCache);
            }
        }
    }

    /// <summary>
    /// A metadata read that returns, without an error, what another place holds, or bits that are not there.
    /// </summary>
    private int ReadStrangely(IoRequest request)
    {
        Troubles.MetadataReadsStrange--;
        Troubles.HasMisread = true;
        int errno = Read(request);
        if (errno != Ok)
        {
            return errno;
        }
        Span<byte> into = request.Buffer.Span;
        if (_dice.OneIn(2))
        {
            // Another place: what lies one MiB further, or at the start.
            long place = (FirstSector(request) + 2048) % Sectors;
            for (int at = 0; at < into.Length; at += Page.SectorBytes)
            {
                PageOf(place).Current((int)(place % Page.Sectors)).CopyTo(into[at..]);
                place = (place + 1) % Sectors;
            }
        }
        else
        {
            into[_dice.Below(into.Length)] ^= (byte)(1 << _dice.Below(8));
        }
        return Ok;
    }
}
