using System;
using System.Collections.Concurrent;
using System.Collections.Generic;
using System.Linq;
using System.Threading;
using DmRemap.Core.Metadata;

namespace DmRemap.Tests.Metadata.Exhaustive;

/// <summary>How much is looked at.</summary>
/// <param name="First">Of what a crash may leave.</param>
/// <param name="Second">
/// How recovery itself is cut, after each crash that tore nothing (of several disks: and left none or all of
/// the writes to each); null: it is not.
/// </param>
/// <param name="IsReopened">What recovery leaves is recovered again, once for each different image.</param>
internal sealed record CrashDepth(CrashBound First, CrashBound? Second, bool IsReopened);

/// <summary>What a crash at one point may show.</summary>
internal sealed record CrashJudgement
{
    /// <summary>For the message of a failure.</summary>
    public required string Where { get; init; }

    public required ModelTable[] Allowed { get; init; }

    /// <summary>There may be no set yet.</summary>
    public required bool MayBeNone { get; init; }

    public required CrashDepth Depth { get; init; }
}

/// <summary>
/// Enumerates what a crash may leave at a point, runs the production recovery over each image that was not
/// seen before, and judges what it finds. Used by several threads.
/// </summary>
internal sealed class CrashExplorer
{
    private const ulong FirstEpoch = 0xC1;
    private const ulong SecondEpoch = 0xC2;
    private const ulong LastEpoch = 0xC3;
    private const int FailuresMax = 5;

    private readonly ConcurrentDictionary<UInt128, CrashOutcome> _known = new();
    private readonly ConcurrentDictionary<UInt128, byte> _cutTwice = new();
    private readonly ConcurrentDictionary<UInt128, byte> _reopened = new();
    private readonly ConcurrentQueue<string> _failures = new();
    private long _points;
    private long _pointsBounded;
    private long _states;
    private long _overlaps;
    private long _secondPoints;

    public IEnumerable<string> Failures => _failures;

    public bool IsBroken => _failures.Count >= FailuresMax;

    /// <summary>Points at which everything that a crash may leave was looked at.</summary>
    public long Points => _points;

    /// <summary>Of those, points with more uncertain writes than the bound takes in every subset.</summary>
    public long PointsBounded => _pointsBounded;

    /// <summary>Choices of what is there; several may be the same image.</summary>
    public long States => _states;

    /// <summary>Points at which two uncertain writes overlap: both orders were looked at.</summary>
    public long Overlaps => _overlaps;

    /// <summary>Points of recoveries that were cut.</summary>
    public long SecondPoints => _secondPoints;

    /// <summary>Different images; recovery was run over each.</summary>
    public long Images => _known.Count;

    /// <summary>Recoveries that were cut at each of their points.</summary>
    public long RecoveriesCut => _cutTwice.Count;

    /// <summary>Different images that a recovery left; recovery was run over each again.</summary>
    public long Reopened => _reopened.Count;

    public string Summary =>
        $"{Points} points ({PointsBounded} bounded, {Overlaps} with overlaps), {States} states, "
        + $"{Images} images, {RecoveriesCut} recoveries cut at {SecondPoints} points, {Reopened} reopened";

    public void Fail(string what) => _failures.Enqueue(what);

    /// <summary>A crash now, in every way that the bound takes.</summary>
    public void CrashNow(DiskTimeline timeline, CrashJudgement judgement)
    {
        Interlocked.Increment(ref _points);
        int[] disks = [.. timeline.Uncertain.Select(write => write.Disk)];
        Interlocked.Add(ref _pointsBounded, disks.Length > judgement.Depth.First.WritesMax ? 1 : 0);
        bool isOneDisk = timeline.Disks.Length == 1;
        foreach ((int[] choice, PageImage[] images) in Crashes(timeline, judgement.Depth.First))
        {
            CrashOutcome outcome = Recover(images, FirstEpoch, judgement, choice);
            Judge(outcome, images, judgement, choice);
            bool isCut = isOneDisk ? !CrashBound.HasTorn(choice) : CrashBound.IsByDisk(choice, disks);
            if (judgement.Depth.Second is not null && isCut && outcome.Refusal is null)
            {
                CutRecovery(images, outcome, judgement, choice);
            }
            if (IsBroken)
            {
                return;
            }
        }
    }

    private IEnumerable<(int[] Choice, PageImage[] Images)> Crashes(DiskTimeline timeline, CrashBound bound)
    {
        DiskWrite[] writes = [.. timeline.Uncertain];
        bool isOverlapping = writes.Any(one => writes.Any(other => one != other && one.Overlaps(other)));
        Interlocked.Add(ref _overlaps, isOverlapping ? 1 : 0);
        int[] disks = [.. writes.Select(write => write.Disk)];
        foreach (int[] choice in bound.Choices(disks, [.. writes.Select(write => write.Batch)]))
        {
            Interlocked.Increment(ref _states);
            yield return (choice, Crashed(timeline.Durable, writes, choice, isBackwards: false));
            if (isOverlapping)
            {
                yield return (choice, Crashed(timeline.Durable, writes, choice, isBackwards: true));
            }
        }
    }

    private static PageImage[] Crashed(
        PageImage[] durable, DiskWrite[] writes, int[] choice, bool isBackwards)
    {
        PageImage[] images = [.. durable.Select(image => image.Clone())];
        for (int i = 0; i < writes.Length; i++)
        {
            int next = isBackwards ? writes.Length - 1 - i : i;
            (int from, int end) = CrashBound.Range(choice[next], writes[next].Bytes);
            images[writes[next].Disk].Apply(writes[next], from, end);
        }
        return images;
    }

    private static UInt128 KeyOf(PageImage[] images)
    {
        UInt128 key = 0;
        for (int disk = 0; disk < images.Length; disk++)
        {
            key ^= images[disk].HashFor(disk);
        }
        return key;
    }

    /// <summary>
    /// Once for each image; and, after the first crash, once more over what that leaves: the same table.
    /// </summary>
    private CrashOutcome Recover(
        PageImage[] images, ulong epoch, CrashJudgement judgement, int[] choice)
    {
        UInt128 key = KeyOf(images);
        if (_known.TryGetValue(key, out CrashOutcome? known))
        {
            return known;
        }
        PageImage[] left = [.. images.Select(image => image.Clone())];
        CrashOutcome outcome = CrashRecovery.Run(new DiskTimeline(left, isInstant: true), epoch).Outcome();
        bool isNew = _known.TryAdd(key, outcome);
        bool isFirst = epoch == FirstEpoch && outcome.Refusal is null;
        bool isReopened = isNew && isFirst && judgement.Depth.IsReopened;
        if (isReopened && _reopened.TryAdd(KeyOf(left), 0))
        {
            CrashOutcome again =
                CrashRecovery.Run(new DiskTimeline(left, isInstant: true), LastEpoch).Outcome();
            if (!again.IsSameTable(outcome) || again.NextSequence < outcome.NextSequence)
            {
                Fail($"{judgement.Where} [{string.Join(' ', choice)}]: {outcome}; opened again: {again}");
            }
        }
        return outcome;
    }

    private void Judge(CrashOutcome outcome, PageImage[] images, CrashJudgement judgement, int[] choice)
    {
        string? wrong = null;
        if (outcome.Refusal is MetadataRefusal refusal)
        {
            bool isNone = refusal.Kind is MetadataRefusalKind.NoMetadata or MetadataRefusalKind.Damaged;
            wrong = isNone && judgement.MayBeNone ? null : "";
        }
        else if (!judgement.Allowed.Any(table => table.Equals(outcome.Entries, outcome.Retired)))
        {
            wrong = "another table: ";
        }
        else if (!outcome.IsEachUnitOwnedOnce())
        {
            wrong = "a spare unit twice: ";
        }
        else if (outcome.NextSequence < images.Max(image => image.SequenceEnd))
        {
            wrong = $"a sequence is used again, below {images.Max(image => image.SequenceEnd)}: ";
        }
        else if (outcome.Generation <= images.Max(image => image.Generation))
        {
            wrong = $"a generation is used again, below {images.Max(image => image.Generation)}: ";
        }
        if (wrong is not null)
        {
            Fail($"{judgement.Where} [{string.Join(' ', choice)}]: {wrong}{outcome}");
        }
    }

    /// <summary>The same recovery, cut at each of its points: the next one finds the same.</summary>
    private void CutRecovery(
        PageImage[] images, CrashOutcome outcome, CrashJudgement judgement, int[] choice)
    {
        if (!_cutTwice.TryAdd(KeyOf(images), 0))
        {
            return;
        }
        DiskTimeline timeline = new([.. images.Select(image => image.Clone())], isInstant: false);
        timeline.OnPoint = () =>
        {
            Interlocked.Increment(ref _secondPoints);
            foreach ((int[] second, PageImage[] left) in Crashes(timeline, judgement.Depth.Second!))
            {
                CrashOutcome next = Recover(left, SecondEpoch, judgement, second);
                bool isAbove = next.NextSequence >= outcome.NextSequence
                    && next.Generation > left.Max(image => image.Generation);
                if (!next.IsSameTable(outcome) || !isAbove)
                {
                    Fail($"{judgement.Where} [{string.Join(' ', choice)}], then in recovery"
                        + $" [{string.Join(' ', second)}]: first {outcome}, then {next}");
                }
            }
        };
        CrashOutcome same = CrashRecovery.Run(timeline, FirstEpoch).Outcome();
        timeline.NoteAcknowledged();
        timeline.TakePoint();
        if (!same.IsSameTable(outcome))
        {
            Fail($"{judgement.Where} [{string.Join(' ', choice)}]: {outcome}; the same again: {same}");
        }
    }
}
