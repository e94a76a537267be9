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

internal sealed class MarkLostCommand
{
    private readonly BlockRunArguments _blocks = new("is lost", ArgumentArity.ExactlyOne);
    private readonly Option<bool> _yes = CommonOptions.Yes();

    public static Command Build(CliServices services, CommonOptions common)
    {
        MarkLostCommand parts = new();
        Command command = new(
            "mark-lost", "Declare blocks of a running device lost: reads of them fail until they are "
                + "written, and what the main device holds there is never looked at.");
        parts._blocks.AddTo(command);
        command.Add(parts._yes);
        command.SetAction((parsed, cancellation) => parts.RunAsync(services, common, parsed, cancellation));
        return command;
    }

    private async Task<int> RunAsync(
        CliServices services, CommonOptions common, ParseResult parsed, CancellationToken cancellation)
    {
        string name = _blocks.NameOf(parsed);
        CommandOutput output = common.OutputFor(services, parsed, name, _yes);
        using ControlClient client = await new DeviceLookup(services).ConnectAsync(name, cancellation);
        RunText run = await _blocks.BlocksAsync(parsed, client, cancellation);
        output.RequireYes(
            $"Every read of {Amounts.Blocks(run.First, run.Last)} of {name} will fail until it is written; "
                + "there is no way back to what the main device holds there.");
        MarkLostReport report = await client.MarkLostAsync(
            new BlockNumber(run.First), new BlockNumber(run.Last),
            BlockRunArguments.ShowOn(output, services.Time), cancellation);
        if (output.IsJson)
        {
            output.Answer(JsonSerializer.Serialize(report, PlainJson.Types.MarkLostReport));
        }
        else
        {
            output.Answer($"{name}: {Amounts.Blocks(report.FirstBlock, report.LastBlock)}: "
                + $"{Amounts.Plural(report.BlocksDeclared, "block")} newly declared lost");
            if (report.BlocksOnSpare > 0)
            {
                output.Answer($"{Amounts.Plural(report.BlocksOnSpare, "block")} in units that are on a "
                    + "spare, or zero by the table: they read as before");
            }
            if (report.Failure is not null)
            {
                output.Answer($"not all of it was done: {report.Failure}");
            }
        }
        return (int)BlockRunArguments.ExitOf(
            report.Failure is null ? 0 : 1, report.BlocksDeclared, report.Failure is null);
    }
}
