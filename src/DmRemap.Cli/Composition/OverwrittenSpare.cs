using DmRemap.Cli.Output;

namespace DmRemap.Cli.Composition;

/// <summary>
/// A spare on which something else was found in the place of superblocks. The metadata is mended from what is
/// whole; of the data beside it there is no other copy and no checksum (P1 ends where a disk's content is
/// replaced), so a person has to be told before it is believed.
/// </summary>
internal static class OverwrittenSpare
{
    /// <summary>What follows the spare's name; null: nothing of a client's lies on it.</summary>
    public static string? WordsFor(int copiesOverwritten, long units) => copiesOverwritten == 0 || units == 0
        ? null
        : "something else was written over a part of it: "
            + $"{Amounts.Plural(copiesOverwritten, "superblock copy", "superblock copies")} blank or "
            + $"foreign. The data of {Amounts.Plural(units, "unit")} lies on it; what was overwritten of it "
            + "is gone, cannot be told from the rest, and is served as it is now: compare it with a copy";
}
