using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;

namespace DmRemap.Engine.Repair;

/// <summary>
/// Writes into units in probation: the spare first, which decides; then the copy on the primary. A copy that
/// misses a write ends probation, durably, before the write is answered: were it not, a later start could
/// take an old copy for the unit's content.
/// </summary>
internal sealed partial class WriteRedirect
{
    private WriteTarget _target;
    private bool _isHomeTried;

    /// <summary>Where a part is written, one after the other.</summary>
    private enum WriteTarget : byte
    {
        /// <summary>Where its unit lives: that decides.</summary>
        Home = 0,

        /// <summary>The unit's second copy.</summary>
        Second = 1,

        /// <summary>The primary's copy of a unit in probation.</summary>
        OnPrimary = 2,
    }

    /// <summary>
    /// Has this part been written where its unit lives, and copied where that is asked for, or does it need
    /// another place? If not, what comes next is submitted.
    /// </summary>
    private bool IsAtHomeDone()
    {
        if (!_isHomeTried)
        {
            _isHomeTried = !NeedsPlace();
            return !_isHomeTried;
        }
        ref Part part = ref _parts[_at];
        if (_target == WriteTarget.Home && MustWriteSecond(ref part))
        {
            _target = WriteTarget.Second;
            return false;
        }
        if (_target != WriteTarget.OnPrimary && MustWriteCopy(ref part))
        {
            _target = WriteTarget.OnPrimary;
            return false;
        }
        _isHomeTried = false;
        RecordHome(ref part);
        return true;
    }

    private bool MustWriteSecond(ref Part part)
    {
        if (part.Old.Second.IsNone || part.Plan is not (Plan.Stored or Plan.Recorded))
        {
            return false;
        }
        // One that is away is not waited for: the record says that it misses this write (F-22). One that does
        // not answer is, for a while; but then not by the jobs that are kept for those who need it not.
        Member second = Device.Spare(part.Old.Second.Spare);
        bool mayBeWritten =
            !Device.IsInDoubt(part.Unit) && !second.IsGone && !second.IsAbsent && !second.IsRemoved
            && !Device.WritesOut.IsGivenUp(second.Index)
            && !(Line.IsOnKept && Device.WritesOut.IsStuck(second.Index));
        if (!mayBeWritten)
        {
            DropSecond(ref part);
            return false;
        }
        part.IsSecondTried = true;
        return true;
    }

    private void DropSecond(ref Part part)
    {
        Device.Counters.SecondsStruckOut++;
        part.DropsSecond = true;
        part.Plan = Plan.Recorded;
    }

    private void TakeOtherCopy(ref Part part)
    {
        if (_target == WriteTarget.OnPrimary)
        {
            TakeCopy(ref part);
            return;
        }
        Member spare = Device.Spare(part.Old.Second.Spare);
        if (IoSucceeded)
        {
            Device.NoteWriteSuccess(spare, IoOperation.Write, part.Blocks, IsIoForced);
            DoubtIfLost(part);
            return;
        }
        spare.WriteErrors++;
        if (Device.NoteSpareFailure(spare, part.Old.Second, IoStatus, IoErrno, IoElapsed))
        {
            Changes.Add(new TableChange(
                TableChangeKind.RetireSpareUnit,
                part.Old with { Location = part.Old.Second, Second = SpareLocation.None }));
        }
        else
        {
            Device.SecondCopies.NoteMayStillLand(part.Old.Second);
        }
        // Not acknowledged before a record says that this copy is one no more (F-22).
        DropSecond(ref part);
    }

    /// <summary>
    /// A flush failed while this write was out: its spare may have had it in the cache then, and lost it, and
    /// the other one has not.
    /// </summary>
    private void DoubtIfLost(in Part part)
    {
        if (!IsIoForced && LossesAtSubmit != Device.LossesNow)
        {
            Device.DoubtCopy(part.Old);
        }
    }

    /// <summary>
    /// A write that failed may have reached one copy and not the other: it is made anew before it counts.
    /// </summary>
    private void DoubtSecond(in Part part)
    {
        // One that is not here has been sent nothing.
        bool isUntouched = !part.IsSecondTried && !part.Old.Location.IsNone
            && Device.Spare(part.Old.Location.Spare).IsAbsent;
        if ((part.Plan == Plan.Failed || part.IsUncommitted) && !isUntouched)
        {
            Device.DoubtCopy(part.Old);
        }
    }

    private bool MustWriteCopy(ref Part part)
    {
        if (part.Old.State != UnitState.Probation || part.Plan is not (Plan.Stored or Plan.Recorded))
        {
            return false;
        }
        // While it is in doubt what decides, the primary stays as it is until a record has settled that; and
        // a block that only the primary has is not written there before a record says that the spare has it:
        // a write that fails would lose it.
        bool mayBeCopied = Device.Healer.IsOn && !Device.IsInDoubt(part.Unit) && !HasBlocksOnPrimary(part);
        if (!mayBeCopied || !Device.TryBeginCopyWrite())
        {
            EndProbation(ref part);
            return false;
        }
        return true;
    }

    private bool HasBlocksOnPrimary(in Part part) =>
        (part.Old.Blocks.MaskOf(BlockState.OnPrimary) & Units.MaskIn(part.Unit, part.Blocks)) != 0;

    private void EndProbation(ref Part part)
    {
        Device.Copies.Forget(part.Unit);
        part.EndsProbation = true;
        part.Plan = Plan.Recorded;
    }

    private void TakeCopy(ref Part part)
    {
        Device.EndCopyWrite();
        if (IoSucceeded)
        {
            Device.Primary.Writes++;
            part.IsCopied = true;
            if (Device.Copies.IsInStep(part.Unit))
            {
                Device.Copies.NoteWritten(part.Unit, Device.Primary.BytesTransferred);
            }
            return;
        }
        Device.Primary.WriteErrors++;
        // That says nothing of the place (F-17): a later pass rewrites it, with a control.
        EndProbation(ref part);
    }

    /// <summary>The write is where the unit lives: does its rule change with it?</summary>
    private void RecordHome(ref Part part)
    {
        if (part.Plan != Plan.Recorded)
        {
            return;
        }
        RemapEntry rule = part.EndsProbation ? part.Old.AsRemapped() : part.Old;
        part.New = rule with
        {
            Second = part.DropsSecond ? SpareLocation.None : rule.Second,
            Blocks = part.Old.Blocks.With(PartMask, BlockState.OnSpare),
        };
        Changes.Add(new TableChange(TableChangeKind.Set, part.New));
    }
}
