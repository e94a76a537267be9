using System.Globalization;
using DmRemap.Linux.Members;

namespace DmRemap.Linux.Loops;

/// <summary>
/// Gives a loop device what the disk below is: a loop's own defaults are those of a file in memory.
/// </summary>
public static class LoopLimits
{
    private const string TransferKibibytes = "max_sectors_kb";

    /// <summary>
    /// False when transfers cannot be kept to this length: a longer one would come in parts, and the error of
    /// one part could be lost above (F-10). The rest is for speed, and done where it can be.
    /// </summary>
    /// <param name="loop">Just attached: nobody uses it yet.</param>
    /// <param name="main">The path of the disk below, or of a file on it; empty where there is none.</param>
    /// <param name="transferBytesMax">At most.</param>
    /// <param name="isZeroingFast">Zeroing costs less than writing as many zeros.</param>
    public static bool TryApply(LoopDevice loop, string main, int transferBytesMax, bool isZeroingFast)
    {
        BlockTopology topology = new();
        FileStatus? status = main.Length == 0 ? null : FileStatus.OfPath(main);
        DeviceNumber? disk = status is null
            ? null
            : status.Kind == FileKind.Block ? status.Device : status.HostDevice;
        int transferBytes = transferBytesMax;
        if (disk is DeviceNumber number)
        {
            int own = topology.TransferBytesMax(number);
            transferBytes = own > 0 ? int.Min(own, transferBytesMax) : transferBytesMax;
            Copy(topology, number, loop, "rotational");
            Copy(topology, number, loop, "read_ahead_kb");
        }
        if (!isZeroingFast)
        {
            // A discard is a zeroing here (F-11): a trim of all that is free would write it full of zeros.
            _ = loop.TrySetQueue("discard_max_bytes", "0");
        }
        string wanted = (transferBytes / 1024).ToString(CultureInfo.InvariantCulture);
        return (loop.TrySetQueue(TransferKibibytes, wanted)
                && loop.ReadQueue(TransferKibibytes) == wanted)
            || IsWithin(loop, transferBytesMax);
    }

    private static bool IsWithin(LoopDevice loop, int transferBytesMax) =>
        int.TryParse(
            loop.ReadQueue(TransferKibibytes), NumberStyles.None, CultureInfo.InvariantCulture, out int now)
            && now <= transferBytesMax / 1024;

    private static void Copy(BlockTopology topology, DeviceNumber from, LoopDevice to, string attribute)
    {
        if (topology.QueueOf(from, attribute) is string value)
        {
            _ = to.TrySetQueue(attribute, value);
        }
    }
}
