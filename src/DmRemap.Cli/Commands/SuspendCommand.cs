using System;
using System.CommandLine;
using System.Text.Json;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Devices;
using DmRemap.Cli.Output;
using DmRemap.Control.Client;
using DmRemap.Control.Contracts;
using DmRemap.Control.Registry;
using DmRemap.Core.Abstractions;

namespace DmRemap.Cli.Commands;

internal sealed class SuspendCommand
{
    private readonly Argument<string> _name = CommonOptions.Name();

    private readonly Option<double> _deadline = CommonOptions.Deadline(
        "Answer after this many seconds although it is not quiet yet; it goes on draining");

    public static Command Build(CliServices services, CommonOptions common)
    {
        SuspendCommand parts = new();
        Command command = new(
            "suspend", "Hold a running device's requests until `resume`: what is in flight ends, disks are "
                + "flushed, clients see a pause.")
        {
            parts._name, parts._deadline,
        };
        command.SetAction((parsed, cancellation) => parts.RunAsync(services, common, parsed, cancellation));
        return command;
    }

    private async Task<int> RunAsync(
        CliServices services, CommonOptions common, ParseResult parsed, CancellationToken cancellation)
    {
        string name = parsed.GetRequiredValue(_name);
        DeviceName.Require(name);
        CommandOutput output = common.OutputFor(services, parsed, name);
        using ControlClient client = await new DeviceLookup(services).ConnectAsync(name, cancellation);
        TimeSpan deadline = TimeSpan.FromSeconds(parsed.GetValue(_deadline));
        SuspendReport report = await client.SuspendAsync(deadline, cancellation);
        if (output.IsJson)
        {
            output.Answer(JsonSerializer.Serialize(report, PlainJson.Types.SuspendReport));
        }
        else
        {
            output.Answer($"{name}: {Words(report)}");
        }
        bool isWell = report is { Suspended: true, Flushed: true };
        return (int)(isWell ? ExitCode.Done : ExitCode.DoneDegraded);
    }

    private static string Words(SuspendReport report)
    {
        string state = report.Suspended ? "suspended" : "not suspended";
        string left = report.Left is null ? "" : $": {report.Left}";
        string requests = report.RequestsInFlight == 0
            ? ""
            : $"; {Amounts.Plural(report.RequestsInFlight, "request")} in flight";
        string members = report.OperationsOutstanding == 0
            ? ""
            : $"; {Amounts.Plural(report.OperationsOutstanding, "operation")} not answered by "
                + string.Join(", ", report.OutstandingOn);
        return state + left + requests + members;
    }
}
