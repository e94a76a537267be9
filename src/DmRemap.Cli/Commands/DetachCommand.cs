using System.CommandLine;
using System.Text.Json;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Devices;
using DmRemap.Cli.Output;
using DmRemap.Control.Registry;
using DmRemap.Core.Abstractions;

namespace DmRemap.Cli.Commands;

internal sealed class DetachCommand
{
    private readonly Argument<string> _name = CommonOptions.Name();

    public static Command Build(CliServices services, CommonOptions common)
    {
        DetachCommand parts = new();
        Command command = new(
            "detach", "Take a device that was attached back from the kernel; stop its server if `attach` "
                + "started it.")
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
        DetachedDevice detached = await services.Attacher.DetachAsync(name, output, cancellation);
        output.Answer(output.IsJson
            ? JsonSerializer.Serialize(detached, PlainJson.Types.DetachedDevice)
            : $"{name}: {StopText.Of(detached)}");
        bool isDegraded = detached is { Forced: true } or { ServerLeft: not null }
            or { StopReport.Clean: false };
        return (int)(isDegraded ? ExitCode.DoneDegraded : ExitCode.Done);
    }
}
