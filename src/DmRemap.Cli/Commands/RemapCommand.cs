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

namespace DmRemap.Cli.Commands;

internal sealed class RemapCommand
{
    private readonly Argument<string> _name = CommonOptions.Name();

    private readonly Argument<RunText> _run = new("FIRST[-LAST]")
    {
        Description = "Logical blocks of the exported device, both ends included.",
        CustomParser = ParseRun,
    };

    private readonly Option<bool> _bytes = new("--bytes")
    {
        Description = "FIRST and LAST are bytes; every block that they touch is moved.",
    };

    public static Command Build(CliServices services, CommonOptions common)
    {
        RemapCommand parts = new();
        Command command = new(
            "remap", "Move blocks of a running device to a spare: copies what reads, says what does not.")
        {
            parts._name, parts._run, parts._bytes,
        };
        command.SetAction((parsed, cancellation) => parts.RunAsync(services, common, parsed, cancellation));
        return command;
    }

    private static RunText ParseRun(ArgumentResult result)
    {
        string text = result.Tokens[0].Value;
        if (!RunText.TryParse(text, out RunText run))
        {
            result.AddError($"{text}: expected {RunText.Form}.");
        }
        return run;
    }

    private async Task<int> RunAsync(
        CliServices services, CommonOptions common, ParseResult parsed, CancellationToken cancellation)
    {
        string name = parsed.GetRequiredValue(_name);
        DeviceName.Require(name);
        CommandOutput output = common.OutputFor(services, parsed, name);
        using ControlClient client = await new DeviceLookup(services).ConnectAsync(name, cancellation);
        RunText run = parsed.GetRequiredValue(_run);
        if (parsed.GetValue(_bytes))
        {
            DeviceStatus status = await client.GetStatusAsync(cancellation);
            run = run.ToBlocks(status.Primary.BlockSize);
        }
        RemapReport report = await client.RemapAsync(
            new BlockNumber(run.First), new BlockNumber(run.Last), step => Show(output, step), cancellation);
        Write(output, name, report);
        return (int)ExitOf(report);
    }

    private static void Show(CommandOutput output, RemapProgress step)
    {
        if (output.Terminal.ErrorIsTerminal)
        {
            output.Note($"{step.UnitsDone} of {step.UnitsTotal} units");
        }
    }

    private static ExitCode ExitOf(RemapReport report)
    {
        bool isNothingDone = report.UnitsRemapped + report.UnitsAlreadyRemapped == 0;
        if (report.UnitsFailed > 0 && isNothingDone)
        {
            return ExitCode.Failed;
        }
        bool isWhole = report.UnitsFailed == 0 && report.BlocksUnread == 0 && report.Failure is null;
        return isWhole ? ExitCode.Done : ExitCode.DoneDegraded;
    }

    private static void Write(CommandOutput output, string name, RemapReport report)
    {
        if (output.IsJson)
        {
            output.Answer(JsonSerializer.Serialize(report, PlainJson.Types.RemapReport));
            return;
        }
        string already = report.UnitsAlreadyRemapped > 0
            ? $", {report.UnitsAlreadyRemapped} were there already"
            : "";
        output.Answer($"{name}: blocks {report.FirstBlock}-{report.LastBlock}: "
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
            output.Answer($"  {extent.FirstBlock}-{extent.FirstBlock + extent.Blocks - 1}");
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
