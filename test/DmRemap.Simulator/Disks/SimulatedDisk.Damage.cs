using System;
using System.Collections.Generic;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults.Injection;
using DmRemap.Simulator.World;

namespace DmRemap.Simulator.Disks;

/// <summary>What happens to a disk from outside: power cuts, sectors that go bad, bits that change.</summary>
internal sealed partial class SimulatedDisk
{
    /// <summary>
    /// Power fails: of every sector in the cache and in flight, any may have reached the medium.
    /// </summary>
    public void CutPower()
    {
        DropCache();
        while (_inFlight.Count > 0)
        {
            DiskOperation operation = _inFlight[^1];
            if (operation.Request!.Operation is IoOperation.Write or IoOperation.WriteZeroes)
            {
                Tear(operation.Request);
            }
            _universe.Agenda.Cancel(operation);
            Forget(operation);
        }
    }

    /// <summary>The physical sector around this one goes bad.</summary>
    public void Spoil(long sector, FaultKinds kind)
    {
        DefectKind defect = kind switch
        {
            FaultKinds.PrimaryReads or FaultKinds.SpareReads => DefectKind.Pending,
            FaultKinds.PrimaryWeak => DefectKind.Weak,
            _ => DefectKind.Unwritable,
        };
        List<PlacedDefect> added = [];
        long first = PhysicalStart(sector);
        for (long each = Math.Max(0, first); each < Math.Min(first + PhysicalSectors, Sectors); each++)
        {
            OnSpoiled?.Invoke(each);
            if (defect == DefectKind.Unwritable)
            {
                StoreBeforeItIsUnwritable(each);
            }
            else
            {
                OnUnreadable?.Invoke(each);
            }
            added.Add(Worse(each, defect));
        }
        Invariant.Check(_medium.TryAdd(added));
    }

    /// <summary>
    /// It goes bad just after it has been stored; where errors show at a flush, just before.
    /// </summary>
    private void StoreBeforeItIsUnwritable(long sector)
    {
        int inPage = (int)(sector % Page.Sectors);
        Page page = PageOf(sector);
        if ((page.Dirty & (1 << inPage)) != 0 && !Traits.ErrorsAtFlush)
        {
            page.Store(inPage);
        }
    }

    /// <summary>A sector that gets one more defect: what it has then.</summary>
    private PlacedDefect Worse(long sector, DefectKind added)
    {
        DefectKind before = KindOf(sector);
        DefectKind kind = (before, added) switch
        {
            (DefectKind.None, _) => added,
            (DefectKind.Pending or DefectKind.Weak, DefectKind.Pending) => DefectKind.Pending,
            (DefectKind.Pending, DefectKind.Weak) => DefectKind.Pending,
            _ => before == added ? added : DefectKind.Dead,
        };
        return new PlacedDefect(sector, new Defect
        {
            Kind = kind,
            TriesLeft = kind == DefectKind.Weak ? _dice.Between(1, 12) : 0,
            IsLasting = !Traits.WritesHeal && DefectKinds.IsEndedByWrites(kind),
        });
    }

    /// <summary>What is wrong with a sector of the medium.</summary>
    private DefectKind KindOf(long sector)
    {
        int index = _medium.Defects.IndexFrom(sector);
        return index < _medium.Defects.Places && _medium.Defects.PlaceOf(index) == sector
            ? _medium.Defects[index].Kind
            : DefectKind.None;
    }

    /// <summary>
    /// Is a sector of this one's physical sector unreadable on the medium (below whatever the cache holds for
    /// now), or as the caller says?
    /// </summary>
    public bool IsAnyBadForReading(long sector, Predicate<long> wasBad)
    {
        long start = PhysicalStart(sector);
        for (long each = start; each < start + PhysicalSectors; each++)
        {
            if (each >= 0 && each < Sectors && (IsBad(each) || wasBad(each)))
            {
                return true;
            }
        }
        return false;
    }

    /// <summary>Each sector that is not durable is kept or lost on its own. Was one lost?</summary>
    private bool DropCache()
    {
        bool isLost = false;
        foreach (Page page in _maybeDirty)
        {
            page.IsListed = false;
            for (int sector = 0; sector < Page.Sectors; sector++)
            {
                if ((page.Dirty & (1 << sector)) != 0)
                {
                    bool isKept = _dice.Percent(Traits.KeptAtPowerCutPercent) && TryStore(page, sector);
                    if (!isKept)
                    {
                        page.Drop(sector);
                        isLost = true;
                    }
                }
            }
        }
        _maybeDirty.Clear();
        return isLost;
    }

    /// <summary>Bits change on the medium, with nobody noticing.</summary>
    public void Rot(long startByte, long bytes)
    {
        for (int i = _dice.Between(1, 4); i > 0; i--)
        {
            long at = startByte + _dice.Below(bytes);
            _universe.Trace.Add(TraceKind.Rot, _universe.Now, Index, at);
            Page page = PageOf(at / Page.SectorBytes);
            int sector = (int)(at / Page.SectorBytes % Page.Sectors);
            page.Current(sector)[(int)(at % Page.SectorBytes)] ^= (byte)(1 << _dice.Below(8));
            page.Store(sector);
        }
    }

    /// <summary>Zeros, on the medium.</summary>
    public void Erase(long startByte, long bytes)
    {
        for (long at = startByte; at < startByte + bytes; at += Page.SectorBytes)
        {
            long sector = at / Page.SectorBytes;
            int inPage = (int)(sector % Page.Sectors);
            PageOf(sector).Current(inPage).Clear();
            PageOf(sector).Store(inPage);
        }
    }

    /// <summary>
    /// Nothing there reads, until <see cref="RestoreReadable"/>. Of metadata, whose sectors are otherwise
    /// good.
    /// </summary>
    public void MakeUnreadable(long startByte, long bytes)
    {
        List<PlacedDefect> added = [];
        long first = startByte / Page.SectorBytes;
        long last = (startByte + bytes - 1) / Page.SectorBytes;
        for (long sector = first; sector <= last; sector++)
        {
            added.Add(Worse(sector, DefectKind.Pending));
        }
        Invariant.Check(_medium.TryAdd(added));
        _madeUnreadable.Add((first, last));
    }

    public void RestoreReadable()
    {
        foreach ((long first, long last) in _madeUnreadable)
        {
            _medium.Heal(first, last);
        }
        _madeUnreadable.Clear();
    }

    /// <summary>Something in the cache is not on the medium.</summary>
    public bool IsDirty => _maybeDirty.Exists(page => page.Dirty != 0);

    /// <summary>A copy of all that is durable.</summary>
    public List<Page> TakeImage()
    {
        List<Page> image = [];
        foreach (Page? page in _pages)
        {
            if (page is not null)
            {
                Page copy = _pool.Rent(page.Index);
                copy.CopyFrom(page);
                image.Add(copy);
            }
        }
        return image;
    }

    public void DropImage(List<Page> image)
    {
        image.ForEach(_pool.Return);
        image.Clear();
    }

    /// <summary>The content becomes that of the image. The machine is off.</summary>
    public void RestoreImage(List<Page> image)
    {
        Invariant.Check(_inFlight.Count == 0);
        foreach (Page? page in _pages)
        {
            if (page is not null)
            {
                for (int sector = 0; sector < Page.Sectors; sector++)
                {
                    _initial((page.Index * Page.Sectors) + sector, page.Current(sector));
                    page.Store(sector);
                }
            }
        }
        foreach (Page saved in image)
        {
            PageOf(saved.Index * Page.Sectors).CopyFrom(saved);
        }
    }

    /// <summary>What is durable in these bytes, for checkers.</summary>
    public void ReadDurable(long startByte, Span<byte> into)
    {
        for (int done = 0; done < into.Length; done += Page.SectorBytes)
        {
            long sector = (startByte + done) / Page.SectorBytes;
            PageOf(sector).Durable((int)(sector % Page.Sectors)).CopyTo(into[done..]);
        }
    }

    /// <summary>Of the physical sector that holds this one; it may begin before the disk does.</summary>
    private long PhysicalStart(long sector)
    {
        long shifted = sector - AlignmentSectors;
        long inside = ((shifted % PhysicalSectors) + PhysicalSectors) % PhysicalSectors;
        return sector - inside;
    }

    /// <summary>No read will succeed, unless the cache holds it.</summary>
    private bool IsRuined(long sector) =>
        KindOf(sector) is DefectKind.Pending or DefectKind.Dead && !IsDirtyAt(sector);

    /// <summary>A read of the medium may fail there.</summary>
    private bool IsBad(long sector) =>
        KindOf(sector) is DefectKind.Pending or DefectKind.Dead or DefectKind.Weak;

    private bool IsDirtyAt(long sector) =>
        _pages[sector / Page.Sectors] is Page page && (page.Dirty & (1 << (int)(sector % Page.Sectors))) != 0;

    /// <summary>A write that failed has left it unreadable.</summary>
    private void Ruin(long sector)
    {
        Invariant.Check(_medium.TryAdd([Worse(sector, DefectKind.Pending)]));
        OnUnreadable?.Invoke(sector);
    }

    /// <summary>All of it, nothing, or some of its sectors.</summary>
    private void Tear(IoRequest request)
    {
        int percent = _dice.Pick<int>([0, 50, 50, 100]);
        long first = FirstSector(request);
        int count = SectorCount(request);
        for (int i = 0; i < count; i++)
        {
            if (_dice.Percent(percent) && !RefusesAny(first + i, 1, isForced: true))
            {
                WriteSector(first + i, BytesFor(request, i), isForced: true);
            }
        }
    }
}
