using System.IO;
using System.Linq;

namespace DmRemap.Cli.Output;

/// <summary>`check` for people.</summary>
internal static class CheckText
{
    public static void Write(TextWriter writer, CheckDocument document)
    {
        writer.WriteLine($"{document.Name ?? "set " + (document.Uuid ?? "unknown")}: {Meaning(document)}");
        foreach (CheckedSpare spare in document.Spares)
        {
            WriteSpare(writer, spare);
        }
        if (document.Table is CheckedTable table)
        {
            WriteTable(writer, table);
        }
        foreach (string problem in document.Problems)
        {
            writer.WriteLine($"  ! {problem}");
        }
    }

    private static string Meaning(CheckDocument document) => document.Verdict switch
    {
        CheckVerdicts.Whole => "all metadata is whole",
        CheckVerdicts.Usable => "usable; what is damaged and here, the next start or `repair` writes anew",
        _ => "refused, as `serve` would",
    };

    private static void WriteSpare(TextWriter writer, CheckedSpare spare)
    {
        string member = spare.Member is int index ? $"spare {index}" : "spare ?";
        writer.WriteLine($"  {member}  {spare.Path ?? spare.Uuid}: {spare.State}");
        if (spare.Superblocks.Count > 0)
        {
            int valid = spare.Superblocks.Count(copy => copy.State == CheckedCopy.Valid);
            writer.WriteLine($"    superblocks  {valid} of {spare.Superblocks.Count} valid");
        }
        if (spare.CheckpointPlaces.Count > 0)
        {
            int valid = spare.CheckpointPlaces.Count(place => place.State == CheckedCopy.Valid);
            writer.WriteLine($"    checkpoint   {valid} of {spare.CheckpointPlaces.Count} places valid");
        }
        if (spare.JournalPlaces.Count > 0)
        {
            int whole = spare.JournalPlaces.Count(place => place.RecordsMissing == 0);
            writer.WriteLine($"    journal      {whole} of {spare.JournalPlaces.Count} places whole");
        }
    }

    private static void WriteTable(TextWriter writer, CheckedTable table)
    {
        string stop = table switch
        {
            { NeverServed: true } => "not served yet",
            { CleanStop: true } => "stopped cleanly",
            _ => "not stopped cleanly",
        };
        writer.WriteLine($"  generation {table.Generation}, epoch {table.Epoch}, {stop}");
        string journal = table.JournalRecords == 0
            ? "no journal record behind the checkpoint"
            : $"{Amounts.Plural(table.JournalRecords, "journal record")} behind the checkpoint "
                + $"({table.JournalFrom} to {table.JournalTo})";
        writer.WriteLine($"  table: {Amounts.Plural(table.Entries, "entry", "entries")}, "
            + $"{Amounts.Plural(table.RemappedUnits, "unit")} on spares, "
            + $"{Amounts.Plural(table.LostBlocks, "lost block")}, "
            + $"{Amounts.Plural(table.RetiredUnits, "retired spare unit")}");
        writer.WriteLine($"  {journal}");
        if (table.JournalSlotsUnreadable > 0)
        {
            writer.WriteLine(
                $"  {Amounts.Plural(table.JournalSlotsUnreadable, "journal slot")} cannot be read; no record "
                    + "that counts is missing for that");
        }
    }
}
