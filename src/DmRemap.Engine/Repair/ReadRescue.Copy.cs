using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using DmRemap.Core.Remapping;

namespace DmRemap.Engine.Repair;

/// <summary>
/// A spare that does not read, and a unit in probation: the primary holds the same, if this process has
/// written or compared that copy and it has missed nothing since (F-29). Of no other unit is the primary ever
/// asked for what a spare holds. Before it, the unit's second copy is asked, where it counts (F-22).
/// </summary>
internal sealed partial class ReadRescue
{
    private bool _isFromCopy;
    private bool _wasUndecided;
    private CopyAsked _copy;
    private bool _needsControlOfSecond;

    // Where the unit's blocks are read: the second copy from the beginning, where the first is known to be
    // away.
    private SpareLocation _from;

    private enum CopyAsked : byte
    {
        None = 0,
        Second = 1,

        /// <summary>It failed as a reset does, too: does its spare read at all (F-17)?</summary>
        ControlOfSecond = 2,
        OnPrimary = 3,
    }

    private bool IsFromSecond => _from != _entry.Location;

    private SpareLocation FirstToRead() =>
        Device.HasSecondToRead(_entry) && RemapDevice.IsAway(Device.Spare(_entry.Location.Spare))
            ? _entry.Second
            : _entry.Location;

    /// <summary>Is there another copy to be asked for the piece that failed?</summary>
    private bool NextCopy()
    {
        if (!_isPieceFailed || _source != BlockState.OnSpare)
        {
            return false;
        }
        if (_copy == CopyAsked.None)
        {
            _copy = CopyAsked.Second;
            if (!IsFromSecond && Device.HasSecondInStep(_entry))
            {
                return true;
            }
        }
        if (_copy == CopyAsked.Second && _needsControlOfSecond)
        {
            _needsControlOfSecond = false;
            _copy = CopyAsked.ControlOfSecond;
            return true;
        }
        bool isLeft = _copy != CopyAsked.OnPrimary;
        _copy = CopyAsked.OnPrimary;
        return isLeft && Device.HasCopyInStep(_entry);
    }

    private void SubmitCopyRead()
    {
        switch (_copy)
        {
            case CopyAsked.Second:
                SubmitToSpare(IoOperation.Read, _entry.Second, _index, _count, Buffer());
                break;
            case CopyAsked.ControlOfSecond:
                SubmitSpareControl(Device.Spare(_entry.Second.Spare), Scratch);
                break;
            case CopyAsked.None:
            case CopyAsked.OnPrimary:
            default:
                SubmitCopy(IoOperation.Read, Blocks(), Buffer());
                break;
        }
    }

    private void TakeCopyRead()
    {
        if (_copy == CopyAsked.ControlOfSecond)
        {
            NoteSecondUnread(IoSucceeded);
            return;
        }
        bool isSecond = _copy == CopyAsked.Second;
        Member member = isSecond ? Device.Spare(_entry.Second.Spare) : Device.Primary;
        _isFromCopy = IoSucceeded;
        if (!IoSucceeded)
        {
            member.ReadErrors++;
            ErrorClass kind = RemapDevice.Classify(member, IoOperation.Read, IoStatus, IoErrno, IoElapsed);
            bool mayBeMedium = kind is ErrorClass.Medium or ErrorClass.Ambiguous;
            _needsControlOfSecond = isSecond && mayBeMedium;
            if (isSecond && !mayBeMedium)
            {
                NoteSecondUnread(isMedium: false);
            }
            return;
        }
        member.Reads++;
        Device.NoteReadSuccess(member, Blocks());
        if (isSecond)
        {
            NoteFromSecond();
        }
        else
        {
            Device.Counters.ReadsFromCopies++;
        }
        _bad &= ~BlockStates.Mask(_index, _count);
        _isPieceFailed = false;
    }

    /// <summary>
    /// The first is bad here, and the second is away, or nobody knows: it is not lost before both have failed
    /// by their medium.
    /// </summary>
    private void NoteSecondUnread(bool isMedium)
    {
        if (!isMedium)
        {
            _bad &= ~BlockStates.Mask(_index, _count);
            _isUndecided = true;
        }
    }

    /// <summary>What was only away is no matter; a first that is bad is looked at soon.</summary>
    private void NoteFromSecond()
    {
        Device.Counters.ReadsFromSecond++;
        _isUndecided = _wasUndecided;
        if ((_bad & BlockStates.Mask(_index, _count)) != 0)
        {
            Device.Copier.NoteFailing(_unit);
        }
    }
}
