using System;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Attaching;
using DmRemap.Cli.Devices;
using DmRemap.Cli.Drives;
using DmRemap.Control.Registry;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults.Injection;
using DmRemap.Core.Flushing;
using DmRemap.Core.Metadata;
using DmRemap.Linux.Members;
using DmRemap.Linux.Uring;

namespace DmRemap.Cli.Composition;

/// <summary>A device that is served: everything that has to be ended again.</summary>
internal sealed record StartedDevice(
    LoopHost Host, FrontDoor Door, ServedDevice Served, RecursionWatch Watch, HistoryWatch History,
    DeviceScrub Scrub, ErrorRecoveryWatch ErrorRecovery);

/// <summary>
/// claim → bind the sockets → recover → open them. Each step may wait for a disk that does not answer, for
/// ever; so this runs beside whoever asked for it, who may give it up. What can be known to fail comes before
/// the recovery, which begins a new epoch.
/// </summary>
internal sealed class DeviceStart(
    CliServices services, HostDirectories directories, DeviceRecord record, EventPrinter events)
{
    private const int MillisecondsPerSecond = 1000;

    /// <summary>Long enough for a step that is under way and does not hang.</summary>
    private static readonly TimeSpan s_interruptGrace = TimeSpan.FromMilliseconds(500);

    public required WaysIn Ways { get; init; }

    public required ServeOptions Options { get; init; }

    public FaultRulesParsed? Faults { get; init; }

    public required DeviceLife Life { get; init; }

    private Duration ReadDeadline =>
        Duration.FromMilliseconds((long)(Options.ReadDeadlineSeconds * MillisecondsPerSecond));

    public required ControlSocketOfDevice Control { get; init; }

    /// <summary>
    /// Told to stop, it ends at its next good moment. Given up, it leaves a start that hangs behind, buffers
    /// and claims with it, until the process ends (F-31); one that has just succeeded is given back, to be
    /// stopped in good order.
    /// </summary>
    /// <exception cref="OperationCanceledException">Interrupted; nothing was served.</exception>
    public Task<StartedDevice> RunAsync() => OrInterruptedAsync(
        Task.Run(() => StartAsync(Life.StopAsked), CancellationToken.None), Life.GivenUp);

    internal static async Task<T> OrInterruptedAsync<T>(Task<T> start, CancellationToken interrupted)
    {
        try
        {
            return await start.WaitAsync(interrupted);
        }
        catch (OperationCanceledException) when (!start.IsCompleted)
        {
            await Task.WhenAny(start, Task.Delay(s_interruptGrace, CancellationToken.None));
            if (!start.IsCompleted)
            {
                throw;
            }
        }
        return await start;
    }

    private DeviceAssembly Assembly() => new(record, Options.ReadOnly, events.Say)
    {
        ControlSocketPath = Control.Path,
        IsControlSocketOurs = Control.IsOpen,
        IsDegraded = Options.Degraded,
        Without = Options.Without,
        TrustsCopies = Options.TrustsCopies,
        ReadRetries = Options.ReadRetries,
        ProbesNeighbourhood = Options.ProbesNeighbourhood,
        CopiesWeak = Options.CopiesWeak,
        IsRetryPatient = Options.ErrorRecovery.IsPatientWithLost,
        OnGone = Options.OnGone,
        Heal = Options.Heal,
        Placement = Options.Placement,
        WriteCache = Options.WriteCache,
        HasReadDeadline = ReadDeadline > Duration.Zero,
        MetadataDeadline = Duration.FromMilliseconds((long)(Options.MetadataDeadlineSeconds * 1000)),
    };

    private async Task<StartedDevice> StartAsync(CancellationToken stopAsked)
    {
        DeviceAssembly assembly = Assembly();
        OpenedMember[] members = await assembly.ClaimAsync(stopAsked);
        Life.OnClaimed();
        await Control.OpenAfterClaimsAsync();
        // After the claims: a disk that is stuck would hold up these questions, and nobody would say why.
        string[] statePaths = [directories.ConfigurationPath, directories.RunPath, .. Ways.Directories];
        MemberPath.RequireStateElsewhere(statePaths, record.MainPath);
        NbdFence? fence = await NbdFence.PassAsync(
            NbdFence.PathOf(directories.RunPath, record.Name), members, events.Say, stopAsked);
        await PrepareCacheAsync(members[0]);
        LoopHost host = new(record.Name, Options.Backend);
        SayIfSlower(host);
        await host.Started;
        Life.OnLoop(host);
        HostHistory history =
            new(record, services.OpenWitness(record.Name), Options.AcceptsRollback, events.Say);
        FrontDoor door = FrontDoor.Prepare(record.Name, Ways);
        AssembledDevice? assembled = null;
        Residence residence;
        try
        {
            assembled = await assembly.AssembleAsync(
                host, members, history, Options.AcceptsChangedMain, events) with
            {
                Fence = fence,
            };
            residence = Residence.TakeUp();
            await OpenAsync(host, assembled, door, stopAsked);
        }
        catch
        {
            door.Dispose();
            if (assembled is not null)
            {
                await EndUnservedAsync(host, assembled);
            }
            throw;
        }
        FuseDoor fuse = new(
            record.Name, record.MainPath, directories.DiskPath(record.Name), host, events.Say)
        {
            ReadDeadline = ReadDeadline,
        };
        ServedDevice served = new(host, Life, record, assembled, door, fuse, services.Time)
        {
            Residence = residence,
            ReadDeadline = ReadDeadline,
            Slowness = new SlownessWatch(host, assembled, services.Time, events.Say),
        };
        RecursionWatch watch = new(() => served.Record, statePaths, events.Say, services.Time);
        served.Watch = watch;
        DeviceScrub scrub = served.Scrub = new DeviceScrub(
            host, assembled, record, services.OpenScrub(record.Name), services.Time, events.Say);
        await scrub.RestoreAsync();
        await host.RunAsync(assembled.Device.BeginBackgroundWork);
        DeviceSpares spares = new(services, host, assembled, served, events);
        served.Spares = spares;
        Life.OnServed(served);
        _ = Task.Run(() => FinishSparesAsync(spares), CancellationToken.None);
        HistoryWatch noting =
            new(history, assembled.Begun, () => assembled.Set.Store.Sequence, services.Time);
        ErrorRecoveryWatch errorRecovery =
            ErrorRecoveryWatch.Begin(host, assembled, Options.ErrorRecovery, events.Say, services.Time);
        served.ErrorRecovery = errorRecovery;
        return new StartedDevice(host, door, served, watch, noting, scrub, errorRecovery);
    }

    private async Task PrepareCacheAsync(OpenedMember main)
    {
        if (Options.WriteCache != WriteCachePolicy.Off)
        {
            return;
        }
        await DriveCache.OfThisMachine(services.Time)
            .SwitchOffAsync(main.Path, main.File?.Bus ?? DriveBus.Other, main.File?.DrivePath ?? "");
        main.WasCacheSwitchedOff = true;
    }

    /// <summary>Beside the clients: they are served whatever a spare does.</summary>
    private async Task FinishSparesAsync(DeviceSpares spares)
    {
        try
        {
            await spares.FinishAsync();
        }
        catch (Exception e) when (e is RefusalException or TimeoutException)
        {
            events.Say($"warning: {record.Name}: a change of its spares that was cut off is not finished: "
                + $"{e.Message}");
        }
    }

    private void SayIfSlower(LoopHost host)
    {
        if (host.Loop.Missing is IoUringUnavailableException missing)
        {
            events.Say($"DMR-BACKEND-EPOLL {record.Name}: served by epoll and threads, which takes more time "
                + $"and is the same in everything else. {missing.Message}.");
        }
    }

    private async Task OpenAsync(
        LoopHost host, AssembledDevice assembled, FrontDoor door, CancellationToken stopAsked)
    {
        assembled.History!.Note(assembled.Begun);
        foreach (string line in await host.RunAsync(() => RecoveryNews.Of(record, assembled)))
        {
            events.Say(line);
        }
        await host.RunAsync(() => Prepare(assembled));
        events.SpareNames = await host.RunAsync(() => assembled.SpareNames);
        // The last moment at which nobody can have noticed this start; from here on a stop has to end it.
        stopAsked.ThrowIfCancellationRequested();
        await door.OpenAsync(host, assembled.Device, $"dm-remap device {record.Name}", ReadDeadline);
    }

    private async Task EndUnservedAsync(LoopHost host, AssembledDevice assembled)
    {
        HistoryPoint? stopped =
            await new UnservedStop(host, assembled.Files[0], assembled.Set, services.Time).RunAsync();
        if (stopped is HistoryPoint point)
        {
            assembled.History!.Note(point);
        }
        await DeviceStop.ReleaseMembersAsync(host, assembled.Files, assembled.Fence);
    }

    private void Prepare(AssembledDevice assembled)
    {
        assembled.Device.Today = (ushort)(services.Time.GetUtcNow() - DateTimeOffset.UnixEpoch).TotalDays;
        foreach (FaultRule rule in Faults?.Rules ?? [])
        {
            bool added = assembled.Faults.TryAdd(rule);
            Invariant.Check(added);
        }
    }
}
