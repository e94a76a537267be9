using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using DmRemap.Cli.Devices;
using DmRemap.Control.Protocol;

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

    public static Option<bool> AcceptRollback() => new("--accept-rollback")
    {
        Description = "Go on with spares that are older than what this machine last saw on them.",
    };

    public static Option<bool> AcceptChangedMain() => new("--accept-changed-main")
    {
        Description = "Go on with a main device that was written without dm-remap since the last clean stop.",
    };

    /// <summary>Seconds; ControlProtocol.DeadlineSecondsDefault when it is not given.</summary>
    public static Option<double> Deadline(string description) => new("--deadline")
    {
        Description = $"{description} (0 to {ControlProtocol.DeadlineSecondsMax}, default "
            + $"{ControlProtocol.DeadlineSecondsDefault}).",
        HelpName = "S",
        CustomParser = ParseDeadline,
        DefaultValueFactory = _ => ControlProtocol.DeadlineSecondsDefault,
    };

    public CommandOutput OutputFor(
        CliServices services, ParseResult parsed, string device, Option<bool>? yes = null) => new(
        services.Terminal, device, parsed.GetValue(Json), yes is not null && parsed.GetValue(yes));

    private static double ParseDeadline(ArgumentResult result)
    {
        string text = result.Tokens[0].Value;
        bool isNumber = double.TryParse(
            text, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double seconds);
        if (!isNumber || !(seconds <= ControlProtocol.DeadlineSecondsMax))
        {
            result.AddError(
                $"--deadline {text}: expected seconds, 0 to {ControlProtocol.DeadlineSecondsMax}.");
        }
        return seconds;
    }
}
