using System;
using System.Collections.Generic;
using System.Linq;
using DmRemap.Cli.Output;
using DmRemap.Control.Protocol;
using DmRemap.Control.Registry;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Engine;
using DmRemap.Engine.Metadata;

namespace DmRemap.Cli.Composition;

/// <summary>What a reading means: structure by structure, then the problems in words.</summary>
internal static class CheckReport
{
    public static CheckDocument Of(SetReading reading)
    {
        MetadataReading found = reading.Found;
        CheckedSpare[] spares = [.. reading.Paths.Select((_, i) => Spare(reading, i))];
        CheckedSpare[] missing = [.. Missing(reading)];
        List<string> problems = [];
        foreach (CheckedSpare spare in (CheckedSpare[])[.. spares, .. missing])
        {
            AddProblems(spare, problems);
        }
        if (found.Refusal is not null)
        {
            Refusal behind = MetadataRefusals.ToException(
                reading.Subject, reading.Paths, found.Refusal).Refusal;
            if (behind.Id != reading.Refusal?.Id)
            {
                problems.Add(behind.Message);
            }
        }
        ControlError? refusal = reading.Refusal is Refusal said ? ControlError.Of(said) : null;
        return new CheckDocument
        {
            Name = reading.Record?.Name,
            Uuid = NewestOf(found)?.Set.SetUuid.ToString(),
            Verdict = refusal is not null ? CheckVerdicts.Refused
                : problems.Count > 0 ? CheckVerdicts.Usable : CheckVerdicts.Whole,
            Problems = problems,
            Refusal = refusal,
            Spares = [.. spares, .. missing],
            Table = found.Table is null ? null : Table(found),
        };
    }

    /// <summary>Also after a refusal, when nothing is decided.</summary>
    public static Superblock? NewestOf(MetadataReading found) =>
        found.Set?.Newest ?? found.Copies
            .Select(spare => spare.Newest)
            .Where(newest => newest is not null)
            .MaxBy(newest => newest!.State.Generation);

    public static string WordOf(SuperblockVerdict verdict) => verdict switch
    {
        SuperblockVerdict.Valid => CheckedCopy.Valid,
        SuperblockVerdict.Blank => CheckedCopy.Blank,
        SuperblockVerdict.Foreign => CheckedCopy.Foreign,
        SuperblockVerdict.Damaged => "damaged",
        SuperblockVerdict.Misplaced => "misplaced",
        SuperblockVerdict.Malformed => "malformed",
        SuperblockVerdict.NewerFormat => "newer-format",
        SuperblockVerdict.UnknownFeatures => "unknown-features",
        SuperblockVerdict.DevelopmentVersion => "development-version",
        SuperblockVerdict.Unreadable => "unreadable",
        SuperblockVerdict.Unread => "unread",
        _ => "unknown",
    };

    private static CheckedSpare Spare(SetReading reading, int position)
    {
        MetadataReading found = reading.Found;
        SpareReading? copies = position < found.Copies.Length ? found.Copies[position] : null;
        int member = found.Set is null ? -1 : Array.IndexOf(found.Set.SpareOfMember, position);
        MemberRole role = member < 0 ? MemberRole.Absent : found.Set!.Roles[member];
        // Of one that is behind, all copies are old: that is said once.
        Superblock? newest = role == MemberRole.Joining ? copies!.Newest : NewestOf(found);
        return new CheckedSpare
        {
            Path = reading.Paths[position],
            Uuid = copies?.Newest?.MemberUuid.ToString(),
            Member = member < 0 ? copies?.Newest?.MemberIndex : member,
            UnitsUsed = member < 0 ? null : found.Allocator?.UnitsUsed(member),
            SuperblocksOverwritten = member < 0 ? null : found.CountCopiesOverwritten()[member],
            State = role switch
            {
                MemberRole.Active => CheckedSpare.Active,
                MemberRole.Joining => CheckedSpare.Behind,
                _ => CheckedSpare.Unknown,
            },
            Superblocks =
            [
                .. (copies?.Copies ?? []).Select((copy, i) => new CheckedCopy(
                    i, StateOf(copy, newest?.State.Generation), (long?)copy.Superblock?.State.Generation)),
            ],
            CheckpointPlaces = role == MemberRole.Active ? CheckpointPlaces(found, member) : [],
            JournalPlaces = role == MemberRole.Active && found.Chain is not null
                ? [.. Enumerable.Range(0, SpareLayout.Places).Select(place => new CheckedJournalPlace(
                    place, found.JournalRecordsMissingAt(member, place)))]
                : [],
        };
    }

    private static string StateOf(CopyReading copy, ulong? newest) =>
        copy.Superblock is { } superblock && superblock.State.Generation != newest
            ? CheckedCopy.Old
            : WordOf(copy.Verdict);

    /// <summary>Empty where the checkpoint has not been looked for.</summary>
    private static CheckedPlace[] CheckpointPlaces(MetadataReading found, int member) =>
    [
        .. Enumerable.Range(0, SpareLayout.Places).Select(place =>
        {
            CheckpointDamage damage = found.CheckpointDamageAt(member, place);
            return new CheckedPlace(place, damage switch
            {
                CheckpointDamage.None => CheckedCopy.Valid,
                CheckpointDamage.Unreadable => "unreadable",
                _ => "damaged",
            });
        }),
    ];

    /// <summary>Members that the newest superblock knows and that are not here.</summary>
    private static IEnumerable<CheckedSpare> Missing(SetReading reading)
    {
        if (reading.Found.Set is not AssembledSet set)
        {
            foreach (string path in reading.Absent)
            {
                yield return new CheckedSpare { Path = path, State = CheckedSpare.Missing };
            }
            yield break;
        }
        for (int i = 0; i < set.SpareOfMember.Length; i++)
        {
            MemberDescription member = set.Newest.Set.Members[i];
            if (set.SpareOfMember[i] < 0 && member.State != MemberState.Retired)
            {
                DeviceRecord? record = reading.Record;
                yield return new CheckedSpare
                {
                    Path = record is null ? null : MissingSpares.NameOf(record, member),
                    Uuid = member.Uuid.ToString(),
                    Member = i,
                    State = CheckedSpare.Missing,
                    UnitsUsed = reading.Found.Allocator?.UnitsUsed(i),
                };
            }
        }
    }

    private static CheckedTable Table(MetadataReading found)
    {
        TableTally tally = TableTally.Of(found.Table!);
        SuperblockState state = found.Set!.Newest.State;
        FoundRecord[] records = found.Chain!.Records;
        return new CheckedTable
        {
            Generation = (long)state.Generation,
            Epoch = state.Epoch.ToString("x16"),
            CleanStop = state.IsCleanStop,
            NeverServed = found.Set.Newest.Set.Past.Length == 0,
            Entries = found.Table!.Count,
            RemappedUnits = tally.RemappedUnits,
            LostBlocks = tally.LostBlocks,
            RetiredUnits = found.Retired!.Count,
            CheckpointEntries = state.Checkpoint.Entries,
            JournalRecords = records.Length,
            JournalFrom = records.Length == 0 ? null : (long)records[0].Header.Sequence,
            JournalTo = records.Length == 0 ? null : (long)records[^1].Header.Sequence,
            JournalSlotsUnreadable = found.JournalSlotsUnreadable,
        };
    }

    private static void AddProblems(CheckedSpare spare, List<string> problems)
    {
        string name = spare.Path ?? $"member {spare.Uuid}";
        if (spare.State == CheckedSpare.Missing)
        {
            string holds = spare.UnitsUsed is long units and > 0
                ? $", with {Amounts.Plural(units, "unit")} on it"
                : "";
            problems.Add($"{name}: missing{holds}"
                + "; `serve` refuses without it, and `serve --degraded` goes on");
            return;
        }
        if (spare.State == CheckedSpare.Behind)
        {
            problems.Add($"{name}: behind; the next start writes the table to it anew");
        }
        foreach (IGrouping<string, CheckedCopy> same in spare.Superblocks
            .Where(copy => copy.State != CheckedCopy.Valid)
            .GroupBy(copy => copy.State))
        {
            problems.Add($"{name}: superblock {Numbers(same.Select(copy => copy.Copy))} {same.Key}");
        }
        if (OverwrittenSpare.WordsFor(spare.SuperblocksOverwritten ?? 0, spare.UnitsUsed ?? 0)
            is string words)
        {
            problems.Add($"{name}: {words}");
        }
        foreach (CheckedPlace place in spare.CheckpointPlaces
            .Where(place => place.State != CheckedCopy.Valid))
        {
            problems.Add($"{name}: checkpoint place {place.Place} {place.State}");
        }
        foreach (CheckedJournalPlace place in spare.JournalPlaces.Where(place => place.RecordsMissing > 0))
        {
            problems.Add($"{name}: journal place {place.Place} lacks "
                + Amounts.Plural(place.RecordsMissing, "record"));
        }
    }

    private static string Numbers(IEnumerable<int> copies)
    {
        int[] all = [.. copies];
        return (all.Length == 1 ? "copy " : "copies ") + string.Join(", ", all);
    }
}
