using DmRemap.Core.Abstractions;
using DmRemap.Simulator.Checkers;
using DmRemap.Simulator.World;

namespace DmRemap.Simulator.Disks;

/// <summary>
/// A disk as one process has opened it, for data or for metadata: the device that the engine is given. Writes
/// are shown to the checker before the disk gets them.
/// </summary>
internal sealed class DiskView(
    SimulatedDisk disk, SimulatedSystem system, IoOrigin origin, WriteWatch? watch) : IBlockDevice
{
    public DeviceGeometry Geometry => disk.Geometry;

    public void Submit(IoRequest request)
    {
        if (origin == IoOrigin.Data && system.Device is { IsQuiesced: true })
        {
            throw new Violation(
                "suspend",
                $"{request.Operation} {request.Extent} goes to disk {disk.Index} of a quiet device");
        }
        if (request.Operation is IoOperation.Write or IoOperation.WriteZeroes)
        {
            watch?.OnWrite(disk, request, origin);
        }
        disk.Submit(request, system.Process, origin);
    }
}
