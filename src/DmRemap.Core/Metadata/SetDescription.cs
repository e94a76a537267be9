using System;
using System.Text;
using DmRemap.Core.Remapping;

namespace DmRemap.Core.Metadata;

public enum MemberState : byte
{
    None = 0,

    /// <summary>Holds everything that is acknowledged; must be present.</summary>
    Active = 1,

    /// <summary>Missed a commit; what it holds is old.</summary>
    Inactive = 2,

    /// <summary>Removed for ever: this UUID is never assembled again (F-26).</summary>
    Retired = 3,
}

/// <summary>What every superblock says of one member.</summary>
public sealed record MemberDescription
{
    public required Guid Uuid { get; init; }

    public required MemberState State { get; init; }

    public required long Bytes { get; init; }

    /// <summary>Units of its data area.</summary>
    public required long DataUnits { get; init; }

    /// <summary>
    /// A generation that it is known to have had: of an inactive member, when the others went on without it;
    /// of one that joins, until it has the generation that counts it as active. 0: not known, or what the
    /// superblock's state says of all active members.
    /// </summary>
    public ulong SettledGeneration { get; init; }

    /// <summary>
    /// Superblock copies that could not be written: what they say may be old (F-15). Bit: copy.
    /// </summary>
    public byte BadCopies { get; init; }

    /// <summary>Journal places that are not written any more. Bit: place.</summary>
    public byte BadJournals { get; init; }

    /// <summary>
    /// Places of the valid checkpoint that do not hold it: writing or reading it back failed. Bit: place.
    /// </summary>
    public byte BadCheckpoints { get; init; }

    /// <summary>
    /// What it must have: with less it is an old image of itself, and the data on it is old (F-16).
    /// </summary>
    /// <param name="state">Of the superblock that describes it.</param>
    public ulong ReachedGeneration(in SuperblockState state) =>
        State == MemberState.Active && SettledGeneration == 0 ? state.SettledGeneration : SettledGeneration;
}

/// <summary>An epoch that this history went through, and the highest generation it had there.</summary>
public readonly record struct PastEpoch(ulong Epoch, ulong Generation);

/// <summary>How the primary is recognised: by what it says of itself, never by its path.</summary>
public sealed record PrimaryIdentity
{
    public const int TextBytesMax = 128;

    private readonly string _text = "";

    public required long Bytes { get; init; }

    /// <summary>
    /// Serial number, WWN or what else names it; empty when it says nothing. Cut to 128 bytes of UTF-8.
    /// </summary>
    public string Text
    {
        get => _text;
        init => _text = Fit(value);
    }

    private static string Fit(string text)
    {
        int length = Math.Min(text.Length, TextBytesMax);
        while (Encoding.UTF8.GetByteCount(text.AsSpan(0, length)) > TextBytesMax)
        {
            length--;
        }
        return text[..length];
    }
}

/// <summary>What changes only with a start, or with the membership of the set.</summary>
public sealed record SetDescription
{
    public required Guid SetUuid { get; init; }

    public required FeatureFlags Features { get; init; }

    public required UnitGeometry Geometry { get; init; }

    public required int PrimaryPhysicalBlockBytes { get; init; }

    public required PrimaryIdentity Primary { get; init; }

    /// <summary>By member index, 1 to 8.</summary>
    public required MemberDescription[] Members { get; init; }

    public required JournalRing Journal { get; init; }

    /// <summary>
    /// The epochs before this one, the latest first, as many as there is room for: they tell a spare that is
    /// behind from one that went its own way (F-14).
    /// </summary>
    public PastEpoch[] Past { get; init; } = [];

    /// <summary>True when the location names a unit of a member's data area.</summary>
    public bool Holds(SpareLocation location) =>
        !location.IsNone
        && location.Spare < Members.Length
        && location.Unit.Value < Members[location.Spare].DataUnits;

    /// <summary>
    /// What every entry of a checkpoint fulfils: checked where it is written (then a broken one is our error)
    /// and where it is read back (then it is damage).
    /// </summary>
    public bool Allows(in RemapEntry entry)
    {
        bool hasSpare = entry.State is UnitState.Remapped or UnitState.Probation;
        bool hasState = hasSpare || entry.State is UnitState.LostUnreadable or UnitState.LostDeclared;
        bool locationFits = hasSpare ? Holds(entry.Location) : entry.Location.IsNone;
        ulong outside = ~BlockStates.Mask(0, Geometry.BlocksPerUnit);
        bool masksFit = ((entry.Blocks.Low | entry.Blocks.High) & outside) == 0;
        bool noOrphan = hasSpare
            || (entry.Blocks.MaskOf(BlockState.OnSpare) == 0 && entry.Trials == default);
        bool secondFits = entry.Second.IsNone
            || (Features.KeepsCopies && hasSpare && Holds(entry.Second)
                && entry.Second.Spare != entry.Location.Spare);
        bool unitFits = entry.Unit.Value >= 0 && entry.Unit.Value < Geometry.Units;
        return hasState && locationFits && secondFits && masksFit && noOrphan && unitFits;
    }
}
