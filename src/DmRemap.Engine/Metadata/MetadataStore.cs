using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;

namespace DmRemap.Engine.Metadata;

public interface IMetadataStopOwner
{
    /// <summary>
    /// Called once, on the loop's thread, never from inside BeginStop. False: a write failed; recovery does
    /// the rest.
    /// </summary>
    void OnMetadataStopped(bool isClean);
}

public interface IMembershipOwner
{
    /// <summary>
    /// The member failed a metadata write, or missed the deadline, and is left out until the next start. On
    /// the loop's thread; takes note, and submits nothing.
    /// </summary>
    void OnMemberInactive(int member);
}

internal interface IMetadataStartOwner
{
    /// <summary>
    /// Called once, never from inside Start. True: the new epoch is durable on every active member.
    /// </summary>
    void OnMetadataStarted(bool isDurable);
}

/// <summary>What a store begins with.</summary>
internal sealed record MetadataStoreParts
{
    public required IEventLoop Loop { get; init; }

    public required SetDescription Set { get; init; }

    /// <summary>By member index; null where it is not here.</summary>
    public required MetadataMember?[] Members { get; init; }

    /// <summary>Holds everything durable, then and whenever a commit is Done.</summary>
    public required RemapTable Table { get; init; }

    /// <summary>The store's own from here on.</summary>
    public required RetiredUnits Retired { get; init; }

    /// <summary>The epoch to write, the highest generation seen, the valid checkpoint, the head.</summary>
    public required SuperblockState State { get; init; }

    public required ulong NextSequence { get; init; }

    public required Duration Deadline { get; init; }
}

/// <summary>
/// The log of table changes on the spares. Three writers work side by side, each with its own requests and
/// buffers; this decides what each may do and what it means:
/// <code>
///   commits ─▶ JournalWriter     one record a group, all places of all active members, FUA → Done
///                    │ ring half full
///                    ▼
///              CheckpointTask    the table into the idle area, beside the commits, then read back
///                    │
///                    ▼
///              SuperblockWriter  which checkpoint, first record, which members: all copies, in two waves
/// </code>
/// A record links to the last acknowledged one, so one that failed or came late is skipped by its successor
/// and its number is never used again (F-2). Ring slots and the old area are used again only when the
/// generation that makes them free is on every copy of every active member (F-15). A member that fails or
/// misses the deadline is first recorded as inactive on the others, then the commit is Done (F-14); the last
/// one is kept, and the commit is Unknown.
/// Nothing waits in here: what cannot go on is left in a field, and the event that changes it calls Pump.
/// </summary>
public sealed partial class MetadataStore
    : IMetadataLog, IJournalWriterOwner, ISuperblockWriterOwner, ICheckpointOwner, ITimerOwner
{
    private static readonly Duration s_retryAfter = Duration.FromSeconds(1);

    private readonly IEventLoop _loop;
    private readonly RemapTable _table;
    private readonly RetiredUnits _retired;
    private readonly JournalRing _ring;
    private readonly JournalRecordWriter _record;
    private readonly Duration _deadline;
    private readonly LoopTimer _refuseTimer;
    private readonly LoopTimer _waitTimer;
    private readonly LoopTimer _retryTimer;
    private readonly LoopTimer _changeTimer;
    private MetadataMember?[] _members;
    private JournalWriter _journal;
    private SuperblockWriter _superblocks;
    private CheckpointTask _checkpoint;
    private SetDescription _set;
    private SuperblockState _state;
    private bool _isPumping;
    private bool _isAgain;

    internal MetadataStore(MetadataStoreParts parts)
    {
        _loop = parts.Loop;
        _set = parts.Set;
        _members = parts.Members;
        _table = parts.Table;
        _retired = parts.Retired;
        _state = parts.State;
        _deadline = parts.Deadline;
        _ring = parts.Set.Journal;
        _head = parts.State.JournalHead;
        _nextSequence = parts.NextSequence;
        _headEnd = parts.NextSequence;
        _firstNeeded = parts.State.FirstJournalSequence;
        _settledGeneration = parts.State.SettledGeneration;
        _journal = new JournalWriter(_loop, _members, _ring, this);
        _record = new JournalRecordWriter(_ring);
        _superblocks = new SuperblockWriter(_loop, _members, this);
        _checkpoint = new CheckpointTask(_loop, _members, this);
        _refuseTimer = new LoopTimer(this);
        _waitTimer = new LoopTimer(this);
        _retryTimer = new LoopTimer(this);
        _changeTimer = new LoopTimer(this);
        RefreshEntriesMax();
    }

    /// <summary>
    /// Entries that the table can have on the smallest spare that holds it; a commit beyond it fails.
    /// </summary>
    public long EntriesMax { get; private set; }

    /// <summary>Entries of the table.</summary>
    public long EntryCount => _table.Count;

    public ulong Epoch => _state.Epoch;

    /// <summary>The last generation attempted.</summary>
    public ulong Generation => _state.Generation;

    /// <summary>The highest generation that is on every active member.</summary>
    public ulong SettledGeneration => _settledGeneration;

    /// <summary>The last record acknowledged; 0: none ever.</summary>
    public ulong Sequence => _head.Sequence;

    /// <summary>Something of it is with the kernel.</summary>
    public bool IsWriting =>
        _journal.IsWriting || _superblocks.IsWriting || _checkpoint.IsRunning || Busy > 0
        || _seed is { IsWriting: true };

    /// <summary>Operations that were given up and the kernel still has.</summary>
    public int Busy =>
        _journal.Busy + _superblocks.Busy + _checkpoint.Busy + (_seed?.Busy ?? 0);

    /// <summary>
    /// The last commit failed because the table did not fit, or a checkpoint did (condition `table-full`).
    /// </summary>
    public bool IsTableFull { get; private set; }

    /// <summary>Groups of commits, by outcome.</summary>
    public long GroupsDone { get; private set; }

    public long GroupsFailed { get; private set; }

    public long GroupsUnknown { get; private set; }

    /// <summary>Metadata writes that were not back by the deadline: an error of its own kind.</summary>
    public long TimeOuts { get; private set; }

    public long CheckpointsDone { get; private set; }

    /// <summary>Slots of the ring that hold records which no checkpoint has yet.</summary>
    public long JournalSlotsUsed =>
        (long)(NeededEnd - _firstNeeded) + (_journalPhase == JournalPhase.Idle ? 0 : _record.Slots);

    public int JournalSlots => _ring.Slots;

    /// <summary>
    /// Behind the last record that a start needs. What is above it was never acknowledged: it may be
    /// overwritten, and no checkpoint makes it less.
    /// </summary>
    private ulong NeededEnd => _head.Sequence < _firstNeeded ? _firstNeeded : _headEnd;

    /// <summary>Meaningful when something counted a failure. Target is the member.</summary>
    public MetadataFailure LastFailure { get; private set; }

    /// <summary>Told of members that become inactive.</summary>
    public IMembershipOwner? Membership { get; set; }

    /// <summary>By member index: the state and what is bad of it, as the next superblocks say it.</summary>
    public MemberDescription DescriptionOf(int member) => _set.Members[member];

    void ITimerOwner.OnTimer(LoopTimer timer)
    {
        if (timer == _refuseTimer)
        {
            Refuse();
        }
        else if (timer == _changeTimer)
        {
            TellChange();
        }
        else if (timer == _waitTimer)
        {
            FailOverdue();
        }
        else
        {
            _areSuperblocksStuck = false;
            _isCheckpointStuck = false;
        }
        Pump();
    }

    /// <summary>
    /// Let whatever can go on go on. It submits, and completes nothing: owners are called by the events that
    /// end something.
    /// </summary>
    private void Pump()
    {
        _isAgain = true;
        if (_isPumping)
        {
            return;
        }
        _isPumping = true;
        while (_isAgain)
        {
            _isAgain = false;
            PumpMembership();
            PumpSuperblocks();
            PumpJournal();
            PumpCheckpoint();
            PumpStop();
        }
        _isPumping = false;
    }

    private void NoteFailure(in MetadataFailure failure)
    {
        LastFailure = failure;
        TimeOuts += failure.Status == IoStatus.Pending ? 1 : 0;
    }

    private bool IsAnotherActive(int member)
    {
        for (int i = 0; i < _members.Length; i++)
        {
            if (i != member && _members[i] is { IsActive: true })
            {
                return true;
            }
        }
        return false;
    }

    /// <summary>
    /// Inactive from the next generation on; a later start may take it in again. Who puts data on it is told
    /// at once: more of it would hang, or fail, with the metadata.
    /// </summary>
    private void Demote(int member)
    {
        Invariant.Check(IsAnotherActive(member));
        MakeInactive(member);
    }

    private void MakeInactive(int member)
    {
        _isMembershipChanged = true;
        _members[member]!.Role = MemberRole.Absent;
        Membership?.OnMemberInactive(member);
    }

    /// <summary>The description of the set with what is known of its members now.</summary>
    private void RefreshSet()
    {
        for (int i = 0; i < _members.Length; i++)
        {
            MemberDescription now = Describe(_set.Members[i], _members[i]);
            if (now != _set.Members[i])
            {
                // A superblock that is being written refers to the old array.
                MemberDescription[] members = [.. _set.Members];
                members[i] = now;
                _set = _set with { Members = members };
            }
        }
    }

    private MemberDescription Describe(MemberDescription before, MetadataMember? member)
    {
        if (member is not { IsActive: true })
        {
            bool isSaid = before.State is MemberState.Retired or MemberState.Inactive;
            ulong own = member is null ? before.SettledGeneration : member.SettledGeneration;
            return isSaid
                ? before
                : before with
                {
                    State = MemberState.Inactive,
                    SettledGeneration = own == 0 ? _settledGeneration : own,
                };
        }
        bool isSame = before.State == MemberState.Active
            && before.SettledGeneration == member.SettledGeneration
            && before.BadCopies == member.BadCopies
            && before.BadJournals == member.BadJournals
            && before.BadCheckpoints == member.BadCheckpoints;
        return isSame ? before : before with
        {
            State = MemberState.Active,
            SettledGeneration = member.SettledGeneration,
            BadCopies = member.BadCopies,
            BadJournals = member.BadJournals,
            BadCheckpoints = member.BadCheckpoints,
        };
    }

    private void ScheduleRetry()
    {
        if (!_retryTimer.IsSet && !_isCancelled)
        {
            _loop.Schedule(_retryTimer, _loop.Now + s_retryAfter);
        }
    }
}
