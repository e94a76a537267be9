using System.CommandLine;
using DmRemap.Cli.Devices;

namespace DmRemap.Cli.Commands;

/// <summary>What several commands take.</summary>
internal sealed class CommonOptions
{
    public Option<bool> Json { get; } = new("--json")
    {
        Description = "Answer (and fail) with a JSON document on standard output.",
        Recursive = true,
    };

    public static Argument<string> Name() => new("NAME")
    {
        Description = "The device: 1 to 64 letters, digits, '_', '.' or '-'.",
    };

    public static Option<bool> Yes() => new("--yes", "-y")
    {
        Description = "Answer every question with yes.",
    };

    public CommandOutput OutputFor(
        CliServices services, ParseResult parsed, string device, Option<bool>? yes = null) => new(
        services.Terminal, device, parsed.GetValue(Json), yes is not null && parsed.GetValue(yes));
}
