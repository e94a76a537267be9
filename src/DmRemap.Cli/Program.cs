using System.Threading.Tasks;
using DmRemap.Cli.Commands;

namespace DmRemap.Cli;

internal static class Program
{
    private static async Task<int> Main(string[] arguments) =>
        await new CommandLineProgram(Services.OfProcess()).RunAsync(arguments);
}
