using System.Runtime.CompilerServices;
using DmRemap.Core.Abstractions;

namespace DmRemap.Devices;

/// <summary>What every device refuses, in one place.</summary>
internal static class RequestCheck
{
    /// <summary>
    /// Pending: the device does it. Else how it is refused; Ok for an extent without blocks.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static IoStatus Of(IoRequest request, DeviceGeometry geometry)
    {
        if (request.Operation == IoOperation.Flush)
        {
            return IoStatus.Pending;
        }
        Extent extent = request.Extent;
        long blocks = geometry.Blocks.Value;
        // Not by the extent's end, which may not be a number.
        bool isInside = extent.Count.Value <= blocks && extent.Start.Value <= blocks - extent.Count.Value;
        if (!isInside)
        {
            return IoStatus.Invalid;
        }
        return request.Operation == IoOperation.Read
            ? OfTransfer(request, geometry)
            : OfChange(request, geometry);
    }

    private static IoStatus OfTransfer(IoRequest request, DeviceGeometry geometry)
    {
        long bytes = request.Extent.Count.Value * geometry.LogicalBlockSize.Bytes;
        if (bytes != request.Buffer.Length || bytes > geometry.TransferBytesMax)
        {
            return IoStatus.Invalid;
        }
        return bytes == 0 ? IoStatus.Ok : IoStatus.Pending;
    }

    private static IoStatus OfChange(IoRequest request, DeviceGeometry geometry)
    {
        if (geometry.IsReadOnly)
        {
            return IoStatus.ReadOnly;
        }
        IoStatus status = request.Operation switch
        {
            IoOperation.Write => OfTransfer(request, geometry),
            IoOperation.Discard => geometry.CanDiscard ? IoStatus.Pending : IoStatus.Unsupported,
            IoOperation.WriteZeroes => geometry.CanWriteZeroes ? IoStatus.Pending : IoStatus.Unsupported,
            IoOperation.None or IoOperation.Read or IoOperation.Flush => IoStatus.Invalid,
            _ => IoStatus.Invalid,
        };
        return status == IoStatus.Pending && request.Extent.IsEmpty ? IoStatus.Ok : status;
    }
}
