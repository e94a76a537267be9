using System.CommandLine;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Devices;
using DmRemap.Control.Registry;

namespace DmRemap.Cli.Commands;

internal sealed class RepairCommand
{
    private readonly Argument<string> _name = CommonOptions.Name();
    private readonly Option<bool> _yes = CommonOptions.Yes();

    private readonly Option<bool> _acceptLoss = new("--accept-loss")
    {
        Description = "Where acknowledged journal records are lost, go on without them. Asks first.",
    };

    public static Command Build(CliServices services, CommonOptions common)
    {
        RepairCommand parts = new();
        Command command = new(
            "repair", "Do to the metadata what a start does, without serving: rewrite what is damaged.")
        {
            parts._name, parts._acceptLoss, parts._yes,
        };
        command.SetAction((parsed, cancellation) => parts.RunAsync(services, common, parsed, cancellation));
        return command;
    }

    private async Task<int> RunAsync(
        CliServices services, CommonOptions common, ParseResult parsed, CancellationToken cancellation)
    {
        RepairOptions options = new()
        {
            Name = parsed.GetRequiredValue(_name),
            AcceptLoss = parsed.GetValue(_acceptLoss),
        };
        DeviceName.Require(options.Name);
        CommandOutput output = common.OutputFor(services, parsed, options.Name, _yes);
        return (int)await services.MetadataTools.RepairAsync(options, output, cancellation);
    }
}
