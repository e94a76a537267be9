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

internal sealed class ClearCommand
{
    private readonly Argument<string> _name = CommonOptions.Name();

    private readonly Argument<string> _condition = new("CONDITION")
    {
        Description = $"Which: {ConditionCatalog.Gone}, {ConditionCatalog.Storm}, "
            + $"{ConditionCatalog.Uncertain} or {ConditionCatalog.VolatileLost}.",
    };

    public static Command Build(CliServices services, CommonOptions common)
    {
        ClearCommand parts = new();
        Command command = new(
            "clear", "End a condition of a running device that stays until you have looked at the disk.")
        {
            parts._name, parts._condition,
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
        ClearReport report = await client.ClearAsync(parsed.GetRequiredValue(_condition), cancellation);
        if (output.IsJson)
        {
            output.Answer(JsonSerializer.Serialize(report, PlainJson.Types.ClearReport));
        }
        else
        {
            output.Answer(report.WasSet && report.Condition == "gone"
                ? $"{name}: what waited for the disk is sent to it now; if it is still away, it is gone again"
                : report.WasSet ? $"{name}: {report.Condition} is cleared"
                : $"{name}: {report.Condition} did not hold; nothing to clear");
        }
        return (int)ExitCode.Done;
    }
}
