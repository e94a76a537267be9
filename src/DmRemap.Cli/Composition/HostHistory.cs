using System;
using System.IO;
using System.Threading;
using DmRemap.Control.Registry;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;

namespace DmRemap.Cli.Composition;

/// <summary>
/// What this machine knows of how far a device has come, against what is found on its spares (F-16).
/// </summary>
internal sealed class HostHistory(
    DeviceRecord record, HostWitnessFile file, bool acceptsRollback, Action<string> say)
{
    private readonly Lock _writing = new();
    private HistoryPoint _noted;

    /// <summary>Null when nothing is known, which is said. May block.</summary>
    /// <exception cref="RefusalException">The file is there and cannot be used.</exception>
    public HistoryPoint? Load()
    {
        HostWitness? witness;
        try
        {
            witness = file.Load();
        }
        catch (RefusalException e) when (acceptsRollback)
        {
            say($"warning: {e.Message} Going on, as --accept-rollback asks.");
            return null;
        }
        if (witness?.SetUuid == record.SetUuid)
        {
            return witness.Point;
        }
        string why = witness is null ? "does not exist" : "is of another set";
        say($"DMR-EVENT-HISTORY-UNKNOWN {file.Path} {why}: whether the spares of {record.Name} are the "
            + "newest ones cannot be told. If an older copy of one may have been put back, stop it, bring "
            + "back the newest, and check what was written; else nothing is to be done");
        return null;
    }

    /// <summary>Null: the set may be used. Pure but for the words of an accepted rollback.</summary>
    /// <param name="witnessed">What this machine saw last.</param>
    /// <param name="found">What is there now.</param>
    /// <param name="past">The epochs before it.</param>
    /// <param name="isLossAgreed">
    /// A person goes on without journal records: that the journal ends early is what was agreed to.
    /// </param>
    public Refusal? Judge(
        HistoryPoint? witnessed, in HistoryPoint found, ReadOnlySpan<PastEpoch> past,
        bool isLossAgreed = false)
    {
        if (witnessed is not HistoryPoint seen)
        {
            return null;
        }
        bool isShort = isLossAgreed && found.JournalSequence < seen.JournalSequence;
        if (isShort)
        {
            say($"warning: {record.Name}: the journal ends at record {found.JournalSequence}, and this "
                + $"machine last saw record {seen.JournalSequence}: what was in between is lost.");
            seen = seen with { JournalSequence = found.JournalSequence };
        }
        HistoryRelation relation = SetHistory.Relate(seen, found, past);
        if (relation == HistoryRelation.Follows)
        {
            return null;
        }
        string what = Describe(relation, seen, found);
        if (acceptsRollback)
        {
            say($"warning: {record.Name}: {what}; going on from there, as --accept-rollback asks.");
            return null;
        }
        return new Refusal(
            "DMR-META-ROLLED-BACK",
            ExitCode.RefusedForSafety,
            record.Name,
            $"{record.Name}: {what}. Blocks that were remapped or rewritten since would show old content.",
            "Nothing was changed. Bring back the newest spares. If there are none, "
                + $"`dmremap serve {record.Name} --accept-rollback` goes on with what these hold; check "
                + "every file system on it then.");
    }

    /// <summary>
    /// It is durable on the spares. A file that is not written stays true, and is said. May block.
    /// </summary>
    public void Note(in HistoryPoint point)
    {
        if (TryNote(point) is string problem)
        {
            Say(problem);
        }
    }

    /// <summary>The same; what is wrong is returned, not said. From any thread. May block.</summary>
    public string? TryNote(in HistoryPoint point)
    {
        // Nobody waits without a bound for who holds it, nor for who waits for it.
        lock (_writing)
        {
            try
            {
                HistoryPoint furthest = Further(_noted, point);
                file.Store(new HostWitness(record.Name, record.SetUuid, furthest));
                _noted = furthest;
                return null;
            }
            catch (Exception error) when (error is IOException or UnauthorizedAccessException)
            {
                return $"warning: {file.Path} could not be written ({error.Message}): an old copy of a spare "
                    + $"that is put back may not be noticed at the next start of {record.Name}.";
            }
        }
    }

    /// <summary>It, or what came after it in its epoch, has been stored by this process.</summary>
    public bool HasNoted(in HistoryPoint point)
    {
        lock (_writing)
        {
            return _noted.Epoch == point.Epoch && Further(_noted, point) == _noted;
        }
    }

    public void Say(string line) => say(line);

    /// <summary>Of one epoch, who is late with older news takes nothing back.</summary>
    private static HistoryPoint Further(in HistoryPoint noted, in HistoryPoint point) =>
        noted.Epoch != point.Epoch
            ? point
            : new HistoryPoint(
                point.Epoch,
                Math.Max(noted.Generation, point.Generation),
                Math.Max(noted.JournalSequence, point.JournalSequence));

    private static string Describe(
        HistoryRelation relation, in HistoryPoint seen, in HistoryPoint found) => relation switch
        {
            HistoryRelation.Behind
                when found.Epoch == seen.Epoch && found.Generation >= seen.Generation =>
                $"the journal on the spares ends at record {found.JournalSequence}, and this machine last "
                    + $"saw record {seen.JournalSequence} acknowledged there: the journal was damaged in "
                    + "every place, or a copy from earlier in the same run was put back",
            HistoryRelation.Behind =>
                $"the metadata on the spares (generation {found.Generation}, record {found.JournalSequence}) "
                    + "is older than what this machine last saw there (generation "
                    + $"{seen.Generation}, record {seen.JournalSequence}): an earlier copy was put back",
            HistoryRelation.Untraceable =>
                $"the metadata on the spares (generation {found.Generation}) has been through so many starts "
                    + "elsewhere that whether it contains what this machine last saw (generation "
                    + $"{seen.Generation}) cannot be told",
            _ =>
                $"the metadata on the spares (generation {found.Generation}) does not contain what this "
                    + $"machine last saw there (generation {seen.Generation}): an earlier copy went on on "
                    + "its own",
        };
}
