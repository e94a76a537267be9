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

internal sealed class ResumeCommand
{
    private readonly Argument<string> _name = CommonOptions.Name();

    public static Command Build(CliServices services, CommonOptions common)
    {
        ResumeCommand parts = new();
        Command command = new("resume", "Carry out what a suspended device holds, and what comes.")
        {
            parts._name,
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
        ResumeReport report = await client.ResumeAsync(cancellation);
        if (output.IsJson)
        {
            output.Answer(JsonSerializer.Serialize(report, PlainJson.Types.ResumeReport));
        }
        else
        {
            output.Answer($"{name}: {(report.WasSuspended ? "resumed" : "was not suspended")}");
        }
        return (int)ExitCode.Done;
    }
}
