using DmRemap.Core.Abstractions;
using DmRemap.Engine.Requests;

namespace DmRemap.Engine;

/// <summary>What becomes of fragments that come back.</summary>
public sealed partial class RemapDevice
{
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
            NoteWriteSuccess(member, io.Operation, fragment.Exported, io.IsForceUnitAccess);
            bool isInDoubt = fragment.Losses != _losses || !Uncertain.IsEmpty;
            if (isInDoubt && io.Operation != IoOperation.Discard)
            {
                NoteWritten(fragment.Exported, io.IsForceUnitAccess, fragment.Losses);
            }
        }
        Finish(fragment);
    }

    private void TakeFailure(FragmentIo fragment)
    {
        if (TryTakeGone(fragment))
        {
            return;
        }
        switch (fragment.Io.Operation)
        {
            case IoOperation.Read:
                fragment.Member!.ReadErrors++;
                _rescues.Enqueue(fragment);
                break;
            case IoOperation.Write:
                fragment.Member!.WriteErrors++;
                _redirects.Enqueue(fragment);
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
}
