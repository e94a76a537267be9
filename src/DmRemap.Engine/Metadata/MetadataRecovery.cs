using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;
using DmRemap.Core.Spares;
using DmRemap.Engine.Flushing;

namespace DmRemap.Engine.Metadata;

public interface IMetadataRecoveryOwner
{
    /// <summary>
    /// Everything has been read and nothing written: the last moment to decline (F-16). Call Continue or
    /// Decline, now or later. Called again where a flush failed, and everything was read once more.
    /// </summary>
    void OnFound(MetadataRecovery recovery) => recovery.Continue();

    /// <summary>
    /// Called once, on the loop's thread, never from inside Begin: Recovered or Refusal is not null.
    /// </summary>
    void OnRecovered(MetadataRecovery recovery);
}

/// <summary>What a start works with.</summary>
public sealed record RecoveredSet
{
    /// <summary>Ready for commits; its new epoch is durable on every copy of every active member.</summary>
    public required MetadataStore Store { get; init; }

    public required SetDescription Set { get; init; }

    /// <summary>
    /// By member index, which is what SpareLocation.Spare counts; null where it is not here.
    /// </summary>
    public required MetadataMember?[] Members { get; init; }

    /// <summary>Member index to position in the list of spares given to recovery; -1: not here.</summary>
    public required int[] SpareOfMember { get; init; }

    /// <summary>Of the device from here on; the store reads it.</summary>
    public required RemapTable Table { get; init; }

    /// <summary>Knows what the table uses.</summary>
    public required SpareAllocator Allocator { get; init; }

    /// <summary>Ascending by spare and unit.</summary>
    public required SpareLocation[] Retired { get; init; }

    public required ulong Epoch { get; init; }

    public required bool WasCleanStop { get; init; }

    /// <summary>That stop vouched for the second copies.</summary>
    public required bool WereCopiesInStep { get; init; }

    /// <summary>Superblock copies that were found invalid or unreadable; they have been rewritten.</summary>
    public required int CopiesRepaired { get; init; }

    /// <summary>
    /// By member index: see <see cref="MetadataReading.CountCopiesOverwritten"/>.
    /// </summary>
    public required int[] CopiesOverwritten { get; init; }

    /// <summary>
    /// Superblock copies of active members that were whole and of an older generation; rewritten too.
    /// </summary>
    public required int CopiesStale { get; init; }

    /// <summary>Places in which the checkpoint was not whole; the table has been written anew.</summary>
    public required int CheckpointPlacesBad { get; init; }

    /// <summary>Journal records that were applied to the checkpoint.</summary>
    public required int RecordsReplayed { get; init; }

    /// <summary>Of those, records that some place did not have; the table has been written anew.</summary>
    public required int RecordsPartial { get; init; }

    /// <summary>Acknowledged records that are gone for good, as the caller accepted; else null.</summary>
    public required JournalDamage? RecordsLost { get; init; }

    /// <summary>Members that were behind and hold the whole table again.</summary>
    public required int MembersResynced { get; init; }
}

/// <summary>
/// Opens a set: read everything, decide, then start a new epoch durably on every copy of every active member,
/// and only then say so (F-13). The new epoch names the checkpoint where it lies and the last record that it
/// takes over; nothing else of the old one counts from then on. Where some place lacks a part of that, or a
/// member is behind, the table is written anew before the first request. Done twice, or torn off and done
/// again, it gives the same table.
/// </summary>
public sealed class MetadataRecovery : IMetadataReadingOwner, IMetadataStartOwner, IRoundOwner
{
    private readonly IEventLoop _loop;
    private readonly ulong _epoch;
    private readonly Duration _deadline;
    private readonly IMetadataRecoveryOwner _owner;
    private readonly IBlockDevice[] _spares;
    private readonly SetExpectation _expected;
    private readonly OpeningFlush[] _flushes;
    private MetadataReading _reading;
    private bool _isReadAgain;
    private MetadataStore? _store;
    private PrimaryIdentity? _primary;
    private int _joining;

    /// <param name="loop">On whose thread everything happens.</param>
    /// <param name="spares">Claimed, in any order.</param>
    /// <param name="expected">What the caller knows of the set.</param>
    /// <param name="epoch">The new epoch's id: random, not zero.</param>
    /// <param name="owner">Told of the end.</param>
    /// <param name="deadline">Of each metadata write while the set is served.</param>
    public MetadataRecovery(
        IEventLoop loop,
        IBlockDevice[] spares,
        SetExpectation expected,
        ulong epoch,
        IMetadataRecoveryOwner owner,
        Duration? deadline = null)
    {
        Invariant.Check(epoch != 0);
        _loop = loop;
        _epoch = epoch;
        _deadline = deadline ?? MetadataDeadline.Default;
        _owner = owner;
        _spares = spares;
        _expected = expected;
        _flushes = new OpeningFlush[spares.Length];
        for (int i = 0; i < spares.Length; i++)
        {
            _flushes[i] = new OpeningFlush();
        }
        _reading = NewReading();
    }

    public RecoveredSet? Recovered { get; private set; }

    public MetadataRefusal? Refusal { get; private set; }

    /// <summary>From OnFound on: everything that was read.</summary>
    public MetadataReading Reading => _reading;

    /// <summary>From OnFound on: what was found.</summary>
    public AssembledSet? Found => _reading.Set;

    /// <summary>From OnFound on: how far the set has come.</summary>
    public HistoryPoint FoundPoint => new(
        _reading.Set!.Newest.State.Epoch, _reading.Set.EpochGeneration, _reading.Chain!.Tail.Sequence);

    /// <summary>From OnFound on: the table, with the journal replayed.</summary>
    public RemapTable? Table => _reading.Table;

    public void Begin() => _reading.Begin();

    /// <summary>After OnFound: nothing is written, and the set stays as it is.</summary>
    public void Decline(MetadataRefusal refusal)
    {
        Invariant.Check(_store is null);
        Refusal = refusal;
        _owner.OnRecovered(this);
    }

    /// <summary>After OnFound: start the new epoch.</summary>
    /// <param name="primary">What the primary is recognised by from now on; null: as before.</param>
    public void Continue(PrimaryIdentity? primary = null)
    {
        Invariant.Check(_store is null);
        _primary = primary;
        FlushWhatWasRead();
    }

    private void BeginEpoch(bool isUncertain)
    {
        AssembledSet found = _reading.Set!;
        SuperblockState newest = found.Newest.State;
        SuperblockState state = newest with
        {
            Epoch = _epoch,
            ParentEpoch = newest.Epoch,
            Generation = found.GenerationMax,
            // A copy that a cache may still drop has settled nothing: it would be an old image of itself.
            SettledGeneration =
                isUncertain ? newest.SettledGeneration : found.GenerationSettled,
            JournalHead = _reading.Chain!.Tail,
            IsCleanStop = false,
            AreCopiesInStep = false,
            PrimaryWitness = default,
        };
        LeaveOutTooSmall();
        for (int i = 0; i < _reading.Members.Length; i++)
        {
            if (_reading.Members[i] is MetadataMember member)
            {
                member.OpeningFlush = _flushes[found.SpareOfMember[i]];
            }
        }
        _joining = CountJoining();
        MarkBadCopies(found);
        _store = new MetadataStore(new MetadataStoreParts
        {
            Loop = _loop,
            Set = WithPrimary(WithPast(found)),
            Members = _reading.Members,
            Table = _reading.Table!,
            Retired = _reading.Retired!,
            State = state,
            NextSequence = _reading.Chain.NextSequence,
            Deadline = _deadline,
        });
        // After an accepted loss the table goes first: the same choice is there until its result is. Where a
        // cache may still drop the record that becomes the head, the table is written anew behind it, so that
        // no later start needs that record.
        _store.Start(
            this,
            CheckpointFor(isUncertain));
    }

    private StartCheckpoint CheckpointFor(bool isUncertain)
    {
        if (_reading.JournalDamage is not null)
        {
            return StartCheckpoint.First;
        }
        // The head that the superblocks name was acknowledged. A record behind it may be in a cache only, and
        // what is served next must not rest on it.
        bool isTailInDoubt =
            isUncertain && _reading.Chain!.Tail != _reading.Set!.Newest.State.JournalHead;
        return _joining > 0 || isTailInDoubt || !_reading.IsWholeEverywhere ? StartCheckpoint.Required
            : isUncertain ? StartCheckpoint.IfPossible
            : StartCheckpoint.None;
    }

    void IRoundOwner.OnLateReturn(IoRequest request) =>
        _flushes[request.Token].End(request.Status == IoStatus.Ok);

    void IRoundOwner.OnRoundEnded(IoRound round)
    {
        bool hasFailed = false;
        bool isUncertain = false;
        for (int i = 0; i < _spares.Length; i++)
        {
            TargetOutcome outcome = round.OutcomeOf(i);
            if (outcome is TargetOutcome.Ok or TargetOutcome.Failed)
            {
                _flushes[i].End(outcome == TargetOutcome.Ok);
            }
            hasFailed |= outcome == TargetOutcome.Failed;
            // Also one that failed while everything was being read again: that may have been read before.
            isUncertain |= _flushes[i].HasFailed || _flushes[i].IsOut;
        }
        if (hasFailed && !_isReadAgain)
        {
            // The cache may have dropped what was read from it. What is there now is what counts; once more,
            // because a spare on which every flush fails is served too.
            _isReadAgain = true;
            _reading = NewReading();
            _reading.Begin();
            return;
        }
        BeginEpoch(isUncertain);
    }

    void IMetadataReadingOwner.OnRead(MetadataReading reading)
    {
        if (reading.Refusal is not null)
        {
            Refusal = reading.Refusal;
            _owner.OnRecovered(this);
            return;
        }
        _owner.OnFound(this);
    }

    void IMetadataStartOwner.OnMetadataStarted(bool isDurable)
    {
        AssembledSet found = _reading.Set!;
        if (isDurable)
        {
            Recovered = new RecoveredSet
            {
                Store = _store!,
                Set = WithPrimary(found.Newest.Set),
                Members = _reading.Members,
                SpareOfMember = found.SpareOfMember,
                Table = _reading.Table!,
                Allocator = _reading.Allocator!,
                Retired = _reading.Retired!.All.ToArray(),
                Epoch = _epoch,
                WasCleanStop = found.Newest.State.IsCleanStop,
                WereCopiesInStep =
                    // A record that is lost may have struck out a copy.
                    found.Newest.State.IsCleanStop && found.Newest.State.AreCopiesInStep
                        && _reading.JournalDamage is null,
                CopiesRepaired = found.CopiesInvalid,
                CopiesOverwritten = _reading.CountCopiesOverwritten(),
                CopiesStale = found.CopiesStale - found.CopiesInvalid,
                CheckpointPlacesBad = _reading.CheckpointPlacesBad,
                RecordsReplayed = _reading.Chain!.Records.Length,
                RecordsPartial = _reading.JournalRecordsPartial,
                RecordsLost = _reading.JournalDamage,
                MembersResynced = _joining,
            };
        }
        else
        {
            Refusal = _store!.IsTableFull
                ? new MetadataRefusal(
                    MetadataRefusalKind.WriteFailed,
                    -1,
                    $"the table, {_reading.Table!.RunCount} runs long, does not fit the smallest spare")
                : FailedWrite.ToRefusal(_store.LastFailure, found.SpareOfMember);
        }
        _owner.OnRecovered(this);
    }

    /// <summary>
    /// What has been read may lie in a volatile cache only: a write of the process before that failed, or was
    /// given up, and has landed there. Without this, a power cut could take the very copy that this start
    /// relies on, after the others, older, have been overwritten. Where the flush hangs, or fails twice, that
    /// is so only until one superblock of the new epoch, and the table behind it, are durable; they come
    /// next, and a spare that takes no superblock is left out, or refused when it is the last.
    /// </summary>
    private void FlushWhatWasRead()
    {
        IoRound round = new(_loop, this, _spares.Length, 0);
        for (int i = 0; i < _spares.Length; i++)
        {
            // One that has not come back since the first reading is not asked again.
            if (!_flushes[i].IsOut)
            {
                _flushes[i].Begin();
                round.Add(i, _spares[i], IoOperation.Flush, default, default, IoFlags.None);
            }
        }
        round.Submit(_deadline);
    }

    private MetadataReading NewReading() =>
        new(_loop, _spares, _expected, FeatureFlags.Supported, this);

    private SetDescription WithPrimary(SetDescription set) =>
        _primary is null ? set : set with { Primary = _primary };

    private int CountJoining()
    {
        int joining = 0;
        foreach (MetadataMember? member in _reading.Members)
        {
            joining += member is { Role: MemberRole.Joining } ? 1 : 0;
        }
        return joining;
    }

    /// <summary>
    /// A spare that is behind, and for which the table has become too long meanwhile, stays without it: its
    /// units are served, and the start does not fail for it.
    /// </summary>
    private void LeaveOutTooSmall()
    {
        long cells = _reading.Table!.RunCount + _reading.Retired!.Count;
        foreach (MetadataMember? member in _reading.Members)
        {
            bool isTooSmall = member is { Role: MemberRole.Joining }
                && cells > member.Layout.EntriesMax - Limits.CommitChangesMax;
            if (isTooSmall)
            {
                member!.Role = MemberRole.Absent;
            }
        }
    }

    /// <summary>
    /// A copy that is damaged or behind is nothing to lose: the good ones are written last. All are written.
    /// </summary>
    private void MarkBadCopies(AssembledSet found)
    {
        for (int i = 0; i < _reading.Members.Length; i++)
        {
            if (_reading.Members[i] is not { IsActive: true } member)
            {
                continue;
            }
            SpareReading spare = _reading.Copies[found.SpareOfMember[i]];
            for (int copy = 0; copy < spare.Copies.Length; copy++)
            {
                bool isGood = spare.Copies[copy].Superblock is Superblock superblock
                    && superblock.State.Generation == spare.Newest!.State.Generation;
                member.BadCopies |= (byte)(isGood ? 0 : 1 << copy);
            }
        }
    }

    /// <summary>
    /// The epoch that ends here goes in front of its own past. Copies and places that were bad are tried
    /// anew.
    /// </summary>
    private static SetDescription WithPast(AssembledSet found)
    {
        SetDescription set = found.Newest.Set;
        PastEpoch ended = new(found.Newest.State.Epoch, found.EpochGeneration);
        MemberDescription[] members = new MemberDescription[set.Members.Length];
        for (int i = 0; i < members.Length; i++)
        {
            MemberDescription member =
                set.Members[i] with { BadCopies = 0, BadJournals = 0, BadCheckpoints = 0 };
            // What it had is what the copies say of the time when it was there: not what those have that are
            // here now, which may be one generation more.
            bool isLeftOut = found.SpareOfMember[i] < 0 && member.State == MemberState.Active;
            members[i] = isLeftOut
                ? member with
                {
                    State = MemberState.Inactive,
                    SettledGeneration = member.ReachedGeneration(found.Newest.State),
                }
                : member;
        }
        return set with { Members = members, Past = [ended, .. set.Past] };
    }
}
