namespace DmRemap.Core.Metadata;

/// <summary>What a member is at this start.</summary>
public enum MemberRole : byte
{
    /// <summary>Not here.</summary>
    Absent = 0,

    /// <summary>Holds everything that is acknowledged.</summary>
    Active = 1,

    /// <summary>Here, and behind: the table is written to it anew before it counts.</summary>
    Joining = 2,
}

/// <summary>A set whose members agree, and what each of them is.</summary>
public sealed record AssembledSet
{
    /// <summary>The copy that decides: the highest generation of all members.</summary>
    public required Superblock Newest { get; init; }

    /// <summary>Member index to position in the caller's list; -1: it is not here.</summary>
    public required int[] SpareOfMember { get; init; }

    /// <summary>By member index; null where it is not here.</summary>
    public required SpareLayout?[] Layouts { get; init; }

    /// <summary>By member index.</summary>
    public required MemberRole[] Roles { get; init; }

    /// <summary>Highest generation that any copy of any member has.</summary>
    public required ulong GenerationMax { get; init; }

    /// <summary>
    /// Highest generation of the deciding copy's own epoch: what another went to in vain is none of it.
    /// </summary>
    public required ulong EpochGeneration { get; init; }

    /// <summary>The highest generation that every active member which is here has.</summary>
    public required ulong GenerationSettled { get; init; }

    /// <summary>Copies of active members that are not of the newest generation.</summary>
    public required int CopiesStale { get; init; }

    /// <summary>Copies of active members that are damaged or cannot be read.</summary>
    public required int CopiesInvalid { get; init; }
}
