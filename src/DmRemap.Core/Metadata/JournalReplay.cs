using System;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Remapping;

namespace DmRemap.Core.Metadata;

/// <summary>Applies records to a table, in order; the last word on a unit counts.</summary>
/// <param name="set">Whose bounds count.</param>
/// <param name="table">Changed.</param>
/// <param name="retired">Added to.</param>
/// <param name="cellsMax">The longest table that any member here has room for.</param>
public sealed class JournalReplay(
    SetDescription set, RemapTable table, RetiredUnits retired, long cellsMax)
{
    /// <summary>
    /// While records are replayed, the table is a mix of two that have been: what the checkpoint shows early,
    /// and what the records say so far. Each had its room.
    /// </summary>
    private const int TablesMixed = 2;

    /// <summary>A cell cuts a run of either at both its ends at most.</summary>
    private const int RunsCutByCell = 4;

    // Entries of ascending units, not yet in the table: a leaf is built once for all that touch it.
    private readonly RemapEntry[] _batch = new RemapEntry[Limits.CommitChangesMax];
    private int _batched;
    private long _cells;

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
            _cells++;
            damage = damage == CheckpointDamage.None ? RoomDamage() : damage;
            cells = cells[SpareLayout.CellBytes..];
        }
        FlushBatch();
        return damage == CheckpointDamage.None ? RoomDamage() : damage;
    }

    /// <summary>
    /// One cell may stand for many runs: units with the same blocks elsewhere are written together, and each
    /// is a run of its own in memory. So what a ring asks for is bounded by what the spares can hold, not by
    /// its length. Looked at after each cell, which is too late by one cell at most.
    /// </summary>
    private CheckpointDamage RoomDamage()
    {
        bool isTooMuch = table.Count > TablesMixed * SpareLayout.TableEntriesMax
            || table.RunCount > (TablesMixed * cellsMax) + (RunsCutByCell * _cells)
            || retired.Count > TablesMixed * cellsMax;
        return isTooMuch ? CheckpointDamage.WrongCount : CheckpointDamage.None;
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
