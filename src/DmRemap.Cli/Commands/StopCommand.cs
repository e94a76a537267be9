using System;
using System.CommandLine;
using System.Text.Json;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Attaching;
using DmRemap.Cli.Devices;
using DmRemap.Cli.Output;
using DmRemap.Control.Client;
using DmRemap.Control.Contracts;
using DmRemap.Control.Registry;
using DmRemap.Core.Abstractions;

namespace DmRemap.Cli.Commands;

internal sealed class StopCommand
{
    private readonly Argument<string> _name = CommonOptions.Name();

    private readonly Option<double> _deadline =
        CommonOptions.Deadline("Answer after this many seconds even if a disk never does");

    public static Command Build(CliServices services, CommonOptions common)
    {
        StopCommand parts = new();
        Command command = new(
            "stop", "Stop a running device: finish what is in flight, or fail it at the deadline.")
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
        DeviceLookup lookup = new(services);
        using ControlClient? client = await lookup.TryConnectAsync(name, cancellation)
            ?? await lookup.TryConnectToHolderAsync(services.OpenRegistry().Load(name), cancellation);
        if (client is null)
        {
            // What was asked for is so: not an error, unless there is no such device.
            Write(output, new StopDocument(name, WasRunning: false, Report: null));
            return (int)ExitCode.Done;
        }
        if (services.Attacher.FindAttached(name) is Attachment attached)
        {
            throw new RefusalException(AttachRefusals.Attached(name, attached.Path));
        }
        TimeSpan deadline = TimeSpan.FromSeconds(parsed.GetValue(_deadline));
        StopReport report = await client.StopAsync(deadline, cancellation);
        Write(output, new StopDocument(name, WasRunning: true, report));
        return (int)(report.Clean ? ExitCode.Done : ExitCode.DoneDegraded);
    }

    private static void Write(CommandOutput output, StopDocument document)
    {
        if (output.IsJson)
        {
            output.Answer(JsonSerializer.Serialize(document, PlainJson.Types.StopDocument));
        }
        else
        {
            string words = document.Report is StopReport report ? StopText.Of(report) : "is not running";
            output.Answer($"{document.Name}: {words}");
        }
    }
}
