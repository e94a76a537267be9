using DmRemap.Core.Abstractions;
using DmRemap.Fuse;

namespace DmRemap.FrontEnds.Fuse;

/// <summary>
/// Requests that wait for their turn, and reads that have waited for too long. Those are answered with an
/// error; their slot and its memory stay with the device until the last piece is back, and there are as many
/// slots more for that.
/// </summary>
public sealed partial class FuseServer : IReadDeadlineOwner
{
    /// <summary>Without those that are kept for a device only.</summary>
    private int SlotsInUse => _slots.Length - _freeSlotCount - _abandonedSlots;

    bool IReadDeadlineOwner.TryGiveUp(AwaitedRead read)
    {
        FuseSlot slot = (FuseSlot)read;
        if (!IsOpen)
        {
            _deadlines!.Remove(slot);
            return true;
        }
        // What a suspended device holds is not late; and of those kept for a device there is a bound.
        if (IsHeld || _abandonedSlots == _slots.Length - Slots || _freePieceCount - _room < slot.InFlight)
        {
            return false;
        }
        _deadlines!.Remove(slot);
        if (slot.IsQueued)
        {
            TakeOutOfLine(slot);
        }
        if (slot.InFlight == 0)
        {
            slot.Fail(FuseErrors.InputOutput);
            EndIfWhole(slot);
            return true;
        }
        Abandon(slot);
        return true;
    }

    private void Abandon(FuseSlot slot)
    {
        slot.Abandon();
        _abandonedSlots++;
        _room += slot.InFlight;
        foreach (IoRequest piece in _pieces)
        {
            if (ReferenceEquals(piece.Context, slot))
            {
                _abandoning?.OnReadAbandoned(piece);
            }
        }
        Count(slot);
        Answer(slot);
        SubmitWhatWaits();
        ReceiveMore();
    }

    private void TakeOutOfLine(FuseSlot slot)
    {
        FuseSlot? before = null;
        for (FuseSlot? one = _firstInLine; one != slot; one = one!.Next)
        {
            before = one;
        }
        if (before is null)
        {
            _firstInLine = slot.Next;
        }
        else
        {
            before.Next = slot.Next;
        }
        _lastInLine = slot == _lastInLine ? before : _lastInLine;
        slot.Next = null;
        slot.IsQueued = false;
    }

    private void Enqueue(FuseSlot slot)
    {
        Invariant.Check(!slot.IsQueued);
        slot.IsQueued = true;
        slot.Next = null;
        if (_lastInLine is null)
        {
            _firstInLine = slot;
        }
        else
        {
            _lastInLine.Next = slot;
        }
        _lastInLine = slot;
    }

    private FuseSlot TakeFromLine()
    {
        FuseSlot slot = _firstInLine!;
        _firstInLine = slot.Next;
        _lastInLine = _firstInLine is null ? null : _lastInLine;
        slot.Next = null;
        slot.IsQueued = false;
        return slot;
    }
}
