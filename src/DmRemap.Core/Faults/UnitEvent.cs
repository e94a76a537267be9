using DmRemap.Core.Abstractions;
using DmRemap.Core.Remapping;

namespace DmRemap.Core.Faults;

/// <summary>
/// What can happen to a unit: an operation arrives, or one ends. Where an error is said to be the medium's,
/// F-17 has already decided so; "unavailable" is every other error (a stalled or vanished disk, a full file).
/// </summary>
public enum UnitEvent : byte
{
    Read = 0,
    Write = 1,
    WriteZeroes = 2,
    Discard = 3,

    /// <summary>The request's read of the primary failed; nothing is known yet of single blocks.</summary>
    PrimaryReadFailed = 4,

    /// <summary>Read again by physical block, these blocks fail: the medium's fault.</summary>
    BlocksUnreadable = 5,

    /// <summary>
    /// Read again, every block came: the unit is weak. Also a suspect unit's retry that succeeded.
    /// </summary>
    WeakRead = 6,

    /// <summary>A lost(unreadable) unit was read in the background, twice and equal.</summary>
    ReadTwiceEqual = 7,

    PrimaryReadUnavailable = 8,
    PrimaryWriteMediumError = 9,
    PrimaryWriteUnavailable = 10,

    /// <summary>Written in place with FUA and read back: the same bytes.</summary>
    InPlaceEqual = 11,

    /// <summary>Written in place; it failed, or other bytes came back.</summary>
    InPlaceDiffers = 12,

    /// <summary>The primary failed a write-zeroes, which names no place.</summary>
    ZeroesFailed = 13,

    DiscardFailed = 14,
    SpareReadMediumError = 15,
    SpareReadUnavailable = 16,
    SpareWriteMediumError = 17,
    SpareWriteUnavailable = 18,

    /// <summary>In probation: the primary's copy of a write failed, or is tainted.</summary>
    PrimaryCopyFailed = 19,

    /// <summary>A person or an import says that the primary's content is lost.</summary>
    Declared = 20,
}

/// <summary>What to do with requests while the primary does not answer.</summary>
public enum GonePolicy : byte
{
    Hold = 0,
    Fail = 1,
}

/// <summary>Whether a lost(unreadable) unit may come back by reading.</summary>
public enum LostPolicy : byte
{
    Salvage = 0,

    /// <summary>Only a write ends it.</summary>
    Strict = 1,
}

/// <summary>All that a decision may depend on besides the unit's state and the event.</summary>
public readonly record struct Situation
{
    /// <summary>
    /// Where the table has the blocks in question. Units without an entry: OnPrimary. Of a unit with blocks
    /// in several states each part is decided by itself.
    /// </summary>
    public BlockState Block { get; init; }

    /// <summary>A spare unit could be had now, or is already set aside for this unit.</summary>
    public bool SpareUnitFree { get; init; }

    /// <summary>Reads and background work may not remap: condition storm.</summary>
    public bool BreakerTripped { get; init; }

    /// <summary>
    /// F-17's control for this write passed (<see cref="WriteControl"/>). Asked while the breaker is tripped.
    /// </summary>
    public bool ControlPasses { get; init; }

    public bool PrimaryGone { get; init; }

    public GonePolicy OnGone { get; init; }

    public LostPolicy Lost { get; init; }

    /// <summary>
    /// The suspect list admits a retry of these blocks now (<see cref="SuspectAdmission.Retry"/>).
    /// </summary>
    public bool RetryIsDue { get; init; }

    /// <summary>The suspect list has given up (<see cref="SuspectVerdict.DeclareLost"/>).</summary>
    public bool RetriesAreSpent { get; init; }

    /// <summary>
    /// A write that supplies every block that is lost, zero or known to be bad in this unit.
    /// </summary>
    public bool SuppliesAllMissing { get; init; }

    /// <summary>
    /// Apart from the blocks in question, others of the unit are on its spare unit and read well.
    /// </summary>
    public bool OthersOnSpare { get; init; }
}

public enum UnitAction : byte
{
    /// <summary>Undefined: no decision is ever this.</summary>
    None = 0,

    /// <summary>Do the operation on the primary; discard and zeroes in slices (F-18).</summary>
    UsePrimary = 1,

    /// <summary>Do the operation on the unit's spare unit.</summary>
    UseSpare = 2,

    /// <summary>
    /// Write to the spare unit that the unit has; the blocks become OnSpare in a record that follows the
    /// spare's flush (F-6).
    /// </summary>
    MoveToSpare = 3,

    /// <summary>Write to the spare and the primary; the spare decides.</summary>
    UseBoth = 4,

    /// <summary>Answer a read with zeros.</summary>
    AnswerZeros = 5,

    /// <summary>Answer success and change nothing.</summary>
    AnswerUnchanged = 6,

    /// <summary>Answer with Decision.Status.</summary>
    Fail = 7,

    /// <summary>Keep the request until the primary answers again or the policy's time is over.</summary>
    Hold = 8,

    /// <summary>Read again by physical block, each once, never from the beginning.</summary>
    ReadByBlock = 9,

    /// <summary>
    /// Serve what was read and fail what was not; remember the bad blocks in the suspect list.
    /// </summary>
    FailAndSuspect = 10,

    /// <summary>
    /// Serve what was read and fail what was not; record the bad blocks as lost (journaled, not waited for).
    /// </summary>
    FailAndLose = 11,

    /// <summary>Serve what was read; nothing changes.</summary>
    Serve = 12,

    /// <summary>
    /// Serve what was read, and copy it to a spare unit, read again under the hold (F-5). Blocks that were
    /// not read keep their state.
    /// </summary>
    ServeAndCopy = 13,

    /// <summary>
    /// Write to a fresh spare unit: data durable, record durable, table published, answered, in that order.
    /// Blocks that the write does not supply keep their state: OnPrimary where the unit had no entry.
    /// </summary>
    Redirect = 14,

    /// <summary>Write to the primary with FUA and read back.</summary>
    WriteInPlace = 15,

    /// <summary>
    /// Answer a write that was verified in place, after the record of Decision.Next where the unit has an
    /// entry.
    /// </summary>
    AcceptInPlace = 16,

    /// <summary>The blocks become Zero in the journal; no spare unit is taken.</summary>
    JournalZero = 17,

    /// <summary>Do the zeroing again in pieces, as ordinary writes (F-11).</summary>
    ZeroAsWrites = 18,

    /// <summary>
    /// Retire the failed spare unit and do the write on a fresh one, together with what still reads of the
    /// old one's other blocks; those that do not become lost.
    /// </summary>
    ReplaceSpareUnit = 19,

    /// <summary>The primary's copy is in step: read that.</summary>
    UsePrimaryCopy = 20,

    /// <summary>
    /// The primary's copy has missed a write: it is never looked at again. Success is the spare's to say.
    /// </summary>
    EndProbation = 21,

    /// <summary>Record the unit's blocks as declared lost; durable before the answer.</summary>
    DeclareLost = 22,
}

/// <summary>One cell of the table.</summary>
/// <param name="Action">What to do.</param>
/// <param name="Next">
/// The unit's state when that has been done and, where an entry changes, is durable.
/// </param>
/// <param name="Status">The answer, for actions that fail the request; Pending else.</param>
public readonly record struct Decision(UnitAction Action, UnitState Next, IoStatus Status = IoStatus.Pending);
