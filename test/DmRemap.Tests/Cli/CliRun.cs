using System;
using System.Collections.Generic;
using System.IO;
using System.Text.Json;
using System.Threading.Tasks;
using DmRemap.Cli.Attaching;
using DmRemap.Cli.Commands;
using DmRemap.Cli.Devices;
using DmRemap.Control.Registry;
using DmRemap.Linux.Members;
using DmRemap.Tests.Support;

namespace DmRemap.Tests.Cli;

/// <summary>What a command left behind.</summary>
internal sealed record CliResult(int ExitCode, string Output, string Error)
{
    public JsonElement Json
    {
        get
        {
            using JsonDocument document = JsonDocument.Parse(Output);
            return document.RootElement.Clone();
        }
    }
}

/// <summary>The program in process, with directories of its own and captured streams.</summary>
internal sealed class CliRun : IDisposable
{
    private readonly TemporaryDirectory _directory = new();
    private readonly Dictionary<string, string> _environment;

    public CliRun()
    {
        _environment = new Dictionary<string, string>
        {
            ["DMREMAP_CONFIG_DIR"] = _directory["config"],
            ["DMREMAP_RUN_DIR"] = _directory["run"],
        };
        Directories = HostDirectories.Find(new StateFiles(), _environment.GetValueOrDefault);
        Directories.PrepareConfiguration();
        Directories.PrepareRun();
        Registry = new DeviceRegistry(Directories.ConfigurationPath, new StateFiles());
    }

    public HostDirectories Directories { get; }

    public DeviceRegistry Registry { get; }

    public RecordingParts Parts { get; } = new();

    /// <summary>Null: there is no terminal. Otherwise what its user types.</summary>
    public string? Typed { get; set; }

    /// <summary>Null: what is answered is kept.</summary>
    public TextWriter? Output { get; set; }

    /// <summary>`attach` and `detach` are those of the real program.</summary>
    public bool CanAttach { get; init; }

    public void Dispose() => _directory.Dispose();

    public async Task<CliResult> RunAsync(params string[] arguments)
    {
        using StringWriter output = new() { NewLine = "\n" };
        using StringWriter error = new() { NewLine = "\n" };
        CliServices services = new()
        {
            Terminal = new Terminal
            {
                Output = Output ?? output,
                Error = error,
                Input = new StringReader(Typed ?? ""),
                CanAsk = Typed is not null,
            },
            Files = new StateFiles(),
            Environment = _environment.GetValueOrDefault,
            Creator = Parts,
            Server = Parts,
            MetadataTools = Parts,
            Rebinder = Parts,
            Demonstration = Parts,
        };
        services = CanAttach ? services with { Attacher = new DeviceAttacher(services) } : services;
        int code = await new CommandLineProgram(services).RunAsync(arguments);
        return new CliResult(code, output.ToString(), error.ToString());
    }

    public DeviceRecord Register(string name)
    {
        DeviceRecord record = new()
        {
            Name = name,
            SetUuid = Guid.Parse("0f8fad5b-d9cb-469f-a165-70867728950e"),
            MainPath = "/dev/disk/by-id/ata-EXAMPLE_DISK_0123456789",
            MainBytes = 1L << 40,
            BlockBytes = 512,
            PhysicalBlockBytes = 4096,
            UnitBytes = 4096,
            AlignmentOffsetBytes = 0,
            Spares = [new SpareRecord("/dev/sdc1", Guid.Parse("7c9e6679-7425-40de-944b-e07fc1f90ae7"))],
            Created = DateTimeOffset.UnixEpoch,
        };
        Registry.Add(record);
        return record;
    }
}
