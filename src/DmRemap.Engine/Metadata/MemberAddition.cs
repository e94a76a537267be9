using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;

namespace DmRemap.Engine.Metadata;

public interface IMembershipChangeOwner
{
    /// <summary>
    /// Called once, on the loop's thread, never from inside the call that began it. False: the store stops,
    /// or the spare failed; an added one is then left out, and may be retired.
    /// </summary>
    void OnMembershipChanged(bool isDone);
}

/// <summary>
/// A spare that is to be counted in while the set is served: where everything lies on it, and the writers of
/// a set with one member more. Planned on the loop's thread, built beside it (it allocates), begun there.
/// </summary>
public sealed class MemberAddition
{
    internal MemberAddition(
        IEventLoop loop, MetadataStore store, MetadataMember member, MemberDescription description, int index,
        MetadataMember?[] members)
    {
        Loop = loop;
        Store = store;
        Member = member;
        Description = description;
        Index = index;
        Members = members;
    }

    public MetadataMember Member { get; }

    public MemberDescription Description { get; }

    /// <summary>The member's index in the set.</summary>
    public int Index { get; }

    internal MetadataMember?[] Members { get; }

    internal JournalWriter? Journal { get; private set; }

    internal SuperblockWriter? Superblocks { get; private set; }

    internal CheckpointTask? Checkpoint { get; private set; }

    internal MemberSeed? Seed { get; private set; }

    private IEventLoop Loop { get; }

    private MetadataStore Store { get; }

    /// <summary>On any thread.</summary>
    public void Build(JournalRing ring)
    {
        Invariant.Check(Journal is null);
        Journal = new JournalWriter(Loop, Members, ring, Store);
        Superblocks = new SuperblockWriter(Loop, Members, Store);
        Checkpoint = new CheckpointTask(Loop, Members, Store);
        Seed = new MemberSeed(Loop, Member, Store);
    }
}
