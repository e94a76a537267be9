using System;
using System.Collections.Generic;
using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;
using System.CommandLine.Parsing;
using System.IO;
using System.Linq;
using System.Threading.Tasks;
using DmRemap.Cli.Devices;
using DmRemap.Cli.Output;
using DmRemap.Control.Contracts;
using DmRemap.Control.Protocol;
using DmRemap.Core.Abstractions;

namespace DmRemap.Cli.Commands;

/// <summary>
/// The command line: parses, runs one command, and turns every failure into words on standard error, a
/// document on standard output if `--json` was asked for, and an exit code. Nothing here is static: tests run
/// it in process.
/// </summary>
internal sealed class CommandLineProgram(CliServices services)
{
    private static readonly ParserConfiguration s_parser = new()
    {
        // A path that begins with '@' is a path.
        ResponseFileTokenReplacer = null,
        EnablePosixBundling = false,
    };

    private static readonly string[] s_helpNames = ["--help", "-h", "-?", "/h", "/?"];

    public async Task<int> RunAsync(IReadOnlyList<string> arguments)
    {
        CommonOptions common = new();
        RootCommand root = Build(common);
        if (arguments.Count == 0)
        {
            _ = await InvokeAsync(root.Parse(["--help"], s_parser), services.Terminal.Error);
            return (int)ExitCode.Usage;
        }
        ParseResult result = root.Parse(arguments, s_parser);
        bool isJson = IsJsonAsked(arguments, result.GetValue(common.Json));
        try
        {
            bool isHelp = result.Action is CommandLineAction { ClearsParseErrors: true };
            if (isHelp ? FindUnknownWord(result) is not null : result.Errors.Count > 0)
            {
                throw new RefusalException(BadUsage(result, isHelp));
            }
            return await InvokeAsync(result, services.Terminal.Output);
        }
        catch (RefusalException refused)
        {
            return Fail(refused.Refusal, isJson);
        }
        catch (OperationCanceledException)
        {
            return Fail(Interrupted(), isJson);
        }
        catch (Exception error) when (error is not InvariantException)
        {
            await services.Terminal.Error.WriteLineAsync(error.ToString());
            return Fail(Internal(error), isJson);
        }
    }

    private RootCommand Build(CommonOptions common)
    {
        RootCommand root = new(
            "dm-remap keeps a failing disk in service: bad sectors move to spare devices as they appear.");
        root.Add(common.Json);
        root.Add(CreateCommand.Build(services, common));
        root.Add(ServeCommand.Build(services, common));
        root.Add(AttachCommand.Build(services, common));
        root.Add(DetachCommand.Build(services, common));
        root.Add(StatusCommand.Build(services, common));
        root.Add(ListCommand.Build(services, common));
        root.Add(RemapCommand.Build(services, common));
        root.Add(UnremapCommand.Build(services, common));
        root.Add(RetestCommand.Build(services, common));
        root.Add(LostCommand.Build(services, common));
        root.Add(MarkBadCommand.Build(services, common));
        root.Add(MarkLostCommand.Build(services, common));
        root.Add(FaultsCommand.Build(services, common));
        root.Add(ScrubCommand.Build(services, common));
        root.Add(SpareCommand.Build(services, common));
        root.Add(ClearCommand.Build(services, common));
        root.Add(SuspendCommand.Build(services, common));
        root.Add(ResumeCommand.Build(services, common));
        root.Add(StopCommand.Build(services, common));
        root.Add(CheckCommand.Build(services, common));
        root.Add(RepairCommand.Build(services, common));
        root.Add(DumpCommand.Build(services, common));
        root.Add(RebindCommand.Build(services, common));
        root.Add(DeleteCommand.Build(services, common));
        root.Add(LabCommand.Build(services, common));
        root.Add(DemoCommand.Build(services, common));
        foreach (Option option in root.Options)
        {
            if (option is HelpOption { Action: HelpAction help })
            {
                option.Action = new HelpWithExamples(help);
            }
            if (option is VersionOption)
            {
                option.Action = new VersionAction();
            }
        }
        return root;
    }

    private async Task<int> InvokeAsync(ParseResult result, TextWriter output) =>
        await result.InvokeAsync(
        new InvocationConfiguration
        {
            Output = output,
            Error = services.Terminal.Error,
            EnableDefaultExceptionHandler = false,
            // Signals are the business of the commands that make something; others simply end.
            ProcessTerminationTimeout = null,
        });

    /// <summary>
    /// Where parsing failed, the option may not have been reached. With --stdio, standard output is a
    /// client's.
    /// </summary>
    private static bool IsJsonAsked(IReadOnlyList<string> arguments, bool isParsed) =>
        (isParsed || arguments.Contains("--json")) && !arguments.Contains("--stdio");

    private int Fail(Refusal refusal, bool isJson)
    {
        try
        {
            ErrorText.Write(services.Terminal.Error, refusal);
            if (isJson && refusal.Id != MessageIds.OutputFailed)
            {
                ErrorText.WriteJson(services.Terminal.Output, refusal);
            }
        }
        catch (Exception error) when (error is IOException or RefusalException)
        {
            // Nobody can be told more than the exit code.
        }
        return (int)refusal.ExitCode;
    }

    /// <summary>
    /// Help is shown for commands that are not used as they should be, but not for words that nobody knows.
    /// After the option, only commands and options with their values say anything.
    /// </summary>
    private static string? FindUnknownWord(ParseResult result)
    {
        if (result.UnmatchedTokens.Count > 0)
        {
            return result.UnmatchedTokens[0];
        }
        bool isAfterHelp = false;
        bool mayBeValue = false;
        foreach (Token token in result.Tokens)
        {
            if (isAfterHelp && token.Type == TokenType.Argument && !mayBeValue)
            {
                return token.Value;
            }
            bool isHelp = s_helpNames.Contains(token.Value);
            isAfterHelp |= isHelp;
            mayBeValue = token.Type == TokenType.Option && !isHelp;
        }
        return null;
    }

    private static Refusal BadUsage(ParseResult result, bool isHelp)
    {
        Command command = result.CommandResult.Command;
        string path = command is RootCommand ? "dmremap" : $"dmremap {CommandPath.Of(command)}";
        List<string> messages = [];
        if (command.Subcommands.Count > 0 && result.UnmatchedTokens.Count > 0)
        {
            string of = command is RootCommand ? "" : $" of `{path}`";
            messages.Add($"There is no command or option \"{result.UnmatchedTokens[0]}\"{of}.");
        }
        else if (isHelp)
        {
            messages.Add($"\"{FindUnknownWord(result)}\" says nothing beside --help.");
        }
        else
        {
            AddDistinct(messages, result.Errors);
        }
        return new Refusal(
            MessageIds.Usage,
            ExitCode.Usage,
            "-",
            string.Join(' ', messages),
            $"`{path} --help` shows how it is used.");
    }

    private static void AddDistinct(List<string> messages, IReadOnlyList<ParseError> errors)
    {
        foreach (ParseError error in errors)
        {
            if (!messages.Contains(error.Message))
            {
                messages.Add(error.Message);
            }
        }
    }

    private static Refusal Interrupted() => new(
        MessageIds.Interrupted,
        ExitCode.Failed,
        "-",
        "Interrupted.",
        "Run the command again if you still need it.");

    private static Refusal Internal(Exception error) => new(
        MessageIds.Internal,
        ExitCode.Failed,
        "-",
        $"Unexpected error: {error.Message}",
        "This is a bug; please report it with the lines above.");

    /// <summary>What the program says of itself; tests run it in another process's assembly.</summary>
    private sealed class VersionAction : SynchronousCommandLineAction
    {
        public override int Invoke(ParseResult parseResult)
        {
            parseResult.InvocationConfiguration.Output.WriteLine($"dmremap {ControlProtocol.ProgramVersion}");
            return (int)ExitCode.Done;
        }
    }
}
