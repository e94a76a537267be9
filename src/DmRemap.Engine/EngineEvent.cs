using DmRemap.Core.Abstractions;
using DmRemap.Core.Remapping;

namespace DmRemap.Engine;

/// <summary>
/// What happened to a device, for people: each kind has a stable message id (docs/messages.md).
/// </summary>
public enum EngineEventKind : byte
{
    None = 0,

    /// <summary>A unit was moved to a spare because a write to it failed on the member named.</summary>
    Remapped = 1,

    /// <summary>Blocks cannot be read; they fail until written.</summary>
    Unreadable = 2,

    /// <summary>Blocks were given up: lost until written.</summary>
    Lost = 3,

    /// <summary>A unit of a spare failed and is not used again.</summary>
    SpareUnitRetired = 4,

    /// <summary>No spare unit is left.</summary>
    Exhausted = 5,

    /// <summary>The table could not be made durable.</summary>
    CommitFailed = 6,

    /// <summary>
    /// A flush failed: acknowledged writes may be lost. Blocks: from the first uncertain one to the last.
    /// </summary>
    FlushFailed = 7,

    /// <summary>
    /// A member answers with errors that are not a bad sector's (gone, timed out, refused).
    /// </summary>
    MemberError = 8,

    /// <summary>The primary refuses every write: not a case for remapping.</summary>
    WritesRejected = 9,

    /// <summary>A unit was moved to a spare because a person asked.</summary>
    RemappedByRequest = 10,

    /// <summary>
    /// A spare failed metadata writes, or missed their deadline: it is left out until the next start.
    /// </summary>
    MemberInactive = 11,

    /// <summary>A unit read only after failing, and was copied to a spare while it still could be.</summary>
    RescuedWeak = 12,

    /// <summary>The breaker tripped: a read and its controls failed.</summary>
    StormOfReads = 13,

    /// <summary>The breaker tripped: writes moved too many units.</summary>
    StormOfMoves = 14,

    /// <summary>A unit went back to the primary because a person asked.</summary>
    Returned = 15,

    /// <summary>Blocks that had been given up read after all, and are on a spare now.</summary>
    Salvaged = 16,

    /// <summary>A person said that blocks are lost.</summary>
    Declared = 17,

    /// <summary>A member answers as a disk does that is not there.</summary>
    MemberGone = 18,

    /// <summary>A member that was gone answers again.</summary>
    MemberBack = 19,

    /// <summary>Something answers in the place of a spare that was gone, and is not that spare.</summary>
    MemberStranger = 20,

    /// <summary>Most of what the spares can lend is in use.</summary>
    SparesLow = 21,

    /// <summary>Nearly all of it is.</summary>
    SparesNearlyExhausted = 22,

    /// <summary>A unit's place on the primary was rewritten, has kept it, and is in use again.</summary>
    Healed = 23,

    /// <summary>A place on the primary refused to be rewritten, or did not keep what was written.</summary>
    HealFailed = 24,

    /// <summary>The first copy of a unit is bad, or its spare is away: its second is the first now.</summary>
    SecondTookOver = 25,

    /// <summary>
    /// A unit was moved to a spare because it was written, and its place on the primary is not looked at
    /// since its blocks were declared lost.
    /// </summary>
    RemappedDeclared = 26,

    /// <summary>A member was away with acknowledged writes that were not flushed.</summary>
    CacheLost = 40,

    /// <summary>What was uncertain was rewritten and flushed, or a person has ended the doubt.</summary>
    UncertainEnded = 41,

    /// <summary>A read had no answer by its deadline, and its client got an error.</summary>
    ReadsAbandoned = 42,
}

/// <param name="Kind">What happened.</param>
/// <param name="Member">The member it happened on (<see cref="Member.Primary"/> or a spare's index).</param>
/// <param name="Blocks">In blocks of the exported device; empty where none are concerned.</param>
/// <param name="Location">The spare unit concerned, or none.</param>
/// <param name="Errno">The kernel's error number, 0 where there is none.</param>
public readonly record struct EngineEvent(
    EngineEventKind Kind, int Member, Extent Blocks, SpareLocation Location, int Errno);

/// <summary>Takes events on the loop's thread; never blocks (it drops and counts instead).</summary>
public interface IEventSink
{
    void Publish(in EngineEvent happened);
}
