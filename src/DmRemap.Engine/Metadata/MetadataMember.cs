using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;

namespace DmRemap.Engine.Metadata;

/// <summary>An open spare and where everything lies on it.</summary>
public sealed record MetadataMember(IBlockDevice Device, SpareLayout Layout)
{
    /// <summary>
    /// What metadata writes are aligned to: whole physical blocks, so that none is read and rewritten.
    /// </summary>
    internal int AlignmentBytes => Layout.SuperblockSlotBytes;

    internal Extent ExtentOf(long startBytes, int bytes)
    {
        BlockSize size = Layout.BlockSize;
        Invariant.Check(size.IsAligned(startBytes));
        Invariant.Check(size.IsAligned(bytes));
        return new Extent(new BlockNumber(startBytes / size.Bytes), new BlockCount(bytes / size.Bytes));
    }
}
