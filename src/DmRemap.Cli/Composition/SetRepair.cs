using System;
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
        using LoopHost host = new(record.Name);
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
        Stop stop = new(host, assembled);
        await host.RunAsync(() => assembled.Device.BeginStop(stop));
        bool isClean = await stop.Ended.WaitAsync(cancellation);
        if (isClean)
        {
            MetadataStore store = assembled.Set.Store;
            history.Note(new HistoryPoint(store.Epoch, store.Generation, store.Sequence));
        }
        await DeviceStop.ReleaseMembersAsync(host, assembled.Files, assembled.Fence);
        return Conclude(record, assembled, isClean);
    }

    private ExitCode Conclude(DeviceRecord record, AssembledDevice assembled, bool isClean)
    {
        bool isLossy = assembled.Set.RecordsLost is not null;
        bool isWhole = Array.TrueForAll(assembled.Set.Members, member => member is { IsActive: true });
        string loss = isLossy ? "; lost records were given up" : "";
        output.Answer(output.IsJson
            ? JsonSerializer.Serialize(
                new RepairDocument(record.Name, isClean, isWhole, isLossy),
                PlainJson.Types.RepairDocument)
            : isClean
                ? $"{record.Name}: what was damaged is written anew, and the stop is clean{loss}"
                : $"{record.Name}: repaired, but a flush or the clean-stop record failed; the next start "
                    + $"recovers{loss}");
        return isClean && isWhole && !isLossy ? ExitCode.Done : ExitCode.DoneDegraded;
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
            output.Note(
                $"{options.Name}: no acknowledged journal record is lost; nothing has to be accepted.");
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
                new CleanStop(host.Loop, assembled.Files[0], assembled.Set, this).Begin();
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
