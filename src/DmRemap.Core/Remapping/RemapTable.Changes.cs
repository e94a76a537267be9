using System;
using System.Threading;
using DmRemap.Core.Abstractions;

namespace DmRemap.Core.Remapping;

public sealed partial class RemapTable
{
    /// <summary>
    /// Publish an entry, in place of the unit's old one if it has one. States of places that the unit lacks
    /// (a short first or last unit) are not kept: they come back as OnPrimary.
    /// </summary>
    public void Set(in RemapEntry entry) => SetAscending(new ReadOnlySpan<RemapEntry>(in entry));

    /// <summary>
    /// Publish many entries, strictly ascending by unit, each touched leaf once: for loading and for large
    /// changes, where <see cref="Set"/> would copy a leaf for each.
    /// </summary>
    public void SetAscending(ReadOnlySpan<RemapEntry> entries)
    {
        int start = 0;
        while (start < entries.Length)
        {
            int leaf = LeafOf(entries[start].Unit);
            int end = start;
            while (end < entries.Length && LeafOf(entries[end].Unit) == leaf)
            {
                entries[end].Check();
                Invariant.Check(end == start || entries[end - 1].Unit < entries[end].Unit);
                end++;
            }
            SetInLeaf(leaf, entries[start..end]);
            start = end;
        }
    }

    /// <summary>Withdraw a unit's entry. False when it has none.</summary>
    public bool Remove(UnitNumber unit)
    {
        int leaf = LeafOf(unit);
        int local = LocalOf(unit);
        if (!TryFind(leaf, local, local, out RemapRun run))
        {
            return false;
        }
        ReadOnlySpan<ulong> old = WordsOf(leaf);
        int index = _layout.IndexOfFirstEndingAfter(old, local);
        int oldRuns = _layout.RunCount(old);
        _builder.Begin(oldRuns + 1);
        _builder.AppendRuns(old, 0, index);
        if (run.First < local)
        {
            _builder.Append(run.Part(run.First, local));
        }
        if (local + 1 < run.End)
        {
            _builder.Append(run.Part(local + 1, run.End));
        }
        _builder.AppendRuns(old, index + 1, oldRuns - index - 1);
        Count--;
        Publish(leaf, oldRuns);
        return true;
    }

    private void SetInLeaf(int leaf, ReadOnlySpan<RemapEntry> entries)
    {
        ReadOnlySpan<ulong> old = WordsOf(leaf);
        int oldRuns = old.IsEmpty ? 0 : _layout.RunCount(old);
        _builder.Begin(Math.Min(LeafLayout.Units, oldRuns + (2 * entries.Length)));
        int next = 0;
        RemapRun cut = default;
        foreach (ref readonly RemapEntry entry in entries)
        {
            int local = LocalOf(entry.Unit);
            next = AppendBefore(old, next, local, ref cut);
            bool replaces = cut.Count > 0;
            if (replaces)
            {
                cut = cut.Count == 1 ? default : cut.Part(local + 1, cut.End);
            }
            else
            {
                Count++;
            }
            _builder.Append(RunOf(entry, local));
        }
        if (cut.Count > 0)
        {
            _builder.Append(cut);
        }
        _builder.AppendRuns(old, next, oldRuns - next);
        Publish(leaf, oldRuns);
    }

    /// <summary>
    /// Append what lies before the unit: the rest of the run that was cut last, then old runs from <paramref
    /// name="next"/> on. Afterwards <paramref name="cut"/> is the part of the old leaf that begins with the
    /// unit, or empty. Returns the first old run not yet dealt with.
    /// </summary>
    private int AppendBefore(ReadOnlySpan<ulong> old, int next, int local, ref RemapRun cut)
    {
        if (cut.Count > 0 && cut.End <= local)
        {
            _builder.Append(cut);
            cut = default;
        }
        if (cut.Count == 0 && !old.IsEmpty)
        {
            int index = _layout.IndexOfFirstEndingAfter(old, local);
            _builder.AppendRuns(old, next, index - next);
            next = index;
            if (index < _layout.RunCount(old) && LeafLayout.FirstOf(_layout.WordsOf(old, index)[0]) <= local)
            {
                cut = _layout.Read(_layout.WordsOf(old, index));
                next = index + 1;
            }
        }
        if (cut.Count > 0 && cut.First < local)
        {
            _builder.Append(cut.Part(cut.First, local));
            cut = cut.Part(local, cut.End);
        }
        return next;
    }

    private RemapRun RunOf(in RemapEntry entry, int local) => new(
        local,
        1,
        entry.State,
        entry.Location,
        entry.Second,
        entry.LastErrno,
        entry.LastErrorDay,
        entry.Trials,
        _layout.ToStored(entry.Blocks, Geometry.FullMask(entry.Unit)));

    private ReadOnlySpan<ulong> WordsOf(int leaf) =>
        _leaves[leaf] == 0 ? default : _slabs.At(GranuleOf(_leaves[leaf]));

    private void Publish(int leaf, int oldRuns)
    {
        ReadOnlySpan<ulong> words = _builder.Finish(out int runs);
        long old = _leaves[leaf];
        long pointer = 0;
        if (runs > 0)
        {
            int granule = _slabs.Allocate(words.Length);
            words.CopyTo(_slabs.WritableAt(granule));
            _publications = unchecked(_publications + 1);
            pointer = unchecked((long)(((ulong)_publications << 32) | (uint)(granule + 1)));
        }
        Volatile.Write(ref _leaves[leaf], pointer);
        // Whatever is written to the old leaf's memory from here on is seen by a reader only together with
        // the new pointer; that reader then starts again.
        Volatile.WriteBarrier();
        if (old != 0)
        {
            int granule = GranuleOf(old);
            _slabs.Free(granule, _layout.WordsIn(_slabs.At(granule)));
        }
        RunCount += runs - oldRuns;
    }
}
