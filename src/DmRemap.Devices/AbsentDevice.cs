using DmRemap.Core.Abstractions;

namespace DmRemap.Devices;

/// <summary>
/// Stands in for a member that is not here: everything fails as gone. What it holds is unavailable, not lost.
/// </summary>
public sealed class AbsentDevice(IEventLoop loop, DeviceGeometry geometry) : IBlockDevice
{
    private const int NoDevice = 19;

    public DeviceGeometry Geometry { get; } = geometry;

    public void Submit(IoRequest request)
    {
        request.MarkSubmitted();
        request.SetResult(IoStatus.DeviceError, NoDevice, Duration.Zero);
        loop.DeliverLater(request);
    }
}
