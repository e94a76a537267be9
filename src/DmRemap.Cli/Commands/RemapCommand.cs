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

internal sealed class RemapCommand
{
    private readonly BlockRunArguments _blocks = new("is moved", ArgumentArity.ExactlyOne);

    public static Command Build(CliServices services, CommonOptions common)
    {
        RemapCommand parts = new();
        Command command = new(
            "remap", "Move blocks of a running device to a spare: copies what reads, says what does not.");
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
        RemapReport report = await client.RemapAsync(
            new BlockNumber(run.First), new BlockNumber(run.Last),
            BlockRunArguments.ShowOn(output, services.Time), cancellation);
        Write(output, name, report);
        return (int)ExitOf(report);
    }

    private static ExitCode ExitOf(RemapReport report) => BlockRunArguments.ExitOf(
        report.UnitsFailed, report.UnitsRemapped + report.UnitsAlreadyRemapped,
        report.BlocksUnread == 0 && report.Failure is null);

    private static void Write(CommandOutput output, string name, RemapReport report)
    {
        if (output.IsJson)
        {
            output.Answer(JsonSerializer.Serialize(report, PlainJson.Types.RemapReport));
            return;
        }
        string already = report.UnitsAlreadyRemapped > 0
            ? ", " + Amounts.Plural(report.UnitsAlreadyRemapped, "was there already", "were there already")
            : "";
        output.Answer($"{name}: {Amounts.Blocks(report.FirstBlock, report.LastBlock)}: "
            + $"{Amounts.Plural(report.UnitsRemapped, "unit")} moved to a spare{already}; "
            + $"{Amounts.Plural(report.BlocksCopied, "block")} copied");
        if (report.BlocksUnread > 0)
        {
            output.Answer(
                $"{Amounts.Plural(report.BlocksUnread, "block")} did not read: "
                + "they stay where they are, and fail until they read or are written");
        }
        foreach (LostExtent extent in report.UnreadExtents)
        {
            output.Answer("  " + Amounts.Range(extent.FirstBlock, extent.FirstBlock + extent.Blocks - 1));
        }
        if (report.UnitsFailed == 0 && report.Failure is not null)
        {
            output.Answer($"not all of it was done: {report.Failure}");
        }
        if (report.UnitsFailed > 0)
        {
            output.Answer(
                $"{Amounts.Plural(report.UnitsFailed, "unit")} stayed on the main device: {report.Failure}");
        }
    }
}
