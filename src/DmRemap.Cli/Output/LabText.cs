using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using DmRemap.Control.Contracts;

namespace DmRemap.Cli.Output;

/// <summary>A disk of the lab, for people.</summary>
internal static class LabText
{
    public static string Of(LabStatus status)
    {
        LabCounters counters = status.Counters;
        List<string> lines =
        [
            $"    disk: {status.Name} (fails on purpose)",
            $"   state: {StateOf(status.State)}",
            $"  export: {string.Join(", ", status.Exports)}",
            $"    size: {Amounts.Bytes(status.SizeBytes)}, blocks of {status.BlockSize} bytes (physical "
                + $"{status.PhysicalBlockSize})",
            $" content: {status.Backing}{(status.IsTemporary ? " (unlinked: goes with the process)" : "")}",
            $"  served: by process {status.Pid}, dmremap {status.Version}",
            $"   model: {ModelOf(status)}",
            $"     bad: {DefectsOf(status)}",
            $"  failed: {Amounts.Plural(counters.ReadsFailed, "read")}, "
                + $"{Amounts.Plural(counters.WritesFailed, "write")}, "
                + $"{Amounts.Plural(counters.FlushesFailed, "flush", "flushes")} by bad sectors; "
                + $"{Amounts.Count(counters.FailedByRules)} by rules, "
                + $"{Amounts.Count(counters.FailedInReset)} in resets, "
                + $"{Amounts.Count(counters.FailedAsGone)} while it was gone",
            $"   other: {Amounts.Plural(counters.ReadsCorrupted, "read")} corrupted, "
                + $"{Amounts.Plural(counters.Stalled, "request")} stalled, "
                + $"{Amounts.Plural(counters.HealedByWrites, "sector")} healed by writes",
        ];
        if (status.Note.Length > 0)
        {
            lines.Add($"    note: {status.Note}");
        }
        return string.Join('\n', lines);
    }

    public static string LineOf(LabStatus status) =>
        $"{status.Name}  {Amounts.Bytes(status.SizeBytes)}  {status.Model ?? "by hand"}  "
            + $"{Amounts.Count(BadOf(status))} bad  {StateOf(status.State)}  {status.Exports[0]}";

    private static long BadOf(LabStatus status) => status.Defects.Values.Sum();

    private static string StateOf(string state) => state switch
    {
        LabTroubles.Stall => "stalled: it answers nothing",
        LabTroubles.Reset => "the link is lost for a moment",
        LabTroubles.Slow => "slow",
        LabTroubles.Vanish => "gone: clients are not let in",
        _ => "answers",
    };

    private static string ModelOf(LabStatus status)
    {
        if (status.Model is null)
        {
            return "none, only what was given by hand";
        }
        string clock = status.Clock > 0
            ? string.Create(CultureInfo.InvariantCulture, $", ages {status.Clock:0.##} times as fast as we")
            : "";
        return string.Create(
            CultureInfo.InvariantCulture,
            $"{status.Model}, seed {status.Seed}, {status.AgeDays:0.0} days old{clock}, "
                + $"{status.ArrivalsLeft} events to come");
    }

    private static string DefectsOf(LabStatus status)
    {
        string kinds = string.Join(", ", status.Defects.Where(kind => kind.Value > 0)
            .Select(kind => $"{Amounts.Count(kind.Value)} {kind.Key}"));
        string rules = status.Rules > 0 ? $"; {Amounts.Plural(status.Rules, "rule")}" : "";
        string sectors = Amounts.Plural(BadOf(status), "physical sector");
        return kinds.Length == 0 ? $"nothing{rules}" : $"{sectors}: {kinds}{rules}";
    }
}
