using System;
using System.Collections.Generic;
using System.Text.Json;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Composition;
using DmRemap.Cli.Devices;
using DmRemap.Cli.Output;
using DmRemap.Control.Contracts;
using DmRemap.Control.Registry;
using DmRemap.Control.Server;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults.Injection;
using DmRemap.Core.Faults.Injection.Models;
using DmRemap.Devices;

namespace DmRemap.Cli.Lab;

/// <summary>
/// `lab serve`: a file below, faults above it, and the NBD server on top. Nothing of remapping is in it: it
/// is a disk for any program to be tried with.
/// </summary>
internal sealed class LabServer(CliServices services) : ILabServer
{
    private static readonly TimeSpan s_stopDeadline = TimeSpan.FromSeconds(5);

    public async Task<ExitCode> ServeAsync(
        LabOptions options, CommandOutput output, CancellationToken cancellation)
    {
        HostDirectories directories = services.FindDirectories();
        directories.PrepareLab();
        string socketPath = options.SocketPath ?? directories.LabNbdSocketPath(options.Name);
        NbdSocketPath.Require(socketPath, options.Name);
        using CancellationTokenSource stopAsked =
            CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        using StopSignals signals = new(stopAsked.Cancel, services.Time);
        LabBacking backing = await LabBacking.OpenAsync(options, directories, output.Note, stopAsked.Token);
        using LoopHost host = new(options.Name, options.Backend);
        using FrontDoor door = Prepared(options, socketPath, backing);
        using LabDisk disk = await AssembleAsync(options, host, backing, door, output.Note);
        await using ControlServer control =
            ControlServer.Start(directories.LabControlSocketPath(options.Name), disk);
        SayReady(options.Name, door, output);
        Task left = await Task.WhenAny(control.StopAnswered, signals.First);
        StopReport report = left == control.StopAnswered
            ? await control.StopAnswered
            : await StopAsync(disk, signals);
        await door.ListenersClosed;
        return report.Clean ? ExitCode.Done : ExitCode.DoneDegraded;
    }

    private static FrontDoor Prepared(LabOptions options, string socketPath, LabBacking backing)
    {
        try
        {
            return FrontDoor.Prepare(
                options.Name, new WaysIn { SocketPath = socketPath, Listen = options.Listen });
        }
        catch (RefusalException)
        {
            backing.Member.Dispose();
            throw;
        }
    }

    private async Task<LabDisk> AssembleAsync(
        LabOptions options, LoopHost host, LabBacking backing, FrontDoor door, Action<string> say)
    {
        DeviceGeometry geometry = backing.Member.Geometry;
        List<PlacedDefect> defects;
        FaultRulesParsed? rules;
        try
        {
            defects = FirstDefects.Read(options, geometry, say);
            rules = options.FaultsPath is null ? null : FaultsFile.Read(options.FaultsPath, geometry);
        }
        catch (RefusalException)
        {
            backing.Member.Dispose();
            throw;
        }
        FaultPlan? plan = options.Model is FaultModel model
            ? FaultPlan.Of(model, Shape(options, geometry), (ulong)options.Seed, options.Choice)
            : null;
        IMemberDevice below = null!;
        FaultInjecting device = await host.RunAsync(() =>
        {
            below = backing.Member.Attach(host.Loop, new BlockSize(options.BlockBytes), new NbdWatch(say));
            FaultInjecting made = new(host.Loop, below);
            foreach (FaultRule rule in rules?.Rules ?? [])
            {
                Invariant.Check(made.TryAdd(rule));
            }
            return made;
        });
        LabDisk disk = new(host, options, backing, below, device, door, services.Time);
        bool fits = await host.RunAsync(() => Begin(options, host, plan, device, disk, defects));
        if (!fits)
        {
            throw LabRefusals.TooManyDefects(options.Name);
        }
        await door.OpenAsync(host, device, $"dm-remap lab disk {options.Name}", Duration.Zero);
        return disk;
    }

    /// <summary>On the loop's thread. False: more defects than a disk can have.</summary>
    private static bool Begin(
        LabOptions options, LoopHost host, FaultPlan? plan, FaultInjecting device, LabDisk disk,
        List<PlacedDefect> defects)
    {
        if (plan is not null)
        {
            FaultSchedule schedule = new(plan, device.Faults, PaceOf(options), host.Loop.Now);
            disk.Aging = new FaultAging(host.Loop, schedule, disk.NoteTooManyDefects);
            disk.Aging.Begin();
        }
        // After the model's: what a person asks for counts where both say something.
        return device.Faults.TryAdd(defects);
    }

    private static AgingPace PaceOf(LabOptions options)
    {
        double days = options.AgeDays ?? (options.Clock > 0 ? 0 : 365);
        return new AgingPace(new Duration((long)(days * 86_400e9)), options.Clock, options.Delays);
    }

    private static DiskShape Shape(LabOptions options, DeviceGeometry geometry) =>
        new(geometry.Bytes.Value / options.PhysicalBytes, options.PhysicalBytes);

    private static void SayReady(string name, FrontDoor door, CommandOutput output)
    {
        output.Answer(output.IsJson
            ? JsonSerializer.Serialize(
                new ReadyDocument(name, Ready: true, door.Exports, Environment.ProcessId),
                PlainJson.Lines.ReadyDocument)
            : $"ready {door.Exports[0]}");
        for (int i = 1; i < door.Exports.Count; i++)
        {
            output.Note($"also {door.Exports[i]}");
        }
    }

    private static async Task<StopReport> StopAsync(LabDisk disk, StopSignals signals)
    {
        Task<StopReport> stopping = disk.StopAsync(s_stopDeadline);
        if (await Task.WhenAny(stopping, signals.Second) != stopping)
        {
            // A second signal means: the deadline is now.
            stopping = disk.StopAsync(TimeSpan.Zero);
        }
        return await stopping;
    }
}
