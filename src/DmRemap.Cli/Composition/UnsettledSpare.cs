using System;
using System.Linq;
using DmRemap.Control.Registry;

namespace DmRemap.Cli.Composition;

/// <summary>The spare that was being added or removed when the last process ended, if any.</summary>
internal static class UnsettledSpare
{
    public static SpareRecord? Of(DeviceRecord? record) =>
        record?.Spares.FirstOrDefault(spare => spare.Transit != SpareTransit.None);

    /// <summary>Among the spares that are here; null: it is not, or there is none.</summary>
    public static int? PositionIn(DeviceRecord? record, string[] paths)
    {
        int position = Array.IndexOf(paths, Of(record)?.Path);
        return position < 0 ? null : position;
    }
}
