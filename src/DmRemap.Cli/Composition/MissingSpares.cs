using System.Linq;
using DmRemap.Control.Registry;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;

namespace DmRemap.Cli.Composition;

/// <summary>Spares that are registered and not here.</summary>
internal static class MissingSpares
{
    /// <summary>Nothing is at its path, or nobody answers there; not: it cannot be opened.</summary>
    public static bool IsMissing(RefusalException refused) => refused.ExitCode == ExitCode.NoSuchDevice;

    /// <exception cref="RefusalException">DMR-SPARE-UNKNOWN (exit 2).</exception>
    public static void RequireKnown(DeviceRecord record, string[] without)
    {
        foreach (string path in without.Where(path => record.Spares.All(spare => spare.Path != path)))
        {
            throw new RefusalException(new Refusal(
                "DMR-SPARE-UNKNOWN",
                ExitCode.Usage,
                path,
                $"{path} is not a spare of {record.Name}.",
                $"Its spares are {string.Join(", ", record.Spares.Select(spare => spare.Path))}."));
        }
    }

    public static RefusalException ToException(RefusalException missing) => new(
        new Refusal(
            "DMR-META-MISSING-SPARE",
            ExitCode.RefusedForSafety,
            missing.Device,
            $"{missing.Message} It may hold remapped blocks.",
            "Attach it. To go on without it, `serve --degraded`: what only it holds cannot be read until "
                + "it returns."),
        missing);

    public static RefusalException AllAreMissing(string device, RefusalException? missing) => missing is null
        ? new RefusalException(new Refusal(
            "DMR-META-MISSING-SPARE",
            ExitCode.RefusedForSafety,
            device,
            $"{device}: no spare is left, and the remap table is on the spares only.",
            "Leave out fewer of them."))
        : missing;

    /// <summary>Where it was last, as far as the registry knows.</summary>
    public static string NameOf(DeviceRecord record, MemberDescription member) =>
        record.Spares.FirstOrDefault(spare => spare.Uuid == member.Uuid)?.Path ?? $"spare {member.Uuid}";
}
