using DmRemap.Core.Abstractions;

namespace DmRemap.Core.Remapping;

/// <summary>What is known of a unit. Healthy units have no entry. On disk: one byte.</summary>
public enum UnitState : byte
{
    /// <summary>No entry: everything is on the primary.</summary>
    Healthy = 0,

    /// <summary>
    /// Failed once or more and not yet given up: fails fast until its retry time. In memory only.
    /// </summary>
    Suspect = 1,

    /// <summary>Some blocks cannot be read; no spare unit is used yet.</summary>
    LostUnreadable = 2,

    /// <summary>
    /// Lost because an import or a person said so: the primary's content is never looked at.
    /// </summary>
    LostDeclared = 3,

    /// <summary>Has a spare unit, which holds the blocks marked OnSpare.</summary>
    Remapped = 4,

    /// <summary>Remapped, the primary rewritten and being re-verified.</summary>
    Probation = 5,
}

/// <summary>A unit of a spare. The default is no unit (Spare is -1).</summary>
public readonly record struct SpareLocation
{
    private readonly int _sparePlusOne;

    public SpareLocation(int spare, UnitNumber unit)
    {
        Invariant.Check(spare >= 0);
        Invariant.Check(spare < Limits.SparesMax);
        Invariant.Check(unit.Value >= 0);
        _sparePlusOne = spare + 1;
        Unit = unit;
    }

    public static SpareLocation None => default;

    public bool IsNone => _sparePlusOne == 0;

    /// <summary>The member's index in the set.</summary>
    public int Spare => _sparePlusOne - 1;

    /// <summary>Counted from the start of that spare's data area.</summary>
    public UnitNumber Unit { get; }

    /// <summary>The unit so many further on; of none, none.</summary>
    public SpareLocation Following(int units) =>
        IsNone ? this : new SpareLocation(Spare, new UnitNumber(Unit.Value + units));
}

/// <summary>
/// One rule of the table. A LostUnreadable or LostDeclared entry has no spare unit and no block OnSpare; a
/// Remapped one has a spare unit.
/// </summary>
public readonly record struct RemapEntry
{
    public required UnitNumber Unit { get; init; }

    public required UnitState State { get; init; }

    public SpareLocation Location { get; init; }

    /// <summary>
    /// Holds the same blocks as the location, on another spare, if copies are kept and this one is made. The
    /// location decides; whether this copy counts is not the table's business (F-22).
    /// </summary>
    public SpareLocation Second { get; init; }

    public required BlockStates Blocks { get; init; }

    /// <summary>
    /// The last error of the primary in this unit (positive errno), 0 when a person asked for the remap.
    /// </summary>
    public ushort LastErrno { get; init; }

    /// <summary>Days since 1970-01-01 (UTC) of that error; 0 unknown.</summary>
    public ushort LastErrorDay { get; init; }

    /// <summary>What healing has seen here: of units with a spare unit only.</summary>
    public HealTrials Trials { get; init; }

    /// <summary>
    /// This rule without a copy on the primary that counts: probation ends, or has never begun.
    /// </summary>
    public RemapEntry AsRemapped() =>
        this with { State = UnitState.Remapped, Trials = new HealTrials(0, Trials.Failed) };

    /// <summary>
    /// As this one, for the unit so many further on, on the spare unit as many further on: an entry of the
    /// same run.
    /// </summary>
    public RemapEntry Following(int units) => this with
    {
        Unit = new UnitNumber(Unit.Value + units),
        Location = Location.Following(units),
        Second = Second.Following(units),
    };

    /// <summary>Is this spare one of those that the unit is on?</summary>
    public bool IsOn(int spare) => Location.Spare == spare || Second.Spare == spare;

    /// <summary>Throws (a programmer's error) when the fields contradict each other.</summary>
    public void Check()
    {
        Invariant.Check(Unit.Value >= 0);
        Invariant.Check(State is not UnitState.Healthy and not UnitState.Suspect);
        bool hasSpare = State is UnitState.Remapped or UnitState.Probation;
        Invariant.Check(hasSpare == !Location.IsNone);
        Invariant.Check(hasSpare || Blocks.MaskOf(BlockState.OnSpare) == 0);
        Invariant.Check(hasSpare || Trials == default);
        Invariant.Check(Second.IsNone || (hasSpare && Second.Spare != Location.Spare));
    }
}
