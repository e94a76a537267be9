namespace DmRemap.Linux.Members;

/// <summary>Which commands a disk understands that are no reads or writes.</summary>
public enum DriveBus : byte
{
    /// <summary>None that are known here: a file, a device on other devices, NVMe.</summary>
    Other = 0,

    /// <summary>SATA, also behind a SCSI layer of the kernel's own.</summary>
    Ata = 1,

    /// <summary>SAS, or a bridge that speaks SCSI.</summary>
    Scsi = 2,
}
