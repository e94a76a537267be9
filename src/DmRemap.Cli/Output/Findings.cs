using System;
using System.Collections.Generic;
using DmRemap.Control.Contracts;

namespace DmRemap.Cli.Output;

/// <summary>One thing that `status` explains.</summary>
internal sealed record Finding(string MessageId, Severity Severity, string Meaning, string Action);

/// <summary>What deserves a person's attention in a status, most urgent first.</summary>
internal static class Findings
{
    public static IReadOnlyList<Finding> Of(DeviceStatus status)
    {
        List<Finding> findings = [];
        foreach (string name in status.Conditions)
        {
            findings.Add(OfCondition(name, status.Name));
        }
        if (IsRehearsal(status) && !Contains(status.Conditions, ConditionCatalog.Rehearsal))
        {
            findings.Add(OfCondition(ConditionCatalog.Rehearsal, status.Name));
        }
        if (status.LostBlocks > 0)
        {
            findings.Add(new Finding(
                MessageIds.LostData,
                Severity.Warning,
                "Some blocks could not be read and their content is lost. Reading them fails; it never "
                    + "returns zeros.",
                "Restore the files that lie there. Writing a block ends its loss."));
        }
        return MostUrgentFirst(findings);
    }

    public static SpareUnits SpareTotals(DeviceStatus status)
    {
        SpareUnits sum = new(0, 0, 0, 0);
        foreach (SpareStatus spare in status.Spares)
        {
            SpareUnits units = spare.Units ?? new SpareUnits(0, 0, 0, 0);
            sum = new SpareUnits(
                sum.Total + units.Total,
                sum.Used + units.Used,
                sum.Free + units.Free,
                sum.Retired + units.Retired);
        }
        return sum;
    }

    public static Severity WorstOf(IReadOnlyList<Finding> findings) =>
        findings.Count == 0 ? Severity.Notice : findings[0].Severity;

    public static bool Contains(IReadOnlyList<string> names, string name)
    {
        foreach (string candidate in names)
        {
            if (candidate == name)
            {
                return true;
            }
        }
        return false;
    }

    private static Finding OfCondition(string name, string device)
    {
        Condition? known = ConditionCatalog.Find(name);
        return known is null
            ? new Finding(
                name,
                Severity.Warning,
                $"The daemon reports \"{name}\", which this version does not know.",
                "Use the program of the daemon's version to see what it means.")
            : new Finding(
                known.MessageId,
                known.Severity,
                known.Meaning,
                known.Action.Replace("NAME", device, StringComparison.Ordinal));
    }

    /// <summary>Of equals the earlier stays first (List.Sort would not promise that).</summary>
    private static List<Finding> MostUrgentFirst(List<Finding> findings)
    {
        List<Finding> sorted = [];
        for (int severity = (int)Severity.Critical; severity >= 0; severity--)
        {
            sorted.AddRange(findings.FindAll(finding => (int)finding.Severity == severity));
        }
        return sorted;
    }

    private static bool IsRehearsal(DeviceStatus status)
    {
        bool isCached = status.Primary.Mode is MemberModes.PageCache or MemberModes.Memory;
        foreach (SpareStatus spare in status.Spares)
        {
            isCached |= spare.Mode == MemberModes.PageCache;
        }
        return isCached;
    }
}
