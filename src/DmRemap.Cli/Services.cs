using System;
using DmRemap.Cli.Devices;
using DmRemap.Linux.Members;

namespace DmRemap.Cli;

/// <summary>The services of the real program.</summary>
internal static class Services
{
    public static CliServices OfProcess()
    {
        NotBuiltYet missing = new();
        return new CliServices
        {
            Terminal = Terminal.OfProcess(),
            Files = new StateFiles(),
            Environment = Environment.GetEnvironmentVariable,
            Creator = missing,
            Server = missing,
            Demonstration = missing,
        };
    }
}
