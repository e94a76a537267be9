using System.Collections.Generic;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Remapping;

namespace DmRemap.Engine.Copies;

/// <summary>
/// Which second copies count (F-22). A rule names one only while it has every acknowledged write: what it
/// misses is recorded before it is acknowledged. But the first decides: after a start that nobody can vouch
/// for no second copy counts, and when a spare has lost what it had acknowledged none of the units concerned,
/// until it has been made anew from the first.
/// </summary>
internal sealed class SecondCopies
{
    /// <summary>Of more than these, all that has to do with the spare is in doubt.</summary>
    private const int UnitsMax = 4096;

    private readonly HashSet<SpareLocation> _mayStillLand = [];
    private readonly HashSet<long> _units = [];
    private uint _doubted;
    private uint _believedFor;

    /// <param name="areKept">Units have a second copy where there is a spare for it.</param>
    /// <param name="areInStep">The last stop was clean, and said so.</param>
    /// <param name="believedFor">
    /// Bit by spare: it is missing, and a person believes the second copies of its units all the same.
    /// </param>
    public SecondCopies(bool areKept, bool areInStep, uint believedFor = 0)
    {
        AreKept = areKept;
        _doubted = areInStep ? 0 : uint.MaxValue;
        _believedFor = believedFor;
    }

    public bool AreKept { get; }

    /// <summary>
    /// What a clean stop may vouch for: each second copy that the table names holds what the first does.
    /// </summary>
    public bool AreInStep => AreKept && _doubted == 0 && _units.Count == 0;

    /// <summary>How often doubt has arisen.</summary>
    public long Doubts { get; private set; }

    /// <summary>Has the unit a second copy that may be read for the first?</summary>
    public bool IsInStep(in RemapEntry entry) =>
        !entry.Second.IsNone
        && ((_doubted & (BitOf(entry.Location) | BitOf(entry.Second))) == 0
            || (_believedFor & BitOf(entry.Location)) != 0)
        && (_units.Count == 0 || !_units.Contains(entry.Unit.Value));

    /// <summary>What one of its spares has of this unit may be older than what was acknowledged.</summary>
    public void Doubt(in RemapEntry entry)
    {
        if (_units.Count < UnitsMax)
        {
            _units.Add(entry.Unit.Value);
            Doubts++;
        }
        else
        {
            Doubt(entry.Second.Spare);
        }
    }

    /// <summary>Its second copy has been made anew, or is another one.</summary>
    public void Settle(UnitNumber unit) => _units.Remove(unit.Value);

    /// <summary>The same of all that is on this spare.</summary>
    public void Doubt(int spare)
    {
        _doubted |= 1u << spare;
        if ((_believedFor & (1u << spare)) == 0)
        {
            // A spare that has the second copies has lost what it held: they are to be believed no more.
            _believedFor = 0;
        }
        Doubts++;
    }

    /// <summary>They have been made anew, if nothing has come between.</summary>
    /// <param name="doubts">How often doubt had arisen when that began.</param>
    /// <param name="left">Bit by spare: but for units of these.</param>
    public void EndDoubt(long doubts, uint left)
    {
        if (doubts == Doubts)
        {
            // What a person believes has not been made anew: no stop may vouch for it.
            _doubted &= left | _believedFor;
        }
    }

    /// <summary>
    /// A write of this copy failed, and not by its medium: it may be carried out later, so the unit is nobody
    /// else's until the next start.
    /// </summary>
    public void NoteMayStillLand(SpareLocation location) => _mayStillLand.Add(location);

    /// <summary>It has left for ever, and its index may be another's.</summary>
    public void Forget(int spare)
    {
        _mayStillLand.RemoveWhere(location => location.Spare == spare);
        _believedFor &= ~(1u << spare);
    }

    /// <summary>Single units are in doubt: who looks for them must not pass over runs.</summary>
    public bool AreUnitsInDoubt => _units.Count > 0;

    public bool MayStillLand(SpareLocation location) =>
        _mayStillLand.Count > 0 && _mayStillLand.Contains(location);

    private static uint BitOf(SpareLocation location) => 1u << location.Spare;
}
