namespace DmRemap.Core.Abstractions;

/// <summary>
/// Anything that stores blocks: a disk, a file, memory, and the remapped device itself. Rules:
/// Submit never blocks (what lives in memory may wait for memory) and never throws for what a disk can do; it
/// refuses with a completion. A completion is
/// never delivered from inside Submit. Every submitted request completes exactly once, or never (a dead
/// disk): then its buffer stays the device's. Requests may complete in any order; overlapping ones have no
/// order between them. All calls are made on the loop's thread.
/// </summary>
public interface IBlockDevice
{
    DeviceGeometry Geometry { get; }

    void Submit(IoRequest request);
}

/// <summary>What a device is and what its operations mean. Fixed while it is served.</summary>
public sealed record DeviceGeometry
{
    /// <summary>The smallest addressable block; all extents count these.</summary>
    public required BlockSize LogicalBlockSize { get; init; }

    /// <summary>
    /// What the medium writes at once and one bad spot costs, in bytes: at least the logical block.
    /// </summary>
    public required int PhysicalBlockBytes { get; init; }

    public required BlockCount Blocks { get; init; }

    /// <summary>
    /// Bytes from the device's start to the first physical block boundary (Linux: alignment_offset); 0 when
    /// aligned.
    /// </summary>
    public int AlignmentOffsetBytes { get; init; }

    /// <summary>The longest Read or Write taken in one request, in bytes.</summary>
    public int TransferBytesMax { get; init; } = Limits.SliceBytes;

    public bool CanDiscard { get; init; }

    public bool CanWriteZeroes { get; init; }

    /// <summary>WriteZeroes costs less than writing as many zeros would.</summary>
    public bool CanZeroFast { get; init; }

    public bool IsReadOnly { get; init; }

    public bool IsRotational { get; init; }

    public ByteCount Bytes => Blocks.ToBytes(LogicalBlockSize);

    public Extent Whole => new(new BlockNumber(0), Blocks);
}
