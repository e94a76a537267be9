using DmRemap.Core.Remapping;

namespace DmRemap.Engine.Repair;

/// <summary>
/// A spare that does not read, and a unit in probation: the primary holds the same, if this process has
/// written or compared that copy and it has missed nothing since (F-29). Of no other unit is the primary ever
/// asked for what a spare holds.
/// </summary>
internal sealed partial class ReadRescue
{
    private bool HasCopyInStep() =>
        _isPieceFailed && _source == BlockState.OnSpare && _entry.State == UnitState.Probation
        && Device.Copies.IsInStep(_unit) && !Device.IsInDoubt(_unit);

    private void TakeCopyRead()
    {
        if (!IoSucceeded)
        {
            Device.Primary.ReadErrors++;
            return;
        }
        Device.Primary.Reads++;
        _bad &= ~BlockStates.Mask(_index, _count);
        _isPieceFailed = false;
        Device.Counters.ReadsFromCopies++;
    }
}
