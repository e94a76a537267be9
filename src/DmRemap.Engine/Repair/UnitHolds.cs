using System.Collections.Generic;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Remapping;
using DmRemap.Engine.Requests;

namespace DmRemap.Engine.Repair;

/// <summary>Who may own a hold: told when it has the unit to itself.</summary>
internal interface IHoldOwner
{
    /// <summary>
    /// The unit is held and no write is outstanding on it. Never called from inside Acquire.
    /// </summary>
    void OnHeld(UnitNumber unit);

    /// <summary>
    /// What the unit reads stays the same, and where it lies, until the hold ends: only changes wait.
    /// </summary>
    bool LetsReadsPass { get; }
}

/// <summary>
/// Units that are being repaired or moved. A held unit's requests wait; nothing else does. Rules against
/// deadlock
/// (F-18): a request that waits here has given back what it held (it holds nothing); an owner that needs
/// several units takes them one at a time in ascending order; draining counts fragments outstanding at
/// members, not requests.
/// </summary>
internal sealed class UnitHolds(UnitGeometry geometry, FragmentPool fragments)
{
    private readonly List<Hold> _holds = new(Limits.FragmentsInFlightMax);
    private readonly Stack<Hold> _free = new();

    /// <summary>Held units. Zero nearly always: the data path then asks no further.</summary>
    public int Count => _holds.Count;

    /// <summary>
    /// Hold the unit, or stand in line for it. The owner is told through <see cref="GrantReady"/>, later.
    /// </summary>
    public void Acquire(UnitNumber unit, IHoldOwner owner)
    {
        Hold? hold = Find(unit);
        if (hold is null)
        {
            hold = _free.Count > 0 ? _free.Pop() : new Hold();
            hold.Unit = unit;
            hold.Owner = owner;
            hold.IsGranted = false;
            _holds.Add(hold);
            return;
        }
        Invariant.Check(!ReferenceEquals(hold.Owner, owner));
        hold.OwnersWaiting.Enqueue(owner);
    }

    /// <summary>
    /// Give the unit to the next owner in line; else let it go and append the requests that waited for it to
    /// the queue.
    /// </summary>
    public void Release(UnitNumber unit, RequestQueue resumed)
    {
        Hold hold = Find(unit)!;
        Invariant.Check(hold is not null);
        Invariant.Check(hold.IsGranted);
        if (hold.OwnersWaiting.Count > 0)
        {
            hold.Owner = hold.OwnersWaiting.Dequeue();
            hold.IsGranted = false;
            return;
        }
        while (hold.RequestsWaiting.TryDequeue(out RemapRequest request))
        {
            resumed.Enqueue(request);
        }
        hold.Owner = null;
        _holds.Remove(hold);
        _free.Push(hold);
    }

    /// <summary>The first held unit in these blocks that such a request has to wait for, if any.</summary>
    public bool TryFindFirst(Extent blocks, bool isRead, out UnitNumber first)
    {
        first = default;
        bool found = false;
        foreach (Hold hold in _holds)
        {
            bool isPassed = isRead && hold.Owner!.LetsReadsPass && hold.OwnersWaiting.Count == 0;
            bool isFirst = (!found || hold.Unit < first) && geometry.ExtentOf(hold.Unit).Overlaps(blocks);
            if (isFirst && !isPassed)
            {
                first = hold.Unit;
                found = true;
            }
        }
        return found;
    }

    public bool IsHeld(UnitNumber unit) => Find(unit) is not null;

    /// <summary>The request continues when the unit is let go.</summary>
    public void Wait(UnitNumber unit, RemapRequest request) => Find(unit)!.RequestsWaiting.Enqueue(request);

    /// <summary>
    /// One hold whose unit has become quiet, and its owner to be told. Called by the device until it finds
    /// none.
    /// </summary>
    public bool GrantReady(out IHoldOwner owner, out UnitNumber unit)
    {
        foreach (Hold hold in _holds)
        {
            if (!hold.IsGranted && !fragments.AnyChanging(geometry.ExtentOf(hold.Unit)))
            {
                hold.IsGranted = true;
                owner = hold.Owner!;
                unit = hold.Unit;
                return true;
            }
        }
        owner = null!;
        unit = default;
        return false;
    }

    private Hold? Find(UnitNumber unit)
    {
        foreach (Hold hold in _holds)
        {
            if (hold.Unit == unit)
            {
                return hold;
            }
        }
        return null;
    }

    private sealed class Hold
    {
        public UnitNumber Unit { get; set; }

        public IHoldOwner? Owner { get; set; }

        public bool IsGranted { get; set; }

        public Queue<IHoldOwner> OwnersWaiting { get; } = new();

        public RequestQueue RequestsWaiting { get; } = new();
    }
}
