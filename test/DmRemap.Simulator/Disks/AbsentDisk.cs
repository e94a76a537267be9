using DmRemap.Core.Abstractions;
using DmRemap.Simulator.World;

namespace DmRemap.Simulator.Disks;

/// <summary>
/// What stands for a spare that is not here: every request is answered with "no such device".
/// </summary>
internal sealed class AbsentDisk(SimulatedProcess process, DeviceGeometry geometry) : IBlockDevice
{
    private const int NoSuchDevice = 19;

    public DeviceGeometry Geometry => geometry;

    public void Submit(IoRequest request)
    {
        request.MarkSubmitted();
        request.SetResult(IoStatus.DeviceError, NoSuchDevice, Duration.Zero);
        process.DeliverLater(request);
    }
}
