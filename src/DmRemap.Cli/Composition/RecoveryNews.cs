using System.Collections.Generic;
using DmRemap.Cli.Output;
using DmRemap.Control.Registry;
using DmRemap.Core.Metadata;
using DmRemap.Engine.Metadata;

namespace DmRemap.Cli.Composition;

/// <summary>What a start found and did, one line each; nothing when all was whole.</summary>
internal static class RecoveryNews
{
    /// <summary>On the loop's thread.</summary>
    public static IReadOnlyList<string> Of(DeviceRecord record, AssembledDevice assembled)
    {
        RecoveredSet set = assembled.Set;
        List<string> lines = [];
        if (set.CopiesRepaired > 0)
        {
            lines.Add($"DMR-EVENT-SUPERBLOCKS-REPAIRED {record.Name}: "
                + $"{Amounts.Plural(set.CopiesRepaired, "superblock copy", "superblock copies")} damaged or "
                + "unreadable; rewritten");
        }
        if (set.CopiesStale > 0)
        {
            lines.Add($"DMR-EVENT-SUPERBLOCKS-RENEWED {record.Name}: "
                + $"{Amounts.Plural(set.CopiesStale, "superblock copy", "superblock copies")} of an older "
                + "generation; rewritten");
        }
        if (set.CheckpointPlacesBad > 0)
        {
            lines.Add($"DMR-EVENT-CHECKPOINT-REPAIRED {record.Name}: the table was damaged or unreadable in "
                + $"{Amounts.Plural(set.CheckpointPlacesBad, "place")}; written anew from another");
        }
        if (set.RecordsPartial > 0)
        {
            lines.Add($"DMR-EVENT-JOURNAL-REPAIRED {record.Name}: "
                + $"{Amounts.Plural(set.RecordsPartial, "journal record")} not in every place; the table "
                + "was written anew");
        }
        // After a clean stop they are replayed just the same, and there is nothing to tell: it would look
        // like the recovery from a crash.
        if (set.RecordsReplayed > 0 && !set.WasCleanStop)
        {
            lines.Add($"DMR-EVENT-JOURNAL-REPLAYED {record.Name}: "
                + $"{Amounts.Plural(set.RecordsReplayed, "journal record")} applied to the table");
        }
        for (int i = 0; i < set.Members.Length; i++)
        {
            AddMember(record, assembled, i, lines);
        }
        return lines;
    }

    private static void AddMember(
        DeviceRecord record, AssembledDevice assembled, int index, List<string> lines)
    {
        RecoveredSet set = assembled.Set;
        MemberDescription before = set.Set.Members[index];
        string name = MissingSpares.NameOf(record, before);
        bool wasBehind = before.State == MemberState.Inactive;
        if (before.State == MemberState.Retired)
        {
            return;
        }
        if (set.Members[index] is not MetadataMember here)
        {
            long units = set.Allocator.UnitsUsed(index);
            string unflushed = set.WasCleanStop || wasBehind
                ? ""
                : "; the last stop was not clean, so writes to it that were not flushed are uncertain";
            lines.Add($"DMR-EVENT-SPARE-MISSING {name}: served without it: "
                + (units == 0
                    ? "no block is on it"
                    : $"the blocks of {Amounts.Plural(units, "unit")} are on it, and fail with I/O errors "
                        + "until it is back and a plain `dmremap serve`, after a stop, takes it in again"
                        + OnSecond(assembled))
                + $"; nothing new goes there, and the table has a copy less{unflushed}");
        }
        else if (!here.IsActive)
        {
            lines.Add($"DMR-EVENT-SPARE-INACTIVE {name}: the table could not be written to it; what it holds "
                + "of the table is old");
        }
        else if (wasBehind)
        {
            lines.Add($"DMR-EVENT-SPARE-RESYNCED {name}: it had been away or had missed changes; it holds "
                + "the whole table again");
        }
        if (OverwrittenSpare.WordsFor(set.CopiesOverwritten[index], set.Allocator.UnitsUsed(index))
            is string overwritten)
        {
            lines.Add($"DMR-EVENT-SPARE-OVERWRITTEN {name}: {overwritten}");
        }
        if (set.Members[index]?.OpeningFlush is { HasFailed: true })
        {
            lines.Add($"DMR-EVENT-FLUSH-FAILED {name}: the flush at the start failed: what was written to it "
                + "before, and not flushed, is uncertain; every flush fails until the next start");
        }
    }

    private static string OnSecond(AssembledDevice assembled)
    {
        RecoveredSet set = assembled.Set;
        if (!set.Set.Features.KeepsCopies)
        {
            return "";
        }
        return set.WereCopiesInStep ? ", but for those that a second copy has"
            : assembled.TrustsCopies ? ", but for those of which a second copy is trusted: what was written "
                + "shortly before the crash, and not flushed, may be older there"
            : "; second copies do not count, for the last stop did not vouch for them (serve --degraded "
                + "--trust-copies reads them all the same)";
    }
}
