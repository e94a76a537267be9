using System;
using DmRemap.Control.Registry;
using DmRemap.Core.Abstractions;

namespace DmRemap.Cli.Devices;

/// <summary>Everything outside the commands: set up once by Program, or by a test.</summary>
public sealed record CliServices
{
    public required Terminal Terminal { get; init; }

    public required IStateFiles Files { get; init; }

    /// <summary>Looks up an environment variable; null when unset.</summary>
    public required Func<string, string?> Environment { get; init; }

    public IDeviceCreator Creator { get; init; } = new NotBuiltYet();

    public IDeviceServer Server { get; init; } = new NotBuiltYet();

    public IDeviceAttacher Attacher { get; init; } = new NotBuiltYet();

    public IMetadataTools MetadataTools { get; init; } = new NotBuiltYet();
    public IDeviceRebinder Rebinder { get; init; } = new NotBuiltYet();

    public ILabServer Lab { get; init; } = new NotBuiltYet();

    public IDemonstration Demonstration { get; init; } = new NotBuiltYet();

    public TimeProvider Time { get; init; } = TimeProvider.System;

    /// <summary>How long a daemon may take to answer a quick command.</summary>
    public TimeSpan AnswerTimeout { get; init; } = TimeSpan.FromSeconds(10);

    public HostDirectories FindDirectories() => HostDirectories.Find(Files, Environment);

    public HostWitnessFile OpenWitness(string name) =>
        new(FindDirectories().ConfigurationPath, Files, name);

    public ScrubFile OpenScrub(string name) => new(FindDirectories().ConfigurationPath, Files, name);

    public DeviceRegistry OpenRegistry() => new(FindDirectories().ConfigurationPath, Files);
}
