using System;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Remapping;

namespace DmRemap.Core.Metadata;

/// <summary>Applies records to a table, in order; the last word on a unit counts.</summary>
/// <param name="set">Whose bounds count.</param>
/// <param name="table">Changed.</param>
/// <param name="retired">Added to.</param>
public sealed class JournalReplay(SetDescription set, RemapTable table, RetiredUnits retired)
{
    // Entries of ascending units, not yet in the table: a leaf is built once for all that touch it.
    private readonly RemapEntry[] _batch = new RemapEntry[Limits.CommitChangesMax];
    private int _batched;

    /// <summary>
    /// Apply one record. On damage (behind a right checksum: a forger's or a bug's work) it has been applied
    /// in part, and the table must not be used.
    /// </summary>
    /// <param name="cells">64 bytes each.</param>
    public CheckpointDamage Apply(ReadOnlySpan<byte> cells)
    {
        CheckpointDamage damage = CheckpointDamage.None;
        while (damage == CheckpointDamage.None && !cells.IsEmpty)
        {
            ReadOnlySpan<byte> cell = cells[..SpareLayout.CellBytes];
            damage = cell[TableCell.KindAt] switch
            {
                TableCell.SetKind => ApplySet(cell),
                TableCell.RemoveKind => ApplyRemoval(cell),
                TableCell.RetireKind => ApplyRetirement(cell),
                _ => CheckpointDamage.EntryContradictory,
            };
            cells = cells[SpareLayout.CellBytes..];
        }
        FlushBatch();
        return damage;
    }

    private CheckpointDamage ApplySet(ReadOnlySpan<byte> cell)
    {
        CheckpointDamage damage = TableCell.ReadRun(cell, set, out RemapEntry first, out int count);
        if (damage != CheckpointDamage.None || count > Limits.CommitChangesMax)
        {
            return damage == CheckpointDamage.None ? CheckpointDamage.WrongCount : damage;
        }
        for (int i = 0; i < count; i++)
        {
            Add(first.Following(i));
        }
        return CheckpointDamage.None;
    }

    private void Add(in RemapEntry entry)
    {
        bool isAscending = _batched == 0 || _batch[_batched - 1].Unit < entry.Unit;
        if (!isAscending || _batched == _batch.Length)
        {
            FlushBatch();
        }
        _batch[_batched] = entry;
        _batched++;
    }

    private void FlushBatch()
    {
        table.SetAscending(_batch.AsSpan(0, _batched));
        _batched = 0;
    }

    private CheckpointDamage ApplyRemoval(ReadOnlySpan<byte> cell)
    {
        CheckpointDamage damage =
            TableCell.ReadRemoval(cell, set, out UnitNumber first, out int count);
        if (damage != CheckpointDamage.None || count > Limits.CommitChangesMax)
        {
            return damage == CheckpointDamage.None ? CheckpointDamage.WrongCount : damage;
        }
        FlushBatch();
        for (int i = 0; i < count; i++)
        {
            table.Remove(new UnitNumber(first.Value + i));
        }
        return CheckpointDamage.None;
    }

    private CheckpointDamage ApplyRetirement(ReadOnlySpan<byte> cell)
    {
        CheckpointDamage damage = TableCell.ReadRetired(cell, set, out SpareLocation first, out int count);
        if (damage != CheckpointDamage.None || count > Limits.CommitChangesMax)
        {
            return damage == CheckpointDamage.None ? CheckpointDamage.WrongCount : damage;
        }
        for (int i = 0; i < count; i++)
        {
            retired.Add(new SpareLocation(first.Spare, new UnitNumber(first.Unit.Value + i)));
        }
        return CheckpointDamage.None;
    }
}
