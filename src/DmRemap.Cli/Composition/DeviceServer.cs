using System;
using System.IO;
using System.Linq;
using System.Runtime.InteropServices;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Devices;
using DmRemap.Control.Contracts;
using DmRemap.Control.Registry;
using DmRemap.Control.Server;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults.Injection;
using DmRemap.Linux.Members;

namespace DmRemap.Cli.Composition;

/// <summary>
/// `serve`: claim → recover → open the sockets → say "ready" → until a signal or `stop`. A first SIGTERM or
/// SIGINT stops with the usual deadline, a second one now.
/// </summary>
internal sealed class DeviceServer(CliServices services) : IDeviceServer
{
    private static readonly TimeSpan s_stopDeadline = TimeSpan.FromSeconds(5);

    public async Task<ExitCode> ServeAsync(ServeOptions options, CommandOutput output,
        CancellationToken cancellation)
    {
        HostDirectories directories = services.FindDirectories();
        directories.PrepareConfiguration();
        DeviceRecord record = services.OpenRegistry().Load(options.Name);
        directories.PrepareRun();
        string socketPath = options.SocketPath ?? directories.NbdSocketPath(options.Name);
        FaultRulesParsed? faults = options.FaultsPath is null ? null : ReadFaults(options);

        using CancellationTokenSource starting =
            CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        using Signals signals = new(starting.Cancel);
        DeviceAssembly assembly = new(record, options.ReadOnly, output.Note);
        MemberFile[] members = await assembly.ClaimAsync(starting.Token);
        // After the claims: a disk that is stuck would hold up these questions, and nobody would say why.
        MemberRules.RequireStateElsewhere(
            [directories.ConfigurationPath, directories.RunPath,
                Path.GetDirectoryName(Path.GetFullPath(socketPath))!],
            record.MainPath);
        LoopHost host = new(options.Name);
        await host.Started;
        await using EventPrinter events = new(output.Note, [.. record.Spares.Select(spare => spare.Path)]);
        AssembledDevice assembled = await assembly.AssembleAsync(host, members, events);
        await host.RunAsync(() => Prepare(assembled, faults));
        using FrontDoor door =
            await FrontDoor.OpenAsync(host, assembled.Device, record.Name, socketPath, options.Listen);
        using ServedDevice served = new(host, record, assembled, door, services.Time);
        StopReport report;
        await using (
            ControlServer control = ControlServer.Start(directories.ControlSocketPath(record.Name), served))
        {
            output.Answer($"ready {door.Exports[0]}");
            foreach (string export in door.Exports.Skip(1))
            {
                output.Note($"also {export}");
            }
            report = await UntilStoppedAsync(served, control, signals);
        }
        host.End();
        if (!report.Clean)
        {
            output.Note(
                $"{record.Name}: {report.Left} ({report.OperationsOutstanding} operations with the kernel).");
        }
        return report.Clean ? ExitCode.Done : ExitCode.DoneDegraded;
    }

    private static async Task<StopReport> UntilStoppedAsync(ServedDevice served, ControlServer control,
        Signals signals)
    {
        Task first = await Task.WhenAny(control.StopAnswered, signals.First);
        if (first == control.StopAnswered)
        {
            return await control.StopAnswered;
        }
        Task<StopReport> stopping = served.StopAsync(s_stopDeadline);
        if (await Task.WhenAny(stopping, signals.Second) != stopping)
        {
            // A second signal means: the deadline is now.
            stopping = served.StopAsync(TimeSpan.Zero);
        }
        return await stopping;
    }

    private void Prepare(AssembledDevice assembled, FaultRulesParsed? faults)
    {
        assembled.Device.Today = (ushort)(services.Time.GetUtcNow() - DateTimeOffset.UnixEpoch).TotalDays;
        foreach (FaultRule rule in faults?.Rules ?? [])
        {
            bool added = assembled.Faults.TryAdd(rule);
            Invariant.Check(added);
        }
    }

    private static FaultRulesParsed ReadFaults(ServeOptions options)
    {
        string path = options.FaultsPath!;
        string text;
        try
        {
            text = File.ReadAllText(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new RefusalException(
                new Refusal(
                    "DMR-FAULTS-UNREADABLE", ExitCode.Usage, path,
                    $"The fault rules in {path} cannot be read: {e.Message}", "Check the path."),
                e);
        }
        FaultRulesParsed parsed = FaultRules.Parse(text);
        if (parsed.IsOk && parsed.Rules.Count <= FaultRules.RulesMax)
        {
            return parsed;
        }
        string first = parsed.IsOk ? $"more than {FaultRules.RulesMax} rules" : parsed.Errors[0].ToString();
        throw new RefusalException(new Refusal(
            "DMR-FAULTS-INVALID",
            ExitCode.Usage,
            path,
            $"{path}: {first}.",
            "Write one rule a line: FIRST-LAST read|write|both [after=OPS] [tries=K] [errno=NAME] "
                + "[delay=MS]."));
    }

    /// <summary>
    /// SIGTERM and SIGINT: the first ends a start that waits, or asks for a stop; the second is in a hurry.
    /// </summary>
    private sealed class Signals : IDisposable
    {
        private readonly TaskCompletionSource _first =
            new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly TaskCompletionSource _second =
            new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly PosixSignalRegistration[] _registrations;

        public Signals(Action onFirst)
        {
            void Handle(PosixSignalContext context)
            {
                context.Cancel = true;
                if (_first.TrySetResult())
                {
                    onFirst();
                    return;
                }
                _second.TrySetResult();
            }

            _registrations =
            [
                PosixSignalRegistration.Create(PosixSignal.SIGTERM, Handle),
                PosixSignalRegistration.Create(PosixSignal.SIGINT, Handle),
            ];
        }

        public Task First => _first.Task;

        public Task Second => _second.Task;

        public void Dispose()
        {
            foreach (PosixSignalRegistration registration in _registrations)
            {
                registration.Dispose();
            }
        }
    }
}
