using System.Numerics;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using DmRemap.Engine.Repair;
using DmRemap.Engine.Requests;

namespace DmRemap.Engine;

/// <summary>Fragments on their way into repairs: a bounded set of jobs, and lines for what must wait for one.</summary>
public sealed partial class RemapDevice : ITimerOwner
{
    /// <summary>Repairs of each kind at once. A fragment that waits for one holds nothing.</summary>
    private const int JobsMax = 16;

    private readonly FragmentQueue _waitingRescues = new();
    private readonly FragmentQueue _waitingRedirects = new();
    private readonly LoopTimer _lazyCommit;
    private RepairJob? _freeRescues;
    private RepairJob? _freeRedirects;
    private int _busyJobs;

    private bool HasWaitingRepairs =>
        (!_waitingRescues.IsEmpty && _freeRescues is not null) || (!_waitingRedirects.IsEmpty && _freeRedirects is not null);

    public void OnTimer(LoopTimer timer)
    {
        if (Pending.Count > 0)
        {
            _flush.StartIfIdle();
        }
        Pump();
    }

    internal void FinishRescue(FragmentIo fragment, ReadRescue job)
    {
        _busyJobs--;
        job.NextFree = _freeRescues;
        _freeRescues = job;
        Finish(fragment);
    }

    internal void FinishRedirect(FragmentIo fragment, WriteRedirect job)
    {
        _busyJobs--;
        job.NextFree = _freeRedirects;
        _freeRedirects = job;
        Finish(fragment);
    }

    private void EnqueueRescue(FragmentIo fragment) => _waitingRescues.Enqueue(fragment);

    private void EnqueueRedirect(FragmentIo fragment) => _waitingRedirects.Enqueue(fragment);

    private bool StartWaitingRepairs()
    {
        bool started = false;
        while (_freeRescues is not null && _waitingRescues.TryDequeue(out FragmentIo fragment))
        {
            ReadRescue job = (ReadRescue)_freeRescues;
            _freeRescues = job.NextFree;
            _busyJobs++;
            job.Begin(fragment);
            started = true;
        }
        while (_freeRedirects is not null && _waitingRedirects.TryDequeue(out FragmentIo fragment))
        {
            WriteRedirect job = (WriteRedirect)_freeRedirects;
            _freeRedirects = job.NextFree;
            _busyJobs++;
            job.Begin(fragment);
            started = true;
        }
        return started;
    }

    /// <summary>
    /// The part up to the first suspect or doubtful place. False when the part began with one: it has been answered or
    /// given to a repair (the cursor has moved), or the request waits for a slot.
    /// </summary>
    private bool TryPassSuspicion(RemapRequest request, ref Extent part)
    {
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
        if (IsInDoubt(unit))
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
            EnqueueRescue(fragment);
            return false;
        }
        _fragments.Return(fragment);
        request.Fail(IoStatus.DeviceError, 5, part);
        return Skip(request, part);
    }

    /// <summary>To a spare at once, unless the unit has one already and is not in doubt.</summary>
    private bool TryWriteSuspicious(RemapRequest request, UnitNumber unit, Extent part)
    {
        if (!IsInDoubt(unit) && Table.TryGet(unit, out _))
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
        EnqueueRedirect(fragment);
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
        fragment.Io.Prepare(this, operation, part, data);
    }
}
