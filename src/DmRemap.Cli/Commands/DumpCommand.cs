using System.CommandLine;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Devices;

namespace DmRemap.Cli.Commands;

internal sealed class DumpCommand
{
    private readonly SetArguments _set = new();

    private readonly Option<bool> _records = new("--records")
    {
        Description = "Also every journal record that counts, cell by cell.",
    };

    public static Command Build(CliServices services, CommonOptions common)
    {
        DumpCommand parts = new();
        Command command = new(
            "dump", "Print the metadata of a stopped device: layout, superblocks, table. Writes nothing.")
        {
            parts._set.Name, parts._set.Spares, parts._records,
        };
        command.SetAction((parsed, cancellation) => parts.RunAsync(services, common, parsed, cancellation));
        return command;
    }

    private async Task<int> RunAsync(
        CliServices services, CommonOptions common, ParseResult parsed, CancellationToken cancellation)
    {
        SetChoice choice = _set.Choose(parsed);
        CommandOutput output = common.OutputFor(services, parsed, choice.Name ?? "-");
        return (int)await services.MetadataTools.DumpAsync(
            choice, parsed.GetValue(_records), output, cancellation);
    }
}
