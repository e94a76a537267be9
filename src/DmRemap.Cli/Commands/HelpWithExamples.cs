using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;
using System.IO;

namespace DmRemap.Cli.Commands;

/// <summary>The usual help, then examples that can be copied.</summary>
internal sealed class HelpWithExamples(HelpAction help) : SynchronousCommandLineAction
{
    public override bool ClearsParseErrors => true;

    public override int Invoke(ParseResult parseResult)
    {
        help.MaxWidth = 80;
        int result = help.Invoke(parseResult);
        TextWriter output = parseResult.InvocationConfiguration.Output;
        Command command = parseResult.CommandResult.Command;
        string[] lines = command is RootCommand ? Examples.Root : Examples.Of(CommandPath.Of(command));
        if (lines.Length > 0)
        {
            output.WriteLine("Examples:");
            foreach (string line in lines)
            {
                output.WriteLine($"  {line}");
            }
            output.WriteLine();
        }
        if (command is RootCommand)
        {
            foreach (string line in Examples.ExitCodes)
            {
                output.WriteLine(line);
            }
        }
        return result;
    }
}
