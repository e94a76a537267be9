using System;
using System.Collections.Generic;
using System.Linq;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;
using DmRemap.Engine.Metadata;
using Xunit;

namespace DmRemap.Tests.Metadata.Exhaustive;

/// <summary>What a start made of a crash.</summary>
internal sealed record CrashOutcome
{
    public required MetadataRefusal? Refusal { get; init; }

    public RemapEntry[] Entries { get; init; } = [];

    public SpareLocation[] Retired { get; init; } = [];

    public ulong NextSequence { get; init; }

    public ulong Generation { get; init; }

    public bool IsSameTable(CrashOutcome other) =>
        Refusal is null == other.Refusal is null
        && Entries.AsSpan().SequenceEqual(other.Entries)
        && Retired.AsSpan().SequenceEqual(other.Retired);

    /// <summary>No spare unit has two owners, or one and is retired.</summary>
    public bool IsEachUnitOwnedOnce()
    {
        HashSet<SpareLocation> owned = [.. Retired];
        return owned.Count == Retired.Length
            && Entries.All(entry => entry.Location.IsNone || owned.Add(entry.Location));
    }

    public override string ToString() => Refusal is null
        ? $"{string.Join(' ', Entries.Select(entry => $"{entry.Unit.Value}:{entry.Location.Unit.Value}"))}"
            + $" retired {string.Join(' ', Retired.Select(unit => unit.Unit.Value))}"
            + $" next {NextSequence} generation {Generation}"
        : $"refused: {Refusal}";
}

/// <summary>The production recovery over some disks, to its end.</summary>
internal sealed class CrashRecovery : IMetadataRecoveryOwner
{
    private readonly DiskTimeline _timeline;
    private ulong _nextSequence;

    private CrashRecovery(DiskTimeline timeline) => _timeline = timeline;

    public RecoveredSet? Recovered { get; private set; }

    public MetadataRefusal? Refusal { get; private set; }

    private bool IsAnswered => Recovered is not null || Refusal is not null;

    public static CrashRecovery Run(DiskTimeline timeline, ulong epoch)
    {
        CrashRecovery recovery = new(timeline);
        new MetadataRecovery(timeline.Loop, timeline.Disks, new SetExpectation(), epoch, recovery).Begin();
        timeline.Loop.RunUntil(() => recovery.IsAnswered);
        return recovery;
    }

    public CrashOutcome Outcome()
    {
        if (Recovered is not RecoveredSet set)
        {
            return new CrashOutcome { Refusal = Refusal };
        }
        return new CrashOutcome
        {
            Refusal = null,
            Entries = MetadataBench.EntriesOf(set.Table),
            Retired = set.Retired,
            NextSequence = _nextSequence,
            Generation = set.Store.Generation,
        };
    }

    void IMetadataRecoveryOwner.OnFound(MetadataRecovery recovery)
    {
        _nextSequence = recovery.Reading.Chain!.NextSequence;
        recovery.Continue();
    }

    void IMetadataRecoveryOwner.OnRecovered(MetadataRecovery recovery)
    {
        Assert.False(IsAnswered);
        Recovered = recovery.Recovered;
        Refusal = recovery.Refusal;
    }
}
