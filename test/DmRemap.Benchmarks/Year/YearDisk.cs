using DmRemap.Core.Abstractions;

namespace DmRemap.Benchmarks.Year;

/// <summary>
/// A disk that answers at once and keeps no content: what becomes of content is read off the defects and the
/// table, so that a disk of 1 TiB costs nothing.
/// </summary>
internal sealed class YearDisk(IEventLoop loop, long bytes) : IBlockDevice
{
    public const int BlockBytes = 512;
    public const int PhysicalBytes = 4096;

    public DeviceGeometry Geometry { get; } = new()
    {
        LogicalBlockSize = new BlockSize(BlockBytes),
        PhysicalBlockBytes = PhysicalBytes,
        Blocks = new BlockCount(bytes / BlockBytes),
        CanDiscard = false,
        CanWriteZeroes = false,
    };

    public void Submit(IoRequest request)
    {
        request.MarkSubmitted();
        request.SubmittedAt = loop.Now;
        request.SetResult(IoStatus.Ok, 0, Duration.Zero);
        loop.DeliverLater(request);
    }
}
