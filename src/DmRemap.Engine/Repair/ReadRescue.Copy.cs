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
    private int _copiesTried;

    // Where the unit's blocks are read: the second copy from the beginning, where the first is known to be
    // away.
    private SpareLocation _from;

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
        if (_copiesTried == 0)
        {
            _copiesTried = 1;
            if (!IsFromSecond && Device.HasSecondInStep(_entry))
            {
                return true;
            }
        }
        bool isLeft = _copiesTried == 1;
        _copiesTried = 2;
        return isLeft && Device.HasCopyInStep(_entry);
    }

    private bool IsAtSecond => _copiesTried == 1;

    private void SubmitCopyRead()
    {
        if (IsAtSecond)
        {
            SubmitToSpare(IoOperation.Read, _entry.Second, _index, _count, Buffer());
        }
        else
        {
            SubmitCopy(IoOperation.Read, Blocks(), Buffer());
        }
    }

    private void TakeCopyRead()
    {
        Member member = IsAtSecond ? Device.Spare(_entry.Second.Spare) : Device.Primary;
        _isFromCopy = IoSucceeded;
        if (!IoSucceeded)
        {
            member.ReadErrors++;
            NoteSecondUnread(member);
            return;
        }
        member.Reads++;
        Device.NoteReadSuccess(member, Blocks());
        if (IsAtSecond)
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
    private void NoteSecondUnread(Member member)
    {
        ErrorClass kind = RemapDevice.Classify(member, IoOperation.Read, IoStatus, IoErrno, IoElapsed);
        if (IsAtSecond && kind != ErrorClass.Medium)
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
