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
        HostDirectories directories = services.FindDirectories();
        directories.PrepareConfiguration();
        DeviceRecord record = services.OpenRegistry().Load(options.Name);
        directories.PrepareRun();
        string socketPath = options.SocketPath ?? directories.NbdSocketPath(options.Name);
        NbdSocketPath.Require(socketPath, options.Name);
        FaultRulesParsed? faults = options.FaultsPath is null ? null : ReadFaults(options);

        await using EventPrinter events = new(output.Note, [.. record.Spares.Select(spare => spare.Path)]);
        using CancellationTokenSource starting =
            CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        using Signals signals = new(starting.Cancel, services.Time);
        DeviceStart start = new(services, directories, record, events)
        {
            SocketPath = socketPath,
            Options = options,
            Faults = faults,
        };
        StartedDevice started = await start.RunAsync(starting.Token);
        using FrontDoor door = started.Door;
        using ServedDevice served = started.Served;
        await using RecursionWatch watch = started.Watch;
        StopReport report;
        await using (ControlServer control = started.Control)
        {
            output.Answer($"ready {door.Exports[0]}");
            foreach (string export in door.Exports.Skip(1))
            {
                events.Say($"also {export}");
            }
            report = await UntilStoppedAsync(served, control, signals);
            control.EndTimeout = report.Clean ? control.EndTimeout : s_uncleanEndTimeout;
        }
        started.Host.End();
        if (!report.Clean)
        {
            events.Say(
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
        Task<StopReport> stopping = served.StopAsync(s_stopDeadline).WaitAsync(s_stopDeadline + s_stopGrace);
        if (await Task.WhenAny(stopping, signals.Second) != stopping)
        {
            // A second signal means: the deadline is now.
            stopping = served.StopAsync(TimeSpan.Zero).WaitAsync(s_stopGrace);
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
                Left = "the data thread did not answer by the deadline; the next start recovers",
            };
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
        private static readonly TimeSpan s_sameSignal = TimeSpan.FromSeconds(0.5);

        private readonly TaskCompletionSource _first =
            new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly TaskCompletionSource _second =
            new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly PosixSignalRegistration[] _registrations;

        public Signals(Action onFirst, TimeProvider time)
        {
            long firstAt = 0;
            void Handle(PosixSignalContext context)
            {
                context.Cancel = true;
                if (_first.TrySetResult())
                {
                    firstAt = time.GetTimestamp();
                    onFirst();
                    return;
                }
                // Whoever signals a process and its group sends the same signal twice at once: that is one
                // wish.
                if (time.GetElapsedTime(firstAt) >= s_sameSignal)
                {
                    _second.TrySetResult();
                }
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
