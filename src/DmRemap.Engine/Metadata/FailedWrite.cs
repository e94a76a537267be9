using System.Globalization;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults.Injection;
using DmRemap.Core.Metadata;

namespace DmRemap.Engine.Metadata;

internal static class FailedWrite
{
    public static MetadataRefusal ToRefusal(in MetadataFailure failure, int[] spareOfMember)
    {
        string what = failure.Operation == IoOperation.Flush
            ? "a flush"
            : $"writing blocks {failure.Extent}";
        return new MetadataRefusal(
            MetadataRefusalKind.WriteFailed,
            spareOfMember[failure.Target],
            failure.Status == IoStatus.Pending
                ? $"{what} had not come back by the deadline"
                : string.Create(
                    CultureInfo.InvariantCulture,
                    $"{what} failed: {failure.Status}, "
                        + $"{FaultErrno.NameOf(failure.Errno)} ({failure.Errno})"));
    }
}
