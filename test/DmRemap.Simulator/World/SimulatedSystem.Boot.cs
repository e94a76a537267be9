using System;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;
using DmRemap.Core.Spares;
using DmRemap.Engine;
using DmRemap.Engine.Metadata;
using DmRemap.Simulator.Checkers;
using DmRemap.Simulator.Disks;

namespace DmRemap.Simulator.World;

/// <summary>
/// Everything that touches how a set is made, recovered and stopped: what a composition root does. The one
/// file that knows these interfaces of the metadata.
/// </summary>
internal sealed partial class SimulatedSystem
    : IMetadataFormatOwner, IMetadataRecoveryOwner, IMetadataStopOwner
{
    private MetadataStore? _store;
    private bool _isGivenUp;

    /// <summary>Why the start was refused; null when it was not.</summary>
    public MetadataRefusal? Refusal { get; private set; }

    /// <summary>Of a start that was refused: what it read of each spare offered.</summary>
    public SpareReading[] Copies { get; private set; } = [];

    public void BeginFormat(ulong epoch)
    {
        Guid[] uuids = new Guid[_offered.Length];
        for (int i = 0; i < uuids.Length; i++)
        {
            uuids[i] = new Guid($"3e3be400-0000-4000-8000-00000000000{i}");
        }
        FormatRequest request = new()
        {
            SetUuid = new Guid("5e700000-0000-4000-8000-000000000001"),
            MemberUuids = uuids,
            Geometry = _config.Geometry,
            PrimaryPhysicalBlockBytes = _config.PhysicalBytes,
            Primary = new PrimaryIdentity
            {
                Bytes = (long)_config.Blocks * _config.BlockBytes,
                Text = "a simulated disk",
            },
            Epoch = epoch,
            KeepsCopies = _config.KeepsCopies,
        };
        new MetadataFormatter(_process, MetadataDevices(), request, this).Begin();
    }

    public void BeginRecovery(ulong epoch, bool allowsMissing = false, int? unsettled = null)
    {
        SetExpectation expected = new()
        {
            PrimaryBytes = (long)_config.Blocks * _config.BlockBytes,
            AllowsMissing = allowsMissing,
            Unsettled = unsettled,
        };
        new MetadataRecovery(_process, MetadataDevices(), expected, epoch, this).Begin();
    }

    void IMetadataFormatOwner.OnFormatted(MetadataFormatter formatter)
    {
        Refusal = formatter.Refusal;
        Phase = formatter.Refusal is null ? SystemPhase.Stopped : SystemPhase.Refused;
    }

    void IMetadataRecoveryOwner.OnRecovered(MetadataRecovery recovery)
    {
        if (recovery.Recovered is not RecoveredSet set)
        {
            Refusal = recovery.Refusal;
            Copies = recovery.Reading.Copies;
            Phase = SystemPhase.Refused;
            return;
        }
        _store = set.Store;
        _universe.Trace.Add(
            TraceKind.Found, _universe.Now, set.CopiesRepaired, set.CheckpointPlacesBad,
            set.RecordsReplayed);
        _history.Adopt(EntriesOf(set.Table), set.Retired);
        Member[] members = new Member[set.Members.Length];
        for (int i = 0; i < members.Length; i++)
        {
            members[i] = set.Members[i] is MetadataMember here
                ? Present(i, _offered[set.SpareOfMember[i]], here, set)
                : Absent(i, set);
            set.Allocator.SetUsable(i, set.Members[i] is { IsActive: true });
            members[i].IsRemoved = set.Set.Members[i].State == MemberState.Retired;
            if (!members[i].IsRemoved)
            {
                Narrow(set.Allocator, i, set.Set.Members[i].DataUnits);
            }
        }
        _log = new CommitWatch(_universe, _history, set.Store);
        RemapDevice device = Serve(new RemapDeviceParts
        {
            Loop = _process,
            Primary = new Member(
                Member.Primary, "main", View(_primary, IoOrigin.Data), new BlockNumber(0))
            {
                Kind = KindOf(_primary),
            },
            Spares = members,
            Table = set.Table,
            Allocator = set.Allocator,
            Log = _log,
            Events = this,
            ProbesNeighbourhood = _config.ProbesNeighbourhood,
            RetriesUnreadable = _config.HasHandwork,
            OnGone = _config.OnGone,
            Heal = _config.Heal,
            KeepsCopies = set.Set.Features.KeepsCopies,
            AreCopiesInStep = set.WereCopiesInStep,
            WriteCache = _config.WriteCache,
        });
        set.Store.Membership = device;
    }

    void IMetadataStopOwner.OnMetadataStopped(bool isClean)
    {
        WasCleanStop = isClean;
        Phase = SystemPhase.Stopped;
    }

    /// <summary>Of a system that served: this spare was counted, to its end.</summary>
    public bool IsCounted(int spare) =>
        spare < _store!.MemberCount && _store.Members[spare] is { IsActive: true };

    /// <summary>Commits that have not been answered.</summary>
    public int CommitsPending => _log!.Pending;

    /// <summary>A person waits no longer for the stop: whoever waits for a commit is woken.</summary>
    public void GiveUp()
    {
        _isGivenUp = true;
        _store!.Cancel();
    }

    private void StopMetadata()
    {
        if (_isGivenUp)
        {
            Phase = SystemPhase.Stopped;
            return;
        }
        _store!.BeginStop(this, areCopiesInStep: Device!.AreCopiesInStep);
    }

    private Member Present(int index, SimulatedDisk disk, MetadataMember here, RecoveredSet set)
    {
        _watch.Learn(disk.Index, here.Layout);
        return new Member(index, $"spare{disk.Index}", View(disk, IoOrigin.Data), here.Layout.DataStart)
        {
            Kind = KindOf(disk),
            OpeningFlush = here.OpeningFlush,
            Identity = new SpareIdentity(here.Layout, set.Set.SetUuid, set.Set.Members[index].Uuid),
        };
    }

    /// <summary>Its blocks cannot be had, and there is nothing on it for a flush to cover.</summary>
    private Member Absent(int index, RecoveredSet set)
    {
        _excuses.OnAbsent(index, set.Table);
        AbsentDisk disk = new(_process, _offered[0].Geometry);
        Member absent = new(index, $"absent{index}", disk, new BlockNumber(0)) { IsAbsent = true };
        absent.FlushedWrites = absent.CompletedWrites;
        return absent;
    }

    /// <summary>Fewer units than the spare has, so that they can run out.</summary>
    private void Narrow(SpareAllocator allocator, int spare, long units)
    {
        for (long unit = _config.SpareUnits; unit < units; unit++)
        {
            allocator.MarkRetired(new SpareLocation(spare, new UnitNumber(unit)));
        }
    }

    private static RemapEntry[] EntriesOf(RemapTable table)
    {
        RemapEntry[] entries = new RemapEntry[table.Count];
        UnitNumber from = new(0);
        for (int i = 0; table.TryGetNext(from, out RemapEntry entry); i++)
        {
            entries[i] = entry;
            from = new UnitNumber(entry.Unit.Value + 1);
        }
        return entries;
    }

    private static MemberKind KindOf(SimulatedDisk disk) =>
        disk.Traits.IsFile ? MemberKind.File : MemberKind.BlockDevice;

    private IBlockDevice[] MetadataDevices() =>
        Array.ConvertAll(_offered, disk => (IBlockDevice)View(disk, IoOrigin.Metadata));

    private DiskView View(SimulatedDisk disk, IoOrigin origin) =>
        new(disk, this, origin, disk == _primary ? null : _watch);
}
