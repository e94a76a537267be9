using System;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;

namespace DmRemap.Engine.Metadata;

/// <summary>A spare is known by its superblocks: which set it is of, and which member of that set.</summary>
public sealed class SpareIdentity(SpareLayout layout, Guid set, Guid member) : IMemberIdentity
{
    public int Places => SpareLayout.SuperblockCopies;

    public Extent PlaceAt(int index)
    {
        BlockSize size = layout.BlockSize;
        ByteRegion place = layout.Superblock(index);
        return new Extent(
            new BlockNumber(place.Start / size.Bytes),
            new BlockCount(SpareLayout.SuperblockBytes / size.Bytes));
    }

    public bool IsIt(int index, ReadOnlySpan<byte> content)
    {
        Superblock? found = new UnverifiedSuperblock(content).Verify(index, FeatureFlags.Supported, out _);
        return found is not null && found.Set.SetUuid == set && found.MemberUuid == member;
    }
}
