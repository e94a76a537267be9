using System;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Devices;
using DmRemap.Core.Abstractions;

namespace DmRemap.Tests.Cli;

/// <summary>Stands for what commands carry out: keeps what it was asked.</summary>
internal sealed class RecordingParts
    : IDeviceCreator, IDeviceServer, IMetadataTools, IDeviceRebinder, IDemonstration
{
    public CreateOptions? Created { get; private set; }

    public ServeOptions? Served { get; private set; }

    public SetChoice? Checked { get; private set; }

    public SetChoice? Dumped { get; private set; }

    public bool DumpedRecords { get; private set; }

    public RepairOptions? Repaired { get; private set; }

    public RebindOptions? Rebound { get; private set; }

    public DemoOptions? Shown { get; private set; }

    public Action<CommandOutput> Before { get; set; } = _ => { };

    public ExitCode Exit { get; set; } = ExitCode.Done;

    public Task<CreateReport> CreateAsync(
        CreateOptions options, CommandOutput output, CancellationToken cancellation)
    {
        Before(output);
        Created = options;
        return Task.FromResult(new CreateReport
        {
            Name = options.Name,
            Uuid = "0f8fad5b-d9cb-469f-a165-70867728950e",
            MainPath = options.MainPath,
            SizeBytes = 268_435_456,
            BlockSize = 512,
            UnitBytes = 4096,
            Spares =
                [new CreatedSpare(options.SparePaths[0], "7c9e6679-7425-40de-944b-e07fc1f90ae7", 16_128)],
            Warnings = ["the spare is small."],
        });
    }

    public Task<RebindReport> RebindAsync(
        RebindOptions options, CommandOutput output, CancellationToken cancellation)
    {
        Before(output);
        Rebound = options;
        return Task.FromResult(
            new RebindReport(options.Name, "/old", options.MainPath ?? options.NewSparePath!));
    }

    public Task<ExitCode> ServeAsync(
        ServeOptions options, CommandOutput output, CancellationToken cancellation)
    {
        Before(output);
        Served = options;
        return Task.FromResult(Exit);
    }

    public Task<ExitCode> CheckAsync(
        SetChoice choice, CommandOutput output, CancellationToken cancellation)
    {
        Before(output);
        Checked = choice;
        return Task.FromResult(Exit);
    }

    public Task<ExitCode> DumpAsync(
        SetChoice choice, bool withRecords, CommandOutput output, CancellationToken cancellation)
    {
        Before(output);
        Dumped = choice;
        DumpedRecords = withRecords;
        return Task.FromResult(Exit);
    }

    public Task<ExitCode> RepairAsync(
        RepairOptions options, CommandOutput output, CancellationToken cancellation)
    {
        Before(output);
        Repaired = options;
        return Task.FromResult(Exit);
    }

    public Task<ExitCode> RunAsync(DemoOptions options, CommandOutput output, CancellationToken cancellation)
    {
        Before(output);
        Shown = options;
        return Task.FromResult(Exit);
    }
}
