using System.Collections.Generic;
using System.Globalization;
using System.Numerics;
using DmRemap.Control.Contracts;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Remapping;
using DmRemap.Engine;
using DmRemap.Linux.Native;

namespace DmRemap.Cli.Composition;

/// <summary>A page of what is lost, out of the table. On the loop's thread; no disk is asked.</summary>
internal static class LossReport
{
    /// <summary>Runs of the table looked at for one page: a few milliseconds of the loop's time.</summary>
    private const int RunsMax = 16_384;

    public static LostPage Make(RemapDevice device, BlockNumber from)
    {
        List<LostRun> runs = [];
        UnitGeometry units = device.Units;
        UnitNumber unit = units.UnitOf(from);
        long? next = null;
        for (int i = 0; device.Table.TryGetNextRun(unit, out RemapEntry first, out int count); i++)
        {
            if (i == RunsMax || runs.Count >= LostPage.ExtentsMax - Limits.UnitBlocksMax)
            {
                next = units.ExtentOf(first.Unit).Start.Value;
                break;
            }
            AddRun(runs, units, first, count);
            unit = new UnitNumber(first.Unit.Value + count);
            if (unit.Value >= units.Units)
            {
                break;
            }
        }
        return new LostPage
        {
            BlockSize = units.BlockSize.Bytes,
            LostBlocks = device.Tally.LostBlocks,
            Extents = runs,
            Next = next,
        };
    }

    /// <summary>A run of several units has its blocks all in one state.</summary>
    private static void AddRun(List<LostRun> runs, UnitGeometry units, in RemapEntry first, int count)
    {
        ulong lost = first.Blocks.MaskOf(BlockState.Lost) & units.FullMask(first.Unit);
        if (count > 1)
        {
            if (lost != 0)
            {
                Extent last = units.ExtentOf(new UnitNumber(first.Unit.Value + count - 1));
                Add(runs, first, Extent.FromBounds(units.ExtentOf(first.Unit).Start, last.End));
            }
            return;
        }
        Extent unit = units.ExtentOf(first.Unit);
        int shift = units.IndexInUnit(unit.Start);
        while (lost != 0)
        {
            int index = BitOperations.TrailingZeroCount(lost);
            int length = BitOperations.TrailingZeroCount(~(lost >> index));
            lost &= ~BlockStates.Mask(index, length);
            Add(runs, first, new Extent(unit.Start + new BlockCount(index - shift), new BlockCount(length)));
        }
    }

    private static void Add(List<LostRun> runs, in RemapEntry entry, Extent blocks)
    {
        LostRun run = new()
        {
            FirstBlock = blocks.Start.Value,
            Blocks = blocks.Count.Value,
            Reason = entry.State switch
            {
                UnitState.LostUnreadable => LossReasons.Unreadable,
                UnitState.LostDeclared => LossReasons.Declared,
                _ => LossReasons.OnSpare,
            },
            Day = entry.LastErrorDay == 0
                ? null
                : System.DateOnly.FromDayNumber(s_epoch + entry.LastErrorDay)
                    .ToString("yyyy-MM-dd", CultureInfo.InvariantCulture),
            Error = entry.LastErrno == 0 ? null : Errno.Name(entry.LastErrno),
        };
        LostRun? before = runs.Count > 0 ? runs[^1] : null;
        bool joins = before is not null && before.FirstBlock + before.Blocks == run.FirstBlock
            && before.Reason == run.Reason && before.Day == run.Day && before.Error == run.Error;
        if (joins)
        {
            runs[^1] = before! with { Blocks = before.Blocks + run.Blocks };
        }
        else
        {
            runs.Add(run);
        }
    }

    private static readonly int s_epoch = new System.DateOnly(1970, 1, 1).DayNumber;
}
