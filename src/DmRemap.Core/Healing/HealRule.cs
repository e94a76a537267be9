using System;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Remapping;

namespace DmRemap.Core.Healing;

/// <summary>What is to be done with a unit in a pass of healing.</summary>
public enum HealStep : byte
{
    None = 0,

    /// <summary>Write it in place: the drive may put another sector there.</summary>
    Rewrite = 1,

    /// <summary>In probation: does the primary still hold what the spare holds?</summary>
    Verify = 2,

    /// <summary>In probation, and blocks of it have been lost since: its copy is no whole one.</summary>
    EndProbation = 3,
}

/// <summary>
/// Who is healed (P8). Only what the disk itself has failed, never what a person moved; only physical blocks
/// that are on the spare as a whole, and belong to the device as a whole, so that nothing that the primary
/// alone holds is in the way; and never a unit with lost blocks, whose place may still be read one day.
/// </summary>
public static class HealRule
{
    /// <summary>Verifications in probation before the rule is dissolved.</summary>
    public const int PassesNeeded = HealTrials.PassedMax;

    /// <summary>After so many failures a place is left alone.</summary>
    public const int FailuresMax = HealTrials.FailedMax;

    /// <summary>Units in probation at once: each write to one of them is written twice.</summary>
    public const int ProbationMax = 4096;

    /// <summary>
    /// What a disk must transfer before reading proves that a write has left its cache: twice the largest
    /// cache of today's drives (F-4).
    /// </summary>
    public static ByteCount TransferNeeded => new(512L << 20);

    /// <param name="entry">Of the unit.</param>
    /// <param name="places">That the unit has.</param>
    /// <param name="physicalBlocks">
    /// Blocks of the device in one physical block of the primary; not less than make 4096 bytes, for bridges
    /// that say 512 and hide a larger one.
    /// </param>
    /// <param name="pass">Counted from 0: a place that failed is tried in every second, then fourth one.
    /// </param>
    public static HealStep StepFor(in RemapEntry entry, ulong places, int physicalBlocks, long pass)
    {
        bool isWhole = (entry.Blocks.MaskOf(BlockState.Lost) & places) == 0
            && IsOfWholeBlocks(PlacesToCopy(entry, places), physicalBlocks);
        switch (entry.State)
        {
            case UnitState.Probation:
                return isWhole ? HealStep.Verify : HealStep.EndProbation;
            case UnitState.Remapped:
                bool isDue = entry.Trials.Failed < FailuresMax && pass % (1L << entry.Trials.Failed) == 0;
                return isWhole && isDue && entry.LastErrno != 0 ? HealStep.Rewrite : HealStep.None;
            case UnitState.Healthy:
            case UnitState.Suspect:
            case UnitState.LostUnreadable:
            case UnitState.LostDeclared:
            default:
                return HealStep.None;
        }
    }

    /// <summary>Blocks of this size that are rewritten together.</summary>
    public static int PhysicalBlocks(BlockSize size, int physicalBytes) =>
        Math.Min(Limits.UnitBlocksMax, Math.Max(physicalBytes, Limits.UnitBytesMin) / size.Bytes);

    /// <summary>The places whose content the primary does not have, or had before.</summary>
    public static ulong PlacesToCopy(in RemapEntry entry, ulong places) =>
        places & (entry.Blocks.MaskOf(BlockState.OnSpare) | entry.Blocks.MaskOf(BlockState.Zero));

    private static bool IsOfWholeBlocks(ulong copied, int physicalBlocks)
    {
        Invariant.Check(physicalBlocks > 0);
        if (copied == 0)
        {
            return false;
        }
        for (int index = 0; index < Limits.UnitBlocksMax; index += physicalBlocks)
        {
            int count = Math.Min(physicalBlocks, Limits.UnitBlocksMax - index);
            ulong block = BlockStates.Mask(index, count);
            ulong part = copied & block;
            if (part != 0 && part != block)
            {
                return false;
            }
        }
        return true;
    }
}
