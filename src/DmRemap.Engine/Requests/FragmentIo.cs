using System.Collections.Generic;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Remapping;

namespace DmRemap.Engine.Requests;

/// <summary>
/// One piece of a request on its way to one member. Pooled; the IoRequest inside lives as long as the slot.
/// </summary>
internal sealed class FragmentIo
{
    public FragmentIo() => Io = new IoRequest { Context = this };

    public IoRequest Io { get; }

    public RemapRequest? Request { get; set; }

    public Member? Member { get; set; }

    /// <summary>
    /// The blocks of the exported device that this piece is for (Io.Extent is in the member's blocks).
    /// </summary>
    public Extent Exported { get; set; }

    /// <summary>Link: free, or waiting for a repair job.</summary>
    public FragmentIo? Next { get; set; }

    /// <summary>How often acknowledged writes had become uncertain when it was sent.</summary>
    public long Losses { get; set; }

    /// <summary>
    /// Which came first: of two that failed because a disk is gone, it goes out first again.
    /// </summary>
    public long Order { get; set; }

    /// <summary>Whoever asked for it has been answered.</summary>
    public bool IsAbandoned { get; set; }

    /// <summary>Its member's disk is gone, and it waits for its return.</summary>
    public bool IsKept { get; set; }

    public bool ChangesContent =>
        Io.Operation is IoOperation.Write or IoOperation.WriteZeroes or IoOperation.Discard;
}

/// <summary>
/// All fragment slots. They stay in one array, so that a hold can count those outstanding on its unit (F-18).
/// </summary>
internal sealed class FragmentPool
{
    private readonly FragmentIo[] _all;
    private FragmentIo? _free;

    public FragmentPool(int count)
    {
        _all = new FragmentIo[count];
        for (int i = 0; i < count; i++)
        {
            FragmentIo fragment = new() { Next = _free };
            _all[i] = fragment;
            _free = fragment;
        }
        FreeCount = count;
    }

    public int FreeCount { get; private set; }

    public bool IsAllFree => FreeCount == _all.Length;

    public bool TryRent(out FragmentIo fragment)
    {
        fragment = _free!;
        if (_free is null)
        {
            return false;
        }
        _free = fragment.Next;
        fragment.Next = null;
        FreeCount--;
        return true;
    }

    public void Return(FragmentIo fragment)
    {
        Invariant.Check(!fragment.Io.IsSubmitted);
        if (fragment.IsAbandoned)
        {
            fragment.IsAbandoned = false;
            fragment.Member!.ReadsAbandoned--;
        }
        fragment.Request = null;
        fragment.Member = null;
        fragment.Next = _free;
        _free = fragment;
        FreeCount++;
    }

    /// <summary>Nobody waits any more for what this is a part of. Cold: scans every slot.</summary>
    public void Abandon(IoRequest parent, RemapDevice device)
    {
        foreach (FragmentIo fragment in _all)
        {
            if (fragment.Member is Member member && !fragment.IsAbandoned
                && ReferenceEquals(fragment.Request?.Parent, parent))
            {
                fragment.IsAbandoned = true;
                member.ReadsAbandoned++;
                device.NoteAbandoned(member);
            }
        }
    }

    /// <summary>
    /// Is a fragment that changes content outstanding at a member in these blocks? Cold: scans every slot.
    /// </summary>
    public bool AnyChanging(Extent exported)
    {
        foreach (FragmentIo fragment in _all)
        {
            if (fragment.Io.IsSubmitted && fragment.ChangesContent && fragment.Exported.Overlaps(exported))
            {
                return true;
            }
        }
        return false;
    }

    /// <summary>Add the units that anything out at a spare touches. Cold: scans every slot.</summary>
    public void CollectUnitsAtSpares(UnitGeometry units, HashSet<long> into)
    {
        foreach (FragmentIo fragment in _all)
        {
            if (!fragment.Io.IsSubmitted || fragment.Member!.IsPrimary)
            {
                continue;
            }
            UnitNumber last = units.UnitOf(new BlockNumber(fragment.Exported.End.Value - 1));
            for (UnitNumber unit = units.UnitOf(fragment.Exported.Start); unit <= last;
                unit = new UnitNumber(unit.Value + 1))
            {
                into.Add(unit.Value);
            }
        }
    }

    /// <summary>
    /// Is a fragment out at the same member, not only kept for it, that must not be overtaken by this one?
    /// </summary>
    public bool AnyAhead(FragmentIo next) => Any(next, isKept: false);

    /// <summary>Is one kept for the same member that must not be overtaken by this one?</summary>
    public bool AnyKept(FragmentIo next) => Any(next, isKept: true);

    /// <summary>Cold: scans every slot.</summary>
    private bool Any(FragmentIo next, bool isKept)
    {
        foreach (FragmentIo fragment in _all)
        {
            if (fragment.Io.IsSubmitted && fragment.IsKept == isKept && fragment.Member == next.Member
                && (fragment.ChangesContent || next.ChangesContent)
                && fragment.Exported.Overlaps(next.Exported))
            {
                return true;
            }
        }
        return false;
    }
}
