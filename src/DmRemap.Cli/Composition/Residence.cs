using DmRemap.Linux.Processes;

namespace DmRemap.Cli.Composition;

/// <summary>
/// What this process has of the two things that keep it from waiting for its own writes when the machine is
/// short of memory (F-20). Both are taken where they may be, and shown in status.
/// </summary>
/// <param name="IsLocked">Its memory stays, its programs included.</param>
/// <param name="IsFlusher">Its threads wait for nobody's dirty pages.</param>
internal readonly record struct Residence(bool IsLocked, bool IsFlusher)
{
    /// <summary>Once all is allocated, and before anybody is told that the device is there.</summary>
    public static Residence TakeUp()
    {
        bool isLocked = LockedMemory.TryLockAll() == 0;
        if (isLocked)
        {
            LockedMemory.BringInPrograms();
        }
        return new Residence(isLocked, IoFlusher.IsSet);
    }
}
