using System;
using System.Linq;
using System.Text.Json;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Devices;
using DmRemap.Cli.Output;
using DmRemap.Control.Registry;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Engine;
using DmRemap.Engine.Metadata;

namespace DmRemap.Cli.Composition;

/// <summary>
/// A start without a client: claim, recover into a new epoch, which writes anew what is damaged, flush, stop.
/// </summary>
internal sealed class SetRepair(CliServices services, RepairOptions options, CommandOutput output)
{
    public async Task<ExitCode> RunAsync(CancellationToken cancellation)
    {
        HostDirectories directories = services.FindDirectories();
        await new DeviceLookup(services).RequireStoppedAsync(options.Name, cancellation);
        DeviceRecord record = services.OpenRegistry().Load(options.Name);
        directories.PrepareRun();
        AgreedLoss? agreed = options.AcceptLoss ? await AgreeAsync(cancellation) : null;
        DeviceAssembly assembly = new(record, isReadOnly: false, output.Note)
        {
            ControlSocketPath = directories.ControlSocketPath(record.Name),
            AgreedLoss = agreed,
        };
        OpenedMember[] members = await assembly.ClaimAsync(cancellation);
        NbdFence? fence = await NbdFence.PassAsync(
            NbdFence.PathOf(directories.RunPath, record.Name), members, output.Note, cancellation);
        LoopHost host = new(record.Name);
        await host.Started;
        HostHistory history = new(
            record, services.OpenWitness(record.Name), acceptsRollback: false, output.Note);
        AssembledDevice assembled = await assembly.AssembleAsync(
            host, members, history, acceptsChangedMain: false, new Silent()) with
        {
            Fence = fence,
        };
        history.Note(assembled.Begun);
        foreach (string line in await host.RunAsync(() => RecoveryNews.Of(record, assembled)))
        {
            output.Note(line);
        }
        bool isClean = await StopAsync(host, assembled, cancellation);
        if (isClean)
        {
            MetadataStore store = assembled.Set.Store;
            history.Note(new HistoryPoint(store.Epoch, store.Generation, store.Sequence));
        }
        if (await DeviceStop.ReleaseMembersAsync(host, assembled.Files, assembled.Fence))
        {
            host.Dispose();
        }
        return Conclude(record, assembled, isClean);
    }

    /// <summary>
    /// A spare that hangs is not waited for: what was written is durable on those that answered. It goes on
    /// by itself until the process ends, with the claims that it has.
    /// </summary>
    private async Task<bool> StopAsync(
        LoopHost host, AssembledDevice assembled, CancellationToken cancellation)
    {
        Stop stop = new(host, assembled);
        await host.RunAsync(() => assembled.Device.BeginStop(stop));
        Task patience = Task.Delay(UnservedStop.Patience, services.Time, cancellation);
        if (await Task.WhenAny(stop.Ended, patience) == stop.Ended)
        {
            return await stop.Ended;
        }
        cancellation.ThrowIfCancellationRequested();
        string[] busy =
            [.. assembled.Files.Where(file => file.Outstanding > 0).Select(file => file.Name)];
        output.Note($"warning: not waited for any longer: {string.Join(", ", busy)} has not answered.");
        return false;
    }

    private ExitCode Conclude(DeviceRecord record, AssembledDevice assembled, bool isClean)
    {
        RecoveredSet set = assembled.Set;
        bool isLossy = set.RecordsLost is not null;
        bool isWhole = Array.TrueForAll(set.Members, member => member is { IsActive: true });
        bool isDoubtful = Enumerable.Range(0, set.Members.Length).Any(i => OverwrittenSpare.WordsFor(
            set.CopiesOverwritten[i], set.Allocator.UnitsUsed(i)) is not null);
        RepairedParts repaired = new(
            set.CopiesRepaired, set.CopiesStale, set.CheckpointPlacesBad, set.RecordsPartial,
            set.MembersResynced);
        output.Answer(output.IsJson
            ? JsonSerializer.Serialize(
                new RepairDocument(record.Name, isClean, isWhole, isLossy, isDoubtful, repaired),
                PlainJson.Types.RepairDocument)
            : $"{record.Name}: {Words(repaired, isLossy, isWhole, isClean)}"
                + (isDoubtful ? "; data beside it may have been overwritten, see above" : ""));
        return isClean && isWhole && !isLossy && !isDoubtful ? ExitCode.Done : ExitCode.DoneDegraded;
    }

    private static string Words(RepairedParts repaired, bool isLossy, bool isWhole, bool isClean)
    {
        bool isNothing = repaired == new RepairedParts(0, 0, 0, 0, 0) && !isLossy && isWhole;
        string done = isNothing ? "nothing was wrong with the metadata"
            : isWhole ? "what was damaged is written anew"
            : "what was damaged is written anew on the spares that took it";
        string end = isClean
            ? ", and the stop is clean"
            : ", but a flush or the clean-stop record failed or was not answered; the next start recovers";
        return done + end + (isLossy ? "; lost records were given up" : "");
    }

    /// <summary>
    /// Null: nothing is lost, and there is nothing to agree to. What is refused for another reason is refused
    /// by the start that follows, unless that would ask for this very agreement again.
    /// </summary>
    private async Task<AgreedLoss?> AgreeAsync(CancellationToken cancellation)
    {
        SetChoice choice = new() { Name = options.Name };
        SetReader reader = new(services, output.Note) { AcceptsLoss = true };
        SetReading reading = await reader.ReadAsync(choice, cancellation);
        if (reading.Found.JournalDamage is not JournalDamage lost)
        {
            // Of a set that cannot be read nothing is known of its journal: what is wrong is said next.
            if (reading.Found.Refusal is null)
            {
                output.Note(
                    $"{options.Name}: no acknowledged journal record is lost; nothing has to be accepted.");
            }
            return null;
        }
        if (reading.Found.Refusal is MetadataRefusal refusal)
        {
            throw MetadataRefusals.ToException(reading.Subject, reading.Paths, refusal);
        }
        ulong most = lost.Last - lost.First + 1;
        output.Note($"DMR-EVENT-JOURNAL-LOST {options.Name}: acknowledged journal records are in no place: "
            + $"between {lost.First} and {lost.Last}, up to {most} of them. A record beside a gap may have "
            + "to be given up with it.");
        output.Note("  Units that they moved to a spare show what the main device holds there, which is old "
            + "or unreadable; blocks that they called lost may show old content. Check what is on the device "
            + "afterwards.");
        output.RequireYes($"Going on without these records of {options.Name} cannot be undone.");
        return new AgreedLoss(lost, reading.Found.Chain!);
    }

    /// <summary>Nobody makes requests; what happens at the flush is in the outcome.</summary>
    private sealed class Silent : IEventSink
    {
        public void Publish(in EngineEvent happened)
        {
        }
    }

    /// <summary>
    /// After a clean stop, one with what the main device looks like, so that the next start can still tell
    /// whether somebody else wrote it (F-16). After a crash it is not known what the last writes did to it.
    /// </summary>
    private sealed class Stop(LoopHost host, AssembledDevice assembled) : IStopOwner, IMetadataStopOwner
    {
        private readonly TaskCompletionSource<bool> _ended =
            new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task<bool> Ended => _ended.Task;

        public void OnQuiesced(bool flushed)
        {
            if (flushed && assembled.Set.WasCleanStop)
            {
                new CleanStop(
                    host.Loop, assembled.Files[0], assembled.Set, this,
                    assembled.Device.AreCopiesInStep).Begin();
            }
            else if (flushed)
            {
                assembled.Set.Store.BeginStop(this);
            }
            else
            {
                _ended.SetResult(false);
            }
        }

        public void OnMetadataStopped(bool isClean) => _ended.SetResult(isClean);
    }
}
