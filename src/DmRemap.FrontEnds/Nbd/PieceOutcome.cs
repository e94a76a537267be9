using System;
using DmRemap.Core.Abstractions;

namespace DmRemap.FrontEnds.Nbd;

/// <summary>What of one piece of a READ could not be read. The default is nothing.</summary>
internal struct PieceOutcome
{
    private FailedExtents _failed;

    /// <summary>Pending while nothing has failed.</summary>
    public IoStatus Status { get; private set; }

    public void Clear()
    {
        Status = IoStatus.Pending;
        _failed.Clear();
    }

    /// <summary>A failure that does not say where is one of the whole piece.</summary>
    public void Take(IoRequest piece)
    {
        Status = piece.Status;
        _failed = piece.Failed;
        if (_failed.Count == 0)
        {
            _failed.Add(piece.Extent);
        }
    }

    /// <summary>
    /// The first blocks at or after this one that failed; the extents are in no order, and may overlap.
    /// </summary>
    public readonly bool TryFindFailed(BlockNumber from, out Extent failed)
    {
        failed = default;
        for (int i = 0; Status != IoStatus.Pending && i < _failed.Count; i++)
        {
            Extent one = _failed[i];
            if (one.End <= from)
            {
                continue;
            }
            long start = Math.Max(one.Start.Value, from.Value);
            if (failed.IsEmpty || start < failed.Start.Value)
            {
                failed = Extent.FromBounds(new BlockNumber(start), one.End);
            }
        }
        return !failed.IsEmpty;
    }
}
