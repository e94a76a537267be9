using System;
using System.Collections.Generic;
using System.Linq;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;

namespace DmRemap.Tests.Metadata;

/// <summary>The naive model: a sorted map of entries and a sorted set of retired spare units.</summary>
internal sealed class ModelTable
{
    private readonly SortedDictionary<long, RemapEntry> _entries;
    private readonly SortedSet<(int Spare, long Unit)> _retired;

    public ModelTable()
        : this([], [])
    {
    }

    private ModelTable(SortedDictionary<long, RemapEntry> entries, SortedSet<(int Spare, long Unit)> retired)
    {
        _entries = entries;
        _retired = retired;
    }

    public RemapEntry[] Entries => [.. _entries.Values];

    public SpareLocation[] Retired =>
        [.. _retired.Select(one => new SpareLocation(one.Spare, new UnitNumber(one.Unit)))];

    public ModelTable With(IEnumerable<TableChange> changes)
    {
        ModelTable table = new(
            new SortedDictionary<long, RemapEntry>(_entries),
            new SortedSet<(int Spare, long Unit)>(_retired));
        foreach (TableChange change in changes)
        {
            table.Apply(change);
        }
        return table;
    }

    public bool Equals(RemapEntry[] entries, SpareLocation[] retired) =>
        Entries.AsSpan().SequenceEqual(entries) && Retired.AsSpan().SequenceEqual(retired);

    private void Apply(TableChange change)
    {
        switch (change.Kind)
        {
            case TableChangeKind.Set:
                _entries[change.Entry.Unit.Value] = change.Entry;
                break;
            case TableChangeKind.Remove:
                _entries.Remove(change.Entry.Unit.Value);
                break;
            default:
                _retired.Add((change.Entry.Location.Spare, change.Entry.Location.Unit.Value));
                break;
        }
    }
}

/// <summary>Random changes that a correct engine could make: no spare unit is ever used twice.</summary>
internal sealed class ChangeSource(Random random, UnitGeometry geometry, int spares, long dataUnits)
{
    private readonly long[] _nextSpareUnit = new long[spares];

    public TableChange[] Next(int count)
    {
        TableChange[] changes = new TableChange[count];
        for (int i = 0; i < count; i++)
        {
            changes[i] = Next();
        }
        return changes;
    }

    public TableChange Next()
    {
        int kind = random.Next(10);
        UnitNumber unit = new(random.NextInt64(Math.Min(geometry.Units, 40)));
        ulong mask = BlockStates.Mask(0, geometry.BlocksPerUnit);
        if (kind == 0)
        {
            return new TableChange(TableChangeKind.Remove, Lost(unit, UnitState.LostUnreadable, default));
        }
        if (kind == 1)
        {
            RemapEntry none = Lost(unit, UnitState.LostUnreadable, default);
            return new TableChange(
                TableChangeKind.RetireSpareUnit, none with { Location = TakeSpareUnit() });
        }
        BlockStates blocks = BlockStates.AllOnPrimary.With((ulong)random.NextInt64() & mask, BlockState.Lost);
        if (kind <= 4)
        {
            UnitState state = kind == 2 ? UnitState.LostDeclared : UnitState.LostUnreadable;
            return new TableChange(TableChangeKind.Set, Lost(unit, state, blocks));
        }
        return new TableChange(TableChangeKind.Set, new RemapEntry
        {
            Unit = unit,
            State = kind == 5 ? UnitState.Probation : UnitState.Remapped,
            Location = TakeSpareUnit(),
            Blocks = blocks.With((ulong)random.NextInt64() & mask, BlockState.OnSpare),
            LastErrno = (ushort)random.Next(200),
            LastErrorDay = (ushort)random.Next(65536),
            Trials = HealTrials.FromPacked(random.Next(HealTrials.PackedMax + 1)),
        });
    }

    private static RemapEntry Lost(UnitNumber unit, UnitState state, BlockStates blocks) => new()
    {
        Unit = unit,
        State = state,
        Blocks = blocks,
    };

    private SpareLocation TakeSpareUnit()
    {
        int spare = random.Next(_nextSpareUnit.Length);
        long unit = _nextSpareUnit[spare];
        _nextSpareUnit[spare] = (unit + 1) % dataUnits;
        return new SpareLocation(spare, new UnitNumber(unit));
    }
}
