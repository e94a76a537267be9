using System;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Remapping;
using DmRemap.Core.Requests;
using DmRemap.Engine.Repair;
using DmRemap.Engine.Requests;

namespace DmRemap.Engine;

/// <summary>
/// How a request becomes fragments: nearly always one, to the primary, without a look at anything cold.
/// </summary>
public sealed partial class RemapDevice
{
    private void SplitRead(RemapRequest request)
    {
        while (!request.IsSplit)
        {
            if (!TryNextPart(request, out Extent part))
            {
                return;
            }
            if (HasSuspicion && !TryPassSuspicion(request, ref part))
            {
                if (request.IsQueued)
                {
                    return;
                }
                continue;
            }
            Fragment piece = new(FragmentTarget.Primary, part, SpareLocation.None, 0);
            if (!Table.IsEntirelyPrimary(part))
            {
                new RequestSplitter(Table, part).TryNext(out piece);
            }
            if (!SubmitReadFragment(request, piece))
            {
                return;
            }
        }
    }

    private void SplitWrite(RemapRequest request)
    {
        while (!request.IsSplit)
        {
            if (!TryNextPart(request, out Extent part))
            {
                return;
            }
            if (HasSuspicion && !TryPassSuspicion(request, ref part))
            {
                if (request.IsQueued)
                {
                    return;
                }
                continue;
            }
            bool isSubmitted = Table.IsEntirelyPrimary(part)
                ? SubmitPrimary(request, part, ForcedOnPrimary)
                : SubmitWriteAtEntry(request, part);
            if (!isSubmitted)
            {
                return;
            }
        }
    }

    /// <summary>
    /// Zeroes: commands in slices where the primary is healthy, a rule where a unit has an entry, data where
    /// a command has failed or a unit is suspect.
    /// </summary>
    private void SplitZeroes(RemapRequest request)
    {
        while (!request.IsSplit)
        {
            if (!TryNextPart(request, out Extent part))
            {
                return;
            }
            if (HasSuspicion && !TryPassSuspicion(request, ref part))
            {
                if (request.IsQueued)
                {
                    return;
                }
                continue;
            }
            bool asData = request.Cursor < request.ZeroesAsDataEnd || !Primary.Device.Geometry.CanWriteZeroes;
            long bytesMax = asData ? Limits.SliceBytes : Limits.ZeroingSliceBytes;
            part = Shorten(part, bytesMax);
            if (!Table.IsEntirelyPrimary(part))
            {
                Table.TryGetNext(Units.UnitOf(part.Start), out RemapEntry entry);
                Extent unit = Units.ExtentOf(entry.Unit);
                if (unit.Start <= part.Start)
                {
                    if (!TrySubmitZeroRule(request, part))
                    {
                        return;
                    }
                    continue;
                }
                part = Extent.FromBounds(part.Start, unit.Start);
            }
            if (!TrySubmitZeroes(request, part, asData))
            {
                return;
            }
        }
    }

    /// <summary>
    /// Discard is a hint. It never changes what a block with an entry reads (F-11), and never makes a lost
    /// one readable.
    /// </summary>
    private void SplitDiscard(RemapRequest request)
    {
        if (!Primary.Device.Geometry.CanDiscard)
        {
            request.Cursor = request.Parent!.Extent.End;
            return;
        }
        while (!request.IsSplit)
        {
            if (!TryNextPart(request, out Extent part))
            {
                return;
            }
            if (HasSuspicion && !TryPassSuspicion(request, ref part))
            {
                if (request.IsQueued)
                {
                    return;
                }
                continue;
            }
            part = Shorten(part, Limits.ZeroingSliceBytes);
            if (!Table.IsEntirelyPrimary(part))
            {
                Table.TryGetNext(Units.UnitOf(part.Start), out RemapEntry entry);
                Extent unit = Units.ExtentOf(entry.Unit);
                if (unit.Start <= part.Start)
                {
                    request.Cursor = unit.Intersect(part).End;
                    continue;
                }
                part = Extent.FromBounds(part.Start, unit.Start);
            }
            if (request.Outstanding > 1 || !TryRent(request, out FragmentIo fragment))
            {
                return;
            }
            SubmitTo(fragment, Primary, IoOperation.Discard, part, part, default);
        }
    }

    /// <summary>The rest of the request up to the next held unit. False: it waits for that one.</summary>
    private bool TryNextPart(RemapRequest request, out Extent part)
    {
        part = request.Remaining;
        if (Holds.Count > 0 && Holds.TryFindFirst(
            part, request.Parent!.Operation == IoOperation.Read, out UnitNumber held))
        {
            Extent unit = Units.ExtentOf(held);
            if (unit.Start <= part.Start)
            {
                Holds.Wait(held, request);
                return false;
            }
            part = Extent.FromBounds(part.Start, unit.Start);
        }
        return true;
    }

    private bool SubmitPrimary(RemapRequest request, Extent part, IoFlags forced)
    {
        if (!TryRent(request, out FragmentIo fragment))
        {
            return false;
        }
        IoRequest parent = request.Parent!;
        IoFlags flags = (parent.Flags & IoFlags.ForceUnitAccess) | forced;
        SubmitTo(fragment, Primary, parent.Operation, part, part, request.BufferFor(part, Units.BlockSize),
            flags);
        return true;
    }

    private bool SubmitReadFragment(RemapRequest request, Fragment piece)
    {
        switch (piece.Target)
        {
            case FragmentTarget.Primary:
                return IsReadRefused(request, Primary, piece.Extent)
                    || SubmitPrimary(request, piece.Extent, IoFlags.None);
            case FragmentTarget.Spare:
                if (IsReadRefused(request, Spare(piece.Location.Spare), piece.Extent))
                {
                    return true;
                }
                if (!TryRent(request, out FragmentIo fragment))
                {
                    return false;
                }
                SubmitSpare(fragment, piece.Location, piece.FirstIndexInUnit, piece.Extent);
                return true;
            case FragmentTarget.Zero:
                request.BufferFor(piece.Extent, Units.BlockSize).Span.Clear();
                request.Cursor = piece.Extent.End;
                return true;
            case FragmentTarget.Lost:
                request.Fail(IoStatus.Unreadable, 0, piece.Extent);
                request.Cursor = piece.Extent.End;
                return true;
            default:
                Invariant.Unreachable("a fragment without a target");
                return false;
        }
    }

    private bool SubmitWriteAtEntry(RemapRequest request, Extent part)
    {
        Table.TryGetNext(Units.UnitOf(part.Start), out RemapEntry entry);
        Extent unit = Units.ExtentOf(entry.Unit);
        return part.Start < unit.Start
            ? SubmitPrimary(request, Extent.FromBounds(part.Start, unit.Start), ForcedOnPrimary)
            : SubmitWriteInto(request, entry, unit.Intersect(part));
    }

    /// <summary>
    /// A write into a unit with an entry: to its spare unit where all these blocks are there already.
    /// </summary>
    private bool SubmitWriteInto(RemapRequest request, in RemapEntry entry, Extent part)
    {
        if (!TryRent(request, out FragmentIo fragment))
        {
            return false;
        }
        ulong mask = Units.MaskIn(entry.Unit, part);
        // In probation the primary is written too, and a second copy always, under the unit's hold (F-4,
        // F-22).
        bool isInPlace = (entry.Blocks.MaskOf(BlockState.OnSpare) & mask) == mask
            && entry.State == UnitState.Remapped && entry.Second.IsNone;
        if (isInPlace)
        {
            SubmitSpare(fragment, entry.Location, Units.IndexInUnit(part.Start), part);
        }
        else
        {
            // The write changes the unit's rule: it goes through the redirection, which makes that durable
            // first.
            PrepareRepair(fragment, part, request.BufferFor(part, Units.BlockSize), IoOperation.Write);
            _redirects.Enqueue(fragment);
        }
        return true;
    }

    private void SubmitSpare(FragmentIo fragment, SpareLocation location, int index, Extent part)
    {
        RemapRequest request = fragment.Request!;
        IoRequest parent = request.Parent!;
        Extent onSpare = new(SpareBlock(location, index), part.Count);
        IoFlags flags = parent.Flags & IoFlags.ForceUnitAccess;
        BufferSlice buffer = request.BufferFor(part, Units.BlockSize);
        SubmitTo(fragment, Spare(location.Spare), parent.Operation, part, onSpare, buffer, flags);
    }

    /// <summary>Units with entries, as many as follow each other here.</summary>
    private bool TrySubmitZeroRule(RemapRequest request, Extent part)
    {
        if (request.Outstanding > 1 || !TryRent(request, out FragmentIo fragment))
        {
            return false;
        }
        UnitNumber last = Units.UnitOf(part.Start);
        BlockNumber end = Units.ExtentOf(last).End;
        for (int count = 1; count < ZeroRule.UnitsMax && end < part.End; count++)
        {
            last = new UnitNumber(last.Value + 1);
            if (!Table.TryGet(last, out _))
            {
                break;
            }
            end = Units.ExtentOf(last).End;
        }
        Extent covered = Extent.FromBounds(part.Start, end).Intersect(part);
        PrepareRepair(fragment, covered, default, IoOperation.WriteZeroes);
        _zeroRules.Enqueue(fragment);
        return true;
    }

    private bool TrySubmitZeroes(RemapRequest request, Extent part, bool asData)
    {
        // One slice at a time: a zeroing of the whole disk must not be in flight on every unit at once
        // (F-18).
        if (request.Outstanding > 1 || !TryRent(request, out FragmentIo fragment))
        {
            return false;
        }
        if (asData)
        {
            BufferSlice zeroes = _zeroes.Slice(0, (int)part.Count.ToBytes(Units.BlockSize).Value);
            SubmitTo(fragment, Primary, IoOperation.Write, part, part, zeroes, ForcedOnPrimary);
        }
        else
        {
            IoFlags flags = request.Parent!.Flags & IoFlags.KeepAllocated;
            SubmitTo(fragment, Primary, IoOperation.WriteZeroes, part, part, default, flags);
        }
        return true;
    }

    private void SubmitTo(
        FragmentIo fragment,
        Member member,
        IoOperation operation,
        Extent exported,
        Extent onMember,
        BufferSlice buffer,
        IoFlags flags = IoFlags.None)
    {
        RemapRequest request = fragment.Request!;
        request.Outstanding++;
        request.Cursor = exported.End;
        fragment.Member = member;
        fragment.Exported = exported;
        fragment.Losses = _losses;
        _fragmentsSent++;
        fragment.Order = _fragmentsSent;
        fragment.Io.Prepare(this, operation, onMember, buffer, flags);
        if (member.Gate.IsOpen)
        {
            member.Device.Submit(fragment.Io);
        }
        else
        {
            SubmitToGone(fragment);
        }
    }

    /// <summary>
    /// A slot for the request's next fragment; without one the request waits in line for it.
    /// </summary>
    private bool TryRent(RemapRequest request, out FragmentIo fragment)
    {
        if (_fragments.TryRent(out fragment))
        {
            fragment.Request = request;
            return true;
        }
        _waitingForFragments.Enqueue(request);
        return false;
    }

    private Extent Shorten(Extent part, long bytesMax)
    {
        long blocks = Math.Min(part.Count.Value, bytesMax / Units.BlockSize.Bytes);
        return new Extent(part.Start, new BlockCount(blocks));
    }
}
