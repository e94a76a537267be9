using System.CommandLine;
using System.CommandLine.Parsing;
using System.Text.Json;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Devices;
using DmRemap.Cli.Output;
using DmRemap.Control.Client;
using DmRemap.Control.Contracts;
using DmRemap.Control.Registry;
using DmRemap.Core.Abstractions;

namespace DmRemap.Cli.Commands;

internal sealed class FaultsCommand
{
    private readonly Argument<string> _name = CommonOptions.Name();

    private readonly Argument<string> _action = new("add|clear|list")
    {
        Description = "What to do with the rules.",
    };

    private readonly Argument<string[]> _rule = new("RULE")
    {
        Description = "FIRST-LAST read|write|both [after=OPS] [tries=K] [errno=NAME] [delay=MS], in sectors "
            + "of 512 bytes of the main device. `add` needs one; `clear` without one clears all.",
        Arity = ArgumentArity.ZeroOrMore,
    };

    public static Command Build(CliServices services, CommonOptions common)
    {
        FaultsCommand parts = new();
        Command command = new("faults", "Make sectors of a running device's main device fail, to rehearse.")
        {
            parts._name, parts._action, parts._rule,
        };
        command.Validators.Add(parts.CheckRule);
        command.SetAction((parsed, cancellation) => parts.RunAsync(services, common, parsed, cancellation));
        return command;
    }

    private void CheckRule(CommandResult result)
    {
        if (result.GetResult(_action) is not ArgumentResult { Tokens: [Token token] })
        {
            return;
        }
        if (token.Value is not ("add" or "clear" or "list"))
        {
            result.AddError($"faults NAME {token.Value}: expected add, clear or list.");
        }
        int words = result.GetResult(_rule)?.Tokens.Count ?? 0;
        if (token.Value == "add" && words == 0)
        {
            result.AddError("faults NAME add: the rule is missing, as in: 2000-2007 read.");
        }
        if (token.Value == "list" && words > 0)
        {
            result.AddError("faults NAME list takes no rule.");
        }
    }

    private async Task<int> RunAsync(
        CliServices services, CommonOptions common, ParseResult parsed, CancellationToken cancellation)
    {
        string name = parsed.GetRequiredValue(_name);
        DeviceName.Require(name);
        CommandOutput output = common.OutputFor(services, parsed, name);
        string rule = string.Join(' ', parsed.GetValue(_rule) ?? []);
        using ControlClient client = await new DeviceLookup(services).ConnectAsync(name, cancellation);
        switch (parsed.GetRequiredValue(_action))
        {
            case "add":
                await client.AddFaultAsync(rule, cancellation);
                Write(output, $"{name}: rule added: {rule}", JsonSerializer.Serialize(
                    new EmptyReport(), PlainJson.Types.EmptyReport));
                break;
            case "clear":
                FaultsCleared cleared =
                    await client.ClearFaultsAsync(rule.Length == 0 ? null : rule, cancellation);
                if (cleared.Cleared == 0 && rule.Length > 0)
                {
                    throw new RefusalException(NoSuchRule(name, rule));
                }
                Write(
                    output,
                    $"{name}: {Amounts.Plural(cleared.Cleared, "rule")} cleared",
                    JsonSerializer.Serialize(cleared, PlainJson.Types.FaultsCleared));
                break;
            default:
                FaultList list = await client.ListFaultsAsync(cancellation);
                string text = list.Rules.Count == 0
                    ? $"{name}: no fault rules"
                    : string.Join('\n', list.Rules);
                Write(output, text, JsonSerializer.Serialize(list, PlainJson.Types.FaultList));
                break;
        }
        return (int)ExitCode.Done;
    }

    private static Refusal NoSuchRule(string name, string rule) => new(
        "DMR-FAULTS-NO-SUCH-RULE",
        ExitCode.Failed,
        name,
        $"\"{rule}\": there is no such rule, and nothing was cleared.",
        $"`dmremap faults {name} list` shows the rules as they have to be given.");

    private static void Write(CommandOutput output, string text, string json) =>
        output.Answer(output.IsJson ? json : text);
}
