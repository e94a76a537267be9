using System.Numerics;
using DmRemap.Core.Abstractions;

namespace DmRemap.Nbd;

/// <summary>
/// What a server says of its export, checked for what nobody can mean (<see cref="ClientHandshake"/>), and
/// what a device makes of it.
/// </summary>
public sealed record ClientExport
{
    /// <summary>What a server that says nothing of block sizes is taken to have.</summary>
    public const int MinimumBytesDefault = 1;

    public const int PreferredBytesDefault = 4096;

    public const long PayloadBytesDefault = 32 * 1024 * 1024;

    /// <summary>
    /// A preferred size up to this is taken for the size of a physical block. A larger one speaks of the
    /// server's transfers (our own prefers 128 KiB), not of what one bad spot costs.
    /// </summary>
    public const int PhysicalBytesMax = 16 * 1024;

    private const int PhysicalBytesMin = 4096;
    private const int LogicalBytesMin = 512;
    private const int LogicalBytesMax = 4096;

    public required long SizeBytes { get; init; }

    public required NbdTransmissionFlags Flags { get; init; }

    public int MinimumBlockBytes { get; init; } = MinimumBytesDefault;

    public int PreferredBlockBytes { get; init; } = PreferredBytesDefault;

    /// <summary>The longest READ or WRITE; uint.MaxValue where there is no limit.</summary>
    public long PayloadBytesMax { get; init; } = PayloadBytesDefault;

    public bool IsReadOnly => Has(NbdTransmissionFlags.ReadOnly);

    public bool CanFlush => Has(NbdTransmissionFlags.SendFlush);

    public bool CanForceUnitAccess => Has(NbdTransmissionFlags.SendFua);

    public bool CanTrim => Has(NbdTransmissionFlags.SendTrim) && !IsReadOnly;

    public bool CanWriteZeroes => Has(NbdTransmissionFlags.SendWriteZeroes) && !IsReadOnly;

    /// <summary>The smallest logical block that requests can be made of.</summary>
    public int LogicalBlockBytes => MinimumBlockBytes <= LogicalBytesMin ? LogicalBytesMin : LogicalBytesMax;

    /// <summary>
    /// Empty when it can be a device with these blocks; else why not, for a sentence: "it has …".
    /// </summary>
    public string FindProblem(int logicalBlockBytes)
    {
        if (MinimumBlockBytes > logicalBlockBytes)
        {
            return $"its smallest block has {MinimumBlockBytes} bytes, and {logicalBlockBytes} are needed";
        }
        if (PayloadBytesMax < Limits.SliceBytes)
        {
            return $"it takes at most {PayloadBytesMax} bytes at once, and {Limits.SliceBytes} are needed";
        }
        return SizeBytes < logicalBlockBytes ? "it is smaller than one block" : string.Empty;
    }

    /// <param name="logicalBlockBytes">For which nothing stands against it.</param>
    /// <param name="physicalBlockBytes">0: what the export prefers.</param>
    /// <param name="access">How it is used.</param>
    public DeviceGeometry ToGeometry(int logicalBlockBytes, int physicalBlockBytes, NbdAccess access)
    {
        Invariant.Check(FindProblem(logicalBlockBytes).Length == 0);
        BlockSize blockSize = new(logicalBlockBytes);
        int preferred = PreferredBlockBytes > PhysicalBytesMax ? PhysicalBytesMin : PreferredBlockBytes;
        int physical = physicalBlockBytes > 0
            ? physicalBlockBytes
            : int.Max(preferred, PhysicalBytesMin);
        Invariant.Check(BitOperations.IsPow2(physical));
        bool isReadOnly = IsReadOnly || access == NbdAccess.ReadOnly;
        return new DeviceGeometry
        {
            LogicalBlockSize = blockSize,
            PhysicalBlockBytes = int.Max(physical, logicalBlockBytes),
            Blocks = blockSize.WholeBlocks(new ByteCount(SizeBytes)),
            TransferBytesMax = Limits.SliceBytes,
            CanDiscard = CanTrim && !isReadOnly,
            CanWriteZeroes = CanWriteZeroes && !isReadOnly,
            IsReadOnly = isReadOnly,
            IsRotational = Has(NbdTransmissionFlags.Rotational),
        };
    }

    private bool Has(NbdTransmissionFlags flag) => (Flags & flag) != 0;
}
