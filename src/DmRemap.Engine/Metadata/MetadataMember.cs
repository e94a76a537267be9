using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Engine.Flushing;

namespace DmRemap.Engine.Metadata;

/// <summary>An open spare and where everything lies on it.</summary>
public sealed class MetadataMember(IBlockDevice device, SpareLayout layout, MemberRole role)
{
    public IBlockDevice Device { get; } = device;

    public SpareLayout Layout { get; } = layout;

    /// <summary>Loop thread only.</summary>
    public MemberRole Role { get; internal set; } = role;

    public bool IsActive => Role == MemberRole.Active;

    /// <summary>What the start's own flush of it came to; null before that.</summary>
    public OpeningFlush? OpeningFlush { get; internal set; }

    /// <summary>
    /// A generation that it is known to have had, of a member that joins: the others' settled one says
    /// nothing of it until a generation that counts it as active is on it. 0: as the others.
    /// </summary>
    internal ulong SettledGeneration { get; set; }

    /// <summary>Copies that lack the newest generation. Bit: copy.</summary>
    internal byte BadCopies { get; set; }

    /// <summary>Journal places that are not written any more. Bit: place.</summary>
    internal byte BadJournals { get; set; }

    /// <summary>Places that lack the valid checkpoint. Bit: place.</summary>
    internal byte BadCheckpoints { get; set; }

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

    internal ByteRegion Journal(int place) => place == 0 ? Layout.Journal1 : Layout.Journal2;
}
