using DmRemap.Control.Contracts;
using DmRemap.Core.Abstractions;

namespace DmRemap.Control.Server;

/// <summary>Blocks that a command names, against the device's own.</summary>
public static class BlockRange
{
    public static Refusal BeyondEnd(string device, long first, long last, long blocks, int blockSize)
    {
        string given = first == last ? $"Block {first} lies" : $"Blocks {first}-{last} lie";
        return new Refusal(
            MessageIds.BeyondEnd,
            ExitCode.Usage,
            device,
            $"{given} beyond the end of {device} (size {blocks * blockSize} bytes: blocks 0 to {blocks - 1} "
                + $"of {blockSize} bytes).",
            "Give a range inside the device; both ends are included.");
    }
}
