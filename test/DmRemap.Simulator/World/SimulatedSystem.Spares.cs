using System;
using DmRemap.Core.Metadata;
using DmRemap.Engine;
using DmRemap.Engine.Metadata;
using DmRemap.Simulator.Disks;

namespace DmRemap.Simulator.World;

/// <summary>Spares that are added and removed while it serves: what a composition root does for it.</summary>
internal sealed partial class SimulatedSystem : IMembershipChangeOwner, IMemberErasureOwner
{
    private SimulatedDisk? _changing;
    private SpareWork _work;

    private enum SpareWork : byte
    {
        None = 0,
        Adding = 1,
        Evacuating = 2,
        Retiring = 3,
        Erasing = 4,
    }

    /// <summary>What a spare that left held just before it was erased.</summary>
    public Action<SimulatedDisk>? OnRetired { get; set; }

    public bool IsChangingSpares => _work != SpareWork.None;

    /// <summary>Nobody's any more: a stop does not wait for it.</summary>
    public bool IsErasing(SimulatedDisk disk) => _work == SpareWork.Erasing && _changing == disk;

    public int Additions { get; private set; }

    public int Removals { get; private set; }

    public void BeginAddition(SimulatedDisk disk, Guid uuid)
    {
        MemberAddition? addition = _store!.PlanAddition(
            View(disk, IoOrigin.Metadata), uuid, static _ => false, out _);
        if (addition is null)
        {
            return;
        }
        _universe.Trace.Add(TraceKind.Spare, _universe.Now, 1, disk.Index);
        _roster.BeginAddition(disk);
        _changing = disk;
        _offered = [.. _offered, disk];
        _work = SpareWork.Adding;
        addition.Build(_store.Ring);
        _watch.Learn(disk.Index, addition.Member.Layout);
        _watch.ExpectSeed(disk.Index);
        Member member = new(
            addition.Index, $"spare{disk.Index}", View(disk, IoOrigin.Data),
            addition.Member.Layout.DataStart)
        {
            Kind = KindOf(disk),
        };
        Device!.AddSpare(member, addition.Member.Layout.DataUnits);
        Narrow(Device.Allocator, addition.Index, addition.Member.Layout.DataUnits);
        _store.BeginAddition(addition, this);
    }

    public void BeginRemoval(SimulatedDisk disk, bool acceptsLoss)
    {
        if (!CanGo(disk.Index))
        {
            return;
        }
        Evacuating request = new(this) { Spare = disk.Index, AcceptsLoss = acceptsLoss };
        if (acceptsLoss && Device!.Members[disk.Index + 1].IsAbsent)
        {
            _excuses.OnLossAccepted(disk.Index, Device.Table);
        }
        _changing = disk;
        _work = SpareWork.Evacuating;
        if (!Device!.TryStartEvacuation(request))
        {
            _work = SpareWork.None;
            return;
        }
        _universe.Trace.Add(TraceKind.Spare, _universe.Now, 2, disk.Index);
    }

    /// <summary>A person thinks better of it.</summary>
    public void AbandonRemoval() => Device!.AbandonMove();

    /// <summary>What a change that was cut off by a crash has left, after a start.</summary>
    public void FinishChange()
    {
        _roster.NoteFound(_store!.MemberCount);
        if (_roster.Unsettled is not SimulatedDisk disk)
        {
            return;
        }
        int index = disk.Index;
        MemberState state = index < _store!.MemberCount
            ? _store.DescriptionOf(index).State
            : MemberState.None;
        if (state != MemberState.None)
        {
            _roster.NoteListed(disk);
        }
        _changing = disk;
        switch (state)
        {
            case MemberState.Active:
                // Counted; or not gone yet, which then has to be asked for again.
                _roster.Settle();
                break;
            case MemberState.Inactive when !HasUnits(index):
                Retire();
                break;
            case MemberState.Inactive:
                _roster.Settle();
                break;
            case MemberState.None:
            case MemberState.Retired:
            default:
                Erase();
                break;
        }
    }

    void IMembershipChangeOwner.OnMembershipChanged(bool isDone)
    {
        SimulatedDisk disk = _changing!;
        bool wasAdding = _work == SpareWork.Adding;
        _work = SpareWork.None;
        if (disk.Index < _store!.MemberCount)
        {
            _roster.NoteListed(disk);
        }
        if (Phase != SystemPhase.Serving)
        {
            // The next start sees to it.
            return;
        }
        if (wasAdding && isDone)
        {
            Additions++;
            _roster.Settle();
            Device!.LendFrom(disk.Index);
        }
        else if (wasAdding && disk.Index >= _store.MemberCount)
        {
            _roster.Drop(disk);
        }
        else if (wasAdding)
        {
            Retire();
        }
        else if (isDone)
        {
            Removals++;
            Device!.RemoveSpare(disk.Index);
            OnRetired?.Invoke(disk);
            Erase();
        }
        else
        {
            StayWith(disk);
        }
    }

    void IMemberErasureOwner.OnErased(bool isDone)
    {
        _work = SpareWork.None;
        _roster.Drop(_changing!);
    }

    private void OnEvacuated(Evacuating request)
    {
        _work = SpareWork.None;
        bool mayGoOn = request.IsComplete && Phase == SystemPhase.Serving && CanRetire(request.Spare);
        if (mayGoOn)
        {
            // Recorded first: a start finds it retired, or not, and must take both.
            _roster.BeginRemoval(_changing!);
            Retire();
        }
        else
        {
            StayWith(_changing!);
        }
    }

    private void StayWith(SimulatedDisk disk)
    {
        _roster.Settle();
        if (_store!.Members[disk.Index] is { IsActive: true })
        {
            Device!.LendFrom(disk.Index);
        }
    }

    private void Retire()
    {
        if (!CanRetire(_changing!.Index))
        {
            return;
        }
        _work = SpareWork.Retiring;
        _store!.BeginRetirement(_changing.Index, this);
    }

    private void Erase()
    {
        _watch.Forget(_changing!.Index);
        if (Array.IndexOf(_offered, _changing) < 0)
        {
            // It is not here: whoever brings it back finds it refused.
            _roster.Drop(_changing);
            return;
        }
        _work = SpareWork.Erasing;
        new MemberErasure(_process, View(_changing, IoOrigin.Metadata), this).Begin();
    }

    /// <summary>Others are there to take what it holds.</summary>
    private bool CanGo(int spare)
    {
        long room = 0;
        for (int i = 0; i < _store!.MemberCount; i++)
        {
            bool isLender = i != spare && Device!.Allocator.IsUsable(i);
            room += isLender ? Device!.Allocator.UnitsFree(i) : 0;
        }
        return CanRetire(spare) && room >= Device!.Allocator.UnitsUsed(spare)
            && !_store.IsMembershipChanging;
    }

    private bool CanRetire(int spare)
    {
        bool isOther = false;
        for (int i = 0; i < _store!.MemberCount; i++)
        {
            isOther |= i != spare && _store.Members[i] is { IsActive: true };
        }
        return isOther && !_store.IsMembershipChanging;
    }

    private bool HasUnits(int spare) => Device!.Allocator.UnitsUsed(spare) > 0;

    private sealed class Evacuating(SimulatedSystem system) : EvacuationRequest
    {
        public override void OnFinished() => system.OnEvacuated(this);
    }
}
