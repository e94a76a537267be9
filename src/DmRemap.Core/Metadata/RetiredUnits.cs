using System;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Remapping;

namespace DmRemap.Core.Metadata;

/// <summary>
/// Spare units that failed and are never handed out again, ascending by spare and unit. Few; the array grows
/// and never shrinks.
/// </summary>
public sealed class RetiredUnits
{
    private SpareLocation[] _units = [];

    public int Count { get; private set; }

    public ReadOnlySpan<SpareLocation> All => _units.AsSpan(0, Count);

    /// <summary>A second time changes nothing.</summary>
    public void Add(SpareLocation location)
    {
        Invariant.Check(!location.IsNone);
        int at = FirstNotBefore(location);
        if (at < Count && _units[at] == location)
        {
            return;
        }
        if (Count == _units.Length)
        {
            Array.Resize(ref _units, Math.Max(16, 2 * Count));
        }
        Array.Copy(_units, at, _units, at + 1, Count - at);
        _units[at] = location;
        Count++;
    }

    /// <summary>This spare leaves the set, and what is known of its units with it.</summary>
    public void Forget(int spare)
    {
        int kept = 0;
        for (int i = 0; i < Count; i++)
        {
            _units[kept] = _units[i];
            kept += _units[i].Spare == spare ? 0 : 1;
        }
        Count = kept;
    }

    /// <summary>
    /// The first run of consecutive units behind this location (None: from the first one). False when there
    /// is none.
    /// </summary>
    public bool TryGetRunBehind(SpareLocation behind, out SpareLocation first, out int count)
    {
        int at = 0;
        while (at < Count && !behind.IsNone && Compare(_units[at], behind) <= 0)
        {
            at++;
        }
        first = at < Count ? _units[at] : SpareLocation.None;
        count = 0;
        while (at + count < Count
            && _units[at + count].Spare == first.Spare
            && _units[at + count].Unit.Value == first.Unit.Value + count)
        {
            count++;
        }
        return count > 0;
    }

    private int FirstNotBefore(SpareLocation location)
    {
        int low = 0;
        int end = Count;
        while (low < end)
        {
            int middle = low + ((end - low) / 2);
            if (Compare(_units[middle], location) < 0)
            {
                low = middle + 1;
            }
            else
            {
                end = middle;
            }
        }
        return low;
    }

    private static int Compare(SpareLocation left, SpareLocation right)
    {
        int bySpare = left.Spare.CompareTo(right.Spare);
        return bySpare != 0 ? bySpare : left.Unit.CompareTo(right.Unit);
    }
}
