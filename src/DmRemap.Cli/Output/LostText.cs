using System.Linq;
using DmRemap.Cli.Devices;
using DmRemap.Cli.Losses;
using DmRemap.Control.Contracts;

namespace DmRemap.Cli.Output;

/// <summary>`lost` for people.</summary>
internal static class LostText
{
    public static void Write(CommandOutput output, LostDocument lost)
    {
        if (lost.LostBlocks == 0)
        {
            output.Answer(lost.SuspectUnits == 0
                ? $"{lost.Name}: no block is lost"
                : $"{lost.Name}: no block is given up as lost yet");
        }
        else
        {
            WriteLost(output, lost);
        }
        if (lost.SuspectUnits > 0)
        {
            output.Answer($"{Amounts.Plural(lost.SuspectUnits, "unit")} suspect: blocks could not be read, "
                + "fail at once and are tried again; at the third time they count as lost. See: dmremap "
                + $"status {lost.Name}; to try them now: dmremap retest {lost.Name}");
        }
    }

    private static void WriteLost(CommandOutput output, LostDocument lost)
    {
        output.Answer($"{lost.Name}: {Amounts.Plural(lost.LostBlocks, "block")} lost "
            + $"({Amounts.Bytes(lost.LostBlocks * lost.BlockSize)}); reads of them fail until they are "
            + "written");
        foreach (LostRun run in lost.Extents)
        {
            output.Answer($"  {Blocks(run.FirstBlock, run.Blocks)}: {Why(run)}");
        }
        if (!lost.Complete)
        {
            output.Answer("  and more");
        }
        if (lost.Files is HitFiles files)
        {
            WriteFiles(output, files);
        }
    }

    private static string Why(LostRun run)
    {
        string error = run.Error is null ? "" : $", last error {run.Error}";
        string day = run.Day is null ? ", since when is not recorded" : $", {run.Day}";
        return run.Reason switch
        {
            LossReasons.Unreadable => $"unreadable{error}{day}; tried again in the background",
            LossReasons.Declared => $"declared{error}{day}; the main device's content is never looked at",
            LossReasons.OnSpare => $"its unit is on a spare, and this did not come along{error}{day}",
            _ => run.Reason,
        };
    }

    private static void WriteFiles(CommandOutput output, HitFiles files)
    {
        if (files.Unknown is not null)
        {
            output.Answer($"files: unknown ({files.Unknown})");
            return;
        }
        output.Answer($"files, as {files.AskedOf} shows them:");
        foreach (HitFileSystem one in files.FileSystems)
        {
            output.Answer($"  {one.Kind ?? "nothing known"} in {Blocks(one.FirstBlock, one.Blocks)}");
            foreach (HitFile file in one.Files)
            {
                string name = file.Path ?? "a file without a name";
                output.Answer($"    {name} (inode {file.Inode}): "
                    + string.Join(", ", file.Extents.Select(at => Blocks(at.FirstBlock, at.Blocks))));
            }
            if (one.InNoFile.Count > 0)
            {
                output.Answer("    in no file (free, or the file system's own): "
                    + string.Join(", ", one.InNoFile.Select(at => Blocks(at.FirstBlock, at.Blocks))));
            }
            if (one.Unknown is not null)
            {
                output.Answer($"    unknown ({one.Unknown})");
            }
        }
        if (files.OutsideBlocks > 0)
        {
            output.Answer($"  {Amounts.Plural(files.OutsideBlocks, "block")} in no partition");
        }
    }

    private static string Blocks(long first, long count) => Amounts.Blocks(first, first + count - 1);
}
