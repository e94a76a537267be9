using DmRemap.Core.Remapping;

namespace DmRemap.Engine.Repair;

/// <summary>
/// A spare that does not read, and a unit in probation: the primary holds the same, if this process has
/// written or compared that copy and it has missed nothing since (F-29). Of no other unit is the primary ever
/// asked for what a spare holds.
/// </summary>
internal sealed partial class ReadRescue
{
    private bool _isFromCopy;

    private bool HasCopyInStep() =>
        _isPieceFailed && _source == BlockState.OnSpare && Device.HasCopyInStep(_entry);

    private void TakeCopyRead()
    {
        _isFromCopy = IoSucceeded;
        if (!IoSucceeded)
        {
            Device.Primary.ReadErrors++;
            return;
        }
        Device.Primary.Reads++;
        Device.NoteReadSuccess(Device.Primary, Blocks());
        _bad &= ~BlockStates.Mask(_index, _count);
        _isPieceFailed = false;
        Device.Counters.ReadsFromCopies++;
    }
}
