using System;
using DmRemap.Core.Abstractions;
using DmRemap.Nbd;

namespace DmRemap.FrontEnds.Nbd;

/// <summary>Bytes of a READ, from its offset on, that were all read or all not.</summary>
internal readonly record struct ReadPart(long Start, long End, NbdReason Failure)
{
    public bool HasFailed => Failure != NbdReason.None;

    public long Bytes => End - Start;
}

/// <summary>
/// Cuts a READ that failed in part into what was read and what was not, in order; for clients whose replies
/// come in chunks.
/// </summary>
internal readonly struct ReadParts(ClientRequest read, int pieceBytes, BlockSize blockSize)
{
    /// <summary>The part that begins here.</summary>
    public ReadPart PartAt(long start)
    {
        Invariant.Check(start < read.Length);
        if (!TryFindFailed(start, out ReadPart failed))
        {
            return new ReadPart(start, read.Length, NbdReason.None);
        }
        if (failed.Start > start)
        {
            return new ReadPart(start, failed.Start, NbdReason.None);
        }
        while (failed.End < read.Length
            && TryFindFailed(failed.End, out ReadPart next)
            && next.Start == failed.End
            && next.Failure == failed.Failure)
        {
            failed = failed with { End = next.End };
        }
        return failed;
    }

    private bool TryFindFailed(long from, out ReadPart failed)
    {
        BlockNumber block = blockSize.BlockAt(new ByteOffset(read.Offset + from));
        for (int piece = (int)(from / pieceBytes); (long)piece * pieceBytes < read.Length; piece++)
        {
            ref PieceOutcome outcome = ref read.OutcomeOf(piece);
            if (outcome.TryFindFailed(block, out Extent extent))
            {
                long start = extent.Start.ToBytes(blockSize).Value - read.Offset;
                long end = start + extent.Count.ToBytes(blockSize).Value;
                failed = new ReadPart(start, Math.Min(end, read.Length), NbdReasons.From(outcome.Status));
                return true;
            }
        }
        failed = default;
        return false;
    }
}
