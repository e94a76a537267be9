using System;
using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using System.Text.Json;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Devices;
using DmRemap.Cli.Output;
using DmRemap.Control.Protocol;
using DmRemap.Control.Registry;
using DmRemap.Core.Abstractions;

namespace DmRemap.Cli.Commands;

internal sealed class AttachCommand
{
    private const double WaitSecondsDefault = 60;
    private const string OnlyWay = "fuse";

    private readonly Argument<string> _name = CommonOptions.Name();

    private readonly Option<string?> _via = new("--via")
    {
        Description = "How the kernel reaches the device: fuse (FUSE and loop), the only way so far.",
        HelpName = "fuse",
        CustomParser = ParseVia,
    };

    private readonly Option<bool> _file = new("--file")
    {
        Description = "As a file, for programs that take disk images; needs no root.",
    };

    private readonly Option<double> _wait = new("--wait")
    {
        Description = "Seconds that a server which has to be started may take to be ready (default "
            + $"{WaitSecondsDefault}).",
        HelpName = "S",
        CustomParser = ParseWait,
        DefaultValueFactory = _ => WaitSecondsDefault,
    };

    public static Command Build(CliServices services, CommonOptions common)
    {
        AttachCommand parts = new();
        Command command = new(
            "attach", "Make a device a block device of this machine, and print its path; serve it in the "
                + "background if nobody does.")
        {
            parts._name, parts._via, parts._file, parts._wait,
        };
        command.SetAction((parsed, cancellation) => parts.RunAsync(services, common, parsed, cancellation));
        return command;
    }

    private static string? ParseVia(ArgumentResult result)
    {
        string text = result.Tokens[0].Value;
        if (text != OnlyWay)
        {
            result.AddError($"--via {text}: expected {OnlyWay}.");
        }
        return text;
    }

    private static double ParseWait(ArgumentResult result)
    {
        string text = result.Tokens[0].Value;
        bool isNumber = double.TryParse(
            text, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double seconds);
        if (!isNumber || !(seconds > 0 && seconds <= ControlProtocol.DeadlineSecondsMax))
        {
            result.AddError(
                $"--wait {text}: expected seconds, more than 0 and at most "
                    + $"{ControlProtocol.DeadlineSecondsMax}.");
        }
        return seconds;
    }

    private async Task<int> RunAsync(
        CliServices services, CommonOptions common, ParseResult parsed, CancellationToken cancellation)
    {
        AttachOptions options = new()
        {
            Name = parsed.GetRequiredValue(_name),
            AsFile = parsed.GetValue(_file),
            Wait = TimeSpan.FromSeconds(parsed.GetValue(_wait)),
        };
        DeviceName.Require(options.Name);
        CommandOutput output = common.OutputFor(services, parsed, options.Name);
        using Interruption interruption = new(cancellation);
        AttachedDevice attached = await services.Attacher.AttachAsync(options, output, interruption.Token);
        output.Answer(output.IsJson
            ? JsonSerializer.Serialize(attached, PlainJson.Types.AttachedDevice)
            : attached.Device ?? attached.File);
        return (int)ExitCode.Done;
    }
}
