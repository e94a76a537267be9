using System;
using System.Collections.Generic;
using DmRemap.Core.Abstractions;

namespace DmRemap.Core.Faults.Injection;

/// <summary>
/// The physical sectors that have a defect, ascending. Looking one up allocates nothing; one that has healed
/// keeps its place, with kind None, until sectors are added or removed.
/// </summary>
public sealed class DefectMap
{
    /// <summary>4 GiB of bad sectors of 4096 bytes.</summary>
    public const int DefectsMax = 1 << 20;

    private long[] _places = [];
    private Defect[] _defects = [];
    private int _used;

    /// <summary>Defects that have not healed.</summary>
    public int Count { get; private set; }

    /// <summary>Places, healed ones among them: the indexes to be used.</summary>
    public int Places => _used;

    public long PlaceOf(int index)
    {
        Invariant.Check(index < _used);
        return _places[index];
    }

    public ref Defect this[int index]
    {
        get
        {
            Invariant.Check(index < _used);
            return ref _defects[index];
        }
    }

    /// <summary>The index of the first place that is not before this physical sector; maybe Places.</summary>
    public int IndexFrom(long physical)
    {
        int found = Array.BinarySearch(_places, 0, _used, physical);
        return found < 0 ? ~found : found;
    }

    /// <summary>
    /// Add these, in any order; a sector that has a defect already, or comes twice, has the last one then.
    /// False, and nothing is changed, when they would be more than DefectsMax.
    /// </summary>
    public bool TryAdd(IReadOnlyCollection<PlacedDefect> added)
    {
        if (added.Count > DefectsMax)
        {
            return false;
        }
        // Stable by the order in which they came: the last of equal places is the one that counts.
        (long Place, int Order, Defect Defect)[] sorted = new (long, int, Defect)[added.Count];
        int filled = 0;
        foreach (PlacedDefect one in added)
        {
            sorted[filled] = (one.Physical, filled, one.Defect);
            filled++;
        }
        Array.Sort(sorted, static (left, right) =>
            left.Place != right.Place ? left.Place.CompareTo(right.Place) : left.Order - right.Order);
        return TryMerge(sorted);
    }

    /// <summary>Remove the defects of these physical sectors, both ends included; how many.</summary>
    public int Remove(long first, long last)
    {
        int kept = 0;
        int removed = 0;
        for (int i = 0; i < _used; i++)
        {
            bool isInside = _places[i] >= first && _places[i] <= last;
            bool isThere = _defects[i].Kind != DefectKind.None;
            removed += isThere && isInside ? 1 : 0;
            if (isThere && !isInside)
            {
                _places[kept] = _places[i];
                _defects[kept] = _defects[i];
                kept++;
            }
        }
        _used = kept;
        Count = kept;
        return removed;
    }

    /// <summary>It is good from here on.</summary>
    public void Heal(int index)
    {
        Invariant.Check(_defects[index].Kind != DefectKind.None);
        _defects[index] = default;
        Count--;
    }

    public int CountOf(DefectKind kind)
    {
        int count = 0;
        for (int i = 0; i < _used; i++)
        {
            count += _defects[i].Kind == kind ? 1 : 0;
        }
        return count;
    }

    private bool TryMerge((long Place, int Order, Defect Defect)[] sorted)
    {
        long[] places = new long[Count + sorted.Length];
        Defect[] defects = new Defect[places.Length];
        int used = 0;
        int old = 0;
        for (int i = 0; i < sorted.Length; i++)
        {
            bool isRepeated = i + 1 < sorted.Length && sorted[i + 1].Place == sorted[i].Place;
            if (isRepeated)
            {
                continue;
            }
            for (; old < _used && _places[old] <= sorted[i].Place; old++)
            {
                if (_places[old] < sorted[i].Place)
                {
                    Put(old);
                }
            }
            places[used] = sorted[i].Place;
            defects[used] = sorted[i].Defect;
            used++;
        }
        for (; old < _used; old++)
        {
            Put(old);
        }
        if (used > DefectsMax)
        {
            return false;
        }
        (_places, _defects, _used, Count) = (places, defects, used, used);
        return true;

        void Put(int index)
        {
            if (_defects[index].Kind != DefectKind.None)
            {
                places[used] = _places[index];
                defects[used] = _defects[index];
                used++;
            }
        }
    }
}
