using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.IO;
using System.Linq;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Control.Registry;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using DmRemap.Core.Flushing;
using DmRemap.Core.Healing;
using DmRemap.Core.Metadata;
using DmRemap.Core.Spares;
using DmRemap.Devices;
using DmRemap.Engine;
using DmRemap.Engine.Metadata;
using DmRemap.Linux.Members;

namespace DmRemap.Cli.Composition;

/// <summary>A device put together and recovered, not served yet.</summary>
internal sealed record AssembledDevice
{
    /// <summary>Second copies are read that no stop vouches for, where the first is missing.</summary>
    public bool TrustsCopies { get; init; }

    public required RemapDevice Device { get; init; }

    public required FaultInjecting Faults { get; init; }

    public required RecoveredSet Set { get; init; }

    /// <summary>How far the set was at this start.</summary>
    public HistoryPoint Begun { get; init; }

    /// <summary>Of this machine.</summary>
    public HostHistory? History { get; init; }

    /// <summary>
    /// The primary, then everything else that is claimed. Replaced as a whole, on the loop's thread.
    /// </summary>
    public required IMemberDevice[] Files { get; set; }

    /// <summary>
    /// The primary, then the spares by their index in the set; null where one is not here. Replaced as a
    /// whole when the set grows.
    /// </summary>
    public required OpenedMember?[] Members { get; set; }

    /// <summary>Claimed, with superblocks of ours, and not of the set: what is left of a removal.</summary>
    public IMemberDevice? Aside { get; set; }

    /// <summary>By member index. On the loop's thread.</summary>
    public string[] SpareNames => [.. Device.Members.Skip(1).Select(member => member.Name)];

    /// <summary>Of a device with NBD members.</summary>
    public NbdFence? Fence { get; init; }
}

/// <summary>
/// From a registered name to a device that can take requests: claim every member and wait for the claims
/// (F-1), check that they are what the registry says, recover the metadata, and only then build the device.
/// </summary>
internal sealed class DeviceAssembly(DeviceRecord record, bool isReadOnly, Action<string> onWaiting)
{
    private const int HolderPollMs = 100;

    private static readonly TimeSpan s_holderPatience = TimeSpan.FromSeconds(10);

    private readonly List<string> _sparePaths = [];

    /// <summary>
    /// Of this device's daemon: while it is there, who holds the members is not about to end.
    /// </summary>
    public required string ControlSocketPath { get; init; }

    /// <summary>We answer there: nobody else of this device does any more.</summary>
    public bool IsControlSocketOurs { get; init; }

    /// <summary>
    /// The main device is at a path that a person has just given, and was not registered before.
    /// </summary>
    public bool IsMainNew { get; init; }

    /// <summary>Go on without spares that are missing, and without those named here.</summary>
    public bool IsDegraded { get; init; }

    public IReadOnlyList<string> Without { get; init; } = [];

    /// <summary>Where a spare is missing, believe the second copies that no stop vouches for.</summary>
    public bool TrustsCopies { get; init; }

    /// <summary>Go on without journal records that are lost, as a person agreed to; null: never.</summary>
    public AgreedLoss? AgreedLoss { get; init; }

    public int ReadRetries { get; init; } = Limits.ReadRetriesDefault;

    public bool ProbesNeighbourhood { get; init; } = true;

    public bool CopiesWeak { get; init; } = true;

    /// <summary>The main device's drive is given more time while what was lost is tried again.</summary>
    public bool IsRetryPatient { get; init; }

    public OnGone OnGone { get; init; } = OnGone.Default;

    public HealPolicy Heal { get; init; } = HealPolicy.Default;

    public SparePlacement Placement { get; init; }

    public WriteCachePolicy WriteCache { get; init; }

    /// <summary>Reads may be answered before their disk has: there is room for what it keeps.</summary>
    public bool HasReadDeadline { get; init; }

    public Duration MetadataDeadline { get; init; } = Engine.Metadata.MetadataDeadline.Default;

    /// <summary>All or nothing: a refusal lets go of what was claimed.</summary>
    public async Task<OpenedMember[]> ClaimAsync(CancellationToken cancellation)
    {
        List<OpenedMember> claimed = [];
        try
        {
            MemberOptions main = new()
            {
                Access = isReadOnly ? MemberAccess.ReadOnly : MemberAccess.ReadWrite,
                BlockBytes = record.BlockBytes,
                FilePhysicalBlockBytes = record.PhysicalBlockBytes,
            };
            claimed.Add(await ClaimAsync(record.MainPath, main, cancellation));
            await ClaimSparesAsync(claimed, main with { Access = MemberAccess.ReadWrite }, cancellation);
            RequireAsRegistered(record, claimed[0], claimed[1..]);
            claimed.ForEach(member => member.EndSession());
            return [.. claimed];
        }
        catch
        {
            claimed.ForEach(member => member.Dispose());
            throw;
        }
    }

    /// <summary>Recover, then build. Errors of the metadata come as refusals.</summary>
    public async Task<AssembledDevice> AssembleAsync(
        LoopHost host, OpenedMember[] members, HostHistory history, bool acceptsChangedMain,
        IEventSink events)
    {
        StartExpectation expected = new()
        {
            Record = record,
            History = history,
            Witnessed = history.Load(),
            Main = members[0].Fingerprint(),
            AcceptsChangedMain = acceptsChangedMain,
            AgreedLoss = AgreedLoss,
            Say = onWaiting,
        };
        NbdWatch watch = new(onWaiting);
        IMemberDevice[] files = await AttachAsync(host, members, watch);
        StartJudge judge = new(host.Loop, files[0], expected);
        await BeginRecoveryAsync(host, files, judge);
        RecoveredSet set = await RecoveredAsync(judge);
        SpareReading[] copies = (await judge.Ended).Reading.Copies;
        return await host.RunAsync(() =>
        {
            AssembledDevice built = Build(host, members, files, set, events) with
            {
                Begun = judge.Begun,
                History = history,
                Aside = AsideOf(copies, files, set),
            };
            watch.Returned = client => NoteBack(built, client);
            return built;
        });
    }

    /// <summary>The members as devices on the loop, the primary first.</summary>
    public async Task<IMemberDevice[]> AttachAsync(LoopHost host, OpenedMember[] members, NbdWatch watch)
    {
        BlockSize blockSize = new(record.BlockBytes);
        IMemberDevice[] files = [];
        await await host.RunAsync(() =>
        {
            files = [.. members.Select(member => member.Attach(host.Loop, blockSize, watch))];
            return watch.ExpectAllAsync(files);
        });
        return files;
    }

    public Task BeginRecoveryAsync(LoopHost host, IMemberDevice[] files, StartJudge judge) =>
        host.RunAsync(() => new MetadataRecovery(
            host.Loop, files[1..], Expected(), DeviceCreator.NewEpoch(), judge, MetadataDeadline).Begin());

    /// <exception cref="RefusalException">What was found, or what the judge said to it.</exception>
    public async Task<RecoveredSet> RecoveredAsync(StartJudge judge)
    {
        MetadataRecovery recovery = await judge.Ended;
        return recovery.Recovered ?? throw (judge.Refusal is Refusal refusal
            ? new RefusalException(refusal)
            : MetadataRefusals.ToException(
                record.Name, _sparePaths, recovery.Refusal!, recovery.Reading.Copies, Expected()));
    }

    /// <summary>Claimed members are what the registry says, apart from each other and unused.</summary>
    /// <exception cref="RefusalException">DMR-MEMBER-... (exit 4, 5).</exception>
    public static void RequireAsRegistered(
        DeviceRecord record, OpenedMember main, IReadOnlyList<OpenedMember> spares)
    {
        if (main.SizeBytes != record.MainBytes)
        {
            throw new RefusalException(new Refusal(
                "DMR-MEMBER-SIZE-CHANGED",
                ExitCode.RefusedForSafety,
                main.Path,
                $"{main.Path} has {main.SizeBytes} bytes; it had {record.MainBytes} when "
                    + $"{record.Name} was created.",
                "Check that the path leads to the same disk and that nothing has shortened or grown it."));
        }
        MemberPath.RequireApart(record.MainPath, [.. spares.Select(spare => spare.Path)]);
        MemberPath.RequireUnused(main.Path);
        foreach (OpenedMember spare in spares)
        {
            MemberPath.RequireUnused(spare.Path);
        }
        foreach (OpenedMember spare in spares)
        {
            MemberPath.RequireSpareMode(main, spare);
        }
    }

    /// <summary>The file that a removal has left as a member that the set does not list any more.</summary>
    private IMemberDevice? AsideOf(SpareReading[] copies, IMemberDevice[] files, RecoveredSet set)
    {
        int? position = UnsettledSpare.PositionIn(record, [.. _sparePaths]);
        bool isOurs = position is int at
            && Array.IndexOf(set.SpareOfMember, at) < 0
            && copies[at].Newest is Superblock newest
            && newest.Set.SetUuid == record.SetUuid
            && record.Spares.Any(one => one.Uuid == newest.MemberUuid && one.Transit != SpareTransit.None);
        return isOurs ? files[position!.Value + 1] : null;
    }

    private SetExpectation Expected() => new()
    {
        Unsettled = UnsettledSpare.PositionIn(record, [.. _sparePaths]),
        SetUuid = record.SetUuid,
        PrimaryBytes = record.MainBytes,
        AllowsMissing = IsDegraded,
        AcceptsLoss = AgreedLoss is not null,
    };

    private async Task ClaimSparesAsync(
        List<OpenedMember> claimed, MemberOptions options, CancellationToken cancellation)
    {
        string[] without = [.. Without.Select(MemberPath.Complete)];
        MissingSpares.RequireKnown(record, without);
        RefusalException? missing = null;
        foreach (SpareRecord spare in record.Spares.Where(spare => !without.Contains(spare.Path)))
        {
            try
            {
                claimed.Add(await ClaimAsync(spare.Path, options, cancellation));
                _sparePaths.Add(spare.Path);
            }
            catch (RefusalException e) when (spare.Transit != SpareTransit.None && record.Spares.Count > 1)
            {
                // It may be somebody else's by now. Where the set counts it, that says that it is missing.
                onWaiting($"{spare.Path} was being added or removed and cannot be opened now: {e.Message}");
            }
            catch (RefusalException e) when (MissingSpares.IsMissing(e) && record.Spares.Count > 1)
            {
                missing ??= e;
                if (!IsDegraded)
                {
                    throw MissingSpares.ToException(e);
                }
            }
        }
        if (_sparePaths.Count == 0)
        {
            throw MissingSpares.AllAreMissing(record.Name, missing);
        }
    }

    /// <summary>
    /// A stop that was cut off at its deadline has answered before its process has ended; so an instance of
    /// ours that holds the member and answers nobody any more is waited for.
    /// </summary>
    private async Task<OpenedMember> ClaimAsync(
        string path, MemberOptions options, CancellationToken cancellation)
    {
        long began = Stopwatch.GetTimestamp();
        bool isSaid = false;
        while (true)
        {
            try
            {
                return await OpenedMember.ClaimAsync(path, options, onWaiting, cancellation);
            }
            catch (RefusalException e)
                when (MissingSpares.IsMissing(e) && !(IsMainNew && path == record.MainPath))
            {
                throw MissingMember.Of(record, path, e);
            }
            catch (RefusalException e)
                when (IsHeldByEndingServer(e) && Stopwatch.GetElapsedTime(began) < s_holderPatience)
            {
                if (!isSaid)
                {
                    onWaiting($"waiting for {path}: {e.Message}");
                    isSaid = true;
                }
            }
            await Task.Delay(HolderPollMs, cancellation);
        }
    }

    private bool IsHeldByEndingServer(RefusalException refused) =>
        refused.Id == "DMR-MEMBER-IN-USE"
            && refused.Message.Contains("(dmremap serve ", StringComparison.Ordinal)
            && (IsControlSocketOurs || !File.Exists(ControlSocketPath));

    /// <summary>Not those that have left for ever: a new spare may get the number of one.</summary>
    private static uint MaskOfMissing(RecoveredSet set)
    {
        uint mask = 0;
        for (int i = 0; i < set.Members.Length; i++)
        {
            bool isMissing = set.Members[i] is null && set.Set.Members[i].State != MemberState.Retired;
            mask |= isMissing ? 1u << i : 0;
        }
        return mask;
    }

    private static Member PresentSpare(
        RecoveredSet set, int index, MetadataMember here, OpenedMember member, IMemberDevice file)
    {
        SpareIdentity identity = new(here.Layout, set.Set.SetUuid, set.Set.Members[index].Uuid);
        (file as NbdClient)?.Know(identity);
        return new(index, member.Path, file, here.Layout.DataStart)
        {
            Kind = member.Kind,
            HasVolatileCache = member.HasVolatileCache,
            HasFormerWrites = !set.WasCleanStop,
            OpeningFlush = here.OpeningFlush,
            Identity = identity,
        };
    }

    private AssembledDevice Build(
        LoopHost host, OpenedMember[] members, IMemberDevice[] files, RecoveredSet set, IEventSink events)
    {
        Member[] spares = new Member[set.Members.Length];
        List<IMemberDevice> present = [files[0]];
        OpenedMember?[] spareMembers = new OpenedMember?[spares.Length];
        for (int i = 0; i < spares.Length; i++)
        {
            int position = set.SpareOfMember[i] + 1;
            if (set.Members[i] is not MetadataMember here)
            {
                spares[i] = AbsentSpare(host, set, i, MissingSpares.NameOf(record, set.Set.Members[i]));
                spares[i].IsRemoved = set.Set.Members[i].State == MemberState.Retired;
                set.Allocator.SetUsable(i, false);
                continue;
            }
            set.Allocator.SetUsable(i, here.IsActive);
            present.Add(files[position]);
            spareMembers[i] = members[position];
            spares[i] = PresentSpare(set, i, here, members[position], files[position]);
        }
        // What is left aside is ours to let go of, too.
        present.AddRange(files.Where(file => !present.Contains(file)));
        FaultInjecting faults = new(host.Loop, files[0]);
        RemapDevice device = new(new RemapDeviceParts
        {
            Loop = host.Loop,
            Primary = new Member(Member.Primary, members[0].Path, faults, new BlockNumber(0))
            {
                Kind = members[0].Kind,
                HasVolatileCache = members[0].HasVolatileCache,
                HasFormerWrites = !set.WasCleanStop,
            },
            Spares = spares,
            Table = set.Table,
            Allocator = set.Allocator,
            Log = set.Store,
            Events = events,
            IsReadOnly = isReadOnly,
            ReadRetries = ReadRetries,
            ProbesNeighbourhood = ProbesNeighbourhood,
            CopiesWeak = CopiesWeak,
            // Strict: what was once given up is an error until it is written, also if it read again.
            RetriesUnreadable = record.Lost != Control.Registry.LostPolicy.Strict,
            IsRetryPatient = IsRetryPatient,
            OnGone = OnGone,
            KeepsCopies = set.Set.Features.KeepsCopies,
            AreCopiesInStep = set.WereCopiesInStep,
            SecondsBelievedFor = TrustsCopies ? MaskOfMissing(set) : 0,
            Heal = Heal,
            WriteCache = WriteCache,
            ReadsAbandonedMax = HasReadDeadline ? Limits.RequestsInFlightMax : 0,
            IsPrimaryCacheOff = members[0].IsCacheOff,
        });
        set.Store.Membership = device;
        set.Allocator.Placement = Placement;
        return new AssembledDevice
        {
            Device = device,
            TrustsCopies = TrustsCopies,
            Faults = faults,
            Set = set,
            Files = [.. present],
            Members = [members[0], .. spareMembers],
        };
    }

    /// <summary>A spare that missed commits while it was away stays out until the next start.</summary>
    private static void NoteBack(AssembledDevice built, NbdClient client)
    {
        foreach (Member member in built.Device.Members)
        {
            bool isIt = ReferenceEquals(member.Device, client);
            if (isIt && !member.IsPrimary && built.Set.Store.Members[member.Index] is { IsActive: true })
            {
                built.Device.NoteSpareBack(member.Index);
            }
        }
    }

    /// <summary>
    /// Its blocks cannot be had until it returns; nothing new goes there. Nothing is written to it, so there
    /// is nothing for a flush to cover; what a former instance wrote to it and did not flush is as uncertain
    /// as it is on a disk that lost power, and said at the start.
    /// </summary>
    private static Member AbsentSpare(LoopHost host, RecoveredSet set, int index, string name)
    {
        MemberDescription description = set.Set.Members[index];
        DeviceGeometry geometry = new()
        {
            LogicalBlockSize = set.Set.Geometry.BlockSize,
            PhysicalBlockBytes = set.Set.Geometry.UnitBytes,
            Blocks = new BlockCount(description.Bytes / set.Set.Geometry.BlockSize.Bytes),
        };
        Member absent = new(index, name, new AbsentDevice(host.Loop, geometry), new BlockNumber(0))
        {
            IsAbsent = true,
        };
        absent.FlushedWrites = absent.CompletedWrites;
        return absent;
    }
}
