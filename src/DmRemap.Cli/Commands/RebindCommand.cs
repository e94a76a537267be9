using System.CommandLine;
using System.Text.Json;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Devices;
using DmRemap.Cli.Output;
using DmRemap.Control.Contracts;
using DmRemap.Control.Registry;
using DmRemap.Core.Abstractions;

namespace DmRemap.Cli.Commands;

internal sealed class RebindCommand
{
    private readonly Argument<string> _name = CommonOptions.Name();
    private readonly Option<bool> _yes = CommonOptions.Yes();
    private readonly Option<bool> _acceptRollback = CommonOptions.AcceptRollback();
    private readonly Option<bool> _acceptChangedMain = CommonOptions.AcceptChangedMain();

    private readonly Option<string?> _main = new("--main")
    {
        Description = "Where the main device, or the copy of it that takes its place, is now.",
        HelpName = "PATH",
    };

    private readonly Option<string[]> _spare = new("--spare")
    {
        Description = "A spare's registered path, and the one where it is now.",
        HelpName = "OLD NEW",
        Arity = new ArgumentArity(2, 2),
        AllowMultipleArgumentsPerToken = true,
    };

    public static Command Build(CliServices services, CommonOptions common)
    {
        RebindCommand parts = new();
        Command command = new(
            "rebind", "Tell a stopped device that its main device or a spare has moved, or was copied.")
        {
            parts._name, parts._main, parts._spare, parts._acceptRollback, parts._acceptChangedMain,
            parts._yes,
        };
        command.SetAction((parsed, cancellation) => parts.RunAsync(services, common, parsed, cancellation));
        return command;
    }

    private async Task<int> RunAsync(
        CliServices services, CommonOptions common, ParseResult parsed, CancellationToken cancellation)
    {
        string name = parsed.GetRequiredValue(_name);
        DeviceName.Require(name);
        string? main = parsed.GetValue(_main);
        string[] spare = parsed.GetValue(_spare) ?? [];
        if (main is null == (spare.Length == 0))
        {
            throw new RefusalException(new Refusal(
                MessageIds.Usage,
                ExitCode.Usage,
                name,
                "Either --main PATH or --spare OLD NEW is needed.",
                "`dmremap rebind --help` shows how it is used."));
        }
        CommandOutput output = common.OutputFor(services, parsed, name, _yes);
        await new DeviceLookup(services).RequireStoppedAsync(name, cancellation);
        RebindReport report = await services.Rebinder.RebindAsync(
            new RebindOptions
            {
                Name = name,
                MainPath = main,
                OldSparePath = spare.Length > 0 ? spare[0] : null,
                NewSparePath = spare.Length > 0 ? spare[1] : null,
                AcceptsRollback = parsed.GetValue(_acceptRollback),
                AcceptsChangedMain = parsed.GetValue(_acceptChangedMain),
            },
            output,
            cancellation);
        output.Answer(output.IsJson
            ? JsonSerializer.Serialize(report, PlainJson.Types.RebindReport)
            : $"{name}: {report.NewPath} takes the place of {report.OldPath}");
        return (int)ExitCode.Done;
    }
}
