using System;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Remapping;

namespace DmRemap.Core.Requests;

/// <summary>
/// Cuts a request where the table says so. The fragments tile the extent in ascending order; neighbours that
/// lie one behind the other in the same place are one fragment:
/// <code>
///   request        . . . . . . . . . . . . . . . . . . . . . .
///   units          |   no entry   | mixed states | whole spare | whole spare, next unit |
///   fragments      [Primary          ][Spare                                            ]
/// </code>
/// Valid while the table does not change: begin and end within one turn of the loop.
/// </summary>
public struct RequestSplitter
{
    private readonly RemapTable _table;
    private readonly BlockNumber _end;
    private BlockNumber _position;
    private RemapEntry _entry;
    private bool _hasEntry;
    private Fragment _ahead;
    private bool _hasAhead;

    public RequestSplitter(RemapTable table, Extent extent)
    {
        Invariant.Check(extent.End.Value <= table.Geometry.Blocks.Value);
        _table = table;
        _position = extent.Start;
        _end = extent.End;
        if (!extent.IsEmpty)
        {
            FindEntry(table.Geometry.UnitOf(extent.Start));
        }
    }

    /// <summary>The next fragment; false behind the last one.</summary>
    public bool TryNext(out Fragment fragment)
    {
        if (_hasAhead)
        {
            fragment = _ahead;
            _hasAhead = false;
        }
        else if (!TryPiece(out fragment))
        {
            return false;
        }
        while (TryPiece(out Fragment next))
        {
            if (!Follows(fragment, next))
            {
                _ahead = next;
                _hasAhead = true;
                return true;
            }
            Extent joined = Extent.FromBounds(fragment.Extent.Start, next.Extent.End);
            fragment = fragment with { Extent = joined };
        }
        return true;
    }

    private readonly bool Follows(in Fragment fragment, in Fragment next)
    {
        if (fragment.Target != next.Target)
        {
            return false;
        }
        return fragment.Target != FragmentTarget.Spare
            || (fragment.Location.Spare == next.Location.Spare
                && SpareBlock(fragment) + fragment.Extent.Count.Value == SpareBlock(next));
    }

    private readonly long SpareBlock(in Fragment fragment) =>
        (fragment.Location.Unit.Value * _table.Geometry.BlocksPerUnit) + fragment.FirstIndexInUnit;

    /// <summary>
    /// Up to the next entry, or blocks of one state inside the entry that the position lies in.
    /// </summary>
    private bool TryPiece(out Fragment piece)
    {
        if (_end <= _position)
        {
            piece = default;
            return false;
        }
        UnitGeometry geometry = _table.Geometry;
        BlockNumber start = _position;
        BlockNumber unitStart = _hasEntry ? geometry.ExtentOf(_entry.Unit).Start : _end;
        if (start < unitStart)
        {
            _position = Earlier(unitStart, _end);
            piece = new Fragment(
                FragmentTarget.Primary, Extent.FromBounds(start, _position), SpareLocation.None, 0);
            return true;
        }
        BlockNumber unitEnd = geometry.ExtentOf(_entry.Unit).End;
        int index = geometry.IndexInUnit(start);
        long blocks = (Earlier(unitEnd, _end) - start).Value;
        int run = _entry.Blocks.RunLength(index, index + (int)blocks);
        BlockState state = _entry.Blocks[index];
        _position = start + new BlockCount(run);
        piece = PieceOf(state, Extent.FromBounds(start, _position), index);
        if (_position == unitEnd && _position < _end)
        {
            FindEntry(new UnitNumber(_entry.Unit.Value + 1));
        }
        return true;
    }

    private readonly Fragment PieceOf(BlockState state, Extent extent, int index)
    {
        switch (state)
        {
            case BlockState.OnPrimary:
                return new Fragment(FragmentTarget.Primary, extent, SpareLocation.None, 0);
            case BlockState.OnSpare:
                return new Fragment(FragmentTarget.Spare, extent, _entry.Location, index);
            case BlockState.Lost:
                return new Fragment(FragmentTarget.Lost, extent, SpareLocation.None, 0);
            case BlockState.Zero:
                return new Fragment(FragmentTarget.Zero, extent, SpareLocation.None, 0);
            default:
                Invariant.Unreachable("a block state is two bits");
                return default;
        }
    }

    private void FindEntry(UnitNumber from)
    {
        UnitNumber last = _table.Geometry.UnitOf(new BlockNumber(_end.Value - 1));
        _hasEntry = _table.TryGetNext(from, new UnitNumber(last.Value + 1), out _entry);
    }

    private static BlockNumber Earlier(BlockNumber left, BlockNumber right) =>
        new(Math.Min(left.Value, right.Value));
}
