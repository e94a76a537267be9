using System;
using System.Collections.Generic;
using System.Linq;
using DmRemap.Cli.Devices;
using DmRemap.Control.Contracts;
using DmRemap.Control.Registry;
using DmRemap.Core.Lifecycle;
using DmRemap.Linux.Loop;

namespace DmRemap.Cli.Composition;

/// <summary>
/// `status` of a device that is not served yet: what the registry knows, and what is waited for.
/// </summary>
internal static class StartingStatus
{
    public static DeviceStatus Of(DeviceRecord record, LifeState state, IReadOnlyList<OperationOwner> owners)
    {
        DeviceStatus status = RecordStatus.Of(record, LifeWords.StateOf(state));
        return status with
        {
            Phase = LifeWords.PhaseOf(state),
            Primary = status.Primary with { Io = IoOf(status.Primary.Path, owners) },
            Spares = [.. status.Spares.Select(spare => spare with { Io = IoOf(spare.Path, owners) })],
            Pid = Environment.ProcessId,
        };
    }

    /// <summary>May be a moment old: the data thread is not asked.</summary>
    private static MemberIo? IoOf(string path, IReadOnlyList<OperationOwner> owners)
    {
        OperationOwner? owner = owners.FirstOrDefault(owner => owner.Name == path);
        return owner is null ? null : new MemberIo(owner.Outstanding, OldestMs: null);
    }
}
