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

internal sealed class UnremapCommand
{
    private readonly BlockRunArguments _blocks = new("goes back", ArgumentArity.ExactlyOne);

    public static Command Build(CliServices services, CommonOptions common)
    {
        UnremapCommand parts = new();
        Command command = new(
            "unremap", "Copy remapped blocks of a running device back to the main device, read them back "
                + "there, and free their spare units.");
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
        UnremapReport report = await client.UnremapAsync(
            new BlockNumber(run.First), new BlockNumber(run.Last),
            BlockRunArguments.ShowOn(output, services.Time), cancellation);
        Write(output, name, report);
        return (int)BlockRunArguments.ExitOf(
            report.UnitsFailed, report.UnitsReturned + report.UnitsNotOnSpare, report.Failure is null);
    }

    private static void Write(CommandOutput output, string name, UnremapReport report)
    {
        if (output.IsJson)
        {
            output.Answer(JsonSerializer.Serialize(report, PlainJson.Types.UnremapReport));
            return;
        }
        output.Answer($"{name}: {Amounts.Blocks(report.FirstBlock, report.LastBlock)}: "
            + $"{Amounts.Plural(report.UnitsReturned, "unit")} back on the main device, "
            + $"{Amounts.Plural(report.BlocksCopied, "block")} copied and read back; "
            + $"{Amounts.Plural(report.UnitsNotOnSpare, "unit")} had nothing on a spare");
        if (report.BlocksLost > 0)
        {
            output.Answer(
                $"{Amounts.Plural(report.BlocksLost, "block")} had been lost before: reads of them go on "
                    + "failing until they are written, whatever the main device holds there");
        }
        if (report.UnitsFailed > 0)
        {
            output.Answer($"{Amounts.Plural(report.UnitsFailed, "unit")} stayed on the spare, unchanged: "
                + report.Failure);
        }
        else if (report.Failure is not null)
        {
            output.Answer($"not all of it was done: {report.Failure}");
        }
        foreach (LostExtent extent in report.StayedExtents)
        {
            output.Answer("  " + Amounts.Range(extent.FirstBlock, extent.FirstBlock + extent.Blocks - 1));
        }
    }
}
