using System;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Remapping;

namespace DmRemap.Core.Metadata;

/// <summary>
/// A whole table as it is, or will be, on disk: entries ascending by unit, retired spare units ascending by
/// spare and unit, in arrays that grow and never shrink.
/// </summary>
public sealed class TableImage
{
    private RemapEntry[] _entries = [];
    private SpareLocation[] _retired = [];

    public int Count { get; private set; }

    public int RetiredCount { get; private set; }

    public ReadOnlySpan<RemapEntry> Entries => _entries.AsSpan(0, Count);

    public ReadOnlySpan<SpareLocation> Retired => _retired.AsSpan(0, RetiredCount);

    public void Clear()
    {
        Count = 0;
        RetiredCount = 0;
    }

    /// <summary>Room for this many, so that appending them allocates nothing.</summary>
    public void Reserve(int entries, int retired)
    {
        if (entries > _entries.Length)
        {
            Array.Resize(ref _entries, Math.Max(entries, 2 * _entries.Length));
        }
        if (retired > _retired.Length)
        {
            Array.Resize(ref _retired, Math.Max(retired, 2 * _retired.Length));
        }
    }

    public void Append(in RemapEntry entry)
    {
        Invariant.Check(Count == 0 || _entries[Count - 1].Unit < entry.Unit);
        Reserve(Count + 1, 0);
        _entries[Count] = entry;
        Count++;
    }

    public void AppendRetired(SpareLocation location)
    {
        Invariant.Check(!location.IsNone);
        Invariant.Check(RetiredCount == 0 || Compare(_retired[RetiredCount - 1], location) < 0);
        Reserve(0, RetiredCount + 1);
        _retired[RetiredCount] = location;
        RetiredCount++;
    }

    /// <summary>Become `older` with the batch applied. O(older + batch), no allocation but growth.</summary>
    /// <param name="older">Another image; it stays as it is.</param>
    /// <param name="batch">Changes; this sorts them.</param>
    public void BecomeMerge(TableImage older, ChangeBatch batch)
    {
        Invariant.Check(older != this);
        batch.Sort();
        Clear();
        Reserve(older.Count + batch.UnitChanges, older.RetiredCount + batch.Count);
        MergeEntries(older.Entries, batch);
        older.Retired.CopyTo(_retired);
        RetiredCount = older.RetiredCount;
        for (int i = 0; i < batch.Count; i++)
        {
            ref readonly TableChange change = ref batch[i];
            if (change.Kind == TableChangeKind.RetireSpareUnit)
            {
                InsertRetired(change.Entry.Location);
            }
        }
    }

    private static int Compare(SpareLocation left, SpareLocation right)
    {
        int bySpare = left.Spare.CompareTo(right.Spare);
        return bySpare != 0 ? bySpare : left.Unit.CompareTo(right.Unit);
    }

    private void MergeEntries(ReadOnlySpan<RemapEntry> older, ChangeBatch batch)
    {
        int next = 0;
        for (int i = 0; i < batch.UnitChanges; i++)
        {
            ref readonly TableChange change = ref batch.UnitChange(i);
            int before = next;
            while (next < older.Length && older[next].Unit < change.Entry.Unit)
            {
                next++;
            }
            CopyUnchanged(older[before..next]);
            if (next < older.Length && older[next].Unit == change.Entry.Unit)
            {
                next++;
            }
            if (change.Kind == TableChangeKind.Set)
            {
                Append(change.Entry);
            }
        }
        CopyUnchanged(older[next..]);
    }

    private void CopyUnchanged(ReadOnlySpan<RemapEntry> entries)
    {
        entries.CopyTo(_entries.AsSpan(Count));
        Count += entries.Length;
    }

    /// <summary>Rare, and few: a spare unit that failed.</summary>
    private void InsertRetired(SpareLocation location)
    {
        Invariant.Check(!location.IsNone);
        int at = RetiredCount;
        while (at > 0 && Compare(_retired[at - 1], location) > 0)
        {
            at--;
        }
        if (at > 0 && _retired[at - 1] == location)
        {
            return;
        }
        Reserve(0, RetiredCount + 1);
        Array.Copy(_retired, at, _retired, at + 1, RetiredCount - at);
        _retired[at] = location;
        RetiredCount++;
    }
}
