using System;
using DmRemap.Core.Abstractions;

namespace DmRemap.Core.Metadata;

/// <summary>
/// The changes of all commits that become durable together, in the order of their arrival. Grows to the
/// largest batch, then allocates nothing.
/// </summary>
public sealed class ChangeBatch
{
    private TableChange[] _changes = new TableChange[64];
    private long[] _units = new long[64];
    private int[] _order = new int[64];
    private int _sorted;

    /// <summary>Changes of all kinds, before sorting.</summary>
    public int Count { get; private set; }

    /// <summary>After <see cref="Sort"/>: units that change, each once.</summary>
    public int UnitChanges => _sorted;

    public void Clear()
    {
        Count = 0;
        _sorted = 0;
    }

    public void Add(ReadOnlySpan<TableChange> changes)
    {
        int needed = Count + changes.Length;
        if (needed > _changes.Length)
        {
            int capacity = Math.Max(needed, 2 * _changes.Length);
            Array.Resize(ref _changes, capacity);
            Array.Resize(ref _units, capacity);
            Array.Resize(ref _order, capacity);
        }
        changes.CopyTo(_changes.AsSpan(Count));
        Count = needed;
    }

    /// <summary>In order of arrival.</summary>
    public ref readonly TableChange this[int index] => ref _changes[index];

    /// <summary>The last change of each unit, ascending by unit: see <see cref="UnitChange"/>.</summary>
    public void Sort()
    {
        int unitChanges = 0;
        for (int i = 0; i < Count; i++)
        {
            if (_changes[i].Kind != TableChangeKind.RetireSpareUnit)
            {
                _units[unitChanges] = _changes[i].Entry.Unit.Value;
                _order[unitChanges] = i;
                unitChanges++;
            }
        }
        Array.Sort(_units, _order, 0, unitChanges);
        _sorted = 0;
        for (int i = 0; i < unitChanges; i++)
        {
            bool isSameUnit = _sorted > 0 && _units[_sorted - 1] == _units[i];
            if (isSameUnit)
            {
                // The sort is not stable: of several changes of one unit the one that arrived last counts.
                _order[_sorted - 1] = Math.Max(_order[_sorted - 1], _order[i]);
            }
            else
            {
                _units[_sorted] = _units[i];
                _order[_sorted] = _order[i];
                _sorted++;
            }
        }
    }

    public ref readonly TableChange UnitChange(int index)
    {
        Invariant.Check(index < _sorted);
        return ref _changes[_order[index]];
    }
}
