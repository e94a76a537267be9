using System;
using System.Globalization;

namespace DmRemap.Cli.Losses;

/// <summary>
/// How XFS counts its blocks: by allocation groups, whose number stands above the bits of the number in it.
/// </summary>
/// <param name="BlockBytes">512 to 65,536.</param>
/// <param name="GroupBlocks">Blocks in a group, but for the last.</param>
/// <param name="GroupBits">Bits of the number in a group.</param>
internal sealed record XfsGeometry(int BlockBytes, long GroupBlocks, int GroupBits)
{
    private const int BlockBytesMin = 512;
    private const int BlockBytesMax = 65_536;
    private const int GroupBitsMax = 31;

    /// <summary>From `print blocksize agblocks agblklog`. Null: it is not said, or cannot be.</summary>
    public static XfsGeometry? Parse(string output)
    {
        long blockBytes = ValueOf(output, "blocksize");
        long groupBlocks = ValueOf(output, "agblocks");
        long groupBits = ValueOf(output, "agblklog");
        bool isOne = blockBytes is >= BlockBytesMin and <= BlockBytesMax
            && groupBits is > 0 and <= GroupBitsMax
            && groupBlocks > 0 && groupBlocks <= 1L << (int)groupBits;
        return isOne ? new XfsGeometry((int)blockBytes, groupBlocks, (int)groupBits) : null;
    }

    /// <summary>The number of the file system's block, counted from its beginning.</summary>
    public long NumberOf(long block) => ((block / GroupBlocks) << GroupBits) | (block % GroupBlocks);

    /// <summary>The other way round, from "GROUP/NUMBER". Null: it is none.</summary>
    public long? BlockAt(string place)
    {
        int slash = place.IndexOf('/', StringComparison.Ordinal);
        return slash > 0
            && TryNumber(place[..slash], out long group) && group < int.MaxValue
            && TryNumber(place[(slash + 1)..], out long number) && number < GroupBlocks
                ? (group * GroupBlocks) + number
                : null;
    }

    public static bool TryNumber(string text, out long number) =>
        long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out number);

    private static long ValueOf(string output, string name)
    {
        string head = name + " = ";
        foreach (string line in output.Split('\n'))
        {
            if (line.StartsWith(head, StringComparison.Ordinal)
                && TryNumber(line[head.Length..], out long value))
            {
                return value;
            }
        }
        return -1;
    }
}
