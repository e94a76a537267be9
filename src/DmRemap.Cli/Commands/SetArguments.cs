using System.CommandLine;
using DmRemap.Cli.Devices;
using DmRemap.Control.Contracts;
using DmRemap.Control.Registry;
using DmRemap.Core.Abstractions;

namespace DmRemap.Cli.Commands;

/// <summary>A registered device, or its spares by path: also without a registry.</summary>
internal sealed class SetArguments
{
    public Argument<string?> Name { get; } = new("NAME")
    {
        Description = "The device; or give its spares.",
        Arity = ArgumentArity.ZeroOrOne,
    };

    public Option<string[]> Spares { get; } = new("--spare")
    {
        Description = "A spare of the set, instead of a name; may be repeated.",
        HelpName = "PATH",
    };

    public SetChoice Choose(ParseResult parsed)
    {
        string? name = parsed.GetValue(Name);
        string[] spares = parsed.GetValue(Spares) ?? [];
        if (name is null == (spares.Length == 0))
        {
            throw Bad("Give either the NAME of a device or its spares with --spare.");
        }
        if (spares.Length > Limits.SparesMax)
        {
            throw Bad($"{spares.Length} spares; {Limits.SparesMax} is the most.");
        }
        if (name is not null)
        {
            DeviceName.Require(name);
        }
        return new SetChoice { Name = name, SparePaths = spares };
    }

    private static RefusalException Bad(string message) => new(new Refusal(
        MessageIds.Usage, ExitCode.Usage, "-", message, "`--help` shows how it is used."));
}
