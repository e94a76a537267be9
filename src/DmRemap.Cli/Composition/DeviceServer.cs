using System;
using System.Linq;
using System.Text.Json;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Devices;
using DmRemap.Cli.Drives;
using DmRemap.Cli.Output;
using DmRemap.Cli.Tls;
using DmRemap.Control.Contracts;
using DmRemap.Control.Registry;
using DmRemap.Control.Server;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults.Injection;
using DmRemap.Linux.Processes;

namespace DmRemap.Cli.Composition;

/// <summary>
/// `serve`: claim → recover → open the sockets → say "ready" → until a signal or `stop`. A first SIGTERM or
/// SIGINT stops with the usual deadline, a second one now.
/// </summary>
internal sealed class DeviceServer(CliServices services) : IDeviceServer
{
    private static readonly TimeSpan s_stopDeadline = TimeSpan.FromSeconds(5);

    /// <summary>How long after its deadline a stop that does not answer is given up.</summary>
    private static readonly TimeSpan s_stopGrace = TimeSpan.FromSeconds(2);

    /// <summary>For commands of a device that hangs: long enough to send what is under way.</summary>
    private static readonly TimeSpan s_uncleanEndTimeout = TimeSpan.FromMilliseconds(200);

    public async Task<ExitCode> ServeAsync(ServeOptions options, CommandOutput output,
        CancellationToken cancellation)
    {
        IoFlusher.Become();
        HostDirectories directories = services.FindDirectories();
        directories.PrepareConfiguration();
        DeviceRecord record = services.OpenRegistry().Load(options.Name);
        directories.PrepareRun();
        WaysIn ways = WaysIn.Find(options, directories, services.Environment);
        FaultRulesParsed? faults = options.FaultsPath is null
            ? null
            : FaultsFile.Read(options.FaultsPath, record.MainBytes / record.BlockBytes * record.BlockBytes);

        await using EventPrinter events =
            new(output.Note, [.. record.Spares.Select(spare => spare.Path)], services.Time);
        using TlsDoor? tls = TlsDoor.Open(options, services.Time, events.Say);
        ways = ways with { Tls = tls };
        ways.RequireKnownClients(options);
        using DeviceLife life = new(record, services.Time);
        await using ControlSocketOfDevice control =
            new(directories.ControlSocketPath(options.Name), life, services.Time);
        using CancellationTokenRegistration interrupting = cancellation.Register(life.Interrupt);
        using StopSignals signals = new(life.Interrupt, services.Time);
        control.TryOpen();
        DeviceStart start = new(services, directories, record, events)
        {
            Ways = ways,
            Options = options,
            Faults = faults,
            Life = life,
            Control = control,
        };
        StopReport report = await RunAsync(start, life, control, signals, output, events);
        if (report.Clean)
        {
            return ExitCode.Done;
        }
        string unanswered = report.OperationsOutstanding == 0
            ? ""
            : $" ({Amounts.Plural(report.OperationsOutstanding, "operation")} not answered)";
        events.Say($"{record.Name}: {report.Left}{unanswered}.");
        return ExitCode.DoneDegraded;
    }

    private static async Task<StopReport> RunAsync(
        DeviceStart start, DeviceLife life, ControlSocketOfDevice control, StopSignals signals,
        CommandOutput output, EventPrinter events)
    {
        StartedDevice started;
        try
        {
            started = await start.RunAsync();
        }
        catch (Exception e)
        {
            life.OnStartFailed();
            if (e is OperationCanceledException && life.IsStopOfStartAsked)
            {
                // Ended as it was told to: whoever told it gets his answer.
                return await EndAsync(control, await control.Server!.StopAnswered);
            }
            throw;
        }
        using FrontDoor door = started.Door;
        using ServedDevice served = started.Served;
        await using RecursionWatch watch = started.Watch;
        await using HistoryWatch history = started.History;
        await using DeviceScrub scrub = started.Scrub;
        await using ErrorRecoveryWatch errorRecovery = started.ErrorRecovery;
        await using SlownessWatch slowness = served.Slowness;
        SayReady(life, door, output, events);
        Task left = await Task.WhenAny(control.Server!.StopAnswered, signals.First, door.ClientLeft);
        StopReport report = left == control.Server.StopAnswered
            ? await control.Server.StopAnswered
            : await StopAsync(life, signals);
        await EndAsync(control, report);
        started.Host.End();
        return report;
    }

    private static async Task<StopReport> EndAsync(ControlSocketOfDevice control, StopReport report)
    {
        ControlServer server = control.Server!;
        server.EndTimeout = report.Clean ? server.EndTimeout : s_uncleanEndTimeout;
        await server.DisposeAsync();
        return report;
    }

    /// <summary>A client on standard output is served already, and is told nothing but replies.</summary>
    private static void SayReady(DeviceLife life, FrontDoor door, CommandOutput output, EventPrinter events)
    {
        if (door.Exports.Count == 0)
        {
            return;
        }
        try
        {
            output.Answer(output.IsJson
                ? JsonSerializer.Serialize(
                    new ReadyDocument(life.Name, Ready: true, door.Exports, Environment.ProcessId),
                    PlainJson.Lines.ReadyDocument)
                : $"ready {door.Exports[0]}");
        }
        catch (RefusalException e) when (e.Id == MessageIds.OutputFailed)
        {
            // It is served all the same.
            events.Say($"{MessageIds.OutputFailed} {life.Name}: {e.Message} It is ready: {door.Exports[0]}");
        }
        foreach (string export in door.Exports.Skip(1))
        {
            events.Say($"also {export}");
        }
    }

    private static async Task<StopReport> StopAsync(DeviceLife life, StopSignals signals)
    {
        Task<StopReport> stopping = life.StopAsync(s_stopDeadline).WaitAsync(s_stopDeadline + s_stopGrace);
        if (await Task.WhenAny(stopping, signals.Second) != stopping)
        {
            // A second signal means: the deadline is now.
            stopping = life.StopAsync(TimeSpan.Zero).WaitAsync(s_stopGrace);
        }
        try
        {
            return await stopping;
        }
        catch (TimeoutException)
        {
            return new StopReport
            {
                Clean = false,
                ByDeadline = true,
                Left = "the data thread did not answer by the deadline; the next start recovers",
            };
        }
    }
}
