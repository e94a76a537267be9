using System;
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
        if (Device.IsInDoubt(part.Unit))
        {
            // A crash may show that probation has ended and the primary decides: what it holds stays as it is
            // until a record has settled that.
            part.EndsProbation = true;
            part.Plan = Plan.Recorded;
            return false;
        }
        return true;
    }

    private void TakeCopy(ref Part part)
    {
        if (IoSucceeded)
        {
            Device.NoteWriteSuccess(
                Device.Primary, IoOperation.Write, part.Blocks, isForceUnitAccess: true);
            if (Device.Copies.IsInStep(part.Unit))
            {
                Device.Copies.NoteWritten(part.Unit, Device.Primary.BytesTransferred);
            }
            return;
        }
        Device.Primary.WriteErrors++;
        part.Errno = IoErrno;
        part.EndsProbation = true;
        part.Plan = Plan.Recorded;
        Device.Counters.HealsFailed++;
        Device.Publish(
            EngineEventKind.HealFailed, Device.Primary, part.Blocks, part.Old.Location, IoErrno);
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
