using System;
using System.Collections.Generic;
using System.Globalization;

namespace DmRemap.Cli.Losses;

/// <summary>
/// Where btrfs keeps what, from `btrfs inspect-internal dump-tree -t chunk`: each chunk is a run of its own
/// addresses, and lies on a device once or more.
/// </summary>
internal sealed class BtrfsChunks
{
    private readonly List<Chunk> _chunks = [];
    private readonly HashSet<long> _devices = [];

    /// <summary>On several devices, or in stripes: a place on one of them is not enough.</summary>
    public bool IsSpread { get; private set; }

    /// <summary>Null: it has not the form of such a table.</summary>
    public static BtrfsChunks? Parse(string output)
    {
        BtrfsChunks all = new();
        Chunk? open = null;
        foreach (string line in output.Split('\n'))
        {
            string[] words = line.Split([' ', '\t'], StringSplitOptions.RemoveEmptyEntries);
            if (words is ["item", _, "key", _, "CHUNK_ITEM", string address, ..]
                && TryNumber(address.TrimEnd(')'), out long logical))
            {
                open = new Chunk { Logical = logical };
                all._chunks.Add(open);
            }
            else if (words is ["item", ..])
            {
                open = null;
            }
            else if (words is ["devid", string device, ..] && TryNumber(device, out long id))
            {
                all._devices.Add(id);
            }
            else if (open is not null && !TryTake(open, words, all))
            {
                return null;
            }
        }
        all.IsSpread |= all._devices.Count != 1;
        return all._chunks.Count > 0 && all._chunks.TrueForAll(chunk => chunk.IsWhole) ? all : null;
    }

    /// <summary>
    /// Of a byte of the device; null: no chunk lies there, or one that has no file's content.
    /// </summary>
    public long? LogicalOf(long deviceByte)
    {
        foreach (Chunk chunk in _chunks)
        {
            foreach (long place in chunk.Places)
            {
                if (chunk.HasData && deviceByte >= place && deviceByte - place < chunk.Bytes)
                {
                    return chunk.Logical + (deviceByte - place);
                }
            }
        }
        return null;
    }

    /// <summary>False: a number is none.</summary>
    private static bool TryTake(Chunk chunk, string[] words, BtrfsChunks all)
    {
        long number = 0;
        if (words is ["length", string length, ..])
        {
            bool isLength = TryNumber(length, out number) && number > 0;
            int type = Array.IndexOf(words, "type");
            string[] kinds = type >= 0 && type + 1 < words.Length ? words[type + 1].Split('|') : [];
            chunk.Bytes = number;
            chunk.HasData = Array.IndexOf(kinds, "DATA") >= 0;
            all.IsSpread |= Array.Exists(kinds, kind => kind is "RAID0" or "RAID10" or "RAID5" or "RAID6");
            return isLength && kinds.Length > 0;
        }
        if (words is ["stripe", _, "devid", _, "offset", string offset, ..])
        {
            bool isPlace = TryNumber(offset, out number);
            chunk.Places.Add(number);
            return isPlace;
        }
        return true;
    }

    private static bool TryNumber(string text, out long number) =>
        long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out number);

    private sealed class Chunk
    {
        public required long Logical { get; init; }

        public long Bytes { get; set; }

        public bool HasData { get; set; }

        /// <summary>Bytes of the device.</summary>
        public List<long> Places { get; } = [];

        public bool IsWhole => Bytes > 0 && Places.Count > 0;
    }
}
