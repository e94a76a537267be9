using System;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
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
    private bool _isAtCopy;
    private bool _isHomeTried;

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
        _isAtCopy = !_isAtCopy && MustWriteCopy(ref _parts[_at]);
        if (!_isAtCopy)
        {
            _isHomeTried = false;
            RecordHome(ref _parts[_at]);
        }
        return !_isAtCopy;
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
        EndProbation(ref part);
        ErrorClass kind =
            RemapDevice.Classify(Device.Primary, IoOperation.Write, IoStatus, IoErrno, IoElapsed);
        if (kind == ErrorClass.Medium)
        {
            // Anything else says nothing of the place (F-17): it is rewritten in a later pass.
            part.Errno = IoErrno;
            Device.Counters.HealsFailed++;
            Device.Publish(
                EngineEventKind.HealFailed, Device.Primary, part.Blocks, part.Old.Location, IoErrno);
        }
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
            Blocks = part.Old.Blocks.With(PartMask, BlockState.OnSpare),
            Trials = part.EndsProbation && part.Errno != 0 ? rule.Trials.WithFailure() : rule.Trials,
            LastErrno = part.Errno == 0
                ? rule.LastErrno
                : (ushort)Math.Clamp(part.Errno, 0, ushort.MaxValue),
            LastErrorDay = part.Errno == 0 ? rule.LastErrorDay : Device.Today,
        };
        Changes.Add(new TableChange(TableChangeKind.Set, part.New));
    }
}
