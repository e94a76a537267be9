using System;

namespace DmRemap.Core.Metadata;

/// <summary>One verified superblock copy of one member.</summary>
public sealed record Superblock
{
    public required SetDescription Set { get; init; }

    /// <summary>Whose copy this is: an index into Set.Members.</summary>
    public required int MemberIndex { get; init; }

    public required SpareLayout Layout { get; init; }

    public required SuperblockState State { get; init; }

    public required int CopyIndex { get; init; }

    /// <summary>Equal for the copies of one member and generation, whatever their copy index.</summary>
    public uint ContentChecksum { get; init; }

    public Guid MemberUuid => Set.Members[MemberIndex].Uuid;
}
