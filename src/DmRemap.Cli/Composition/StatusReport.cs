using System;
using System.Collections.Generic;
using System.Linq;
using System.Numerics;
using DmRemap.Cli.Parsing;
using DmRemap.Control.Contracts;
using DmRemap.Control.Protocol;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Lifecycle;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;
using DmRemap.Core.Spares;
using DmRemap.Devices;
using DmRemap.Engine;
using DmRemap.Engine.Flushing;
using DmRemap.Engine.Metadata;

namespace DmRemap.Cli.Composition;

/// <summary>`status` of a served device. On the loop's thread, so that what it says fits together.</summary>
internal static class StatusReport
{
    /// <summary>Entries looked at for lost extents in one status: it must not hold up requests.</summary>
    private const int EntriesMax = 100_000;

    private const string Missing = "missing";
    private const string Adding = "adding";
    private const string Leaving = "leaving";
    private const long NanosecondsPerMs = 1_000_000;

    /// <summary>What takes no longer than this is not worth a word.</summary>
    private const long OldIoMs = 1000;

    /// <summary>
    /// As long as a metadata write may take by default. A disk that retries a bad sector may take longer.
    /// </summary>
    private const long UnansweringMs = 5000;

    public static DeviceStatus Make(ServedDevice served)
    {
        RemapDevice device = served.Assembled.Device;
        LifeState life = served.Life.State;
        device.TakeWhatIsNotNoted();
        bool isComplete = ListLost(device, out List<LostExtent> lost);
        return new DeviceStatus
        {
            Name = served.Name,
            Uuid = served.Record.SetUuid.ToString(),
            State = LifeWords.StateOf(life),
            Phase = LifeWords.PhaseOf(life),
            Conditions = Conditions(served),
            Backend = served.Backend,
            MemoryLocked = served.Residence.IsLocked,
            IoFlusher = served.Residence.IsFlusher,
            Primary = Primary(served),
            Spares = [.. SparesOf(device).Select(i => Spare(served, i))],
            Remaps = device.Tally.RemappedUnits,
            LostBlocks = device.Tally.LostBlocks,
            ZeroBlocks = device.Tally.ZeroBlocks,
            SuspectUnits = device.Suspects.Count,
            UnavailableUnits = SparesOf(device)
                .Where(i => StateOf(served, i) == Missing)
                .Sum(device.CountUnitsOnlyOn),
            Forecast = ForecastOf(served),
            Placement = PlacementText.WordOf(device.Allocator.Placement),
            Healing = HealingOf(device),
            Copies = CopiesOf(device),
            Scrub = served.Scrub?.Report(),
            LostExtents = lost,
            LostExtentsComplete = isComplete,
            UncertainBlocks = UncertainReport.BlocksOf(device),
            UncertainExtents = UncertainReport.ExtentsOf(device),
            Counters = Counters(served),
            Latencies = LatencyReport.Of(device.Counters.Latencies),
            CommitTime = LatencyReport.Of(device.Counters.CommitTimes),
            Metadata = Metadata(served),
            Clients = served.Front.OpenConnections,
            ReadOnly = device.Geometry.IsReadOnly,
            ReadDeadlineSeconds = served.ReadDeadline > Duration.Zero
                ? served.ReadDeadline.TotalMilliseconds / 1000
                : null,
            Exports = served.Exports,
            Pid = Environment.ProcessId,
            Version = ControlProtocol.ProgramVersion,
            UptimeSeconds = (long)served.Uptime.TotalSeconds,
        };
    }

    private static List<string> Conditions(ServedDevice served)
    {
        RemapDevice device = served.Assembled.Device;
        SpareFill fill = device.Fill;
        (string Name, bool Holds)[] all =
        [
            (ConditionCatalog.Gone,
                IsAway(served.Assembled.Files[0]) || device.Members.Any(member => member.IsGone)),
            (ConditionCatalog.WritesRejected, device.AreWritesRejected),
            (ConditionCatalog.MetadataUnavailable, device.IsMetadataUnavailable),
            (ConditionCatalog.Exhausted, fill == SpareFill.Exhausted),
            (ConditionCatalog.SparesNearlyExhausted, fill == SpareFill.NearlyExhausted),
            (ConditionCatalog.TableFull, served.Assembled.Set.Store.IsTableFull),
            (ConditionCatalog.VolatileLost, device.IsUncertainFor(UncertainCause.CacheLost)),
            (ConditionCatalog.Uncertain, device.IsUncertainFor(UncertainCause.FlushFailed)),
            (ConditionCatalog.Storm, device.Breaker.IsTripped),
            (ConditionCatalog.Unanswering,
                device.Members.Any(member => IoOf(served, member)?.OldestMs >= UnansweringMs)),
            (ConditionCatalog.Degraded, IsDegraded(served)),
            (ConditionCatalog.Slow, device.Members.Any(member => served.Slowness.Of(member) is not null)),
            (ConditionCatalog.SparesLow, fill == SpareFill.Low),
            (ConditionCatalog.ReadOnly, device.Geometry.IsReadOnly),
            (ConditionCatalog.Rehearsal,
                served.Assembled.Members.Any(member => member is { IsDirect: false })),
        ];
        return [.. all.Where(condition => condition.Holds).Select(condition => condition.Name)];
    }

    private static bool IsDegraded(ServedDevice served)
    {
        RemapDevice device = served.Assembled.Device;
        // One that joins or leaves is neither ill nor missing.
        bool hasIllSpare = SparesOf(device).Any(
            i => StateOf(served, i) is not (Adding or Leaving)
                && !(IsCounted(served, i) && device.Allocator.IsUsable(i)));
        bool hasSpareAway = served.Assembled.Files.Skip(1).Any(IsAway);
        return hasIllSpare || hasSpareAway || served.Watch is { IsRecursive: true };
    }

    private static PrimaryStatus Primary(ServedDevice served)
    {
        DeviceGeometry geometry = served.Assembled.Device.Geometry;
        return new PrimaryStatus
        {
            Path = served.Record.MainPath,
            SizeBytes = geometry.Bytes.Value,
            BlockSize = geometry.LogicalBlockSize.Bytes,
            PhysicalBlockSize = geometry.PhysicalBlockBytes,
            UnitBytes = served.Assembled.Device.Units.UnitBytes,
            Mode = ModeOf(served.Assembled.Members[0]!),
            Connection = ConnectionOf(served.Assembled.Files[0]),
            WriteCache = UncertainReport.CacheOf(served.Assembled.Device),
            Errors = ErrorsOf(served.Assembled.Device.Primary),
            Gone = GoneOf(served, served.Assembled.Device.Primary),
            Io = IoOf(served, served.Assembled.Device.Primary),
            Slow = served.Slowness.Of(served.Assembled.Device.Primary),
            Latencies = LatencyReport.Of(served.Assembled.Device.Primary.Latencies),
            ErrorRecovery = served.ErrorRecovery?.Of(served.Assembled.Device.Primary),
        };
    }

    private static SpareStatus Spare(ServedDevice served, int index)
    {
        RemapDevice device = served.Assembled.Device;
        long used = device.Allocator.UnitsUsed(index);
        long free = device.Allocator.UnitsFree(index);
        long retired = device.Allocator.UnitsRetired(index);
        return new SpareStatus
        {
            Path = device.Spare(index).Name,
            Index = index,
            Uuid = UuidOf(served, index),
            State = StateOf(served, index),
            Mode = served.Assembled.Members[index + 1] is OpenedMember member ? ModeOf(member) : "",
            Connection = ConnectionOf(device.Spare(index).Device),
            Units = new Control.Contracts.SpareUnits(used + free + retired, used, free, retired),
            Table = TableOf(served, index),
            Errors = ErrorsOf(device.Spare(index)),
            Gone = GoneOf(served, device.Spare(index)),
            Io = IoOf(served, device.Spare(index)),
            Slow = served.Slowness.Of(device.Spare(index)),
            Latencies = LatencyReport.Of(device.Spare(index).Latencies),
            ErrorRecovery = served.ErrorRecovery?.Of(device.Spare(index)),
        };
    }

    private static SpareForecast ForecastOf(ServedDevice served)
    {
        RemapDevice device = served.Assembled.Device;
        double rate = device.Forecast.MovesPerHour(served.Now);
        return new SpareForecast(
            device.Forecast.MovesInWindow(served.Now),
            rate > 0 ? Math.Round(rate, 3) : null,
            device.Forecast.SecondsLeft(device.Allocator.TotalUnitsAllocatable, served.Now));
    }

    /// <summary>By their index, without those that have left.</summary>
    private static IEnumerable<int> SparesOf(RemapDevice device) =>
        Enumerable.Range(0, device.Members.Length - 1).Where(i => !device.Spare(i).IsRemoved);

    private static bool IsCounted(ServedDevice served, int index)
    {
        MetadataStore store = served.Assembled.Set.Store;
        return index < store.MemberCount && store.Members[index] is { IsActive: true };
    }

    private static string UuidOf(ServedDevice served, int index)
    {
        MetadataStore store = served.Assembled.Set.Store;
        return index < store.MemberCount ? store.DescriptionOf(index).Uuid.ToString() : "";
    }

    private static TableCopies TableOf(ServedDevice served, int index)
    {
        if (!IsCounted(served, index))
        {
            return new TableCopies(0, 0, 0);
        }
        MemberDescription member = served.Assembled.Set.Store.DescriptionOf(index);
        return new TableCopies(
            SpareLayout.SuperblockCopies - BitOperations.PopCount(member.BadCopies),
            SpareLayout.Places - BitOperations.PopCount(member.BadJournals),
            SpareLayout.Places - BitOperations.PopCount(member.BadCheckpoints));
    }

    private static string StateOf(ServedDevice served, int index)
    {
        if (served.Spares?.Adding == index)
        {
            return Adding;
        }
        bool isHere = served.Assembled.Members[index + 1] is not null;
        Member spare = served.Assembled.Device.Spare(index);
        if (!isHere || spare.IsGone || IsAway(spare.Device))
        {
            return Missing;
        }
        if (served.Spares?.Leaving == index)
        {
            return Leaving;
        }
        if (!IsCounted(served, index))
        {
            return "inactive";
        }
        return served.Assembled.Device.Allocator.IsUsable(index) ? "active" : "degraded";
    }

    private static IoCounters Counters(ServedDevice served)
    {
        RemapDevice device = served.Assembled.Device;
        RemapCounters counters = device.Counters;
        return new IoCounters
        {
            Reads = counters.Reads,
            Writes = counters.Writes,
            Flushes = counters.Flushes,
            Discards = counters.Discards,
            Zeroes = counters.Zeroes,
            BytesRead = served.Front.Counters.BytesRead + (served.Fuse.Server?.Counters.BytesRead ?? 0),
            BytesWritten =
                served.Front.Counters.BytesWritten + (served.Fuse.Server?.Counters.BytesWritten ?? 0),
            ReadErrors = device.Members.Sum(member => member.ReadErrors),
            WriteErrors = device.Members.Sum(member => member.WriteErrors),
            ClientErrors = served.Front.Counters.Errors + (served.Fuse.Server?.Counters.Errors ?? 0),
            RemapsMade = counters.RemapsMade,
            BlocksLost = counters.BlocksLost,
            UnitsReturned = counters.UnitsReturned,
            BlocksSalvaged = counters.BlocksSalvaged,
            SpareUnitsRetired = counters.SpareUnitsRetired,
            Commits = counters.Commits,
            CommitFailures = counters.CommitFailures,
            ReadsAbandoned = counters.ReadsAbandoned,
            FaultsInjected = served.Assembled.Faults.InjectedErrors,
        };
    }

    private static HealingStatus HealingOf(RemapDevice device) => new()
    {
        On = device.Healer.IsOn,
        IntervalSeconds = device.Healer.Interval.Nanoseconds / 1_000_000_000,
        InProbation = device.Tally.ProbationUnits,
        Rewritten = device.Counters.UnitsRewritten,
        Healed = device.Counters.UnitsHealed,
        Failed = device.Counters.HealsFailed,
        Passes = device.Healer.PassesDone,
        ReadsFromCopies = device.Counters.ReadsFromCopies,
    };

    private static CopiesStatus CopiesOf(RemapDevice device) => new()
    {
        Wanted = device.KeepsCopies ? 2 : 1,
        UnitsWithTwo = device.Tally.UnitsWithSecond,
        InStep = device.AreCopiesInStep,
        Made = device.Counters.SecondCopiesMade,
        ReadsFromSecond = device.Counters.ReadsFromSecond,
        StruckOut = device.Counters.SecondsStruckOut,
    };

    private static MetadataStatus Metadata(ServedDevice served) => new()
    {
        Generation = (long)served.Assembled.Set.Store.Generation,
        Epoch = served.Assembled.Set.Store.Epoch.ToString("x16"),
        Entries = served.Assembled.Set.Store.EntryCount,
        ActiveCopies = SparesOf(served.Assembled.Device).Count(i => IsCounted(served, i)),
        Sequence = (long)served.Assembled.Set.Store.Sequence,
        JournalSlotsUsed = served.Assembled.Set.Store.JournalSlotsUsed,
        JournalSlots = served.Assembled.Set.Store.JournalSlots,
        Checkpoints = served.Assembled.Set.Store.CheckpointsDone,
        TimeOuts = served.Assembled.Set.Store.TimeOuts,
        Stuck = served.Assembled.Set.Store.Busy,
        CleanStart = served.Assembled.Set.WasCleanStop || IsFirst(served),
        FirstStart = IsFirst(served),
    };

    /// <summary>The set has had no epoch before the one that `create` made.</summary>
    private static bool IsFirst(ServedDevice served) => served.Assembled.Set.Set.Past.Length == 0;

    private static string ModeOf(OpenedMember member)
    {
        if (member.File is null)
        {
            return member.Uri is null ? MemberModes.Memory : MemberModes.Nbd;
        }
        return member.IsDirect ? MemberModes.Direct : MemberModes.PageCache;
    }

    /// <summary>Null for a member that has no connection.</summary>
    private static string? ConnectionOf(IBlockDevice member) => member is not NbdClient client
        ? null
        : client.IsConnected ? MemberConnections.Connected : MemberConnections.Disconnected;

    private static bool IsAway(IBlockDevice member) => member is NbdClient { IsConnected: false };

    private static MemberGone? GoneOf(ServedDevice served, Member member) => member.IsGone
        ? new MemberGone(
            (served.Now - member.GoneSince).Nanoseconds / NanosecondsPerMs,
            member.RequestsKept,
            member.KeepsRequests,
            member.KeepsRequestsFor?.Nanoseconds / NanosecondsPerMs)
        : null;

    private static MemberErrors ErrorsOf(Member member) =>
        new(member.ReadErrors, member.WriteErrors, member.FlushErrors);

    /// <summary>With what the metadata has there: a stuck spare is seen whoever waits for it.</summary>
    private static MemberIo? IoOf(ServedDevice served, Member member)
    {
        if (member.Device is not IOutstandingIo io)
        {
            return null;
        }
        long ageMs = io.TryGetOldest(out Instant oldest)
            ? (served.Now - oldest).Nanoseconds / NanosecondsPerMs
            : 0;
        return new MemberIo(io.InFlight, ageMs > OldIoMs ? ageMs : null);
    }

    /// <summary>False when there are more than fit.</summary>
    private static bool ListLost(RemapDevice device, out List<LostExtent> lost)
    {
        lost = [];
        if (device.Tally.LostBlocks == 0)
        {
            return true;
        }
        UnitNumber from = new(0);
        for (int i = 0; i < EntriesMax && device.Table.TryGetNext(from, out RemapEntry entry); i++)
        {
            AddLost(device.Units, entry, lost);
            if (lost.Count > DeviceStatus.LostExtentsMax)
            {
                lost.RemoveRange(DeviceStatus.LostExtentsMax, lost.Count - DeviceStatus.LostExtentsMax);
                return false;
            }
            from = new UnitNumber(entry.Unit.Value + 1);
        }
        return lost.Sum(extent => extent.Blocks) == device.Tally.LostBlocks;
    }

    private static void AddLost(UnitGeometry units, in RemapEntry entry, List<LostExtent> lost)
    {
        Extent unit = units.ExtentOf(entry.Unit);
        for (long block = unit.Start.Value; block < unit.End.Value; block++)
        {
            if (entry.Blocks[units.IndexInUnit(new BlockNumber(block))] != BlockState.Lost)
            {
                continue;
            }
            if (lost.Count > 0 && lost[^1].FirstBlock + lost[^1].Blocks == block)
            {
                lost[^1] = lost[^1] with { Blocks = lost[^1].Blocks + 1 };
            }
            else
            {
                lost.Add(new LostExtent(block, 1));
            }
        }
    }
}
