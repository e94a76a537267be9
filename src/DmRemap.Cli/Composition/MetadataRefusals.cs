using System;
using System.Collections.Generic;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;

namespace DmRemap.Cli.Composition;

/// <summary>Why a set is not opened, in the words that its user reads.</summary>
internal static class MetadataRefusals
{
    private const string LeavingOut = "serve --degraded --without PATH";

    /// <param name="device">The name it is registered under.</param>
    /// <param name="sparePaths">In the order in which they were given to recovery or formatting.</param>
    /// <param name="refusal">What was found.</param>
    public static RefusalException ToException(string device, IReadOnlyList<string> sparePaths,
        MetadataRefusal refusal)
    {
        string subject = refusal.Spare >= 0 ? sparePaths[refusal.Spare] : device;
        (string id, ExitCode exit, string meaning, string action) = Explain(refusal.Kind);
        return new RefusalException(
            new Refusal(id, exit, subject, $"{subject}: {meaning} ({refusal.Detail}).", action));
    }

    /// <summary>
    /// Of a registered device: where the one spare that is refused can be left out, the command that does so.
    /// </summary>
    /// <param name="device">The name it is registered under.</param>
    /// <param name="sparePaths">In the order of the copies.</param>
    /// <param name="refusal">What was found.</param>
    /// <param name="copies">Of all spares.</param>
    /// <param name="expected">Of the set.</param>
    public static RefusalException ToException(string device, IReadOnlyList<string> sparePaths,
        MetadataRefusal refusal, SpareReading[] copies, SetExpectation expected)
    {
        RefusalException plain = ToException(device, sparePaths, refusal);
        // Which of two histories is the right one is nothing that numbers tell (F-14).
        bool isGuess = refusal.Kind is MetadataRefusalKind.Diverged or MetadataRefusalKind.Clone;
        if (isGuess || !MakeASetWithout(copies, refusal.Spare, expected))
        {
            return plain;
        }
        string leaving = $"serve {device} --degraded --without {sparePaths[refusal.Spare]}";
        string action = plain.Refusal.Action;
        return new RefusalException(plain.Refusal with
        {
            Action = action.Contains(LeavingOut, StringComparison.Ordinal)
                ? action.Replace(LeavingOut, leaving, StringComparison.Ordinal)
                : $"{action} To go on without it: `dmremap {leaving}`; what only it holds cannot be read.",
        });
    }

    /// <summary>As far as their superblocks tell; their tables are read when it is tried.</summary>
    private static bool MakeASetWithout(SpareReading[] copies, int spare, SetExpectation expected)
    {
        if (spare < 0 || copies.Length < 2)
        {
            return false;
        }
        SpareReading[] others = [.. copies[..spare], .. copies[(spare + 1)..]];
        return SetAssembly.Decide(others, expected with { AllowsMissing = true }, out _) is not null;
    }

    private static (string Id, ExitCode Exit, string Meaning,
        string Action) Explain(MetadataRefusalKind kind) => kind switch
        {
            MetadataRefusalKind.NoMetadata => (
                "DMR-META-NONE", ExitCode.MetadataUnreadable, "this spare holds no metadata of dm-remap",
                "Check that the path leads to the spare that `create` was given; nothing was changed."),
            MetadataRefusalKind.Damaged => (
                "DMR-META-DAMAGED", ExitCode.MetadataUnreadable,
                "every copy of the metadata was read and none is valid",
                "The device is not started as if it were new. Restore the spare from a copy."),
            MetadataRefusalKind.Unreadable => (
                "DMR-META-UNREADABLE", ExitCode.MetadataUnreadable,
                "no valid copy of the metadata could be read, and some copies could not be read at all",
                "Check the spare's cabling and health, then try again; nothing was changed."),
            MetadataRefusalKind.NewerFormat or MetadataRefusalKind.UnknownFeatures => (
                "DMR-META-NEWER", ExitCode.MetadataUnreadable,
                "the metadata was written by a newer version of dm-remap",
                "Use that version; nothing was changed."),
            MetadataRefusalKind.DevelopmentVersion => (
                "DMR-META-DEVELOPMENT", ExitCode.MetadataUnreadable,
                "the metadata was made by a development version of dm-remap",
                "Copy the data off with the version that made it, then create the device anew."),
            MetadataRefusalKind.CopiesConflict => (
                "DMR-META-CONFLICT", ExitCode.MetadataUnreadable,
                "valid copies of the metadata contradict each other",
                "Nothing was changed. Keep all spares as they are and ask for help with their first 5 MiB."),
            MetadataRefusalKind.CheckpointDamaged or MetadataRefusalKind.CheckpointUnreadable => (
                "DMR-META-TABLE-DAMAGED", ExitCode.MetadataUnreadable,
                "the remap table cannot be read from any of its places",
                "Nothing was changed. Without the table, remapped blocks cannot be told from old ones; "
                    + "restore the spare."),
            MetadataRefusalKind.WriteFailed => (
                "DMR-META-WRITE-FAILED", ExitCode.MetadataUnreadable, "writing metadata to it failed",
                "Check the spare's health; the device is not started, because no remap could be recorded."),
            MetadataRefusalKind.JournalDamaged or MetadataRefusalKind.JournalUnreadable => (
                "DMR-META-JOURNAL-DAMAGED", ExitCode.MetadataUnreadable,
                "acknowledged records of the journal are missing",
                "Nothing was changed. Attach spares that are missing; else restore the spare from a copy. "
                    + "Only if neither can be had: `repair --accept-loss` goes on without what they said."),
            _ => ExplainMembership(kind),
        };

    /// <summary>The metadata is whole; the devices are not the ones that belong together.</summary>
    private static (string Id, ExitCode Exit, string Meaning,
        string Action) ExplainMembership(MetadataRefusalKind kind) => kind switch
        {
            MetadataRefusalKind.WrongSet => (
                "DMR-META-WRONG-SET", ExitCode.RefusedForSafety, "this spare belongs to another device",
                "Check the paths; a spare of another device would put its blocks into this one."),
            MetadataRefusalKind.Clone => (
                "DMR-META-CLONE", ExitCode.RefusedForSafety,
                "two spares carry the same identity: one is a copy of the other",
                "Give each spare once; remove the copy."),
            MetadataRefusalKind.NotActive => (
                "DMR-META-NOT-ACTIVE", ExitCode.RefusedForSafety,
                "this spare was set aside earlier, and what it holds is old",
                "Leave it out."),
            MetadataRefusalKind.MissingMember => (
                "DMR-META-MISSING-SPARE", ExitCode.RefusedForSafety,
                "a spare that holds remapped blocks is missing",
                "Attach it. To go on without it, `serve --degraded`: what only it holds cannot be read until "
                    + "it returns."),
            MetadataRefusalKind.SpareRolledBack => (
                "DMR-META-SPARE-ROLLED-BACK", ExitCode.RefusedForSafety,
                "this spare was put back to an older state; what it holds of the remapped blocks is old",
                $"Attach the spare as it was last in use. Without it, `{LeavingOut}`: what "
                    + "only it holds cannot be read."),
            MetadataRefusalKind.Diverged => (
                "DMR-META-DIVERGED", ExitCode.RefusedForSafety,
                "this spare went on without the others, and they without it",
                "Nothing was changed. Decide which history is the right one, and leave the other spare out: "
                    + $"`{LeavingOut}`."),
            MetadataRefusalKind.WrongSize => (
                "DMR-META-SIZE-CHANGED", ExitCode.RefusedForSafety,
                "its size is not what it was when it was made",
                "Check that it is the right device and that nothing has shortened or grown it."),
            MetadataRefusalKind.WrongBlockSize => (
                "DMR-META-BLOCK-SIZE", ExitCode.RefusedForSafety, "its blocks do not fit",
                "Use a spare whose logical block equals the main device's and that is aligned to its "
                    + "physical blocks."),
            MetadataRefusalKind.WrongPrimary => (
                "DMR-META-WRONG-MAIN", ExitCode.RefusedForSafety,
                "the main device is not the one this set was made for",
                "Check the path of the main device. Remapped blocks of one disk must never appear "
                    + "on another."),
            MetadataRefusalKind.TooSmall => (
                "DMR-SPARE-TOO-SMALL", ExitCode.Usage, "the spare is too small", "Use a larger spare."),
            MetadataRefusalKind.TooManySpares => (
                "DMR-SPARE-TOO-MANY", ExitCode.Usage, "too many spares", "Use at most 8."),
            _ => (
                "DMR-META-REFUSED", ExitCode.MetadataUnreadable, "the set cannot be opened",
                "Nothing was changed."),
        };
}
