using DmRemap.Cli.Parsing;
using DmRemap.Control.Contracts;
using DmRemap.Core.Flushing;
using DmRemap.Engine;

namespace DmRemap.Cli.Composition;

/// <summary>What `status` says of acknowledged writes that may be lost. On the loop's thread.</summary>
internal static class UncertainReport
{
    public static long BlocksOf(RemapDevice device)
    {
        long blocks = 0;
        for (int i = 0; i < device.Uncertain.Count; i++)
        {
            blocks += device.Uncertain[i].Count.Value;
        }
        return blocks;
    }

    public static LostExtent[] ExtentsOf(RemapDevice device)
    {
        LostExtent[] extents = new LostExtent[device.Uncertain.Count];
        for (int i = 0; i < extents.Length; i++)
        {
            extents[i] = new LostExtent(device.Uncertain[i].Start.Value, device.Uncertain[i].Count.Value);
        }
        return extents;
    }

    public static WriteCacheStatus CacheOf(RemapDevice device)
    {
        WriteCacheRule rule = device.WriteCache;
        return new WriteCacheStatus(WriteCacheText.Of(rule.Policy), rule.IsCacheOff, rule.ForcesWrites);
    }
}
