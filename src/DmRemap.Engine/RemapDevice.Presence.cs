using System;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using DmRemap.Core.Remapping;
using DmRemap.Engine.Requests;

namespace DmRemap.Engine;

/// <summary>
/// Members whose disk is gone. Nothing is remapped for that: requests that need the disk wait for it or fail,
/// as the policy says. Only a write to a spare that leaves nothing behind there goes elsewhere, as it would
/// for any other error of the spare.
/// </summary>
public sealed partial class RemapDevice
{
    private bool IsLookingForMembers => Array.Exists(Members, member => member.Gate.IsLooking);

    /// <summary>A person says that the disks that were gone are back. False: none was gone.</summary>
    public bool ClearGone()
    {
        bool wasGone = false;
        foreach (Member member in Members)
        {
            wasGone |= member.Gate.Clear();
        }
        Pump();
        return wasGone;
    }

    /// <summary>
    /// The device is about to stop: requests that wait for a disk that is gone fail now, and none is kept any
    /// more.
    /// </summary>
    public void EndKeeping()
    {
        foreach (Member member in Members)
        {
            member.Gate.End();
        }
    }

    /// <summary>Is all that only the unit's spare unit holds among these places?</summary>
    internal bool LeavesNothingBehind(in RemapEntry entry, ulong places) =>
        (entry.Blocks.MaskOf(BlockState.OnSpare) & ~places & Units.FullMask(entry.Unit)) == 0;

    /// <summary>Must this wait for what is at its member already?</summary>
    internal bool IsOnItsWay(IoRequest kept) =>
        kept.Context is FragmentIo fragment && _fragments.AnyAhead(fragment);

    private void SubmitToGone(FragmentIo fragment)
    {
        Member member = fragment.Member!;
        // Not past a write of the same blocks that waits: sent behind it, once the disk is back, that would
        // bring an older content over one that has been answered.
        if (NeedsMember(fragment) || _fragments.AnyKept(fragment))
        {
            member.Gate.Submit(fragment.Io);
        }
        else
        {
            member.Device.Submit(fragment.Io);
        }
    }

    /// <summary>
    /// False: the fragment failed as others do. Else its disk is gone, and it waits for it or has failed.
    /// </summary>
    private bool TryTakeGone(FragmentIo fragment)
    {
        Member member = fragment.Member!;
        IoRequest io = fragment.Io;
        bool needsMember = NeedsMember(fragment);
        if (needsMember && member.Gate.TryKeep(io))
        {
            return true;
        }
        member.Gate.Note(io);
        bool isTransfer = io.Operation is IoOperation.Read or IoOperation.Write;
        if (!isTransfer || !needsMember || member.IsAbsent
            || Classify(member, io.Operation, io.Status, io.Errno, io.Elapsed) != ErrorClass.Gone)
        {
            return false;
        }
        member.ReadErrors += io.Operation == IoOperation.Read ? 1 : 0;
        member.WriteErrors += io.Operation == IoOperation.Write ? 1 : 0;
        fragment.Request!.Fail(IoStatus.DeviceError, io.Errno, fragment.Exported);
        Finish(fragment);
        return true;
    }

    /// <summary>No other member would do: what it reads, or leaves behind, is nowhere else.</summary>
    private bool NeedsMember(FragmentIo fragment)
    {
        bool isWrite = fragment.Io.Operation == IoOperation.Write;
        if (fragment.Member!.IsPrimary || (!isWrite && fragment.Io.Operation != IoOperation.Read))
        {
            return true;
        }
        UnitNumber last = Units.UnitOf(new BlockNumber(fragment.Exported.End.Value - 1));
        UnitNumber first = Units.UnitOf(fragment.Exported.Start);
        for (UnitNumber unit = first; unit <= last; unit = new(unit.Value + 1))
        {
            bool needs = !Table.TryGet(unit, out RemapEntry entry)
                || !(HasSecondToRead(entry)
                    || (isWrite && LeavesNothingBehind(entry, Units.MaskIn(unit, fragment.Exported))));
            if (needs)
            {
                return true;
            }
        }
        return false;
    }
}
