using System.CommandLine;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Devices;

namespace DmRemap.Cli.Commands;

internal sealed class CheckCommand
{
    private readonly SetArguments _set = new();

    public static Command Build(CliServices services, CommonOptions common)
    {
        CheckCommand parts = new();
        Command command = new(
            "check", "Read the metadata of a stopped device and say what is damaged. Writes nothing.")
        {
            parts._set.Name, parts._set.Spares,
        };
        command.SetAction((parsed, cancellation) => parts.RunAsync(services, common, parsed, cancellation));
        return command;
    }

    private async Task<int> RunAsync(
        CliServices services, CommonOptions common, ParseResult parsed, CancellationToken cancellation)
    {
        SetChoice choice = _set.Choose(parsed);
        CommandOutput output = common.OutputFor(services, parsed, choice.Name ?? "-");
        return (int)await services.MetadataTools.CheckAsync(choice, output, cancellation);
    }
}
