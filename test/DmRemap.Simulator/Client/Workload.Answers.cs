using System;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Remapping;
using DmRemap.Engine;
using DmRemap.Simulator.Disks;
using DmRemap.Simulator.World;

namespace DmRemap.Simulator.Client;

/// <summary>What the answers must be.</summary>
internal sealed partial class Workload
{
    private bool _isHandworkUnderWay;

    public bool IsMoving => _isHandworkUnderWay;

    public void OnCompleted(IoRequest io)
    {
        ClientRequest request = (ClientRequest)io.Context!;
        if (!request.IsUnderWay || !ReferenceEquals(request.Io, io))
        {
            throw new Violation("answers", $"request {request.Version} was answered twice");
        }
        _model.Tick();
        _universe.Trace.Add(
            TraceKind.Answer, _universe.Now, request.Version, (long)io.Status, io.Errno,
            _universe.Trace.IsPrinting ? $"{io.Operation} {io.Extent} {io.Status}" : null);
        if (io.Operation != IoOperation.Read && request.Sectors > 0)
        {
            _promptness.OnChange(request, -1, _model.Clock);
        }
        bool isPromise = io.Operation == IoOperation.Flush || io.IsForceUnitAccess;
        Promises += isPromise && io.Status == IoStatus.Ok ? 1 : 0;
        switch (io.Operation)
        {
            case IoOperation.Read:
                TakeRead(request);
                break;
            case IoOperation.Write:
            case IoOperation.WriteZeroes:
                TakeWrite(request);
                break;
            case IoOperation.Discard:
                TakeDiscard(request);
                break;
            default:
                TakeFlush(request);
                break;
        }
        request.IsUnderWay = false;
        UnderWay--;
        NoteOldest();
        if (_left > 0 && !IsPlanned)
        {
            _universe.Plan(this, _dice.Spread(_config.ThinkMax));
        }
    }

    private void NoteOldest()
    {
        long oldestAsked = long.MaxValue;
        int oldestBegan = _model.Clock;
        foreach (ClientRequest request in _requests)
        {
            if (request.IsUnderWay)
            {
                oldestAsked = Math.Min(oldestAsked, request.Io.Token);
                oldestBegan = Math.Min(oldestBegan, request.Began);
            }
        }
        OldestAskedAt = oldestAsked;
        _model.OldestRead = oldestBegan;
    }

    /// <summary>Held by a suspended device when it was stopped.</summary>
    private bool IsRefused(IoRequest io) => io.Status == IoStatus.ShuttingDown && IsStopping;

    private void TakeRead(ClientRequest request)
    {
        IoRequest io = request.Io;
        if (IsRefused(io))
        {
            return;
        }
        if (io.Status != IoStatus.Ok && io.Failed.Count == 0)
        {
            Unexcused(request, "no failed extent is named");
        }
        if (_device!.Table.IsEntirelyPrimary(io.Extent))
        {
            _promptness.CheckRead(request, io.Token, _universe.Now);
        }
        Span<byte> data = request.Buffer.Span;
        for (int i = 0; i < request.Sectors; i++)
        {
            long sector = request.FirstSector + i;
            if (io.Status != IoStatus.Ok && IsFailed(io, sector))
            {
                if (_excuses.IsUnavailable(UnitOf(sector)))
                {
                    // Not lost: it is there again when its spare is.
                    continue;
                }
                bool isExcused = _readability.MayFail(sector, request.Began)
                    || _excuses.ExcusesRead(io.Status)
                    || IsInWidened(io, sector);
                if (!isExcused)
                {
                    Unexcused(request, $"sector {sector} is not bad: {_readability.Describe(sector)}");
                }
                _readability.OnFailed(sector);
                continue;
            }
            if (!Stamp.TryRead(data.Slice(i * Page.SectorBytes, Page.SectorBytes), out ulong value))
            {
                throw new Violation("P1", $"sector {sector} is not one write's");
            }
            _model.CheckRead(sector, value, request.Began);
        }
    }

    private UnitNumber UnitOf(long sector) =>
        _device!.Units.UnitOf(new BlockNumber(sector / _config.SectorsPerBlock));

    private bool IsAnyUnavailable(ClientRequest request)
    {
        bool isAny = false;
        for (int i = 0; i < request.Sectors; i++)
        {
            isAny |= _excuses.IsUnavailable(UnitOf(request.FirstSector + i));
        }
        return isAny;
    }

    private bool IsFailed(IoRequest io, long sector)
    {
        BlockNumber block = new(sector / _config.SectorsPerBlock);
        for (int i = 0; i < io.Failed.Count; i++)
        {
            if (io.Failed[i].Contains(block))
            {
                return true;
            }
        }
        return false;
    }

    /// <summary>Where there are more than eight extents, the last names everything up to the end.</summary>
    private bool IsInWidened(IoRequest io, long sector)
    {
        int last = Limits.FailedExtentsMax - 1;
        return io.Failed.Count == Limits.FailedExtentsMax
            && io.Failed[last].Contains(new BlockNumber(sector / _config.SectorsPerBlock));
    }

    private void TakeWrite(ClientRequest request)
    {
        IoRequest io = request.Io;
        bool isDone = io.Status == IoStatus.Ok;
        // Zeroes are forced by a flush, which may fail when a member's flush has: then nothing is known.
        bool isExcused = isDone
            || IsRefused(io)
            || _excuses.ExcusesWrite(io.Status)
            || IsAnyUnavailable(request)
            || (io.Operation == IoOperation.WriteZeroes && _excuses.ExcusesFlush(io.Status));
        if (!isExcused)
        {
            Unexcused(request, "a spare could take it");
        }
        for (int i = 0; i < request.Sectors; i++)
        {
            long sector = request.FirstSector + i;
            ulong value = ValueOf(request, io.Operation, i);
            if (isDone)
            {
                _model.EndDone(sector, value, request.Began, io.IsForceUnitAccess);
                _readability.OnWritten(sector, request.Began);
            }
            else
            {
                _model.EndUnclear(sector, value, request.Began);
            }
        }
    }

    /// <summary>A hint: it may have had an effect or not, also where it succeeded.</summary>
    private void TakeDiscard(ClientRequest request)
    {
        if (request.Io.Status != IoStatus.Ok && !IsRefused(request.Io))
        {
            Unexcused(request, "a hint never fails");
        }
        for (int i = 0; i < request.Sectors; i++)
        {
            _model.EndUnclear(request.FirstSector + i, 0, request.Began);
        }
    }

    private void TakeFlush(ClientRequest request)
    {
        if (request.Io.Status == IoStatus.Ok)
        {
            _model.Flushed(request.FlushClient, request.Began);
            return;
        }
        _model.FlushFailed(request.FlushClient, request.Began);
        if (!_excuses.ExcusesFlush(request.Io.Status) && !IsRefused(request.Io))
        {
            Unexcused(request, "no flush of a disk failed");
        }
    }

    private static void Unexcused(ClientRequest request, string why)
    {
        IoRequest io = request.Io;
        string failed = "";
        for (int i = 0; i < io.Failed.Count; i++)
        {
            failed += $" {io.Failed[i]}";
        }
        throw new Violation(
            io.Operation is IoOperation.Write or IoOperation.WriteZeroes ? "P2" : "errors",
            $"request {request.Version}, {io.Operation} {io.Extent}, failed with {io.Status}"
                + $" (errno {io.Errno}) in{failed}: {why}");
    }

    /// <summary>
    /// A person moves a few units while everything goes on, to a spare or back, or has them tried again, or
    /// declares their blocks lost.
    /// </summary>
    private void Move(long start)
    {
        UnitNumber first = _device!.Units.UnitOf(new BlockNumber(start));
        long count = _dice.Spread(20);
        int kind = _config.HasHandwork ? _dice.Below(8) : 0;
        bool isOfEntries = kind is >= 3 and <= 6;
        if (isOfEntries && _device.Table.TryGetNext(first, out RemapEntry entry))
        {
            first = entry.Unit;
        }
        UnitNumber last = new(Math.Min(first.Value + count - 1, _device.Units.Units - 1));
        if (_isHandworkUnderWay)
        {
            return;
        }
        // Before it is asked for: where nothing is to be done, the end comes at once.
        _isHandworkUnderWay = true;
        for (long unit = first.Value; unit <= last.Value; unit++)
        {
            _promptness.OnSpecial(unit);
        }
        bool isTaken = kind switch
        {
            >= 3 and <= 5 => _device.TryStartMove(
                new UnitMoving(this) { First = first, Last = last, To = MoveTarget.Primary }),
            6 => _device.TryStartRetest(new UnitRetest(this) { First = first, Last = last }),
            7 => Declare(start, Math.Min(count, 3)),
            _ => _device.TryStartMove(new UnitMoving(this) { First = first, Last = last }),
        };
        if (!isTaken && (_device.IsHolding || _device.IsEvacuating))
        {
            _isHandworkUnderWay = false;
            return;
        }
        if (!isTaken)
        {
            throw new Violation("answers", "work by hand was refused, and none is running");
        }
        _universe.Trace.Add(TraceKind.Move, _universe.Now, first.Value, last.Value);
    }

    private bool Declare(long start, long count)
    {
        Extent blocks = new(
            new BlockNumber(start), new BlockCount(Math.Min(count, _config.Blocks - start)));
        NoteDeclared(blocks);
        return _device!.TryStartDeclaration(new LossDeclaring(this) { Blocks = blocks });
    }

    /// <summary>
    /// From when it is asked for they may fail; and again from when it is done: it waits for writes, which
    /// seem to have ended it.
    /// </summary>
    private void NoteDeclared(Extent blocks)
    {
        long first = blocks.Start.Value * _config.SectorsPerBlock;
        for (int sector = 0; sector < blocks.Count.Value * _config.SectorsPerBlock; sector++)
        {
            _readability.OnFailed(first + sector);
        }
    }

    private void EndHandwork()
    {
        if (!_isHandworkUnderWay)
        {
            throw new Violation("answers", "work by hand ended twice");
        }
        _isHandworkUnderWay = false;
    }

    private sealed class UnitMoving(Workload workload) : MoveRequest
    {
        public override void OnFinished() => workload.EndHandwork();
    }

    private sealed class UnitRetest(Workload workload) : RetestRequest
    {
        public override void OnFinished() => workload.EndHandwork();
    }

    private sealed class LossDeclaring(Workload workload) : DeclareRequest
    {
        public override void OnFinished()
        {
            workload.NoteDeclared(Blocks);
            workload.EndHandwork();
        }
    }
}
