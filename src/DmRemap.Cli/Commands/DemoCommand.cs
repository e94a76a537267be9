using System.CommandLine;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Devices;

namespace DmRemap.Cli.Commands;

internal sealed class DemoCommand
{
    private readonly Option<bool> _keep = new("--keep")
    {
        Description = "Leave the images behind, to look at.",
    };

    public static Command Build(CliServices services, CommonOptions common)
    {
        DemoCommand parts = new();
        Command command = new(
            "demo", "Watch a failing disk stay in service: no root, no hardware, nothing left behind.")
        {
            parts._keep,
        };
        command.SetAction((parsed, cancellation) => parts.RunAsync(services, common, parsed, cancellation));
        return command;
    }

    private async Task<int> RunAsync(
        CliServices services, CommonOptions common, ParseResult parsed, CancellationToken cancellation)
    {
        using Interruption interruption = new(cancellation);
        return (int)await services.Demonstration.RunAsync(
            new DemoOptions { Keep = parsed.GetValue(_keep) },
            common.OutputFor(services, parsed, "-"),
            interruption.Token);
    }
}
