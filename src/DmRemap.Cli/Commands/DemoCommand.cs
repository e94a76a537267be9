using System.CommandLine;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Devices;
using DmRemap.Control.Contracts;
using DmRemap.Core.Abstractions;

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
        if (parsed.GetValue(common.Json))
        {
            throw new RefusalException(new Refusal(
                MessageIds.Usage,
                ExitCode.Usage,
                "-",
                "demo is a story to watch, and has no --json.",
                "Leave --json out; the exit code says whether every byte was right."));
        }
        using Interruption interruption = new(cancellation);
        return (int)await services.Demonstration.RunAsync(
            new DemoOptions { Keep = parsed.GetValue(_keep) },
            common.OutputFor(services, parsed, "-"),
            interruption.Token);
    }
}
