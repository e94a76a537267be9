using System.CommandLine;
using System.Linq;

namespace DmRemap.Cli.Commands;

/// <summary>What is typed to reach a command: "lab serve".</summary>
internal static class CommandPath
{
    public static string Of(Command command)
    {
        Command? parent = command.Parents.OfType<Command>().FirstOrDefault(one => one is not RootCommand);
        return parent is null ? command.Name : $"{Of(parent)} {command.Name}";
    }
}
