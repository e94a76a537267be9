using System.Globalization;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults.Injection;
using DmRemap.Core.Metadata;

namespace DmRemap.Engine.Metadata;

internal static class FailedWrite
{
    public static MetadataRefusal ToRefusal(in MetadataFailure failure, int[] spareOfMember) => new(
        MetadataRefusalKind.WriteFailed,
        spareOfMember[failure.Target],
        failure.Status == IoStatus.Pending
            ? $"writing blocks {failure.Extent} had not come back by the deadline"
            : string.Create(
                CultureInfo.InvariantCulture,
                $"writing blocks {failure.Extent} failed: {failure.Status}, "
                    + $"{FaultErrno.NameOf(failure.Errno)} ({failure.Errno})"));
}
