using System;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Remapping;

namespace DmRemap.Core.Metadata;

/// <summary>Applies records to a table, in order; the last word on a unit counts.</summary>
public static class JournalReplay
{
    /// <summary>
    /// Apply one record. On damage (behind a right checksum: a forger's or a bug's work) it has been applied
    /// in part, and the table must not be used.
    /// </summary>
    /// <param name="cells">64 bytes each.</param>
    /// <param name="set">Whose bounds count.</param>
    /// <param name="table">Changed.</param>
    /// <param name="retired">Added to.</param>
    public static CheckpointDamage Apply(
        ReadOnlySpan<byte> cells, SetDescription set, RemapTable table, RetiredUnits retired)
    {
        CheckpointDamage damage = CheckpointDamage.None;
        while (damage == CheckpointDamage.None && !cells.IsEmpty)
        {
            ReadOnlySpan<byte> cell = cells[..SpareLayout.CellBytes];
            damage = cell[TableCell.KindAt] switch
            {
                TableCell.SetKind => ApplySet(cell, set, table),
                TableCell.RemoveKind => ApplyRemoval(cell, set, table),
                TableCell.RetireKind => ApplyRetirement(cell, set, retired),
                _ => CheckpointDamage.EntryContradictory,
            };
            cells = cells[SpareLayout.CellBytes..];
        }
        return damage;
    }

    private static CheckpointDamage ApplySet(ReadOnlySpan<byte> cell, SetDescription set, RemapTable table)
    {
        CheckpointDamage damage = TableCell.ReadRun(cell, set, out RemapEntry first, out int count);
        if (damage != CheckpointDamage.None || count > Limits.CommitChangesMax)
        {
            return damage == CheckpointDamage.None ? CheckpointDamage.WrongCount : damage;
        }
        for (int i = 0; i < count; i++)
        {
            table.Set(TableCell.At(first, i));
        }
        return CheckpointDamage.None;
    }

    private static CheckpointDamage ApplyRemoval(
        ReadOnlySpan<byte> cell, SetDescription set, RemapTable table)
    {
        CheckpointDamage damage =
            TableCell.ReadRemoval(cell, set, out UnitNumber first, out int count);
        if (damage != CheckpointDamage.None || count > Limits.CommitChangesMax)
        {
            return damage == CheckpointDamage.None ? CheckpointDamage.WrongCount : damage;
        }
        for (int i = 0; i < count; i++)
        {
            table.Remove(new UnitNumber(first.Value + i));
        }
        return CheckpointDamage.None;
    }

    private static CheckpointDamage ApplyRetirement(
        ReadOnlySpan<byte> cell, SetDescription set, RetiredUnits retired)
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
