using System.Collections.Generic;
using System.Threading.Tasks;

namespace DmRemap.Interop.Tests.Support;

/// <summary>libnbd's shell, with the distribution's Python, which is the one that has the module.</summary>
internal static class NbdShell
{
    public static Task<CommandResult> RunAsync(
        IReadOnlyDictionary<string, string>? environment, params string[] scripts)
    {
        List<string> arguments = ["PATH=/usr/bin:/bin", "nbdsh"];
        foreach (string script in scripts)
        {
            arguments.Add("-c");
            arguments.Add(script);
        }
        return Command.RunAsync("env", arguments, environment);
    }
}
