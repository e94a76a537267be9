using System;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Remapping;

namespace DmRemap.Core.Metadata;

/// <summary>
/// Checks, before a table goes to disk, that no spare unit touched by a batch is used by two entries or both
/// used and retired: recovery would refuse such a table. Broken, it is our own error, and the process ends
/// before it is written.
/// </summary>
public sealed class SpareUnitClaims
{
    private long[] _keys = new long[64];
    private int[] _uses = new int[64];
    private int _count;

    /// <summary>O(table x log batch).</summary>
    public void Check(TableImage image, ChangeBatch batch)
    {
        Collect(batch);
        if (_count == 0)
        {
            return;
        }
        foreach (ref readonly RemapEntry entry in image.Entries)
        {
            int index = entry.Location.IsNone ? -1 : IndexOf(entry.Location);
            if (index >= 0)
            {
                _uses[index]++;
                Invariant.Check(_uses[index] == 1);
            }
        }
        foreach (SpareLocation retired in image.Retired)
        {
            int index = IndexOf(retired);
            Invariant.Check(index < 0 || _uses[index] == 0);
        }
    }

    private static long KeyOf(SpareLocation location) => ((long)location.Spare << 56) | location.Unit.Value;

    private void Collect(ChangeBatch batch)
    {
        if (batch.Count > _keys.Length)
        {
            Array.Resize(ref _keys, Math.Max(batch.Count, 2 * _keys.Length));
            Array.Resize(ref _uses, _keys.Length);
        }
        int collected = 0;
        for (int i = 0; i < batch.Count; i++)
        {
            ref readonly TableChange change = ref batch[i];
            if (change.Kind != TableChangeKind.Remove && !change.Entry.Location.IsNone)
            {
                _keys[collected] = KeyOf(change.Entry.Location);
                collected++;
            }
        }
        Array.Sort(_keys, 0, collected);
        _count = 0;
        for (int i = 0; i < collected; i++)
        {
            if (_count == 0 || _keys[_count - 1] != _keys[i])
            {
                _keys[_count] = _keys[i];
                _uses[_count] = 0;
                _count++;
            }
        }
    }

    private int IndexOf(SpareLocation location) => Array.BinarySearch(_keys, 0, _count, KeyOf(location));
}
