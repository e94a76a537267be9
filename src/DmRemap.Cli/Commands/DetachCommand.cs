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
            : $"{name}: {Words(detached)}");
        return (int)(detached.Forced ? ExitCode.DoneDegraded : ExitCode.Done);
    }

    private static string Words(DetachedDevice detached)
    {
        string what = !detached.WasAttached ? $"is not attached (dmremap attach {detached.Name} does that)"
            : detached.Forced ? "detached; requests that had no answer were cut off"
            : "detached";
        return detached.Stopped ? $"{what}; its server was stopped" : what;
    }
}
