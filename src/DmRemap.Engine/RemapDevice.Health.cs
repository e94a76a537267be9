using System;
using System.Numerics;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using DmRemap.Core.Remapping;

namespace DmRemap.Engine;

/// <summary>The health of blocks as the table and the suspects know it; no disk is asked.</summary>
public sealed partial class RemapDevice : IBlockHealthSource
{
    /// <summary>Looks at the table in one call: well under a millisecond of the loop's time.</summary>
    private const int HealthStepsMax = 1024;

    private readonly long[] _suspectUnits = new long[SuspectList.CapacityDefault];

    public int ListHealth(Extent blocks, Span<HealthRun> into)
    {
        Invariant.Check(!blocks.IsEmpty);
        Invariant.Check(!into.IsEmpty);
        UnitNumber last = Units.UnitOf(new BlockNumber(blocks.End.Value - 1));
        ReadOnlySpan<long> suspects =
            _suspectUnits.AsSpan(0, Suspects.CopyUnits(Units.UnitOf(blocks.Start), last, _suspectUnits));
        HealthCursor cursor = new(this, suspects, blocks);
        int runs = 0;
        for (int step = 0; step < HealthStepsMax && cursor.TryNext(out HealthRun run); step++)
        {
            if (runs > 0 && into[runs - 1].Health == run.Health)
            {
                into[runs - 1] = run with { Count = into[runs - 1].Count + run.Count };
                continue;
            }
            if (runs == into.Length)
            {
                break;
            }
            into[runs] = run;
            runs++;
        }
        return runs;
    }

    private ref struct HealthCursor(RemapDevice device, ReadOnlySpan<long> suspects, Extent blocks)
    {
        private ReadOnlySpan<long> _suspects = suspects;
        private BlockNumber _position = blocks.Start;
        private RemapEntry _entry;
        private int _entryUnits;
        private bool _isLooked;

        public bool TryNext(out HealthRun run)
        {
            run = default;
            if (_position == blocks.End)
            {
                return false;
            }
            long unit = device.Units.UnitOf(_position).Value;
            LookAhead(unit);
            long entryAt = _entryUnits > 0 ? _entry.Unit.Value : long.MaxValue;
            long suspectAt = _suspects.IsEmpty ? long.MaxValue : _suspects[0];
            if (unit < entryAt && unit < suspectAt)
            {
                run = Take(BlockHealth.Healthy, Math.Min(entryAt, suspectAt) - unit);
            }
            else if (unit != suspectAt && _entryUnits > 1)
            {
                // A run of several units has its blocks all in one state.
                long units = Math.Min(entryAt + _entryUnits, suspectAt) - unit;
                run = Take(HealthOf(_entry.Blocks[0]), units);
            }
            else
            {
                run = TakeInUnit(new UnitNumber(unit), entryAt <= unit, unit == suspectAt);
            }
            return true;
        }

        /// <summary>The run of entries and the suspect that this unit has, or the next ones.</summary>
        private void LookAhead(long unit)
        {
            while (!_suspects.IsEmpty && _suspects[0] < unit)
            {
                _suspects = _suspects[1..];
            }
            if (!_isLooked || (_entryUnits > 0 && _entry.Unit.Value + _entryUnits <= unit))
            {
                _isLooked = true;
                device.Table.TryGetNextRun(new UnitNumber(unit), out _entry, out _entryUnits);
            }
        }

        /// <summary>Up to the end of so many units, or of what was asked.</summary>
        private HealthRun Take(BlockHealth health, long units)
        {
            long unit = device.Units.UnitOf(_position).Value;
            // Units may be as good as endless: no sum.
            long last = units < device.Units.Units - unit ? unit + units - 1 : device.Units.Units - 1;
            return TakeTo(health, device.Units.ExtentOf(new UnitNumber(last)).End);
        }

        private HealthRun TakeTo(BlockHealth health, BlockNumber to)
        {
            BlockNumber end = to < blocks.End ? to : blocks.End;
            HealthRun run = new(health, end - _position);
            _position = end;
            return run;
        }

        /// <summary>Blocks of one unit that are alike, from the position on.</summary>
        private HealthRun TakeInUnit(UnitNumber unit, bool hasEntry, bool isSuspect)
        {
            BlockStates states = hasEntry ? _entry.Blocks : default;
            ulong bad = 0;
            if (isSuspect && device.Suspects.TryGet(unit, out Suspect suspect))
            {
                bad = suspect.BadBlocks;
            }
            ulong lost = states.MaskOf(BlockState.Lost);
            ulong moved = states.MaskOf(BlockState.OnSpare) | states.MaskOf(BlockState.Zero);
            int index = device.Units.IndexInUnit(_position);
            ulong here = 1UL << index;
            BlockHealth health = (lost & here) != 0 ? BlockHealth.Lost
                : (bad & here) != 0 ? BlockHealth.Suspect
                : (moved & here) != 0 ? BlockHealth.Remapped
                : BlockHealth.Healthy;
            ulong alike = health switch
            {
                BlockHealth.Lost => lost,
                BlockHealth.Suspect => bad & ~lost,
                BlockHealth.Remapped => moved & ~bad,
                _ => ~(lost | bad | moved),
            };
            int count = BitOperations.TrailingZeroCount(~(alike >> index));
            long rest = (device.Units.ExtentOf(unit).End - _position).Value;
            return TakeTo(health, _position + new BlockCount(Math.Min(count, rest)));
        }

        private static BlockHealth HealthOf(BlockState state) => state switch
        {
            BlockState.OnPrimary => BlockHealth.Healthy,
            BlockState.Lost => BlockHealth.Lost,
            _ => BlockHealth.Remapped,
        };
    }
}
