using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Devices;
using DmRemap.Control.Contracts;
using DmRemap.Control.Registry;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Devices;
using DmRemap.Engine;
using DmRemap.Engine.Metadata;
using DmRemap.Linux.Members;

namespace DmRemap.Cli.Composition;

/// <summary>
/// Spares of a served device that come and go: one change at a time. The registry is told first, so that a
/// start after a crash takes the set with the spare or without it; then the set; then the registry again.
/// <code>
///   add      registry "adding" → counted in → lends units → registry
///   remove   emptied → registry "removing" → retired by all others → erased → out of the registry
/// </code>
/// </summary>
internal sealed partial class DeviceSpares(
    CliServices services, LoopHost host, AssembledDevice assembled, ServedDevice served, EventPrinter events)
{
    private static readonly TimeSpan s_progressInterval = TimeSpan.FromMilliseconds(100);

    /// <summary>An erasure that takes longer is left to the spare.</summary>
    private static readonly TimeSpan s_eraseTimeout = TimeSpan.FromSeconds(10);

    private int _isBusy;

    /// <summary>The member that is being added; -1: none.</summary>
    public int Adding { get; private set; } = -1;

    /// <summary>The member that is being removed; -1: none.</summary>
    public int Leaving { get; private set; } = -1;

    private MetadataStore Store => assembled.Set.Store;

    private RemapDevice Device => assembled.Device;

    /// <exception cref="RefusalException">Nothing was changed, or what was is said.</exception>
    public async Task<SpareAddReport> AddAsync(
        string given, long? sizeBytes, bool force, CancellationToken cancellation)
    {
        using Turn turn = TakeTurn();
        RequireSettled();
        string path = MemberPath.Complete(given);
        RequireAddable(path);
        List<string> warnings = [];
        bool isMade = false;
        OpenedMember? spare = null;
        try
        {
            if (sizeBytes is long bytes)
            {
                await Task.Run(() => SpareFile.Create(path, bytes, null, cancellation), cancellation);
                isMade = true;
            }
            else
            {
                DeviceCreator.RequirePresent(path, served.Record.MainBytes);
            }
            spare = await Task.Run(() => OpenAsync(path, warnings, cancellation), cancellation);
            if (!isMade)
            {
                RequireUnconcerned(spare, force, warnings);
            }
            // A file with holes would run out of space in the middle of a remap (F-37).
            await Task.Run(() => DeviceCreator.WriteHoles([spare], cancellation), cancellation);
            OpenedMember claimed = spare;
            // Its device has it from here on, and lets go of it.
            spare = null;
            return await CountInAsync(claimed, warnings);
        }
        catch
        {
            spare?.Dispose();
            if (isMade && !IsRegistered(path))
            {
                File.Delete(path);
            }
            throw;
        }
    }

    /// <summary>What a change that was cut off has left. After the start, beside the clients.</summary>
    public async Task FinishAsync()
    {
        if (UnsettledSpare.Of(served.Record) is not SpareRecord unsettled)
        {
            return;
        }
        using Turn turn = TakeTurn();
        (int index, MemberState state, long used) = await host.RunAsync(() => Look(unsettled.Uuid));
        string was = unsettled.Transit == SpareTransit.Adding ? "adding" : "removing";
        if (state == MemberState.Active || used > 0)
        {
            Settle(unsettled.Uuid);
            events.Say(unsettled.Transit == SpareTransit.Adding
                ? $"DMR-EVENT-SPARE-ADDED {unsettled.Path}: adding it was cut off, and is complete now"
                : $"DMR-EVENT-SPARE-STAYS {unsettled.Path}: removing it was cut off; it is a spare as "
                    + "before");
            return;
        }
        if (state == MemberState.Inactive && !await RetireAsync(index))
        {
            events.Say($"DMR-EVENT-SPARE-UNSETTLED {unsettled.Path}: {was} it was cut off; the next start "
                + "finishes that");
            return;
        }
        _ = await LeaveAsync(index, unsettled);
        events.Say($"DMR-EVENT-SPARE-REMOVED {unsettled.Path}: {was} it was cut off; it is no spare of "
            + $"{served.Name}");
    }

    private async Task<OpenedMember> OpenAsync(
        string path, List<string> warnings, CancellationToken cancellation)
    {
        DeviceRecord record = served.Record;
        // Also where it lies on what we serve: our own writes would wait for themselves (F-21).
        // A spare that is lost is where another one is needed most.
        MemberPath.RequireApart(
            record.MainPath, [.. MemberPath.Present(record.Spares.Select(one => one.Path)), path]);
        OpenedMember spare = await DeviceCreator.OpenSpareAsync(
            path, assembled.Members[0]!, Device.Units, events.Say, cancellation);
        try
        {
            ExistingSets others = new(services.OpenRegistry().List());
            others.RequireNoneOnSpare(spare);
            others.RequireUnregistered([path], warnings);
            return spare;
        }
        catch
        {
            spare.Dispose();
            throw;
        }
    }

    /// <exception cref="RefusalException">The set does not take it: it is no spare.</exception>
    private async Task<SpareAddReport> CountInAsync(OpenedMember opened, List<string> warnings)
    {
        Guid uuid = Guid.NewGuid();
        IMemberDevice file = await host.RunAsync(
            () => opened.Attach(host.Loop, Device.Units.BlockSize, new NbdWatch(events.Say)));
        MetadataRefusal? refusal = null;
        MemberAddition? addition =
            await host.RunAsync(() => Store.PlanAddition(file, uuid, MayTake, out refusal));
        if (addition is null)
        {
            await ReleaseAsync(file);
            throw MetadataRefusals.ToException(served.Name, [opened.Path], refusal! with { Spare = 0 });
        }
        addition.Build(Store.Ring);
        SpareRecord entry = new(opened.Path, uuid) { Transit = SpareTransit.Adding };
        try
        {
            WriteRecord(served.Record with { Spares = [.. served.Record.Spares, entry] });
        }
        catch
        {
            await ReleaseAsync(file);
            throw;
        }
        MembershipChange change = new();
        await host.RunAsync(() => Begin(addition, opened, file, change));
        bool isCounted = await change.Ended;
        Adding = -1;
        if (!isCounted)
        {
            await BackOutAsync(addition.Index, entry);
            throw new RefusalException(NotCounted(opened.Path));
        }
        await host.RunAsync(() => Lend(addition.Index, file));
        Settle(uuid);
        NoteHistory();
        long units = addition.Member.Layout.DataUnits;
        await host.RunAsync(() => WarnOfTable(warnings));
        events.Say($"DMR-EVENT-SPARE-ADDED {opened.Path}: spare {addition.Index}, {units} units");
        return new SpareAddReport
        {
            Path = opened.Path,
            Uuid = uuid.ToString(),
            Index = addition.Index,
            Units = units,
            Warnings = warnings,
        };
    }

    /// <summary>On the loop's thread.</summary>
    private void Begin(
        MemberAddition addition, OpenedMember opened, IMemberDevice file, IMembershipChangeOwner change)
    {
        Adding = addition.Index;
        Member member = new(addition.Index, opened.Path, file, addition.Member.Layout.DataStart)
        {
            Kind = opened.Kind,
            HasVolatileCache = opened.HasVolatileCache,
            Identity = new SpareIdentity(
                addition.Member.Layout, served.Record.SetUuid, addition.Description.Uuid),
        };
        Device.AddSpare(member, addition.Member.Layout.DataUnits);
        OpenedMember?[] members = new OpenedMember?[Device.Members.Length];
        assembled.Members.CopyTo(members, 0);
        members[addition.Index + 1] = opened;
        assembled.Members = members;
        assembled.Files = [.. assembled.Files, file];
        events.SpareNames = assembled.SpareNames;
        Store.BeginAddition(addition, change);
    }

    /// <summary>
    /// On the loop's thread. Its superblocks are written: by them it is known from here on.
    /// </summary>
    private void Lend(int index, IMemberDevice file)
    {
        if (file is NbdClient client && Device.Spare(index).Identity is IMemberIdentity identity)
        {
            client.Know(identity);
        }
        Device.LendFrom(index);
    }

    /// <summary>It was not counted: the set forgets it again, if it ever listed it.</summary>
    private async Task BackOutAsync(int index, SpareRecord entry)
    {
        (_, MemberState state, _) = await host.RunAsync(() => Look(entry.Uuid));
        if (state == MemberState.None || (state == MemberState.Inactive && await RetireAsync(index)))
        {
            _ = await LeaveAsync(index, entry);
        }
    }

    /// <summary>On the loop's thread.</summary>
    private void WarnOfTable(List<string> warnings)
    {
        long room = Store.EntriesMax;
        long units = Enumerable.Range(0, Device.Members.Length - 1)
            .Sum(i => Device.Allocator.UnitsFree(i) + Device.Allocator.UnitsUsed(i));
        if (units > room)
        {
            warnings.Add($"the smallest spare holds a table of {room} runs, and the spares have {units} "
                + "units: where bad sectors lie apart from each other, the table is full before they are");
        }
    }

    /// <summary>Its device is let go of, so that nothing is on its way to it.</summary>
    private bool MayTake(int index) => Device.Spare(index).IsRemoved && assembled.Members[index + 1] is null;

    private bool IsRegistered(string path) => served.Record.Spares.Any(one => one.Path == path);
}
