using System;
using System.CommandLine;
using System.CommandLine.Parsing;
using System.Text.Json;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Devices;
using DmRemap.Cli.Output;
using DmRemap.Cli.Parsing;
using DmRemap.Control.Client;
using DmRemap.Control.Contracts;
using DmRemap.Control.Registry;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Scrubbing;

namespace DmRemap.Cli.Commands;

internal sealed class ScrubCommand
{
    private static readonly TimeSpan s_watchInterval = TimeSpan.FromSeconds(1);

    private readonly Argument<string> _name = CommonOptions.Name();

    private readonly Option<bool> _start = new("--start")
    {
        Description = "Start it, or go on where it stopped (without another action, this).",
    };

    private readonly Option<bool> _stop = new("--stop") { Description = "Stop it; it keeps its place." };

    private readonly Option<bool> _status = new("--status") { Description = "Only say how far it is." };

    private readonly Option<bool> _watch = new("--watch")
    {
        Description = "Show progress until it ends or waits.",
    };

    private readonly Option<long?> _rate = new("--rate")
    {
        Description = "Read at most so much a second (default 16M, kept over restarts); while clients are "
            + "busy it goes down to a tenth.",
        HelpName = "BYTES",
        CustomParser = ParseRate,
    };

    public static Command Build(CliServices services, CommonOptions common)
    {
        ScrubCommand parts = new();
        Command command = new(
            "scrub", "Read a running device from end to end in the background: weak sectors are found and "
                + "moved while they still read.")
        {
            parts._name, parts._start, parts._stop, parts._status, parts._rate, parts._watch,
        };
        command.Validators.Add(parts.CheckActions);
        command.SetAction((parsed, cancellation) => parts.RunAsync(services, common, parsed, cancellation));
        return command;
    }

    private static long? ParseRate(ArgumentResult result)
    {
        string text = result.Tokens[0].Value;
        if (!SizeText.TryParse(text, out long rate) || rate is < ScrubPace.RateMin or > ScrubPace.RateMax)
        {
            result.AddError($"--rate {text}: expected {SizeText.Form}, from 64K on.");
        }
        return rate;
    }

    private void CheckActions(CommandResult result)
    {
        int actions = (result.GetValue(_start) ? 1 : 0) + (result.GetValue(_stop) ? 1 : 0)
            + (result.GetValue(_status) ? 1 : 0);
        if (actions > 1)
        {
            result.AddError("scrub: give one of --start, --stop and --status.");
        }
        bool isStart = !result.GetValue(_stop) && !result.GetValue(_status);
        if (result.GetResult(_rate) is { Implicit: false } && !isStart)
        {
            result.AddError("scrub: --rate goes with a start.");
        }
    }

    private async Task<int> RunAsync(
        CliServices services, CommonOptions common, ParseResult parsed, CancellationToken cancellation)
    {
        string name = parsed.GetRequiredValue(_name);
        DeviceName.Require(name);
        CommandOutput output = common.OutputFor(services, parsed, name);
        using ControlClient client = await new DeviceLookup(services).ConnectAsync(name, cancellation);
        string action = parsed.GetValue(_stop) ? "stop" : parsed.GetValue(_status) ? "status" : "start";
        ScrubReport report = await client.ScrubAsync(action, parsed.GetValue(_rate), cancellation);
        if (parsed.GetValue(_watch))
        {
            report = await WatchAsync(services, client, report, output, cancellation);
        }
        output.Answer(output.IsJson
            ? JsonSerializer.Serialize(report, PlainJson.Types.ScrubReport)
            : $"{name}: scrub: {ScrubText.Of(report)}");
        return (int)ExitCode.Done;
    }

    /// <summary>A line a second on standard error, with the rate and the time left.</summary>
    private static async Task<ScrubReport> WatchAsync(
        CliServices services, ControlClient client, ScrubReport report, CommandOutput output,
        CancellationToken cancellation)
    {
        while (report.State == ScrubStates.Running)
        {
            await Task.Delay(s_watchInterval, services.Time, cancellation);
            report = await client.ScrubAsync("status", null, cancellation);
            output.Note(ScrubText.Of(report));
        }
        return report;
    }
}
