using DmRemap.Core.Abstractions;
using DmRemap.Simulator.World;

namespace DmRemap.Simulator.Disks;

/// <summary>Who asks the disk: the path of data, or the metadata.</summary>
internal enum IoOrigin : byte
{
    Data = 0,
    Metadata = 1,
}

/// <summary>
/// A request that the kernel owns. It lands at its time, whether the process that made it still lives or not.
/// </summary>
internal sealed class DiskOperation(SimulatedDisk disk) : WorldEvent
{
    public IoRequest? Request { get; set; }

    public SimulatedProcess? Process { get; set; }

    public IoOrigin Origin { get; set; }

    public long SubmittedAt { get; set; }

    /// <summary>For a flush: the number of the last write that had completed when it was submitted.</summary>
    public long Covers { get; set; }

    /// <summary>Its place in the disk's list of those in flight.</summary>
    public int Slot { get; set; }

    public override void Happen() => disk.Land(this);
}
