using System.CommandLine;
using System.Text.Json;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Devices;
using DmRemap.Cli.Output;
using DmRemap.Cli.Parsing;
using DmRemap.Control.Client;
using DmRemap.Control.Contracts;
using DmRemap.Core.Abstractions;

namespace DmRemap.Cli.Commands;

internal sealed class RetestCommand
{
    private readonly BlockRunArguments _blocks = new("is tried", ArgumentArity.ZeroOrOne);

    public static Command Build(CliServices services, CommonOptions common)
    {
        RetestCommand parts = new();
        Command command = new(
            "retest", "Try what does not read on a running device once more, now: what reads is copied to a "
                + "spare. Blocks that were declared lost are never looked at.");
        parts._blocks.AddTo(command);
        command.SetAction((parsed, cancellation) => parts.RunAsync(services, common, parsed, cancellation));
        return command;
    }

    private async Task<int> RunAsync(
        CliServices services, CommonOptions common, ParseResult parsed, CancellationToken cancellation)
    {
        string name = _blocks.NameOf(parsed);
        CommandOutput output = common.OutputFor(services, parsed, name);
        using ControlClient client = await new DeviceLookup(services).ConnectAsync(name, cancellation);
        RunText run = await _blocks.BlocksAsync(parsed, client, cancellation);
        RetestReport report = await client.RetestAsync(
            new BlockNumber(run.First), new BlockNumber(run.Last),
            BlockRunArguments.ShowOn(output, services.Time), cancellation);
        if (output.IsJson)
        {
            output.Answer(JsonSerializer.Serialize(report, PlainJson.Types.RetestReport));
        }
        else
        {
            output.Answer($"{name}: {report.SuspectsGood} of "
                + $"{Amounts.Plural(report.SuspectsTried, "suspect unit")} read now; of "
                + $"{Amounts.Plural(report.LostUnitsTried, "unit")} given up as unreadable, "
                + $"{Amounts.Plural(report.BlocksBack, "block")} came back and "
                + (report.BlocksBack == 1 ? "is" : "are") + " on a spare now");
            if (report.Failure is not null)
            {
                output.Answer($"not all of it was done: {report.Failure}");
            }
        }
        return (int)(report.Failure is null ? ExitCode.Done : ExitCode.DoneDegraded);
    }
}
