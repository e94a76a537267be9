using System.Collections.Generic;
using System.Numerics;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using DmRemap.Core.Healing;
using DmRemap.Core.Remapping;
using DmRemap.Engine.Repair;
using DmRemap.Engine.Requests;

namespace DmRemap.Engine;

/// <summary>Fragments on their way into repairs, and requests that touch what is suspect.</summary>
public sealed partial class RemapDevice
{
    /// <summary>Rescues at once. A fragment that waits for one holds nothing.</summary>
    private const int RescuesMax = 16;

    private const int RescuesKeptMax = 4;
    private const int ZeroRulesMax = 4;

    private readonly RepairLine<ReadRescue> _rescues;
    private readonly RedirectLines _redirects;
    private readonly RepairLine<ZeroRule> _zeroRules;
    private int _copying;

    /// <summary>
    /// Writes of copies at once: a primary that stalls must not stop what needs only spares (P4).
    /// </summary>
    private const int CopiesOutMax = 16;

    private int _copiesOut;

    /// <summary>What repairs have written to spares, and is not answered.</summary>
    internal WriteProgress WritesOut { get; }

    /// <summary>
    /// A write into a unit in probation may wait for its copy. False: it goes on without.
    /// </summary>
    internal bool TryBeginCopyWrite()
    {
        bool isRoom = _copiesOut < CopiesOutMax;
        _copiesOut += isRoom ? 1 : 0;
        return isRoom;
    }

    internal void EndCopyWrite() => _copiesOut--;

    /// <summary>Each unit that is on a spare is to be on another one, too.</summary>
    public bool KeepsCopies => SecondCopies.AreKept;

    /// <summary>What a clean stop may say of the second copies.</summary>
    public bool AreCopiesInStep => SecondCopies.AreInStep;

    /// <summary>
    /// Has the unit a second copy that may be believed? Of a loss that no flush has come upon yet, nobody has
    /// taken note.
    /// </summary>
    internal bool HasSecondInStep(in RemapEntry entry) =>
        SecondCopies.IsInStep(entry)
        && !HasLossToTake(Spare(entry.Location.Spare)) && !HasLossToTake(Spare(entry.Second.Spare));

    /// <summary>The same, and its spare is there: nobody needs to wait for the first.</summary>
    internal bool HasSecondToRead(in RemapEntry entry) =>
        HasSecondInStep(entry) && !IsAway(Spare(entry.Second.Spare));

    internal static bool IsAway(Member spare) => spare.IsGone || spare.IsAbsent || spare.IsRemoved;

    private static bool HasLossToTake(Member spare) => spare.HasCacheLossToTake || spare.HasFailedOpening;

    /// <summary>Units whose first copy is on this spare. Loop thread only.</summary>
    public long CountUnitsFirstOn(int spare) => CountUnits(spare, static (_, _) => true);

    /// <summary>Units that cannot be had without this spare. Loop thread only.</summary>
    public long CountUnitsOnlyOn(int spare) =>
        CountUnits(spare, static (device, entry) => !device.HasSecondToRead(entry));

    private long CountUnits(int spare, System.Func<RemapDevice, RemapEntry, bool> isCounted)
    {
        if (!KeepsCopies)
        {
            return Allocator.UnitsUsed(spare);
        }
        long units = 0;
        RemapTable.RunWalk walk = Table.WalkRuns();
        while (walk.TryNext(out RemapEntry first, out int count))
        {
            bool isHere = first.Location.Spare == spare;
            int asked = isHere && SecondCopies.AreUnitsInDoubt ? count : 1;
            for (int i = 0; isHere && i < asked; i++)
            {
                // Doubt is of single units.
                units += isCounted(this, first.Following(i)) ? count / asked : 0;
            }
        }
        return units;
    }

    /// <summary>Is it a time for making second copies?</summary>
    internal bool MayCopyUnits => !IsStopping && !IsHolding && IsHandIdle;

    /// <summary>What one of its spares has of this unit may be older than what was acknowledged.</summary>
    internal void DoubtCopy(in RemapEntry entry)
    {
        if (!entry.Second.IsNone)
        {
            SecondCopies.Doubt(entry);
            Copier.Wake();
        }
    }

    private void DoubtAllCopiesOf(Member member)
    {
        if (!member.IsPrimary)
        {
            SecondCopies.Doubt(member.Index);
            Copier.Wake();
        }
    }

    /// <summary>
    /// This spare has lost what it had acknowledged in the uncertain blocks. What is there now decides where
    /// it is the first; where it is the second, it may lack what the first has.
    /// </summary>
    private void DoubtCopiesOfUncertain(int spare)
    {
        for (int i = 0; i < Uncertain.Count && SecondCopies.AreKept; i++)
        {
            UnitNumber from = Units.UnitOf(Uncertain[i].Start);
            UnitNumber end = new(Units.UnitOf(new BlockNumber(Uncertain[i].End.Value - 1)).Value + 1);
            while (Table.TryGetNext(from, end, out RemapEntry entry))
            {
                if (entry.IsOn(spare))
                {
                    DoubtCopy(entry);
                }
                from = new UnitNumber(entry.Unit.Value + 1);
            }
        }
    }

    private void NoteSecond(in RemapEntry before, in RemapEntry entry)
    {
        if (before.Second != entry.Second)
        {
            SecondCopies.Settle(entry.Unit);
        }
        if (before.Second != entry.Second && before.Second != entry.Location)
        {
            LetGoOfSecond(before);
        }
        if (entry.Second.IsNone && !entry.Location.IsNone)
        {
            Copier.Wake();
        }
    }

    /// <summary>No rule names it any more; when it is lent again is as for other units (F-4).</summary>
    private void LetGoOfSecond(in RemapEntry before)
    {
        SpareLocation second = before.Second;
        SecondCopies.Settle(before.Unit);
        if (!second.IsNone && !Allocator.IsRetired(second) && !SecondCopies.MayStillLand(second))
        {
            GivenBack.Add(before.Unit, second);
        }
    }

    private bool HasWaitingRepairs => _rescues.CanStart || _redirects.CanStart || _zeroRules.CanStart;

    private bool AreRepairsIdle =>
        _rescues.IsIdle && _redirects.IsIdle && _zeroRules.IsIdle && IsHandIdle && Retries.IsIdle
            && Healer.IsIdle && Copier.IsIdle;

    /// <summary>
    /// Is it a time for rewriting the primary? Not while the disk fails as a whole, is away, or a person has
    /// asked for quiet.
    /// </summary>
    internal bool MayHeal =>
        !IsStopping && !IsHolding && !Breaker.IsTripped && !AreWritesRejected && !Primary.IsGone
        && IsHandIdle;

    /// <summary>
    /// Does the primary hold what the spare is to hold of this unit? Only of a copy that this process has
    /// written or compared, that has missed nothing since, and whose spare has not lost its cache: else the
    /// spare's content may be the older one.
    /// </summary>
    internal bool HasCopyInStep(in RemapEntry entry) =>
        entry.State == UnitState.Probation && Copies.IsInStep(entry.Unit) && !IsInDoubt(entry.Unit)
        && !Spare(entry.Location.Spare).HasLostFlush;

    /// <summary>
    /// What the primary must transfer before a read proves anything. A file that small has no drive's cache.
    /// </summary>
    internal ByteCount HealingTransfer
    {
        get
        {
            long whole = Units.Blocks.ToBytes(Units.BlockSize).Value;
            long needed = Healer.Transfer.Value;
            return new(Primary.Kind == MemberKind.File ? System.Math.Min(needed, whole / 2) : needed);
        }
    }

    /// <summary>Blocks that are rewritten together.</summary>
    internal int HealingBlocks =>
        HealRule.PhysicalBlocks(Units.BlockSize, Primary.Device.Geometry.PhysicalBlockBytes);

    internal void CollectUnitsAtSpares(HashSet<long> into) => _fragments.CollectUnitsAtSpares(Units, into);

    internal void FinishRescue(FragmentIo fragment) => Finish(fragment);

    /// <summary>
    /// A rescue will copy weak units when it has answered. Half of them at most: copies wait for a spare, and
    /// reads must not (P4).
    /// </summary>
    internal bool TryBeginCopies()
    {
        bool isRoom = _copying < RescuesMax / 2;
        _copying += isRoom ? 1 : 0;
        return isRoom;
    }

    /// <summary>It has nothing left to copy.</summary>
    internal void ReturnRescue(ReadRescue job, bool hasCopied)
    {
        _copying -= hasCopied ? 1 : 0;
        _rescues.Return(job);
    }

    internal void FinishRedirect(FragmentIo fragment, WriteRedirect job)
    {
        job.Line.Return(job);
        Finish(fragment);
    }

    internal void FinishZeroRule(FragmentIo fragment, ZeroRule job)
    {
        _zeroRules.Return(job);
        Finish(fragment);
    }

    private bool StartWaitingRepairs()
    {
        bool started = _rescues.StartWaiting() > 0;
        started |= _redirects.StartWaiting();
        started |= _zeroRules.StartWaiting() > 0;
        if (_rescues.IsHeldBack || _redirects.IsHeldBack)
        {
            WritesOut.Watch();
        }
        else
        {
            WritesOut.EndWatch();
        }
        return started;
    }

    /// <summary>
    /// The part up to the first suspect or doubtful place. False when the part began with one: it has been
    /// answered or given to a repair (the cursor has moved), or the request waits for a slot.
    /// </summary>
    private bool TryPassSuspicion(RemapRequest request, ref Extent part)
    {
        // Bounded: a zeroing of the whole disk is looked at slice by slice.
        part = Shorten(part, Limits.ZeroingSliceBytes);
        UnitNumber last = Units.UnitOf(new BlockNumber(part.End.Value - 1));
        for (UnitNumber unit = Units.UnitOf(part.Start); unit <= last; unit = new(unit.Value + 1))
        {
            if (!IsSuspicious(unit))
            {
                continue;
            }
            Extent inUnit = Units.ExtentOf(unit).Intersect(part);
            if (part.Start < inUnit.Start)
            {
                part = Extent.FromBounds(part.Start, inUnit.Start);
                return true;
            }
            part = inUnit;
            return request.Parent!.Operation switch
            {
                IoOperation.Read => TryReadSuspicious(request, unit, ref part),
                IoOperation.Write or IoOperation.WriteZeroes => TryWriteSuspicious(request, unit, part),
                _ => Skip(request, part),
            };
        }
        return true;
    }

    private bool TryReadSuspicious(RemapRequest request, UnitNumber unit, ref Extent part)
    {
        if (IsInDoubt(unit) && !_inDoubt[unit.Value].IsSameContent)
        {
            // Which of two rules a crash would leave is not known: neither content may be shown.
            request.Fail(IoStatus.MetadataUnavailable, 0, part);
            return Skip(request, part);
        }
        Suspects.TryGet(unit, out Suspect suspect);
        int index = Units.IndexInUnit(part.Start);
        ulong rest = suspect.BadBlocks >> index;
        int good = rest == 0 ? Limits.UnitBlocksMax : BitOperations.TrailingZeroCount(rest);
        if (good > 0)
        {
            part = new Extent(part.Start, new BlockCount(System.Math.Min(good, part.Count.Value)));
            return true;
        }
        int bad = BitOperations.TrailingZeroCount(~rest);
        part = new Extent(part.Start, new BlockCount(System.Math.Min(bad, part.Count.Value)));
        if (!TryRent(request, out FragmentIo fragment))
        {
            return false;
        }
        if (Suspects.Admit(unit, Units.MaskIn(unit, part), _loop.Now) == SuspectAdmission.Retry)
        {
            PrepareRepair(fragment, part, request.BufferFor(part, Units.BlockSize), IoOperation.Read);
            _rescues.Enqueue(fragment);
            return false;
        }
        _fragments.Return(fragment);
        request.Fail(IoStatus.DeviceError, 5, part);
        return Skip(request, part);
    }

    /// <summary>To a spare at once, unless the unit has a rule already and is not in doubt.</summary>
    private bool TryWriteSuspicious(RemapRequest request, UnitNumber unit, Extent part)
    {
        bool hasRule = Table.TryGet(unit, out _);
        if (hasRule && (!IsInDoubt(unit) || request.Parent!.Operation == IoOperation.WriteZeroes))
        {
            return true;
        }
        if (!TryRent(request, out FragmentIo fragment))
        {
            return false;
        }
        BufferSlice data = request.Parent!.Operation == IoOperation.Write
            ? request.BufferFor(part, Units.BlockSize)
            : _zeroes.Slice(0, (int)part.Count.ToBytes(Units.BlockSize).Value);
        PrepareRepair(fragment, part, data, IoOperation.Write);
        _redirects.Enqueue(fragment);
        return false;
    }

    private static bool Skip(RemapRequest request, Extent part)
    {
        request.Cursor = part.End;
        return false;
    }

    /// <summary>A fragment that goes to a repair without having been to a member.</summary>
    private void PrepareRepair(FragmentIo fragment, Extent part, BufferSlice data, IoOperation operation)
    {
        RemapRequest request = fragment.Request!;
        request.Outstanding++;
        request.Cursor = part.End;
        fragment.Member = Primary;
        fragment.Exported = part;
        fragment.Losses = _losses;
        fragment.Io.Prepare(this, operation, part, data, request.Parent!.Flags & IoFlags.ForceUnitAccess);
    }
}
