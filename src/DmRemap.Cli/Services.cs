using System;
using DmRemap.Cli.Attaching;
using DmRemap.Cli.Composition;
using DmRemap.Cli.Devices;
using DmRemap.Cli.Lab;
using DmRemap.Linux.Members;

namespace DmRemap.Cli;

/// <summary>The services of the real program.</summary>
internal static class Services
{
    public static CliServices OfProcess()
    {
        CliServices services = new()
        {
            Terminal = Terminal.OfProcess(SocketActivation.IsMeant(Environment.GetEnvironmentVariable)),
            Files = new StateFiles(),
            Environment = Environment.GetEnvironmentVariable,
        };
        // First: the others say of an attached device that it is one.
        services = services with { Attacher = new DeviceAttacher(services) };
        return services with
        {
            Creator = new DeviceCreator(services),
            Server = new DeviceServer(services),
            MetadataTools = new MetadataTools(services),
            Rebinder = new DeviceRebinder(services),
            Lab = new LabServer(services),
            Demonstration = new Demonstration.Demonstration(services),
        };
    }
}
