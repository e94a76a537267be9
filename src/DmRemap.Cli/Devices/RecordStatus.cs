using System.Collections.Generic;
using DmRemap.Control.Contracts;
using DmRemap.Control.Protocol;
using DmRemap.Control.Registry;

namespace DmRemap.Cli.Devices;

/// <summary>What the registry alone can say of a device: of one that is stopped, or not served yet.</summary>
internal static class RecordStatus
{
    public static DeviceStatus Of(DeviceRecord record, string state)
    {
        List<SpareStatus> spares = [];
        foreach (SpareRecord spare in record.Spares)
        {
            spares.Add(
                new SpareStatus { Path = spare.Path, Uuid = spare.Uuid.ToString(), State = "unknown" });
        }
        return new DeviceStatus
        {
            Name = record.Name,
            Uuid = record.SetUuid.ToString(),
            State = state,
            Conditions = [],
            Backend = "none",
            Primary = new PrimaryStatus
            {
                Path = record.MainPath,
                SizeBytes = record.MainBytes,
                BlockSize = record.BlockBytes,
                PhysicalBlockSize = record.PhysicalBlockBytes,
                UnitBytes = record.UnitBytes,
            },
            Spares = spares,
            // What is lost is not known while nobody serves it: an empty list must not read as "nothing".
            LostExtentsComplete = false,
            Version = ControlProtocol.ProgramVersion,
        };
    }
}
