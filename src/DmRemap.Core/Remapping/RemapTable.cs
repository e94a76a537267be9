using System;
using System.Numerics;
using System.Runtime.CompilerServices;
using System.Threading;
using DmRemap.Core.Abstractions;

namespace DmRemap.Core.Remapping;

/// <summary>
/// Which units are not simply on the primary. One pointer per 32,768 units, 0 where none has an entry; behind
/// it an immutable leaf of sorted runs (<see cref="LeafLayout"/>). A change builds a new leaf and publishes
/// it with one volatile write.
/// <para>
/// One thread changes the table. Others may look things up at any time: a leaf's memory may be used again
/// while they read it, so every lookup reads the pointer a second time, and starts again when it has changed.
/// A pointer carries a count of publications in its upper half, so the same pointer means the same leaf,
/// unchanged in between. Each lookup is consistent for one leaf; two lookups may see different tables.
/// </para>
/// </summary>
public sealed partial class RemapTable
{
    private readonly long[] _leaves;
    private readonly LeafSlabs _slabs = new();
    private readonly LeafLayout _layout;
    private readonly LeafBuilder _builder;
    private readonly int _blocksLog2;
    private uint _publications;

    public RemapTable(UnitGeometry geometry)
    {
        Geometry = geometry;
        _layout = new LeafLayout(geometry.BlocksPerUnit);
        _builder = new LeafBuilder(_layout);
        _blocksLog2 = BitOperations.Log2((uint)geometry.BlocksPerUnit);
        _leaves = new long[((geometry.Units - 1) >> LeafLayout.UnitsLog2) + 1];
    }

    public UnitGeometry Geometry { get; }

    /// <summary>Units that have an entry.</summary>
    public long Count { get; private set; }

    /// <summary>Runs that hold them: what the table costs in memory, and in a checkpoint.</summary>
    public long RunCount { get; private set; }

    /// <summary>Memory held, in bytes; it never shrinks.</summary>
    public long MemoryBytes => ((long)_leaves.Length * sizeof(long)) + _slabs.Bytes;

    /// <summary>The part of that memory which leaves occupy now, in bytes.</summary>
    public long LeafBytes => _slabs.UsedGranules * LeafSlabs.GranuleWords * sizeof(ulong);

    /// <summary>
    /// True when no unit that the extent touches has an entry. An empty extent touches none.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool IsEntirelyPrimary(Extent blocks)
    {
        if (blocks.IsEmpty)
        {
            return true;
        }
        Invariant.Check(blocks.End.Value <= Geometry.Blocks.Value);
        long first = (blocks.Start.Value + Geometry.Shift) >> _blocksLog2;
        long last = (blocks.End.Value - 1 + Geometry.Shift) >> _blocksLog2;
        int firstLeaf = (int)(first >> LeafLayout.UnitsLog2);
        int lastLeaf = (int)(last >> LeafLayout.UnitsLog2);
        return (firstLeaf == lastLeaf && Volatile.Read(ref _leaves[firstLeaf]) == 0) || HasNone(first, last);
    }

    public bool TryGet(UnitNumber unit, out RemapEntry entry)
    {
        int leaf = LeafOf(unit);
        int local = LocalOf(unit);
        if (TryFind(leaf, local, local, out RemapRun run))
        {
            entry = EntryOf(run, local, unit);
            return true;
        }
        entry = default;
        return false;
    }

    /// <summary>The first entry at or after this unit. A unit behind the last one has none.</summary>
    public bool TryGetNext(UnitNumber from, out RemapEntry entry) =>
        TryGetNext(from, new UnitNumber(Geometry.Units), out entry);

    /// <summary>The first entry in [from, end).</summary>
    public bool TryGetNext(UnitNumber from, UnitNumber end, out RemapEntry entry)
    {
        Invariant.Check(from.Value >= 0);
        Invariant.Check(end.Value <= Geometry.Units);
        long unit = from.Value;
        while (unit < end.Value)
        {
            int leaf = LeafOf(new UnitNumber(unit));
            int local = LocalOf(new UnitNumber(unit));
            long leafStart = unit - local;
            int last = (int)Math.Min(LeafLayout.Units, end.Value - leafStart) - 1;
            if (TryFind(leaf, local, last, out RemapRun run))
            {
                int found = Math.Max(local, run.First);
                entry = EntryOf(run, found, new UnitNumber(leafStart + found));
                return true;
            }
            unit = leafStart + LeafLayout.Units;
        }
        entry = default;
        return false;
    }

    /// <summary>
    /// The first entry at or after this unit, and how many units from it on share all its values on
    /// consecutive spare units. A longer run may be given in parts.
    /// </summary>
    public bool TryGetNextRun(UnitNumber from, out RemapEntry first, out int count)
    {
        for (long unit = from.Value; unit < Geometry.Units; unit = (unit | (LeafLayout.Units - 1)) + 1)
        {
            int local = LocalOf(new UnitNumber(unit));
            if (TryFind(LeafOf(new UnitNumber(unit)), local, LeafLayout.Units - 1, out RemapRun run))
            {
                int found = Math.Max(local, run.First);
                first = FirstOfRun(run, found, unit - local + found, out count);
                return true;
            }
        }
        first = default;
        count = 0;
        return false;
    }

    private static int LocalOf(UnitNumber unit) => (int)(unit.Value & (LeafLayout.Units - 1));

    private static int GranuleOf(long pointer) => (int)(uint.MaxValue & (ulong)pointer) - 1;

    private int LeafOf(UnitNumber unit)
    {
        Invariant.Check(unit.Value >= 0);
        Invariant.Check(unit.Value < Geometry.Units);
        return (int)(unit.Value >> LeafLayout.UnitsLog2);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private bool HasNone(long first, long last)
    {
        long unit = first;
        while (unit <= last)
        {
            int local = LocalOf(new UnitNumber(unit));
            long leafStart = unit - local;
            int lastLocal = (int)Math.Min(LeafLayout.Units - 1, last - leafStart);
            if (TryFind((int)(unit >> LeafLayout.UnitsLog2), local, lastLocal, out _))
            {
                return false;
            }
            unit = leafStart + LeafLayout.Units;
        }
        return true;
    }

    /// <summary>The first run of the leaf that has a unit in [first, last].</summary>
    private bool TryFind(int leaf, int first, int last, out RemapRun run)
    {
        Span<ulong> copy = stackalloc ulong[LeafLayout.RunWordsMax];
        while (true)
        {
            long pointer = Volatile.Read(ref _leaves[leaf]);
            if (pointer == 0)
            {
                run = default;
                return false;
            }
            ReadOnlySpan<ulong> words = _slabs.At(GranuleOf(pointer));
            bool found = LeafLayout.MayHave(words, first, last) && TryCopy(words, first, last, copy);
            // The reads above come before this one: an unchanged pointer then means that they saw one whole
            // leaf.
            Volatile.ReadBarrier();
            if (Volatile.Read(ref _leaves[leaf]) == pointer)
            {
                run = found ? _layout.Read(copy) : default;
                return found;
            }
        }
    }

    private bool TryCopy(ReadOnlySpan<ulong> leaf, int first, int last, Span<ulong> copy)
    {
        int index = _layout.IndexOfFirstEndingAfter(leaf, first);
        if (index == _layout.RunCount(leaf))
        {
            return false;
        }
        _layout.WordsOf(leaf, index).CopyTo(copy);
        return LeafLayout.FirstOf(copy[0]) <= last;
    }

    private RemapEntry EntryOf(in RemapRun run, int local, UnitNumber unit) => new()
    {
        Unit = unit,
        State = run.State,
        Location = run.Location.Following(local - run.First),
        Second = run.Second.Following(local - run.First),
        Blocks = LeafLayout.FromStored(run.Blocks, Geometry.FullMask(unit)),
        LastErrno = run.Errno,
        LastErrorDay = run.Day,
        Trials = run.Trials,
    };
}
