using DmRemap.Core.Abstractions;
using DmRemap.Engine.Presence;
using DmRemap.Engine.Repair;

namespace DmRemap.Engine;

/// <summary>
/// Spares that come and go while requests are served. What the set's metadata says is elsewhere.
/// </summary>
public sealed partial class RemapDevice
{
    private readonly SpareEvacuation _evacuation;

    /// <summary>A spare is being emptied.</summary>
    public bool IsEvacuating => !_evacuation.IsIdle;

    /// <summary>Repairs that were under way when an evacuation began, and still are.</summary>
    internal bool IsAnyMarkedUnderWay =>
        _rescues.IsAnyMarked || _redirects.IsAnyMarked || _zeroRules.IsAnyMarked;

    /// <summary>
    /// A spare joins: at the place of one that has left for ever, or behind the last. It lends nothing before
    /// LendFrom: no rule may name it before the set counts it.
    /// </summary>
    public void AddSpare(Member spare, long dataUnits)
    {
        Invariant.Check(!spare.IsPrimary);
        Invariant.Check(spare.Index <= Members.Length - 1);
        spare.Gate = new MemberGate(this, _loop, spare, _onGone);
        bool isBehind = spare.Index == Members.Length - 1;
        Member[] members = isBehind ? [.. Members, spare] : [.. Members];
        members[spare.Index + 1] = spare;
        Members = members;
        Allocator.ReplaceSpare(spare.Index, dataUnits);
    }

    /// <summary>The set counts it, durably: it lends its units, unless it is being emptied.</summary>
    public void LendFrom(int spare)
    {
        if (Spare(spare).IsGone)
        {
            // As one that went just now: it lends again when it is back.
            _awaySpares |= 1u << spare;
        }
        else if (!_evacuation.IsOf(spare))
        {
            Allocator.SetUsable(spare, true);
            _fill = Fill;
            Copier.Wake();
        }
    }

    /// <summary>
    /// Move every unit off this spare, and lend none of it. False: it is not the time for it. What the spare
    /// still lends after an evacuation that did not end well is the caller's decision.
    /// </summary>
    public bool TryStartEvacuation(EvacuationRequest request)
    {
        if (!MayBeginHandwork)
        {
            return false;
        }
        Allocator.SetUsable(request.Spare, false);
        _awaySpares &= ~(1u << request.Spare);
        // Who was given a unit of it before this moment is waited for.
        _rescues.MarkUnderWay();
        _redirects.MarkUnderWay();
        _zeroRules.MarkUnderWay();
        _evacuation.Begin(request);
        Pump();
        return true;
    }

    /// <summary>It has left the set, durably, and nothing is on it.</summary>
    public void RemoveSpare(int spare)
    {
        Spare(spare).IsRemoved = true;
        Spare(spare).Gate.End();
        _awaySpares &= ~(1u << spare);
        GivenBack.Forget(spare);
        SecondCopies.Forget(spare);
        Allocator.RemoveSpare(spare);
        _fill = Fill;
    }

    internal void FinishEvacuation(EvacuationRequest request)
    {
        request.OnFinished();
        ContinueEnds();
    }

    internal void Schedule(LoopTimer timer, Instant due) => _loop.Schedule(timer, due);

    internal void Unschedule(LoopTimer timer) => _loop.Cancel(timer);
}
