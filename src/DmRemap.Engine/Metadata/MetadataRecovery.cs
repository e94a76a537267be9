using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;

namespace DmRemap.Engine.Metadata;

public interface IMetadataRecoveryOwner
{
    /// <summary>
    /// Called once, on the loop's thread, never from inside Begin: Recovered or Refusal is not null.
    /// </summary>
    void OnRecovered(MetadataRecovery recovery);
}

/// <summary>What a start works with.</summary>
public sealed record RecoveredSet
{
    /// <summary>Ready for commits; its new epoch is durable on every copy of every member.</summary>
    public required MetadataStore Store { get; init; }

    public required SetDescription Set { get; init; }

    /// <summary>By member index, which is what SpareLocation.Spare counts.</summary>
    public required MetadataMember[] Members { get; init; }

    /// <summary>Member index to position in the list of spares given to recovery.</summary>
    public required int[] SpareOfMember { get; init; }

    /// <summary>Ascending by unit.</summary>
    public required RemapEntry[] Entries { get; init; }

    /// <summary>Ascending by spare and unit.</summary>
    public required SpareLocation[] Retired { get; init; }

    public required ulong Epoch { get; init; }

    public required bool WasCleanStop { get; init; }

    /// <summary>Superblock copies that were found invalid or unreadable; they have been rewritten.</summary>
    public required int CopiesRepaired { get; init; }

    /// <summary>Places in which the checkpoint was not whole; the table has been written anew.</summary>
    public required int CheckpointPlacesBad { get; init; }
}

/// <summary>
/// Opens a set: read everything, decide, then start a new epoch durably on every copy of every member, and
/// only then say so (F-13). The new epoch is two generations above the highest seen: one that makes every
/// copy name the recovered table, and one that writes it to the other area, under the new epoch. Done twice,
/// or torn off and done again, it gives the same table.
/// </summary>
public sealed class MetadataRecovery : IMetadataReadingOwner, ICommitOwner
{
    private readonly IEventLoop _loop;
    private readonly ulong _epoch;
    private readonly IMetadataRecoveryOwner _owner;
    private readonly MetadataReading _reading;
    private readonly CommitRequest _firstCommit = new(1);
    private MetadataStore? _store;

    /// <param name="loop">On whose thread everything happens.</param>
    /// <param name="spares">Claimed, in any order.</param>
    /// <param name="expected">What the caller knows of the set.</param>
    /// <param name="epoch">The new epoch's id: random, not zero.</param>
    /// <param name="owner">Told of the end.</param>
    public MetadataRecovery(
        IEventLoop loop,
        IBlockDevice[] spares,
        SetExpectation expected,
        ulong epoch,
        IMetadataRecoveryOwner owner)
    {
        Invariant.Check(epoch != 0);
        _loop = loop;
        _epoch = epoch;
        _owner = owner;
        _reading = new MetadataReading(loop, spares, expected, FeatureFlags.Supported, this);
    }

    public RecoveredSet? Recovered { get; private set; }

    public MetadataRefusal? Refusal { get; private set; }

    public void Begin() => _reading.Begin();

    void IMetadataReadingOwner.OnRead(MetadataReading reading)
    {
        if (reading.Set is null)
        {
            Refusal = reading.Refusal;
            _owner.OnRecovered(this);
            return;
        }
        Superblock newest = reading.Set.Newest;
        SuperblockState state = newest.State with
        {
            Epoch = _epoch,
            ParentEpoch = newest.State.Epoch,
            IsCleanStop = false,
        };

        // The half that the deciding copy belongs to is written last: it may be the only valid one there is.
        int firstParity = 1 - (newest.CopyIndex % MetadataWriter.Parities);
        _store = new MetadataStore(
            _loop, newest.Set, reading.Members, reading.Image, state, isSettled: false, firstParity);
        _firstCommit.Prepare(this);
        _store.Commit(_firstCommit);
    }

    void ICommitOwner.OnCommitted(CommitRequest request)
    {
        if (request.Outcome == CommitOutcome.Done)
        {
            AssembledSet set = _reading.Set!;
            Recovered = new RecoveredSet
            {
                Store = _store!,
                Set = set.Newest.Set,
                Members = _reading.Members,
                SpareOfMember = set.SpareOfMember,
                Entries = _store!.CopyEntries(),
                Retired = _store.CopyRetired(),
                Epoch = _epoch,
                WasCleanStop = set.Newest.State.IsCleanStop,
                CopiesRepaired = set.CopiesInvalid,
                CheckpointPlacesBad = _reading.CheckpointPlacesBad,
            };
        }
        else
        {
            Refusal = FailedWrite.ToRefusal(_store!.LastFailure, _reading.Set!.SpareOfMember);
        }
        _owner.OnRecovered(this);
    }
}
