using DmRemap.Core.Abstractions;
using DmRemap.Core.Remapping;
using DmRemap.Engine.Requests;

namespace DmRemap.Engine;

/// <summary>What becomes of fragments that come back.</summary>
public sealed partial class RemapDevice
{
    /// <summary>The unit's blocks have changed in memory; the rule is pending until a flush commits it.</summary>
    internal void SetBlocks(in RemapEntry entry, ulong mask, BlockState state)
    {
        BlockStates blocks = entry.Blocks.With(mask, state);
        if (blocks != entry.Blocks)
        {
            SetEntry(entry with { Blocks = blocks });
            Pending.Add(entry.Unit);
        }
    }

    /// <summary>A repair has brought the fragment to its end; its failures are in the request.</summary>
    internal void FinishRepaired(FragmentIo fragment) => Finish(fragment);

    private void TakeSuccess(FragmentIo fragment)
    {
        IoRequest io = fragment.Io;
        Member member = fragment.Member!;
        if (io.Operation == IoOperation.Read)
        {
            member.Reads++;
            NoteReadSuccess(member, fragment.Exported);
        }
        else
        {
            NoteWriteSuccess(member, fragment.Exported, io.IsForceUnitAccess);
            if (!member.IsPrimary)
            {
                MarkOnSpare(fragment.Exported);
            }
        }
        Finish(fragment);
    }

    private void TakeFailure(FragmentIo fragment)
    {
        switch (fragment.Io.Operation)
        {
            case IoOperation.Read:
                fragment.Member!.ReadErrors++;
                EnqueueRescue(fragment);
                break;
            case IoOperation.Write:
                fragment.Member!.WriteErrors++;
                EnqueueRedirect(fragment);
                break;
            case IoOperation.WriteZeroes:
                // Again as ordinary writes, in bounded pieces, so that the bad unit becomes known (F-11).
                fragment.Request!.Cursor = fragment.Exported.Start;
                fragment.Request.ZeroesAsDataEnd = fragment.Exported.End;
                Finish(fragment);
                break;
            case IoOperation.Discard:
                // A hint that was not taken changes nothing.
                Finish(fragment);
                break;
            case IoOperation.Flush:
            case IoOperation.None:
            default:
                Invariant.Unreachable("fragments are never flushes");
                break;
        }
    }

    private void Finish(FragmentIo fragment)
    {
        RemapRequest request = fragment.Request!;
        _fragments.Return(fragment);
        request.Outstanding--;
        if (request.Outstanding == 0 && !request.IsSplit && !request.IsQueued)
        {
            Continue(request);
            return;
        }
        Settle(request);
    }

    /// <summary>
    /// A write to spare units has completed: its blocks are on the spare now. The units cannot have moved since it was
    /// submitted, because a repair drains the writes of a unit before it moves it.
    /// </summary>
    private void MarkOnSpare(Extent exported)
    {
        UnitNumber last = Units.UnitOf(new BlockNumber(exported.End.Value - 1));
        for (UnitNumber unit = Units.UnitOf(exported.Start); unit <= last; unit = new(unit.Value + 1))
        {
            bool isRemapped = Table.TryGet(unit, out RemapEntry entry);
            Invariant.Check(isRemapped);
            Invariant.Check(!entry.Location.IsNone);
            SetBlocks(entry, Units.MaskIn(unit, exported), BlockState.OnSpare);
        }
    }
}
